//! Counts the frames that a peer sends, from their 9-byte headers, and cuts a connection that floods.
//!
//! The `h2` crate shows no frames and bounds only some of them. The meter sits around the decrypted stream, so
//! nothing escapes it, and it also remembers what a GOAWAY said: which streams the peer has not processed.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use super::blocks::{Blocks, Judged};
use super::outbox::Outbox;
use crate::options::{BLOCK_BYTES_AHEAD, HEADER_BYTES_MAX};
use crate::watchdog::Outlet;
use crate::{Flood, FloodLimits, HTTP2_PREFACE};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

const FRAME_HEAD_BYTES: usize = 9;
/// A stream's window, until the peer's settings say otherwise (RFC 9113 section 6.9.2).
const FIRST_STREAM_WINDOW_BYTES: u32 = 65_535;
/// A setting: its identifier and its value (RFC 9113 section 6.5.1).
const SETTING_BYTES: usize = 6;
const SETTINGS_INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];
/// Streams with a block that was refused and that nobody has asked about, as the crate ended them before. More: the
/// connection is cut.
const REFUSED_STREAMS_MAX: usize = 1_000;
/// Enough for the debug data of a GOAWAY of the library.
const LAST_WORDS_BYTES: usize = 32;
/// Bytes of an encoded block of fields that may decode to more than [`HEADER_BYTES_MAX`]: Huffman and the
/// size that HTTP/2 adds for each field make several of one.
const LARGE_BLOCK_BYTES: usize = HEADER_BYTES_MAX / 8;
/// Bytes that we write for which one `WINDOW_UPDATE` is reasonable.
const BYTES_PER_WINDOW_UPDATE: u64 = 128;

/// What the meter found, for whoever runs the connection.
#[derive(Debug)]
pub(super) struct Findings {
    /// Why the connection must be cut.
    pub(super) flood: Cell<Option<Flood>>,
    /// The last stream that the peer processes, once it sent GOAWAY.
    pub(super) last_stream: Cell<Option<u32>>,
    /// Why nothing more can be read. The `h2` crate passes on its text only.
    pub(super) broken: RefCell<Option<Arc<io::Error>>>,
    /// Whether a block of fields has begun and not ended.
    pub(super) block_open: Cell<bool>,
    /// The last stream that got a block of more than [`LARGE_BLOCK_BYTES`]. The `h2` crate does not tell a head
    /// that is too large from one that is malformed.
    pub(super) large_block: Cell<Option<u32>>,
    /// Whether the peer's SETTINGS came.
    pub(super) has_settings: Cell<bool>,
    /// Whether SETTINGS or GOAWAY came since that was looked at: there may be room, or none will be any more.
    pub(super) has_news: Cell<bool>,
    /// Bytes that have been read.
    pub(super) heard: Cell<u64>,
    /// Whether the peer has answered nothing for too long.
    pub(super) is_silent: Cell<bool>,
    /// Whether the socket takes nothing at present, and how many bytes it has taken.
    pub(super) outlet: Outlet,
    /// What the peer lets us send on a new stream.
    pub(super) stream_window: Cell<u32>,
    /// What the library has to write for all streams.
    pub(super) outbox: Rc<Outbox>,
    /// Bytes of header blocks that the library got since it was last emptied of requests.
    blocks_ahead: Cell<usize>,
    /// Whether it asked for more, which is held back until then.
    pub(super) is_kept_waiting: Cell<bool>,
    /// Streams that we opened, less those that the peer has reset.
    opened: Cell<u32>,
    /// Streams of which a block of fields broke a rule that the `h2` crate does not tell of.
    refused: RefCell<Vec<u32>>,
    /// The end of what was written last.
    last_words: Cell<[u8; LAST_WORDS_BYTES]>,
}

impl Findings {
    /// Of a connection whose streams may have so many bytes in the library's queue together.
    pub(super) fn new(queue_bytes_max: usize) -> Rc<Self> {
        Rc::new(Findings {
            flood: Cell::new(None),
            last_stream: Cell::new(None),
            broken: RefCell::new(None),
            block_open: Cell::new(false),
            large_block: Cell::new(None),
            has_settings: Cell::new(false),
            has_news: Cell::new(false),
            heard: Cell::new(0),
            is_silent: Cell::new(false),
            outlet: Outlet::default(),
            stream_window: Cell::new(FIRST_STREAM_WINDOW_BYTES),
            outbox: Outbox::new(queue_bytes_max),
            blocks_ahead: Cell::new(0),
            is_kept_waiting: Cell::new(false),
            opened: Cell::new(0),
            refused: RefCell::default(),
            last_words: Cell::new([0; LAST_WORDS_BYTES]),
        })
    }

