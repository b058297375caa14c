//! The streams of a connection: found by key at once, by their number in a few steps; and those that were reset
//! lately, on which the peer may have sent before it knew.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::stream::Stream;

/// How long a stream that we reset is remembered.
const MEMORY_OF_RESETS: Duration = Duration::from_secs(1);
/// Places that are kept for streams when none is open.
const SLOTS_KEPT: usize = 64;

/// A stream; also one that is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamKey {
    slot: u32,
    pub(super) id: u32,
}

/// What a number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Open(StreamKey),
    /// We reset it a moment ago.
    Reset,
    /// Not known, or forgotten.
    No,
}

/// A number and where its stream is.
#[derive(Clone, Copy, Debug)]
struct Numbered {
    id: u32,
    /// `None`: it was reset.
    slot: Option<u32>,
}

/// The streams of one connection.
#[derive(Debug)]
pub(super) struct StreamTable {
    slots: Vec<Option<(u32, Stream)>>,
    free: Vec<u32>,
    /// By number: streams are opened in this order.
    numbered: VecDeque<Numbered>,
    /// Those that we reset, the oldest first.
    resets: VecDeque<(u32, Instant)>,
    resets_max: usize,
}

impl StreamTable {
    /// Remembers at most `resets_max` that were reset.
    pub(super) fn new(resets_max: usize) -> Self {
        StreamTable {
            slots: Vec::new(),
            free: Vec::new(),
            numbered: VecDeque::new(),
            resets: VecDeque::new(),
            resets_max,
        }
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a stream whose number is larger than all before it.
    pub(super) fn insert(&mut self, id: u32, stream: Stream) -> StreamKey {
        debug_assert!(self.numbered.back().is_none_or(|last| last.id < id), "streams are opened in order");
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                // There are fewer streams than numbers of streams.
                (self.slots.len() - 1) as u32
            }
        };
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some((id, stream));
        }
        self.numbered.push_back(Numbered { id, slot: Some(slot) });
        StreamKey { slot, id }
    }

    pub(super) fn get(&self, key: StreamKey) -> Option<&Stream> {
        match self.slots.get(key.slot as usize)? {
            Some((id, stream)) if *id == key.id => Some(stream),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, key: StreamKey) -> Option<&mut Stream> {
        match self.slots.get_mut(key.slot as usize)? {
            Some((id, stream)) if *id == key.id => Some(stream),
            _ => None,
        }
    }

    pub(super) fn find(&self, id: u32) -> Known {
        match self
            .numbered
            .binary_search_by_key(&id, |known| known.id)
            .ok()
            .and_then(|at| self.numbered.get(at))
        {
            Some(Numbered { slot: Some(slot), .. }) => Known::Open(StreamKey { slot: *slot, id }),
            Some(Numbered { slot: None, .. }) => Known::Reset,
            None => Known::No,
        }
    }

    /// Takes a stream out that has ended.
    pub(super) fn remove(&mut self, key: StreamKey) -> Option<Stream> {
        let stream = self.take(key)?;
        self.forget(key.id);
        Some(stream)
    }

    /// Takes a stream out that we have reset, and remembers it for a while.
    pub(super) fn remove_reset(&mut self, key: StreamKey) -> Option<Stream> {
        let stream = self.take(key)?;
        let at = self.numbered.binary_search_by_key(&key.id, |known| known.id).ok();
        if let Some(known) = at.and_then(|at| self.numbered.get_mut(at)) {
            known.slot = None;
        }
        self.note_reset(key.id);
        Some(stream)
    }

    /// Remembers a stream, newer than all before it, that was reset as it was asked for.
    pub(super) fn remember_reset(&mut self, id: u32) {
        debug_assert!(self.numbered.back().is_none_or(|last| last.id < id), "streams are opened in order");
        self.numbered.push_back(Numbered { id, slot: None });
        self.note_reset(id);
    }

    fn note_reset(&mut self, id: u32) {
        let now = Instant::now();
        self.resets.push_back((id, now));
        while let Some((id, since)) = self.resets.front().copied()
            && (self.resets.len() > self.resets_max || now.duration_since(since) > MEMORY_OF_RESETS)
        {
            self.resets.pop_front();
            self.forget(id);
        }
    }

    fn take(&mut self, key: StreamKey) -> Option<Stream> {
        self.get(key)?;
        let (_, stream) = self.slots.get_mut(key.slot as usize)?.take()?;
        self.free.push(key.slot);
        if self.is_empty() && self.slots.len() > SLOTS_KEPT {
            (self.slots, self.free) = (Vec::new(), Vec::new());
        }
        Some(stream)
    }

    fn forget(&mut self, id: u32) {
        if let Ok(at) = self.numbered.binary_search_by_key(&id, |known| known.id) {
            self.numbered.remove(at);
        }
    }

    /// All open ones, in no order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.slots.iter_mut().flatten().map(|(_, stream)| stream)
    }

    /// Those with a number above `last`.
    pub(super) fn above(&self, last: u32) -> Vec<StreamKey> {
        let open = self.numbered.iter().rev().take_while(|known| known.id > last);
        open.filter_map(|known| Some(StreamKey { slot: known.slot?, id: known.id })).collect()
    }
}

#[cfg(test)]
mod tests;
