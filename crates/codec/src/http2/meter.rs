//! Counts the frames that a peer sends, from their 9-byte headers, and cuts a connection that floods.
//!
//! The `h2` crate shows no frames and bounds only some of them. The meter sits around the decrypted stream, so
//! nothing escapes it, and it also remembers what a GOAWAY said: which streams the peer has not processed.

use tokio::time::Instant;

use super::blocks::{Blocks, Judged, PeerRole};
use super::findings::{Awaited, Findings};
use crate::options::HEADER_BYTES_MAX;
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
/// A setting: its identifier and its value (RFC 9113 section 6.5.1).
const SETTING_BYTES: usize = 6;
const SETTINGS_INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];
/// Bytes of an encoded block of fields that may decode to more than [`HEADER_BYTES_MAX`]: Huffman and the
/// size that HTTP/2 adds for each field make several of one.
pub(super) const LARGE_BLOCK_BYTES: usize = HEADER_BYTES_MAX / 8;
/// Bytes that we write for which one `WINDOW_UPDATE` is reasonable.
const BYTES_PER_WINDOW_UPDATE: u64 = 128;

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
pub(super) struct FloodCounter {
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

impl FloodCounter {
    pub(super) fn new(limits: FloodLimits, preface: bool, blocks: Option<Blocks>) -> Self {
        FloodCounter {
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
            if findings.awaited(fields.stream, |known| known.has_head()) == Some(true) {
                blocks.expect_trailers();
            }
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
        let judged = blocks.piece(fields.is_first, fields.flags, piece, is_last);
        match (judged, blocks.peer()) {
            (Judged::Passes, _) => {}
            (Judged::Answers, _) => drop(findings.awaited(fields.stream, Awaited::answers)),
            (Judged::Refused, PeerRole::Client) => findings.refuse(fields.stream),
            (Judged::Refused, PeerRole::Server) => drop(findings.awaited(fields.stream, Awaited::refuse)),
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