    /// Whether a block of fields on `stream` must not be taken for what the crate made of it. Asked once.
    pub(super) fn take_refused(&self, stream: u32) -> bool {
        let mut refused = self.refused.borrow_mut();
        let at = refused.iter().position(|known| *known == stream);
        at.map(|at| refused.swap_remove(at)).is_some()
    }

    fn refuse(&self, stream: u32) {
        let mut refused = self.refused.borrow_mut();
        if refused.len() == REFUSED_STREAMS_MAX {
            self.flood.set(Some(Flood::StreamErrors));
        } else if !refused.contains(&stream) {
            refused.push(stream);
        }
    }

    /// We opened a stream, and the peer may reset it.
    pub(super) fn note_opened(&self) {
        self.opened.set(self.opened.get().saturating_add(1));
    }

    /// Whether a reset may be one of a stream that we opened, and then counts it.
    fn answers_ours(&self) -> bool {
        let left = self.opened.get().checked_sub(1);
        self.opened.set(left.unwrap_or(0));
        left.is_some()
    }

    /// Whether the peer is there no more, as far as one can tell: it answers no PING, or the kernel gave it up.
    pub(super) fn has_fallen_silent(&self) -> bool {
        let broken = self.broken.borrow();
        self.is_silent.get() || broken.as_ref().is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
    }

    /// Which flood made the connection end. The library cuts some by itself and says which only in the debug data
    /// of its GOAWAY, the last that it writes: the error that it returns may be the peer's.
    pub(super) fn flood(&self) -> Option<Flood> {
        const SAID: [(&[u8], Flood); 5] = [
            (b"too_many_resets", Flood::Resets),
            (b"too_many_internal_resets", Flood::StreamErrors),
            (b"too_many_data_frames", Flood::EmptyFrames),
            (b"too_many_continuations", Flood::Continuation),
            (b"header_list_way_too_large", Flood::HeaderBytes),
        ];
        let words = self.last_words.get();
        let said = || SAID.iter().find(|(said, _)| words.ends_with(said)).map(|(_, flood)| *flood);
        self.flood.get().or_else(said)
    }

    /// The library has no more requests to give out. Returns whether it waits for bytes that it may have now.
    pub(super) fn take_more(&self) -> bool {
        self.blocks_ahead.set(0);
        self.is_kept_waiting.replace(false)
    }

    /// Whether a block of `len` bytes may be decoded now, and then counts it.
    fn may_decode(&self, len: usize) -> bool {
        let ahead = self.blocks_ahead.get();
        let may = ahead == 0 || ahead + len <= BLOCK_BYTES_AHEAD;
        if may {
            self.blocks_ahead.set(ahead + len);
        }
        may
    }

    /// Remembers the end of `bytes`, of which `len` were written.
    pub(super) fn note_words(&self, bytes: &[u8], len: usize) {
        let mut words = [0; LAST_WORDS_BYTES];
        let end = &bytes[..len.min(bytes.len())];
        let kept = &end[end.len().saturating_sub(LAST_WORDS_BYTES)..];
        words[LAST_WORDS_BYTES - kept.len()..].copy_from_slice(kept);
        self.last_words.set(words);
    }
}

/// The counts of one kind of frame since `Counts::since`.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    resets: u32,
    pings: u32,
    settings: u32,
    empty_frames: u32,
    window_updates: u32,
    priorities: u32,
    others: u32,
}

/// Counts what happens on average so many times per second at most, with a burst of one second's worth. The clock
/// is read only when the limit is reached.
#[derive(Debug)]
pub(super) struct Rate {
    limit: u32,
    count: u32,
    since: Instant,
}

impl Rate {
    pub(super) fn new(limit: u32) -> Self {
        Rate { limit, count: 0, since: Instant::now() }
    }

    /// One more. Returns whether that is too many.
    pub(super) fn is_exceeded(&mut self) -> bool {
        self.count += 1;
        if self.count <= self.limit {
            return false;
        }
        let elapsed = self.since.elapsed().as_secs_f64().max(1.0);
        let is_exceeded = f64::from(self.count) > f64::from(self.limit) * elapsed;
        if !is_exceeded {
            (self.count, self.since) = (0, Instant::now());
        }
        is_exceeded
    }
}

