//! The streams of chance of one replication. The contract is in the crate's docs.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::law::Sampler;

/// All that chance decides for one request \[ns\].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Demands {
    pub(crate) service_a: u64,
    pub(crate) transfer: u64,
    pub(crate) service_b: u64,
    pub(crate) overhead: u64,
    /// From the arrival before to its own, the think time before it, or a word for the load to use.
    pub(crate) gap: u64,
    /// Which pods: the upper half for A, the lower for B.
    pub(crate) route: u64,
    /// Whether it is kept where a load is thinned.
    pub(crate) thin: u64,
}

/// The laws, in the order of the words they take from a request's block: word 0 is service at A, then the
/// transfer, service at B, overhead, the gap; word 5 is the route, word 6 the thinning. Word 7 is free.
#[derive(Debug)]
pub(crate) struct Samplers {
    pub(crate) service_a: Sampler,
    pub(crate) transfer: Sampler,
    pub(crate) service_b: Sampler,
    pub(crate) overhead: Sampler,
    pub(crate) gap: Sampler,
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

/// What a stream is for; each has a key of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Requests = 0,
    PodsA = 1,
    PodsB = 2,
    Slots = 3,
    Arrivals = 4,
    PeriodsA = 5,
    PeriodsB = 6,
}

/// A stream that is seldom drawn from: it remembers where it is, not how it got there, so that a clone costs
/// nothing.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    seed: u64,
    replication: u64,
    purpose: Purpose,
    blocks: u64,
}

const AHEAD: usize = 4;
const BLOCK_WORDS: usize = 8;
const WORD_BYTES: usize = 8;

impl Chance {
    pub(crate) fn new(seed: u64, replication: u64) -> Self {
        let rng = generator(seed, replication, Purpose::Requests);
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
        let at = |i: usize, word: usize| u64::from_le_bytes(words[i * BLOCK_WORDS + word]);
        let draw = |law: &Sampler, word: usize| -> [u64; AHEAD] { law.sample(|i| at(i, word)) };
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
            route: at(i, 5),
            thin: at(i, 6),
        });
        self.next = 0;
    }
}

impl Stream {
    pub(crate) fn new(seed: u64, replication: u64, purpose: Purpose) -> Self {
        Stream { seed, replication, purpose, blocks: 0 }
    }

    /// The words of its next block.
    pub(crate) fn block(&mut self) -> [u64; BLOCK_WORDS] {
        let mut rng = generator(self.seed, self.replication, self.purpose);
        // A position counts 32-bit words.
        rng.set_word_pos(u128::from(self.blocks) * 2 * BLOCK_WORDS as u128);
        self.blocks += 1;
        std::array::from_fn(|_| rng.next_u64())
    }
}

/// Key: the seed, then the purpose. Stream: the replication.
fn generator(seed: u64, replication: u64, purpose: Purpose) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8] = purpose as u8;
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(replication);
    rng
}

#[cfg(test)]
mod tests {
    use super::*;
    use splitscale_spec::ServiceLaw;

    fn laws() -> Samplers {
        let exponential = |mean_s| Sampler::of(&ServiceLaw::Exponential { mean_s });
        Samplers {
            service_a: exponential(0.05),
            transfer: exponential(0.06),
            service_b: exponential(0.03),
            overhead: exponential(0.01),
            gap: exponential(0.1),
        }
    }

    #[test]
    fn value_stability() {
        let first = Chance::new(1, 2).draw(&laws());
        assert_eq!(
            first,
            Demands {
                service_a: 48_887_332,
                transfer: 132_520_895,
                service_b: 27_008_623,
                overhead: 13_399_973,
                gap: 613_477,
                route: 16_623_895_952_099_270_852,
                thin: 6_567_703_643_630_701_023
            }
        );
    }

    #[test]
    fn request_i_owns_block_i() {
        let laws = laws();
        let mut chance = Chance::new(7, 3);
        let mut blocks = Stream::new(7, 3, Purpose::Requests);
        for number in 0..9u32 {
            let block = blocks.block();
            let [expected] = laws.service_a.sample(|_| block[0]);
            let demands = chance.draw(&laws);
            assert_eq!(demands.service_a, expected, "request {number}");
            assert_eq!((demands.route, demands.thin), (block[5], block[6]), "request {number}");
        }
    }

    #[test]
    fn each_purpose_has_a_stream_of_its_own() {
        let first = |purpose| Stream::new(1, 0, purpose).block()[0];
        let purposes = [Purpose::Requests, Purpose::PodsA, Purpose::PodsB, Purpose::Slots, Purpose::Arrivals];
        let mut words = purposes.map(first);
        words.sort_unstable();
        assert!(words.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
