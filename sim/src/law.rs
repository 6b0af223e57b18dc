//! Laws of durations, made ready to be drawn from.
//!
//! | law | from the word w, u = (upper 52 bits of w + 1/2) / 2^52 |
//! |---|---|
//! | exponential, mean m | -m ln u (inversion) |
//! | Weibull, shape k, scale s | s (-ln u)^(1/k) (inversion) |
//! | empirical | linear between equally likely quantiles (inversion) |
//! | Erlang, gamma | Marsaglia and Tsang, *A simple method for generating gamma variables*, ACM TOMS 26(3), 2000; below shape 1 the variate of shape + 1, times u^(1/shape) (their section 6) |
//! | lognormal | exp(mu + sigma z), z normal by Marsaglia's polar method |
//! | shifted | that of the law within, and the shift |
//! | mixture | the first law below the share of all words, the second above; what is left of w, stretched to 64 bits, is the word of that law |
//!
//! Gamma and lognormal need more than one number: they take them from SplitMix64 with w as its seed.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use splitscale_spec::{Invalid, ServiceLaw};

use crate::ln::ln;
use crate::mix::SplitMix;
use crate::time::{nanos, rounded};

/// A law in nanoseconds. One 64-bit word in, one duration out, rising with 1 - u (exponential) or u
/// (empirical), where u is the word as a number in (0, 1).
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sampler {
    /// The word itself, for one who needs more than a duration of it.
    Word,
    Constant(u64),
    /// By inversion: -mean * ln(u).
    Exponential {
        mean_ns: f64,
    },
    /// By inversion: linear between equally likely quantiles, `u * (n - 1)` steps up the list.
    Empirical {
        quantiles_ns: Arc<[f64]>,
    },
    Gamma {
        shape: f64,
        scale_ns: f64,
    },
    Lognormal {
        mu: f64,
        sigma: f64,
    },
    Weibull {
        power: f64,
        scale_ns: f64,
    },
    Shifted {
        shift_ns: u64,
        law: Box<Sampler>,
    },
    /// Words below `bound` belong to the first.
    Mixture {
        bound: u64,
        parts: Box<[Sampler; 2]>,
    },
}

impl Sampler {
    /// Of a law that was validated.
    pub(crate) fn of(law: &ServiceLaw) -> Self {
        match law {
            ServiceLaw::Deterministic { value_s } => Sampler::Constant(nanos(*value_s)),
            ServiceLaw::Exponential { mean_s } | ServiceLaw::Erlang { stages: 1, mean_s } => {
                Sampler::Exponential { mean_ns: mean_s * 1e9 }
            }
            ServiceLaw::Erlang { stages, mean_s } => Sampler::gamma(f64::from(*stages), *mean_s),
            ServiceLaw::Gamma { mean_s, cv } => Sampler::gamma(1.0 / (cv * cv), *mean_s),
            ServiceLaw::Lognormal { mean_s, cv } => {
                let variance = libm::log1p(cv * cv);
                Sampler::Lognormal { mu: libm::log(mean_s * 1e9) - variance / 2.0, sigma: variance.sqrt() }
            }
            ServiceLaw::Weibull { mean_s, cv } => {
                let shape = weibull_shape(*cv);
                let scale_ns = mean_s * 1e9 / libm::exp(libm::lgamma(1.0 + 1.0 / shape));
                Sampler::Weibull { power: 1.0 / shape, scale_ns }
            }
            ServiceLaw::Empirical { quantiles_s } => match quantiles_s.as_slice() {
                [only] => Sampler::Constant(nanos(*only)),
                all => Sampler::Empirical { quantiles_ns: all.iter().map(|q| q * 1e9).collect() },
            },
            ServiceLaw::Shifted { shift_s, law } => {
                Sampler::Shifted { shift_ns: nanos(*shift_s), law: Box::new(Sampler::of(law)) }
            }
            ServiceLaw::Mixture { share, first, second } => Sampler::Mixture {
                // As many words as the share says, and at least one for each.
                bound: ((share * 2.0f64.powi(64)) as u64).clamp(1, u64::MAX),
                parts: Box::new([Sampler::of(first), Sampler::of(second)]),
            },
        }
    }

