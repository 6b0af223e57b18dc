//! Chance: ChaCha8, and the draws that are made of it.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// Stream of an environment.
pub(crate) const ENVIRONMENT: u64 = 0;
/// Stream of an agent. Not the environment's: under one seed the two must not see the same numbers.
pub(crate) const AGENT: u64 = 1;
/// Stream that seeds of a batch's environments come from.
pub(crate) const SEEDS: u64 = 2;
/// Stream of whoever only tries an environment out.
pub(crate) const TRIAL: u64 = 3;
/// Stream of resampling.
pub(crate) const BOOTSTRAP: u64 = 4;
/// Stream of the episodes that judge a greedy policy.
pub(crate) const EVALUATION: u64 = 5;
/// Streams from here on: of the rounds of a comparison, one each.
pub(crate) const ROUNDS: u64 = 1 << 32;

/// A stream of chance. Written down and read back it goes on where it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Place", into = "Place")]
pub struct Chance(ChaCha8Rng);

/// Where a stream stands.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    key: [u8; 32],
    stream: u64,
    /// 32-bit words drawn so far.
    words: u64,
}

impl From<Place> for Chance {
    fn from(place: Place) -> Self {
        let mut rng = ChaCha8Rng::from_seed(place.key);
        rng.set_stream(place.stream);
        rng.set_word_pos(place.words.into());
        Chance(rng)
    }
}

impl From<Chance> for Place {
    fn from(Chance(rng): Chance) -> Self {
        Place { key: rng.get_seed(), stream: rng.get_stream(), words: rng.get_word_pos() as u64 }
    }
}

impl Chance {
    /// The generator of a seed, on one of its streams.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Chance(rng)
    }

    /// Uniform in 0..n by multiplication (Lemire, *Fast Random Integer Generation in an Interval*, 2019)
    /// without the rejection step: no value is off by more than n / 2^32 of its probability, far below what
    /// any run here could see, and every draw costs exactly one word of the stream.
    #[inline]
    pub fn below(&mut self, n: usize) -> usize {
        ((u64::from(self.0.next_u32()) * n as u64) >> 32) as usize
    }

    /// True with a probability, given as [`probability`] gives it; one word.
    #[inline]
    pub(crate) fn happens(&mut self, threshold: u64) -> bool {
        u64::from(self.0.next_u32()) < threshold
    }

    /// Uniform in \[0, 1) by steps of 2^-32; one word.
    #[inline]
    pub fn fraction(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / 4_294_967_296.0
    }

    /// Uniform between two numbers.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.fraction()
    }

    /// Standard normal (Box and Muller, 1958), one of the two that two words give.
    pub fn normal(&mut self) -> f64 {
        // In (0, 1], so that the logarithm is finite.
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.fraction()));
        radius * libm::cos(std::f64::consts::TAU * self.fraction())
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// A probability in [0, 1] as the number of 32-bit words that mean yes.
pub(crate) fn probability(p: f64) -> u64 {
    (p * 4_294_967_296.0) as u64
}
