//! A quick hash of names and values. Whoever makes two alike only makes blocks longer: what is found is compared.

/// Of so many bits each, well mixed by a multiplication.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// The hash of `bytes`, going on from `seed`.
pub(super) const fn hash(seed: u32, mut bytes: &[u8]) -> u32 {
    let mut state = (seed as u64) << 32 | bytes.len() as u64;
    while let Some((word, rest)) = bytes.split_first_chunk::<8>() {
        state = mix(state, u64::from_le_bytes(*word));
        bytes = rest;
    }
    let mut last = 0;
    while let Some((byte, rest)) = bytes.split_first() {
        last = last << 8 | *byte as u64;
        bytes = rest;
    }
    let mixed = mix(state, last);
    (mixed >> 32) as u32
}

const fn mix(state: u64, word: u64) -> u64 {
    let mixed = (state.rotate_left(5) ^ word).wrapping_mul(MIX);
    mixed ^ mixed >> 29
}
