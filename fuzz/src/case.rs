//! What all who are asked are given: bytes, and where the stream is cut into pieces.

use crate::chance::Chance;
use std::ops::Range;

/// How often something shorter is tried.
const TRIES_MAX: usize = 1_000;
/// Places where one stream is cut.
const CUTS_MAX: usize = 6;
/// Bytes that mean something somewhere.
const MEANINGFUL: &[u8] = b"\r\n \t:;,0159afAF/?#%@\"\\\0\x0b\x0c\x1f\x7f\x80\xff";

/// Bytes of one side of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) bytes: Vec<u8>,
    /// In order, each within the bytes.
    cuts: Vec<usize>,
    /// Where a response ended, before anything was spoiled: what is behind it is sent when it is asked for.
    ends: Vec<usize>,
    /// Of the request that a response answers: HEAD has no body.
    pub(crate) is_head: bool,
}

impl Case {
    pub(crate) fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Case { bytes: bytes.into(), cuts: Vec::new(), ends: Vec::new(), is_head: false }
    }

    /// Responses that end at these places.
    pub(crate) fn of_responses(bytes: Vec<u8>, ends: Vec<usize>) -> Self {
        Case { ends, ..Case::new(bytes) }
    }

    /// Changes a few bytes, sometimes, and cuts it, often.
    pub(crate) fn spoiled(mut self, dice: &mut Chance) -> Self {
        if dice.once_in(3) {
            for _ in 0..=dice.below(3) {
                mutate(&mut self.bytes, dice);
            }
        }
        if dice.once_in(2) {
            let len = self.bytes.len();
            self.cuts = (0..dice.below(CUTS_MAX)).map(|_| dice.below(len)).filter(|cut| *cut > 0).collect();
            self.cuts.sort_unstable();
            self.cuts.dedup();
        } else if dice.once_in(10) {
            self.cuts = (1..self.bytes.len().min(400)).collect();
        }
        self
    }

    /// The bytes piece by piece.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces_within(0..self.bytes.len())
    }

    /// What is sent of responses when the first is asked for, when the second is, and so on, each piece by piece.
    pub(crate) fn responses(&self) -> impl Iterator<Item = impl Iterator<Item = &[u8]>> {
        let len = self.bytes.len();
        let ends: Vec<usize> = self.ends.iter().copied().filter(|end| *end < len).chain([len]).collect();
        let starts: Vec<usize> = std::iter::once(0).chain(ends.iter().copied()).collect();
        starts.into_iter().zip(ends).map(|(start, end)| self.pieces_within(start..end))
    }

    /// How many pieces there are at most.
    pub(crate) fn piece_count(&self) -> usize {
        self.cuts.len() + self.ends.len() + 1
    }

    fn pieces_within(&self, range: Range<usize>) -> impl Iterator<Item = &[u8]> {
        let cuts: Vec<usize> = self.cuts.iter().copied().filter(|cut| range.contains(cut)).collect();
        let ends: Vec<usize> = cuts.iter().copied().chain([range.end]).collect();
        let starts = std::iter::once(range.start).chain(cuts);
        starts.zip(ends).map(|(start, end)| self.bytes.get(start..end).unwrap_or_default())
    }

    /// The same without these bytes.
    fn without(&self, range: Range<usize>) -> Self {
        let mut bytes = self.bytes.clone();
        bytes.drain(range.clone());
        let moved =
            |end: &usize| if *end >= range.end { *end - range.len() } else { (*end).min(range.start) };
        Case { bytes, cuts: Vec::new(), ends: self.ends.iter().map(moved).collect(), is_head: self.is_head }
    }

    /// The shortest case found by leaving bytes out for which `is_alike` holds still.
    pub(crate) fn shrunk(self, mut is_alike: impl FnMut(&Case) -> bool) -> Case {
        let whole = Case { cuts: Vec::new(), ..self.clone() };
        let mut best = if is_alike(&whole) { whole } else { return self };
        let (mut len, mut tries) = (best.bytes.len() / 2, 0);
        while len > 0 {
            let mut at = 0;
            while at + len <= best.bytes.len() && tries < TRIES_MAX {
                tries += 1;
                let shorter = best.without(at..at + len);
                if is_alike(&shorter) {
                    best = shorter;
                } else {
                    at += len;
                }
            }
            len /= 2;
        }
        best
    }

    pub(crate) fn contains(&self, needle: &[u8]) -> bool {
        self.bytes.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
    }
}

fn mutate(bytes: &mut Vec<u8>, dice: &mut Chance) {
    if bytes.is_empty() {
        return;
    }
    let at = dice.below(bytes.len());
    let odd = MEANINGFUL[dice.below(MEANINGFUL.len())];
    match dice.below(6) {
        0 => bytes[at] = odd,
        1 => bytes.insert(at, odd),
        2 => drop(bytes.remove(at)),
        3 => bytes.truncate(at),
        4 => {
            let end = bytes.len().min(at + 1 + dice.below(20));
            let again: Vec<u8> = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        _ => bytes[at] = dice.below(256) as u8,
    }
}