/// The state machine; sees bytes, knows no sockets.
#[derive(Debug)]
pub(super) struct Counter {
    limits: FloodLimits,
    counts: Counts,
    since: Instant,
    written: u64,
    continuations: u32,
    /// Bytes of the block of fields at hand.
    block_bytes: usize,
    /// Bytes to pass over: the preface, or the rest of a payload.
    skip: usize,
    /// Bytes of the header block, or of its part, that comes next.
    block: usize,
    /// Whether header blocks wait for those before them.
    is_paced: bool,
    head: [u8; FRAME_HEAD_BYTES],
    head_len: usize,
    /// A part of a payload, while that matters.
    part: [u8; SETTING_BYTES],
    part_len: usize,
    part_is: Option<Part>,
    /// Absent where the peer has looked at its fields by itself.
    blocks: Option<Blocks>,
    /// The frame at hand holds fields.
    fields: Option<Fields>,
}

/// A frame `HEADERS` or `CONTINUATION`.
#[derive(Clone, Copy, Debug)]
struct Fields {
    stream: u32,
    is_first: bool,
    flags: u8,
}

/// What is read of a payload.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// The first four bytes: the last stream that the peer looks at.
    LastStream,
    /// The first four bytes: by how much the connection's window grows.
    Window,
    /// One setting after the other.
    Settings,
}

impl Counter {
    pub(super) fn new(limits: FloodLimits, preface: bool, blocks: Option<Blocks>) -> Self {
        Counter {
            limits,
            counts: Counts::default(),
            since: Instant::now(),
            written: 0,
            continuations: 0,
            block_bytes: 0,
            skip: if preface { HTTP2_PREFACE.len() } else { 0 },
            block: 0,
            is_paced: preface,
            head: [0; FRAME_HEAD_BYTES],
            head_len: 0,
            part: [0; SETTING_BYTES],
            part_len: 0,
            part_is: None,
            blocks,
            fields: None,
        }
    }

    /// Looks at the next bytes from the peer. Returns how many of them may be passed on now: fewer when the next is
    /// a header block beyond [`BLOCK_BYTES_AHEAD`] and the blocks are `paced`.
    pub(super) fn count(&mut self, all: &[u8], findings: &Findings) -> usize {
        let mut bytes = all;
        while !bytes.is_empty() && findings.flood.get().is_none() {
            if self.block > 0 && self.is_paced && !findings.may_decode(self.block) {
                return all.len() - bytes.len();
            }
            self.block = 0;
            if self.skip > 0 {
                let len = self.skip.min(bytes.len());
                self.keep_part(&bytes[..len], findings);
                self.skip -= len;
                self.follow(&bytes[..len], findings);
                bytes = &bytes[len..];
                continue;
            }
            let len = (FRAME_HEAD_BYTES - self.head_len).min(bytes.len());
            self.head[self.head_len..self.head_len + len].copy_from_slice(&bytes[..len]);
            self.head_len += len;
            bytes = &bytes[len..];
            if self.head_len == FRAME_HEAD_BYTES {
                self.head_len = 0;
                self.frame(findings);
            }
        }
        all.len()
    }

    fn frame(&mut self, findings: &Findings) {
        let [high, middle, low, kind, flags, ..] = self.head;
        let len = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.skip = len;
        (self.part_len, self.part_is) = (0, None);
        self.block = if matches!(kind, HEADERS | CONTINUATION) { len } else { 0 };
        match kind {
            HEADERS => {
                self.continuations = 0;
                self.block_bytes = 0;
                self.note_block(len, findings);
                findings.block_open.set(flags & END_HEADERS == 0);
            }
            CONTINUATION => {
                self.continuations += 1;
                self.note_block(len, findings);
                findings.block_open.set(flags & END_HEADERS == 0);
                if self.continuations > self.limits.continuations_per_block {
                    findings.flood.set(Some(Flood::Continuation));
                    return;
                }
            }
            GOAWAY => self.part_is = Some(Part::LastStream),
            WINDOW_UPDATE if self.head[5..] == [0; 4] => self.part_is = Some(Part::Window),
            SETTINGS if flags & ACK == 0 => {
                findings.has_settings.set(true);
                findings.has_news.set(true);
                self.part_is = Some(Part::Settings);
            }
            _ => {}
        }
        if matches!(kind, HEADERS | CONTINUATION) && self.blocks.is_some() {
            self.begin_fields(kind, flags, findings);
        }
        if kind == RST_STREAM && findings.answers_ours() {
            return;
        }
        if let Some(flood) = self.charge(kind, len == 0 && flags & END_STREAM == 0) {
            findings.flood.set(Some(flood));
        }
    }

