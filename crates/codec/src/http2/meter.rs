//! Counts the frames that a peer sends, from their 9-byte headers, and cuts a connection that floods.
//!
//! The `h2` crate shows no frames and bounds only some of them. The meter sits around the decrypted stream, so
//! nothing escapes it, and it also remembers what a GOAWAY said: which streams the peer has not processed.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::options::HEADER_BYTES_MAX;
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

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

const FRAME_HEAD_BYTES: usize = 9;
/// Enough for the debug data of a GOAWAY of the library.
const LAST_WORDS_BYTES: usize = 32;
/// Bytes of an encoded block of fields that may decode to more than [`HEADER_BYTES_MAX`]: Huffman and the
/// size that HTTP/2 adds for each field make several of one.
const LARGE_BLOCK_BYTES: usize = HEADER_BYTES_MAX / 8;
/// Bytes that we write for which one `WINDOW_UPDATE` is reasonable.
const BYTES_PER_WINDOW_UPDATE: u64 = 128;

/// What the meter found, for whoever runs the connection.
#[derive(Debug, Default)]
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
    /// Whether the socket takes nothing at present, and how many bytes it has taken.
    pub(super) outlet: Outlet,
    /// The end of what was written last.
    last_words: Cell<[u8; LAST_WORDS_BYTES]>,
}

impl Findings {
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

    /// Remembers the end of `bytes`, of which `len` were written.
    fn note_words(&self, bytes: &[u8], len: usize) {
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
    head: [u8; FRAME_HEAD_BYTES],
    head_len: usize,
    goaway: [u8; 4],
    goaway_len: Option<usize>,
}

impl Counter {
    pub(super) fn new(limits: FloodLimits, preface: bool) -> Self {
        Counter {
            limits,
            counts: Counts::default(),
            since: Instant::now(),
            written: 0,
            continuations: 0,
            block_bytes: 0,
            skip: if preface { HTTP2_PREFACE.len() } else { 0 },
            head: [0; FRAME_HEAD_BYTES],
            head_len: 0,
            goaway: [0; 4],
            goaway_len: None,
        }
    }

    /// Looks at the next bytes from the peer.
    pub(super) fn count(&mut self, mut bytes: &[u8], findings: &Findings) {
        while !bytes.is_empty() && findings.flood.get().is_none() {
            if self.skip > 0 {
                let len = self.skip.min(bytes.len());
                self.keep_goaway(&bytes[..len], findings);
                self.skip -= len;
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
    }

    fn frame(&mut self, findings: &Findings) {
        let [high, middle, low, kind, flags, ..] = self.head;
        let len = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.skip = len;
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
            GOAWAY => self.goaway_len = Some(0),
            _ => {}
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

    /// The first four bytes of GOAWAY: the last stream that the peer looks at.
    fn keep_goaway(&mut self, payload: &[u8], findings: &Findings) {
        let Some(have) = &mut self.goaway_len else { return };
        let len = (self.goaway.len() - *have).min(payload.len());
        self.goaway[*have..*have + len].copy_from_slice(&payload[..len]);
        *have += len;
        if *have == self.goaway.len() {
            self.goaway_len = None;
            findings.last_stream.set(Some(u32::from_be_bytes(self.goaway) & 0x7fff_ffff));
        }
    }

    fn wrote(&mut self, len: usize) {
        self.written += len as u64;
    }
}

/// A stream with the meter in it. After a flood it reads nothing more.
#[derive(Debug)]
pub(super) struct Metered<I> {
    io: I,
    counter: Counter,
    findings: Rc<Findings>,
}

impl<I> Metered<I> {
    /// `preface`: whether the peer is a client and sends one.
    pub(super) fn new(io: I, limits: FloodLimits, preface: bool, findings: Rc<Findings>) -> Self {
        Metered { io, counter: Counter::new(limits, preface), findings }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Metered<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let metered = self.get_mut();
        if metered.findings.flood.get().is_some() {
            return Poll::Pending;
        }
        let start = buf.filled().len();
        if let Err(cause) = ready!(Pin::new(&mut metered.io).poll_read(cx, buf)) {
            let cause = Arc::new(cause);
            metered.findings.broken.replace(Some(Arc::clone(&cause)));
            return Poll::Ready(Err(io::Error::new(cause.kind(), cause)));
        }
        metered.counter.count(&buf.filled()[start..], &metered.findings);
        if metered.findings.flood.get().is_some() {
            // What came with the flood is not worth handling.
            buf.set_filled(start);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Metered<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let metered = self.get_mut();
        let written = Pin::new(&mut metered.io).poll_write(cx, buf);
        metered.findings.outlet.note(&written);
        let len = ready!(written)?;
        metered.counter.wrote(len);
        metered.findings.note_words(buf, len);
        Poll::Ready(Ok(len))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let metered = self.get_mut();
        let written = Pin::new(&mut metered.io).poll_write_vectored(cx, bufs);
        metered.findings.outlet.note(&written);
        let len = ready!(written)?;
        metered.counter.wrote(len);
        // A GOAWAY is never written together with the data of a body.
        if let [alone] = bufs {
            metered.findings.note_words(alone, len);
        }
        Poll::Ready(Ok(len))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.findings.outlet.note_flush(&flushed);
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
