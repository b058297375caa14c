//! What is known of a connection beside what the `h2` crate tells: the meter finds it in the frames, and whoever runs
//! the connection or reads a stream asks.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use super::outbox::Outbox;
use crate::Flood;
use crate::options::BLOCK_BYTES_AHEAD;
use crate::watchdog::Outlet;

/// A stream's window, until the peer's settings say otherwise (RFC 9113 section 6.9.2).
const FIRST_STREAM_WINDOW_BYTES: u32 = 65_535;
/// Streams of a client with a block that was refused and that nobody has asked about, as the crate ended them before.
/// More: the connection is cut.
const REFUSED_STREAMS_MAX: usize = 1_000;
/// Enough for the debug data of a GOAWAY of the library.
const LAST_WORDS_BYTES: usize = 32;

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
    /// The last stream that got a large block (`LARGE_BLOCK_BYTES` of the meter). The `h2` crate does not tell a head
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
    /// Streams of a client of which a block of fields broke a rule that the `h2` crate does not tell of.
    refused: RefCell<Vec<u32>>,
    /// Streams that we opened and whose fields somebody waits for, in their order; only where fields are followed.
    awaited: RefCell<Vec<Awaited>>,
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
            awaited: RefCell::default(),
            last_words: Cell::new([0; LAST_WORDS_BYTES]),
        })
    }

    /// Whether a block of fields on `stream` must not be taken for what the crate made of it. Asked once.
    pub(super) fn take_refused(&self, stream: u32) -> bool {
        let mut refused = self.refused.borrow_mut();
        let at = refused.iter().position(|known| *known == stream);
        at.map(|at| refused.swap_remove(at)).is_some()
    }

    /// A block on `stream`, of a client, must not be taken for what the crate makes of it.
    pub(super) fn refuse(&self, stream: u32) {
        let mut refused = self.refused.borrow_mut();
        if refused.len() == REFUSED_STREAMS_MAX {
            self.flood.set(Some(Flood::StreamErrors));
        } else if !refused.contains(&stream) {
            refused.push(stream);
        }
    }

    /// What is known of the fields of a stream that we opened. `None`: nobody waits for them.
    pub(super) fn awaited<T>(&self, stream: u32, look: impl FnOnce(&mut Awaited) -> T) -> Option<T> {
        let mut awaited = self.awaited.borrow_mut();
        let at = awaited.binary_search_by_key(&stream, |known| known.stream).ok()?;
        Some(look(&mut awaited[at]))
    }

    /// We opened a stream, and the peer may reset it.
    pub(super) fn note_opened(&self) {
        self.opened.set(self.opened.get().saturating_add(1));
    }

    /// Whether a reset may be one of a stream that we opened, and then counts it.
    pub(super) fn answers_ours(&self) -> bool {
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
    pub(super) fn may_decode(&self, len: usize) -> bool {
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

/// The fields of a stream that we opened, as far as they have come.
#[derive(Debug)]
pub(super) struct Awaited {
    stream: u32,
    has_head: bool,
    is_refused: bool,
}

impl Awaited {
    /// Whether its head came, so that the next fields are trailers.
    pub(super) fn has_head(&self) -> bool {
        self.has_head
    }

    /// A block passed that answers the request.
    pub(super) fn answers(&mut self) {
        self.has_head = !self.is_refused;
    }

    /// A block must not be taken for what the crate makes of it.
    pub(super) fn refuse(&mut self) {
        self.is_refused = true;
    }
}

/// Somebody reads a stream. Nothing is kept of it when nobody does any more.
#[derive(Debug)]
pub(super) struct Interest {
    findings: Rc<Findings>,
    stream: u32,
}

impl Interest {
    /// In a stream of a client.
    pub(super) fn new(findings: &Rc<Findings>, stream: u32) -> Self {
        Interest { findings: Rc::clone(findings), stream }
    }

    /// In a stream that we have just opened, whose fields are followed.
    pub(super) fn following(findings: &Rc<Findings>, stream: u32) -> Self {
        let mut awaited = findings.awaited.borrow_mut();
        debug_assert!(awaited.last().is_none_or(|last| last.stream < stream), "streams are opened in order");
        awaited.push(Awaited { stream, has_head: false, is_refused: false });
        Self::new(findings, stream)
    }

    /// Whether what came so far of the head of the response must not be taken for what the crate made of it.
    pub(super) fn has_bad_head(&self) -> bool {
        let is_bad = |known: &mut Awaited| known.is_refused && !known.has_head;
        self.findings.awaited(self.stream, is_bad).unwrap_or(false)
    }

    /// Whether any fields must not be taken for what the crate made of them.
    pub(super) fn is_refused(&self) -> bool {
        let is_refused = self.findings.awaited(self.stream, |known| known.is_refused);
        is_refused.unwrap_or_else(|| self.findings.take_refused(self.stream))
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.findings.take_refused(self.stream);
        let mut awaited = self.findings.awaited.borrow_mut();
        if let Ok(at) = awaited.binary_search_by_key(&self.stream, |known| known.stream) {
            awaited.remove(at);
        }
    }
}