    fn gamma(shape: f64, mean_s: f64) -> Self {
        Sampler::Gamma { shape, scale_ns: mean_s * 1e9 / shape }
    }

    /// One duration; the word is only made where the law needs it.
    pub(crate) fn sample_lazily(&self, word: impl FnOnce() -> u64) -> u64 {
        if let Sampler::Constant(value_ns) = self {
            return *value_ns;
        }
        self.sample_one(word())
    }

    /// The durations that belong to `word(0)`, `word(1)`, ... \[ns\].
    #[inline]
    pub(crate) fn sample<const N: usize>(&self, word: impl Fn(usize) -> u64) -> [u64; N] {
        match self {
            Sampler::Word => std::array::from_fn(word),
            Sampler::Constant(value_ns) => [*value_ns; N],
            Sampler::Exponential { mean_ns } => {
                std::array::from_fn(|i| rounded(-mean_ns * ln(unit(word(i)))))
            }
            Sampler::Empirical { quantiles_ns } => {
                std::array::from_fn(|i| interpolate(quantiles_ns, unit(word(i))))
            }
            Sampler::Gamma { shape, scale_ns } => {
                std::array::from_fn(|i| rounded(scale_ns * gamma(*shape, word(i))))
            }
            Sampler::Lognormal { mu, sigma } => {
                std::array::from_fn(|i| rounded(libm::exp(mu + sigma * normal(&mut SplitMix::new(word(i))))))
            }
            Sampler::Weibull { power, scale_ns } => {
                std::array::from_fn(|i| rounded(scale_ns * libm::pow(-ln(unit(word(i))), *power)))
            }
            Sampler::Shifted { shift_ns, law } => {
                std::array::from_fn(|i| law.sample_one(word(i)).saturating_add(*shift_ns))
            }
            Sampler::Mixture { bound, parts } => std::array::from_fn(|i| match word(i) {
                word if word < *bound => parts[0].sample_one(stretched(word, *bound)),
                word => parts[1].sample_one(stretched(word - bound, bound.wrapping_neg())),
            }),
        }
    }

    /// The duration that belongs to a word. Apart, so that nothing that is compiled into its callers calls itself.
    #[inline(never)]
    fn sample_one(&self, word: u64) -> u64 {
        let [ns] = self.sample(|_| word);
        ns
    }
}

/// One duration of a law after the other, outside a simulation.
#[derive(Debug, Clone)]
pub struct Durations {
    sampler: Sampler,
    chance: ChaCha8Rng,
}

impl Durations {
    /// The durations of this law that belong to `seed`.
    ///
    /// # Errors
    /// The first parameter of the law that is out of range.
    pub fn of(law: &ServiceLaw, seed: u64) -> Result<Durations, Invalid> {
        law.validate("law")?;
        Ok(Durations { sampler: Sampler::of(law), chance: ChaCha8Rng::seed_from_u64(seed) })
    }

    /// The next one \[s\].
    pub fn next_s(&mut self) -> f64 {
        self.sampler.sample_lazily(|| self.chance.next_u64()) as f64 * 1e-9
    }
}

/// Squared coefficient of variation; zero for a constant.
pub(crate) fn scv(law: &ServiceLaw) -> f64 {
    match law {
        ServiceLaw::Deterministic { .. } => 0.0,
        ServiceLaw::Exponential { .. } => 1.0,
        ServiceLaw::Erlang { stages, .. } => 1.0 / f64::from(*stages),
        ServiceLaw::Gamma { cv, .. } | ServiceLaw::Lognormal { cv, .. } | ServiceLaw::Weibull { cv, .. } => {
            cv * cv
        }
        // E X^2 of a piece uniform on (x, y) is (x^2 + x y + y^2) / 3; a single value has no piece.
        ServiceLaw::Empirical { quantiles_s } => {
            let squares = quantiles_s.windows(2).map(|w| (w[0] * w[0] + w[0] * w[1] + w[1] * w[1]) / 3.0);
            let pieces = quantiles_s.len().max(2) - 1;
            (squares.sum::<f64>() / pieces as f64 / law.mean_s().powi(2) - 1.0).max(0.0)
        }
        ServiceLaw::Shifted { law: above, .. } => scv(above) * (above.mean_s() / law.mean_s()).powi(2),
        ServiceLaw::Mixture { share, first, second } => {
            let square = |law: &ServiceLaw| (1.0 + scv(law)) * law.mean_s().powi(2);
            let mean_square = share * square(first) + (1.0 - share) * square(second);
            (mean_square / law.mean_s().powi(2) - 1.0).max(0.0)
        }
    }
}

