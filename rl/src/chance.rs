//! Chance: ChaCha8, and the two draws that are made of it.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Stream of an environment.
pub(crate) const ENVIRONMENT: u64 = 0;
/// Stream of an agent. Not the environment's: under one seed the two must not see the same numbers.
pub(crate) const AGENT: u64 = 1;

/// The generator of a seed, on one of its streams.
pub(crate) fn generator(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// Uniform in 0..n by multiplication (Lemire, *Fast Random Integer Generation in an Interval*, 2019)
/// without the rejection step: no value is off by more than n / 2^32 of its probability, far below what
/// any run here could see, and every draw costs exactly one word of the stream.
#[inline]
pub(crate) fn below(rng: &mut ChaCha8Rng, n: usize) -> usize {
    ((u64::from(rng.next_u32()) * n as u64) >> 32) as usize
}

/// True with a probability, given as [`probability`] gives it.
#[inline]
pub(crate) fn happens(rng: &mut ChaCha8Rng, threshold: u64) -> bool {
    u64::from(rng.next_u32()) < threshold
}

/// A probability in [0, 1] as the number of 32-bit words that mean yes.
pub(crate) fn probability(p: f64) -> u64 {
    (p * 4_294_967_296.0) as u64
}
