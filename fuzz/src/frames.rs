//! Random frames of HTTP/2 peers: mostly right, each part sometimes odd.

use crate::case::Case;
use crate::chance::Chance;
use crate::frame::{
    self, ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HAS_PRIORITY, HEADERS, PADDED, SETTINGS,
};
use bytes::BytesMut;
use codec::http2::hpack::{HpackEncoder, StringCoding};

type Line = (&'static [u8], &'static [u8]);

const PSEUDO: &[Line] = &[
    (b":method", b"POST"),
    (b":method", b"CONNECT"),
    (b":method", b"get x"),
    (b":method", b""),
    (b":path", b"/a#b"),
    (b":path", b""),
    (b":path", b"*"),
    (b":path", b"a"),
    (b":path", b"/a b"),
    (b":path", b"/\x80"),
    (b":scheme", b"ftp"),
    (b":scheme", b""),
    (b":scheme", b"ht tp"),
    (b":authority", b""),
    (b":authority", b"u@h"),
    (b":authority", b"h:80"),
    (b":authority", b"a b"),
    (b":authority", b"h/x"),
    (b":status", b"200"),
    (b":protocol", b"websocket"),
    (b":unknown", b"x"),
    (b":path", b"/?x"),
    (b":path", b"//h/x"),
    (b":path", b"http://h/"),
    (b":", b"x"),
];
const FIELDS: &[Line] = &[
    (b"host", b"h"),
    (b"host", b"other"),
    (b"host", b""),
    (b"connection", b"close"),
    (b"transfer-encoding", b"chunked"),
    (b"keep-alive", b"x"),
    (b"upgrade", b"x"),
    (b"te", b"trailers"),
    (b"te", b"gzip"),
    (b"proxy-connection", b"x"),
    (b"content-length", b"3"),
    (b"content-length", b"5"),
    (b"content-length", b"+5"),
    (b"content-length", b"0"),
    (b"content-length", b"5, 5"),
    (b"Upper", b"x"),
    (b"x y", b"z"),
    (b"", b"x"),
    (b"x", b" y "),
    (b"x", b"a\r\nb: c"),
    (b"x", b"a\nb"),
    (b"x", b"a\0b"),
    (b"x", b"a\x80b"),
    (b"x", b"a\x7fb"),
    (b"cookie", b"a=b"),
    (b"cookie", b"c=d"),
    (b"x_y", b"z"),
    (b"x(", b"z"),
    (b"x\"y", b"z"),
    (b"x", b""),
    (b"authorization", b"secret"),
    (b"expect", b"100-continue"),
    (b"x:y", b"z"),
    (b"\xe4", b"z"),
    (b"x", b"\ty"),
];
const STATUS: &[Line] = &[
    (b":status", b"204"),
    (b":status", b"304"),
    (b":status", b"103"),
    (b":status", b"100"),
    (b":status", b"101"),
    (b":status", b"20"),
    (b":status", b"2000"),
    (b":status", b""),
    (b":status", b"abc"),
    (b":status", b"099"),
    (b":status", b"999"),
    (b":path", b"/"),
    (b":status", b"200"),
    (b":status", b"404"),
];

/// Writes frames with one table of fields.
struct Writer<'d> {
    dice: &'d mut Chance,
    rarity: usize,
    encoder: HpackEncoder,
    bytes: Vec<u8>,
}

/// Frames of a random client behind the preface.
pub(crate) fn of_client(dice: &mut Chance) -> Case {
    let mut writer = Writer::new(dice);
    writer.settings();
    let mut stream = 1;
    for _ in 0..=writer.dice.below(4) {
        let fields = writer.request();
        writer.message(stream, &fields);
        stream += if writer.rarely(1) { [0, 1, 4][writer.dice.below(3)] } else { 2 };
    }
    writer.finish()
}

