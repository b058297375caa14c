//! Randomness as an argument. Not for secrets.

/// A source of random numbers; whoever decides is handed one.
pub trait Dice {
    /// The next 64 uniform bits.
    fn next_u64(&mut self) -> u64;

    /// Uniform in `0..bound`; 0 when `bound` is 0. The bias is below `bound / 2^64`.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }
}

/// PCG XSL RR 128/64 (Melissa O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good
/// Algorithms for Random Number Generation", 2014): small, quick, the same numbers for the same seed.
#[derive(Clone, Debug)]
pub struct Pcg {
    state: u128,
}

const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;
const INCREMENT: u128 = 0x5851_f42d_4c95_7f2d_1405_7b7e_f767_814f;

impl Pcg {
    /// Dice that throw the sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        let mut pcg = Self { state: u128::from(seed).wrapping_add(INCREMENT) };
        pcg.next_u64();
        pcg
    }
}

impl Dice for Pcg {
    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        folded.rotate_right((self.state >> 122) as u32)
    }
}