/// A word below `bound` as one below 2^64, in proportion.
fn stretched(word: u64, bound: u64) -> u64 {
    ((u128::from(word) << 64) / u128::from(bound)) as u64
}

/// Shape of the Weibull law with this coefficient of variation: the ratio of moments falls with the shape, so
/// that halving the interval finds it.
fn weibull_shape(cv: f64) -> f64 {
    let log_ratio = libm::log1p(cv * cv);
    let of = |shape: f64| libm::lgamma(1.0 + 2.0 / shape) - 2.0 * libm::lgamma(1.0 + 1.0 / shape);
    let (mut low, mut high) = (0.05, 200.0);
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if of(middle) > log_ratio {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// Gamma of scale 1.
fn gamma(shape: f64, word: u64) -> f64 {
    let mut mix = SplitMix::new(word);
    if shape < 1.0 {
        let boost = libm::exp(ln(unit(mix.next())) / shape);
        return gamma_above_one(shape + 1.0, &mut mix) * boost;
    }
    gamma_above_one(shape, &mut mix)
}

fn gamma_above_one(shape: f64, mix: &mut SplitMix) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(mix);
        let root = 1.0 + c * x;
        if root <= 0.0 {
            continue;
        }
        let v = root * root * root;
        if ln(unit(mix.next())) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return d * v;
        }
    }
}