/// Frames of a random server that was asked on the streams 1 and 3.
pub(crate) fn of_server(dice: &mut Chance) -> Case {
    let mut writer = Writer::new(dice);
    writer.settings();
    writer.frame(SETTINGS, ACK, 0, &[]);
    for stream in [1, 3] {
        if writer.rarely(1) {
            let early = vec![(&b":status"[..], writer.dice.one_of(&[&b"103"[..], b"100", b"101", b"1"]))];
            writer.headers(stream, &early, 0);
        }
        let fields = writer.response();
        let stream = if writer.rarely(2) { writer.dice.below(6) as u32 } else { stream };
        writer.message(stream, &fields);
    }
    writer.finish()
}

impl<'d> Writer<'d> {
    fn new(dice: &'d mut Chance) -> Self {
        let rarity = dice.one_of(&[&[8_usize][..], &[20], &[60]])[0];
        let coding = if dice.once_in(2) { StringCoding::Plain } else { StringCoding::Shortest };
        Writer { dice, rarity, encoder: HpackEncoder::new(coding), bytes: Vec::new() }
    }

    fn finish(self) -> Case {
        let Writer { dice, bytes, rarity, .. } = self;
        let case = Case::new(bytes);
        // Most changes of single bytes break the frames themselves, and end it all.
        if dice.once_in(rarity / 4) { case.spoiled(dice) } else { case }
    }

    fn rarely(&mut self, times: usize) -> bool {
        self.dice.once_in(self.rarity * times)
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        frame::put(&mut self.bytes, kind, flags, stream, payload);
    }