    fn note_block(&mut self, len: usize, findings: &Findings) {
        self.block_bytes += len;
        if self.block_bytes > LARGE_BLOCK_BYTES {
            let [.., a, b, c, d] = self.head;
            findings.large_block.set(Some(u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff));
        }
    }

    /// A frame with fields begins.
    fn begin_fields(&mut self, kind: u8, flags: u8, findings: &Findings) {
        let [_, _, _, _, _, stream @ ..] = self.head;
        let fields =
            Fields { stream: u32::from_be_bytes(stream) & 0x7fff_ffff, is_first: kind == HEADERS, flags };
        if let (Some(blocks), true) = (&mut self.blocks, fields.is_first) {
            blocks.begin(fields.stream);
        }
        self.fields = Some(fields);
        if self.skip == 0 {
            self.follow(&[], findings);
        }
    }

    /// The next piece of the payload at hand.
    fn follow(&mut self, piece: &[u8], findings: &Findings) {
        let (Some(blocks), Some(fields)) = (&mut self.blocks, self.fields) else { return };
        let is_last = self.skip == 0;
        if is_last {
            self.fields = None;
        }
        if blocks.piece(fields.is_first, fields.flags, piece, is_last) == Judged::Refused {
            findings.refuse(fields.stream);
        }
    }

    /// Counts the frame, and says which budget it broke.
    fn charge(&mut self, kind: u8, empty: bool) -> Option<Flood> {
        let (count, limit, flood) = match kind {
            DATA | HEADERS | CONTINUATION if empty => {
                (&mut self.counts.empty_frames, self.limits.empty_frames, Flood::EmptyFrames)
            }
            DATA | HEADERS | CONTINUATION => return None,
            PRIORITY => (&mut self.counts.priorities, self.limits.priorities, Flood::Priorities),
            RST_STREAM => (&mut self.counts.resets, self.limits.resets, Flood::Resets),
            SETTINGS => (&mut self.counts.settings, self.limits.settings, Flood::Settings),
            PING => (&mut self.counts.pings, self.limits.pings, Flood::Pings),
            WINDOW_UPDATE => {
                let earned = u32::try_from(self.written / BYTES_PER_WINDOW_UPDATE).unwrap_or(u32::MAX);
                let limit = self.limits.window_updates.saturating_add(earned);
                (&mut self.counts.window_updates, limit, Flood::WindowUpdates)
            }
            _ => (&mut self.counts.others, self.limits.others, Flood::Others),
        };
        *count += 1;
        if *count <= limit {
            return None;
        }
        // Limits are per second, and the clock is read only when one is reached.
        let elapsed = self.since.elapsed().as_secs_f64().max(1.0);
        if f64::from(*count) > f64::from(limit) * elapsed {
            return Some(flood);
        }
        self.counts = Counts::default();
        self.since = Instant::now();
        self.written = 0;
        None
    }

    fn keep_part(&mut self, mut payload: &[u8], findings: &Findings) {
        while let Some(part_is) = self.part_is
            && !payload.is_empty()
        {
            let want = if matches!(part_is, Part::Settings) { SETTING_BYTES } else { 4 };
            let len = (want - self.part_len).min(payload.len());
            self.part[self.part_len..self.part_len + len].copy_from_slice(&payload[..len]);
            self.part_len += len;
            payload = &payload[len..];
            if self.part_len < want {
                return;
            }
            self.part_len = 0;
            let [a, b, c, d, e, f] = self.part;
            let number = u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff;
            match part_is {
                Part::LastStream => {
                    findings.last_stream.set(Some(number));
                    findings.has_news.set(true);
                }
                Part::Window => findings.outbox.widen(number),
                Part::Settings if [a, b] == SETTINGS_INITIAL_WINDOW_SIZE => {
                    findings.stream_window.set(u32::from_be_bytes([c, d, e, f]));
                }
                Part::Settings => {}
            }
            if !matches!(part_is, Part::Settings) {
                self.part_is = None;
            }
        }
    }

    pub(super) fn wrote(&mut self, len: usize) {
        self.written += len as u64;
    }
}

#[cfg(test)]
mod tests;
