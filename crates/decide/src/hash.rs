//! A quick hash for maps whose keys come from configuration or from peers that proved who they are.
//!
//! A stranger who may look up but not insert cannot make such a map slow; where strangers insert, use the
//! standard hasher. Multiply and rotate by words, as Firefox and rustc do in theirs.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map that hashes with [`Quick`].
pub type QuickMap<K, V> = HashMap<K, V, BuildQuick>;
/// Makes [`Quick`] hashers.
pub type BuildQuick = BuildHasherDefault<Quick>;

/// Odd and without a pattern: the fraction of the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// The hasher. The same input has the same hash in every process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quick(u64);

impl Quick {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    }
}

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            let mut buffer = [0; 8];
            buffer.copy_from_slice(word);
            self.add(u64::from_le_bytes(buffer));
        }
        let rest = words.remainder().iter().rev().fold(0, |rest, byte| rest << 8 | u64::from(*byte));
        if !words.remainder().is_empty() {
            self.add(rest);
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.add(u64::from(number));
    }

    fn write_u16(&mut self, number: u16) {
        self.add(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.add(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.add(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.add(number as u64);
    }

    fn finish(&self) -> u64 {
        // The product's upper bits are the good ones; tables look at both ends.
        self.0 ^ self.0 >> 32
    }
}
