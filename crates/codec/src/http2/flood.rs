//! Counts the frames that a peer sends, and says when it floods. Limits are per second, and the clock is read only
//! when one is reached. Streams that must be reset, and data that nobody reads, are counted by `connection`.

use tokio::time::Instant;

use super::frame::{
    CONTINUATION, DATA, END_STREAM, FrameHead, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use crate::{Flood, FloodLimits};

/// Bytes that we write for which one `WINDOW_UPDATE` is reasonable.
const BYTES_PER_WINDOW_UPDATE: u64 = 128;
/// Bytes of data below which a frame costs more than what is in it.
const SMALL_FRAME_BYTES: usize = 256;

/// The counts of each kind of frame since `FloodCounter::since`.
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

/// Counts frames by their heads.
#[derive(Debug)]
pub(super) struct FloodCounter {
    limits: FloodLimits,
    counts: Counts,
    since: Instant,
    /// Bytes that were written until then.
    written: u64,
    continuations: u32,
    /// Streams that we opened, less those that the peer has reset.
    opened: u32,
}

impl FloodCounter {
    pub(super) fn new(limits: FloodLimits) -> Self {
        FloodCounter {
            limits,
            counts: Counts::default(),
            since: Instant::now(),
            written: 0,
            continuations: 0,
            opened: 0,
        }
    }

    /// We opened a stream, and the peer may reset it.
    pub(super) fn note_opened(&mut self) {
        self.opened = self.opened.saturating_add(1);
    }

    /// One more frame of data that holds nothing but padding. Returns whether that is too many.
    pub(super) fn is_one_empty_too_many(&mut self) -> bool {
        let empty = FrameHead { len: 0, kind: DATA, flags: 0, stream: 0 };
        self.count(empty, self.written).is_some()
    }

    /// One more frame; `written`: bytes that we have written so far. Returns which limit it is beyond.
    pub(super) fn count(&mut self, frame: FrameHead, written: u64) -> Option<Flood> {
        let is_empty = frame.len == 0 && !frame.has(END_STREAM);
        let (count, limit, flood) = match frame.kind {
            HEADERS => {
                self.continuations = 0;
                if !is_empty {
                    return None;
                }
                (&mut self.counts.empty_frames, self.limits.empty_frames, Flood::EmptyFrames)
            }
            CONTINUATION => {
                self.continuations += 1;
                if self.continuations > self.limits.continuations_per_block {
                    return Some(Flood::Continuation);
                }
                if !is_empty {
                    return None;
                }
                (&mut self.counts.empty_frames, self.limits.empty_frames, Flood::EmptyFrames)
            }
            DATA if is_empty => (&mut self.counts.empty_frames, self.limits.empty_frames, Flood::EmptyFrames),
            DATA => return None,
            RST_STREAM if self.opened > 0 => {
                self.opened -= 1;
                return None;
            }
            RST_STREAM => (&mut self.counts.resets, self.limits.resets, Flood::Resets),
            PRIORITY => (&mut self.counts.priorities, self.limits.priorities, Flood::Priorities),
            SETTINGS => (&mut self.counts.settings, self.limits.settings, Flood::Settings),
            PING => (&mut self.counts.pings, self.limits.pings, Flood::Pings),
            WINDOW_UPDATE => {
                let earned = (written - self.written) / BYTES_PER_WINDOW_UPDATE;
                let limit =
                    self.limits.window_updates.saturating_add(u32::try_from(earned).unwrap_or(u32::MAX));
                (&mut self.counts.window_updates, limit, Flood::WindowUpdates)
            }
            _ => (&mut self.counts.others, self.limits.others, Flood::Others),
        };
        *count += 1;
        if *count <= limit {
            return None;
        }
        let elapsed = self.since.elapsed().as_secs_f64().max(1.0);
        if f64::from(*count) > f64::from(limit) * elapsed {
            return Some(flood);
        }
        (self.counts, self.since, self.written) = (Counts::default(), Instant::now(), written);
        None
    }
}

/// What small frames of data that nobody has read may cost together.
#[derive(Debug)]
pub(super) struct SmallFrames {
    left: usize,
    most: usize,
}

impl SmallFrames {
    pub(super) fn new(most: usize) -> Self {
        SmallFrames { left: most, most }
    }

    /// Data of `len` bytes waits for its reader. Returns whether that is too much.
    pub(super) fn is_exceeded_by(&mut self, len: usize) -> bool {
        let left = self.left.checked_sub(SMALL_FRAME_BYTES.saturating_sub(len));
        // Who sends large ones as well gets some of it back.
        self.left = left.unwrap_or(0).saturating_add(len.saturating_sub(SMALL_FRAME_BYTES)).min(self.most);
        left.is_none()
    }

    /// It was read.
    pub(super) fn forget(&mut self, len: usize) {
        self.left = self.left.saturating_add(SMALL_FRAME_BYTES.saturating_sub(len)).min(self.most);
    }
}

#[cfg(test)]
mod tests;