/// Standard normal (Marsaglia and Bray, *A convenient method for generating normal variables*, SIAM Review
/// 6(3), 1964); the second of the pair is not used.
fn normal(mix: &mut SplitMix) -> f64 {
    loop {
        let (x, y) = (2.0 * unit(mix.next()) - 1.0, 2.0 * unit(mix.next()) - 1.0);
        let square = x * x + y * y;
        if square > 0.0 && square < 1.0 {
            return x * (-2.0 * libm::log(square) / square).sqrt();
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
pub(crate) fn unit(word: u64) -> f64 {
    // (2 k + 1) / 2^53 for the upper 52 bits k, out of a float in [1, 2): exact, and without a conversion.
    f64::from_bits(1.0f64.to_bits() | (word >> 12)) - (1.0 - f64::EPSILON / 2.0)
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
        assert_eq!(
            draws(&ServiceLaw::Erlang { stages: 3, mean_s: 0.05 }),
            [76_985_606, 53_524_923, 26_605_889, 42_830_993, 17_694_047, 15_816_384]
        );
        assert_eq!(
            draws(&ServiceLaw::Gamma { mean_s: 0.05, cv: 2.0 }),
            [104_757_327, 5_873_791, 3_639_655, 2_704_503, 236_766, 126_712_391]
        );
        assert_eq!(
            draws(&ServiceLaw::Lognormal { mean_s: 0.05, cv: 0.25 }),
            [61_813_502, 52_395_693, 40_128_265, 47_795_618, 35_263_239, 34_133_246]
        );
        assert_eq!(
            draws(&ServiceLaw::Weibull { mean_s: 0.05, cv: 1.5 }),
            [7_461_998_979, 171_411_391, 22_637_479, 13_285_569, 3_671_393, 0]
        );
        let half = mixture(0.5, ServiceLaw::Exponential { mean_s: 0.05 }, 0.06);
        // The words of the lower half, doubled, are those of the exponential law.
        let doubled = Sampler::of(&ServiceLaw::Exponential { mean_s: 0.05 }).sample(|i| WORDS[i] << 1);
        let [zero, small, ..]: [u64; 6] = doubled;
        assert_eq!(draws(&half), [zero, small, 60_000_000, 60_000_000, 60_000_000, 60_000_000]);
        let above = shifted(0.01, ServiceLaw::Exponential { mean_s: 0.05 });
        assert_eq!(draws(&above), exponential.map(|ns| ns + 10_000_000));
        assert_eq!(draws(&ServiceLaw::Deterministic { value_s: 0.06 }), [60_000_000; 6]);
        assert_eq!(draws(&ServiceLaw::Empirical { quantiles_s: vec![0.06] }), [60_000_000; 6]);
    }

    fn shifted(shift_s: f64, law: ServiceLaw) -> ServiceLaw {
        ServiceLaw::Shifted { shift_s, law: Box::new(law) }
    }

    fn mixture(share: f64, first: ServiceLaw, value_s: f64) -> ServiceLaw {
        let second = Box::new(ServiceLaw::Deterministic { value_s });
        ServiceLaw::Mixture { share, first: Box::new(first), second }
    }

    /// Mean and CV of many draws, within 5 standard errors (the kurtosis of the heaviest law here makes that
    /// of the CV wide).
    #[test]
    fn draws_have_the_mean_and_the_cv_of_their_law() {
        let laws = [
            (ServiceLaw::Erlang { stages: 3, mean_s: 0.05 }, 0.01),
            (ServiceLaw::Gamma { mean_s: 0.05, cv: 2.0 }, 0.03),
            (ServiceLaw::Gamma { mean_s: 0.05, cv: 0.3 }, 0.01),
            (ServiceLaw::Lognormal { mean_s: 0.05, cv: 0.25 }, 0.01),
            (ServiceLaw::Lognormal { mean_s: 0.05, cv: 1.5 }, 0.05),
            (ServiceLaw::Weibull { mean_s: 0.05, cv: 1.5 }, 0.02),
            (ServiceLaw::Weibull { mean_s: 0.05, cv: 0.2 }, 0.01),
            (ServiceLaw::Empirical { quantiles_s: vec![0.01, 0.02, 0.09] }, 0.01),
            (shifted(0.05, ServiceLaw::Gamma { mean_s: 0.05, cv: 2.0 }), 0.03),
            (mixture(0.9, ServiceLaw::Lognormal { mean_s: 0.05, cv: 0.25 }, 1.0), 0.01),
            (mixture(0.001, ServiceLaw::Lognormal { mean_s: 1.0, cv: 0.25 }, 0.05), 0.15),
        ];
        let mut mix = SplitMix::new(1);
        const DRAWS: usize = 400_000;
        for (law, tolerance) in laws {
            let sampler = Sampler::of(&law);
            let (mut sum, mut squares) = (0.0, 0.0);
            for _ in 0..DRAWS {
                let word = mix.next();
                let [ns] = sampler.sample(|_| word);
                sum += ns as f64 * 1e-9;
                squares += (ns as f64 * 1e-9).powi(2);
            }
            let mean = sum / DRAWS as f64;
            let cv = (squares / DRAWS as f64 / (mean * mean) - 1.0).sqrt();
            let standard_error = scv(&law).sqrt() / (DRAWS as f64).sqrt();
            assert!((mean / law.mean_s() - 1.0).abs() < 5.0 * standard_error, "{law:?}: mean {mean}");
            assert!((cv / scv(&law).sqrt() - 1.0).abs() < tolerance, "{law:?}: cv {cv}");
        }
    }

    #[test]
    fn variation_of_the_laws() {
        let empirical = |quantiles_s: &[f64]| scv(&ServiceLaw::Empirical { quantiles_s: quantiles_s.into() });
        assert_eq!((empirical(&[0.5]), empirical(&[0.0]), empirical(&[0.0, 0.0])), (0.0, 0.0, 0.0));
        // Uniform on (1/2, 3/2): variance 1/12.
        assert!((empirical(&[0.5, 1.5]) - 1.0 / 12.0).abs() < 1e-12);
        assert_eq!(scv(&ServiceLaw::Erlang { stages: 4, mean_s: 2.0 }), 0.25);
        // Standard deviation 1 around 1 + 3; and 1 or 3, one as often as the other.
        assert_eq!(scv(&shifted(3.0, ServiceLaw::Exponential { mean_s: 1.0 })), 1.0 / 16.0);
        assert_eq!(scv(&mixture(0.5, ServiceLaw::Deterministic { value_s: 1.0 }, 3.0)), 0.25);
    }

    #[test]
    fn a_complement_is_the_mirrored_quantile() {
        for word in WORDS {
            assert_eq!(unit(word) + unit(!word), 1.0);
        }
    }
}
