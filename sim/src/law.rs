//! Laws of durations, made ready to be drawn from.

use std::sync::Arc;

use splitscale_spec::ServiceLaw;

use crate::ln::ln;
use crate::time::{nanos, rounded};

/// A law in nanoseconds. One 64-bit word in, one duration out, rising with 1 - u (exponential) or u
/// (empirical), where u is the word as a number in (0, 1).
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sampler {
    Constant(u64),
    /// By inversion: -mean * ln(u).
    Exponential {
        mean_ns: f64,
    },
    /// By inversion: linear between equally likely quantiles, `u * (n - 1)` steps up the list.
    Empirical {
        quantiles_ns: Arc<[f64]>,
    },
}

impl Sampler {
    /// Of a law that was validated.
    pub(crate) fn of(law: &ServiceLaw) -> Self {
        match law {
            ServiceLaw::Deterministic { value_s } => Sampler::Constant(nanos(*value_s)),
            ServiceLaw::Exponential { mean_s } => Sampler::Exponential { mean_ns: mean_s * 1e9 },
            ServiceLaw::Empirical { quantiles_s } => match quantiles_s.as_slice() {
                [only] => Sampler::Constant(nanos(*only)),
                all => Sampler::Empirical { quantiles_ns: all.iter().map(|q| q * 1e9).collect() },
            },
        }
    }

    /// The durations that belong to `word(0)`, `word(1)`, ... \[ns\].
    #[inline]
    pub(crate) fn sample<const N: usize>(&self, word: impl Fn(usize) -> u64) -> [u64; N] {
        match self {
            Sampler::Constant(value_ns) => [*value_ns; N],
            Sampler::Exponential { mean_ns } => {
                std::array::from_fn(|i| rounded(-mean_ns * ln(unit(word(i)))))
            }
            Sampler::Empirical { quantiles_ns } => {
                std::array::from_fn(|i| interpolate(quantiles_ns, unit(word(i))))
            }
        }
    }
}

/// The quantile at `u`.
fn interpolate(quantiles_ns: &[f64], u: f64) -> u64 {
    let height = u * (quantiles_ns.len() - 1) as f64;
    // u is at most 1 - 2^-53, so that the product rounds to less than n - 1.
    let below = height as usize;
    let (low, high) = (quantiles_ns[below], quantiles_ns[below + 1]);
    rounded(low + (high - low) * (height - below as f64))
}

/// The upper 52 bits of a word as a number in the open interval (0, 1), symmetric about 1/2: the complement
/// of the word gives 1 - u.
#[inline]
fn unit(word: u64) -> f64 {
    ((word >> 12) as f64 + 0.5) * (1.0 / (1u64 << 52) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words spread over the whole range, and both ends.
    const WORDS: [u64; 6] = [0, 1 << 60, 1 << 63, 0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03, u64::MAX];

    fn draws(law: &ServiceLaw) -> [u64; 6] {
        Sampler::of(law).sample(|i| WORDS[i])
    }

    #[test]
    fn value_stability() {
        let exponential = draws(&ServiceLaw::Exponential { mean_s: 0.05 });
        assert_eq!(exponential, [1_836_840_028, 138_629_436, 34_657_359, 24_060_591, 9_973_029, 0]);
        let empirical = draws(&ServiceLaw::Empirical { quantiles_s: vec![0.01, 0.02, 0.04] });
        assert_eq!(empirical, [10_000_000, 11_250_000, 20_000_000, 24_721_360, 32_766_901, 40_000_000]);
        assert_eq!(draws(&ServiceLaw::Deterministic { value_s: 0.06 }), [60_000_000; 6]);
        assert_eq!(draws(&ServiceLaw::Empirical { quantiles_s: vec![0.06] }), [60_000_000; 6]);
    }

    #[test]
    fn a_complement_is_the_mirrored_quantile() {
        for word in WORDS {
            assert_eq!(unit(word) + unit(!word), 1.0);
        }
    }
}