    fn settings(&mut self) {
        let mut payload = Vec::new();
        if self.rarely(1) {
            let setting = self.dice.below(10) as u16;
            let value = [0_u32, 1, 2, 100, 4096, 16_384, 1 << 24, 1 << 31, u32::MAX][self.dice.below(9)];
            payload.extend_from_slice(&setting.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        self.frame(SETTINGS, 0, 0, &payload);
    }

    fn request(&mut self) -> Vec<Line> {
        let mut pseudo: Vec<Line> =
            vec![(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"h"), (b":path", b"/p")];
        if self.dice.once_in(2) {
            pseudo[0].1 = b"POST";
        }
        self.change(&mut pseudo, PSEUDO);
        self.fields(pseudo)
    }

    fn response(&mut self) -> Vec<Line> {
        let mut pseudo: Vec<Line> = vec![(b":status", b"200")];
        self.change(&mut pseudo, STATUS);
        self.fields(pseudo)
    }

    /// Leaves out, repeats or changes one.
    fn change(&mut self, pseudo: &mut Vec<Line>, odd: &[Line]) {
        if !self.dice.once_in(self.rarity / 3) {
            return;
        }
        let at = self.dice.below(pseudo.len());
        let other = odd[self.dice.below(odd.len())];
        match self.dice.below(4) {
            0 => drop(pseudo.remove(at)),
            1 => pseudo.insert(at, other),
            _ => match pseudo.iter_mut().find(|(name, _)| *name == other.0) {
                Some(place) => *place = other,
                None => pseudo.push(other),
            },
        }
    }

    /// Adds ordinary fields.
    fn fields(&mut self, mut lines: Vec<Line>) -> Vec<Line> {
        for _ in 0..self.dice.below(4) {
            let odd = FIELDS[self.dice.below(FIELDS.len())];
            let usual: [Line; 3] = [(b"x-ordinary", b"yes"), (b"accept", b"*/*"), (b"x-tenant", b"t1")];
            let line = if self.dice.once_in(self.rarity / 2) { odd } else { usual[self.dice.below(3)] };
            let at = if self.rarely(1) { self.dice.below(lines.len()) } else { lines.len() };
            lines.insert(at, line);
        }
        lines
    }

    fn block(&mut self, fields: &[Line]) -> Vec<u8> {
        let mut block = BytesMut::new();
        if self.rarely(2) {
            let bytes_max = self.dice.below(200);
            self.encoder.set_table_bytes_max(bytes_max);
        }
        self.encoder.begin(&mut block);
        for (name, value) in fields {
            let is_never_indexed = self.rarely(1);
            if self.rarely(1) && name.len() < 127 && value.len() < 127 {
                // Spelled out, in no table.
                block.extend_from_slice(&[0, name.len() as u8]);
                block.extend_from_slice(name);
                block.extend_from_slice(&[value.len() as u8]);
                block.extend_from_slice(value);
            } else {
                self.encoder.field(&mut block, name, value, is_never_indexed);
            }
        }
        if self.rarely(10) {
            let at = self.dice.below(block.len());
            if let Some(byte) = block.get_mut(at) {
                *byte = self.dice.below(256) as u8;
            }
        }
        block.to_vec()
    }

    fn headers(&mut self, stream: u32, fields: &[Line], flags: u8) {
        let block = self.block(fields);
        let cut = if self.rarely(1) { self.dice.below(block.len()) } else { block.len() };
        let (first, rest) = block.split_at(cut);
        let mut payload = Vec::new();
        let mut flags = flags | if rest.is_empty() { END_HEADERS } else { 0 };
        let padding = if self.rarely(1) { self.dice.below(20) } else { 0 };
        if padding > 0 {
            flags |= PADDED;
            payload.push(padding as u8);
        }
        if self.rarely(1) {
            flags |= HAS_PRIORITY;
            payload.extend_from_slice(&[0, 0, 0, [0, 1, 5][self.dice.below(3)], 16]);
        }
        payload.extend_from_slice(first);
        payload.resize(payload.len() + padding, 0);
        self.frame(HEADERS, flags, stream, &payload);
        if !rest.is_empty() {
            if self.rarely(2) {
                self.odd_frame(stream);
            }
            self.frame(CONTINUATION, END_HEADERS, stream, rest);
        }
    }

    /// A whole message, mostly.
    fn message(&mut self, stream: u32, fields: &[Line]) {
        let (has_body, has_trailers) = (self.dice.once_in(2), self.dice.once_in(5));
        self.headers(stream, fields, if has_body || has_trailers { 0 } else { END_STREAM });
        if self.rarely(1) {
            self.odd_frame(stream);
        }
        if has_body {
            let flags = if has_trailers || self.rarely(1) { 0 } else { END_STREAM };
            self.frame(DATA, 0, stream, b"hel");
            let padded = self.rarely(1);
            let (padding, payload): (u8, &[u8]) = if padded { (PADDED, b"\x02lo\0\0") } else { (0, b"lo") };
            self.frame(DATA, flags | padding, stream, payload);
        }
        if has_trailers {
            let trailer = if self.rarely(1) {
                FIELDS[self.dice.below(FIELDS.len())]
            } else {
                (&b"grpc-status"[..], &b"0"[..])
            };
            let mut lines = vec![trailer];
            if self.rarely(1) {
                lines.push(PSEUDO[self.dice.below(PSEUDO.len())]);
            }
            let flags = if self.rarely(1) { 0 } else { END_STREAM };
            self.headers(stream, &lines, flags);
        }
        if self.rarely(1) {
            self.odd_frame(stream);
        }
    }

    /// Any frame that may stand anywhere, and some that must not.
    fn odd_frame(&mut self, stream: u32) {
        let stream = if self.dice.once_in(2) { stream } else { self.dice.below(9) as u32 };
        let kind = self.dice.below(12) as u8;
        let flags = if self.dice.once_in(2) { 0 } else { self.dice.below(64) as u8 };
        let usual = match kind {
            2 => 5,
            3 | 8 => 4,
            6 | 7 => 8,
            _ => self.dice.below(3) * 6,
        };
        let len = if self.rarely(1) { self.dice.below(20) } else { usual };
        let payload: Vec<u8> =
            (0..len).map(|_| if self.dice.once_in(3) { self.dice.below(256) as u8 } else { 0 }).collect();
        let stream = if matches!(kind, 4 | 6 | 7) && !self.rarely(1) { 0 } else { stream };
        self.frame(kind, flags, stream, &payload);
    }
}
