//! The stream of chance of one replication. The contract is in the crate's docs.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use splitscale_spec::ServiceLaw;

use crate::law::Sampler;
use crate::setup::Setup;

/// All that chance decides for one request \[ns\].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Demands {
    pub(crate) service_a: u64,
    pub(crate) transfer: u64,
    pub(crate) service_b: u64,
    pub(crate) overhead: u64,
    /// From the arrival before to its own.
    pub(crate) gap: u64,
}

/// The laws, in the order of the words they take from a request's block: word 0 is service at A, then the
/// transfer, service at B, overhead, the gap. Words 5 to 7 are free.
#[derive(Debug)]
pub(crate) struct Samplers {
    service_a: Sampler,
    transfer: Sampler,
    service_b: Sampler,
    overhead: Sampler,
    gap: Sampler,
}

/// Gives each request its demands, in the order of creation.
#[derive(Debug, Clone)]
pub(crate) struct Chance {
    rng: ChaCha8Rng,
    /// Those of the next few requests. The generator makes four blocks at a time, and four logarithms side
    /// by side cost little more than one.
    ahead: [Demands; AHEAD],
    /// The first of them that is not given yet.
    next: usize,
}

const AHEAD: usize = 4;
const BLOCK_WORDS: usize = 8;
const WORD_BYTES: usize = 8;

impl Samplers {
    /// Of a setup that was validated.
    pub(crate) fn of(setup: &Setup) -> Self {
        let gap = match setup.arrivals.rate_per_s() {
            Some(rate) => Sampler::of(&ServiceLaw::Exponential { mean_s: 1.0 / rate }),
            None => Sampler::Constant(0),
        };
        Samplers {
            service_a: Sampler::of(&setup.laws.service_a),
            transfer: Sampler::of(&setup.laws.transfer),
            service_b: Sampler::of(&setup.laws.service_b),
            overhead: Sampler::of(&setup.laws.overhead),
            gap,
        }
    }
}

impl Chance {
    pub(crate) fn new(seed: u64, replication: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(replication);
        Chance { rng, ahead: [Demands::default(); AHEAD], next: AHEAD }
    }

    /// Draws for the next request.
    #[inline]
    pub(crate) fn draw(&mut self, laws: &Samplers) -> Demands {
        if self.next == AHEAD {
            self.refill(laws);
        }
        self.next += 1;
        self.ahead[self.next - 1]
    }

    #[inline(never)]
    fn refill(&mut self, laws: &Samplers) {
        let mut bytes = [0; AHEAD * BLOCK_WORDS * WORD_BYTES];
        self.rng.fill_bytes(&mut bytes);
        let (words, _) = bytes.as_chunks::<WORD_BYTES>();
        let draw = |law: &Sampler, word: usize| -> [u64; AHEAD] {
            law.sample(|i| u64::from_le_bytes(words[i * BLOCK_WORDS + word]))
        };
        let service_a = draw(&laws.service_a, 0);
        let transfer = draw(&laws.transfer, 1);
        let service_b = draw(&laws.service_b, 2);
        let overhead = draw(&laws.overhead, 3);
        let gap = draw(&laws.gap, 4);
        self.ahead = std::array::from_fn(|i| Demands {
            service_a: service_a[i],
            transfer: transfer[i],
            service_b: service_b[i],
            overhead: overhead[i],
            gap: gap[i],
        });
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrivals::Arrivals;
    use splitscale_spec::{Laws, Replicas};

    fn laws() -> Samplers {
        let exponential = |mean_s| ServiceLaw::Exponential { mean_s };
        Samplers::of(&Setup {
            pods: Replicas { a: 1, b: 1 },
            slots: 1,
            laws: Laws {
                service_a: exponential(0.05),
                transfer: exponential(0.06),
                service_b: exponential(0.03),
                overhead: exponential(0.01),
                fitted_on: Vec::new(),
            },
            arrivals: Arrivals::Poisson { rate_per_s: 10.0, requests: 1 },
            records: false,
        })
    }

    #[test]
    fn value_stability() {
        let laws = laws();
        let mut chance = Chance::new(1, 2);
        let first = chance.draw(&laws);
        assert_eq!(
            first,
            Demands {
                service_a: 48_887_332,
                transfer: 132_520_895,
                service_b: 27_008_623,
                overhead: 13_399_973,
                gap: 613_477
            }
        );
    }

    #[test]
    fn request_i_owns_block_i() {
        let laws = laws();
        let mut chance = Chance::new(7, 3);
        for number in 0..9u32 {
            let mut key = [0; 32];
            key[0] = 7;
            let mut rng = ChaCha8Rng::from_seed(key);
            rng.set_stream(3);
            rng.set_word_pos(u128::from(number) * 16);
            let word = rng.next_u64();
            let [expected] = laws.service_a.sample(|_| word);
            assert_eq!(chance.draw(&laws).service_a, expected, "request {number}");
        }
    }
}
