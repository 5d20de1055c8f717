//! Chance with a seed: the same seed gives the same weights and the same intervals anywhere.

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

/// A stream of random numbers.
pub(crate) struct Chance(ChaCha12Rng);

impl Chance {
    /// Streams with another `stream` have nothing in common.
    pub(crate) fn new(seed: u64, stream: u64) -> Chance {
        let mut chance = ChaCha12Rng::seed_from_u64(seed);
        chance.set_stream(stream);
        Chance(chance)
    }

    /// Uniform, 0 (inclusive) to 1 (exclusive).
    #[cfg(any(feature = "train", feature = "bench", test))]
    pub(crate) fn uniform(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1u32 << 24) as f32
    }

    /// Uniform, 0 to `count` − 1. `count` is below 2³² and not 0.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        ((u64::from(self.0.next_u32()) * count as u64) >> 32) as usize
    }

    /// Mean 0, deviation 1 (Box and Muller, Ann Math Stat 1958).
    #[cfg(any(feature = "train", feature = "bench", test))]
    pub(crate) fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f32::consts::TAU * self.uniform()).cos()
    }

    /// Puts the values in another order (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.below(last + 1));
        }
    }
}
