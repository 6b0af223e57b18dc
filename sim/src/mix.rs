//! SplitMix64: many numbers out of one.

/// Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators*, OOPSLA 2014.
#[derive(Debug)]
pub(crate) struct SplitMix(u64);

pub(crate) const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
pub(crate) const MIX_A: u64 = 0xbf58_476d_1ce4_e5b9;
pub(crate) const MIX_B: u64 = 0x94d0_49bb_1331_11eb;

impl SplitMix {
    pub(crate) const fn new(seed: u64) -> Self {
        SplitMix(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        finish(self.0)
    }
}

/// The finaliser: every bit of the argument reaches every bit of the answer.
pub(crate) const fn finish(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(MIX_A);
    let z = (z ^ (z >> 27)).wrapping_mul(MIX_B);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_sequence_of_seed_1234567() {
        let mut mix = SplitMix::new(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| mix.next()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }
}
