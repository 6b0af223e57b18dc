//! A law with its parameters: what a fit ends in, and what samples are drawn from.

use argmin::solver::brent::BrentRoot;
use rand::distr::Distribution as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng as _;
use splitscale_spec::ServiceLaw;
use statrs::distribution::{ContinuousCDF, Exp, Gamma, LogNormal, Weibull};
use statrs::statistics::Distribution as _;

use super::bootstrap::Summary;
use crate::exponential::{TOLERANCE, solve};

/// A law on the positive numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Curve {
    Exponential(Exp),
    Erlang(u32, Gamma),
    Gamma(Gamma),
    Lognormal(LogNormal),
    Weibull(Weibull),
    Shifted(f64, Box<Curve>),
    /// The probability of the first of two.
    Mixture(f64, Box<[Curve; 2]>),
}

impl Curve {
    /// Probability of no more than x, and of more: each exact where it is small.
    pub(super) fn tails(&self, x: f64) -> (f64, f64) {
        match self {
            Curve::Exponential(law) => tails(law, x),
            Curve::Erlang(_, law) | Curve::Gamma(law) => tails(law, x),
            Curve::Lognormal(law) => tails(law, x),
            Curve::Weibull(law) => tails(law, x),
            Curve::Shifted(shift, law) => law.tails(x - shift),
            Curve::Mixture(share, parts) => {
                let ((a, above_a), (b, above_b)) = (parts[0].tails(x), parts[1].tails(x));
                (share * a + (1.0 - share) * b, share * above_a + (1.0 - share) * above_b)
            }
        }
    }

    /// The value that is not exceeded with probability p, strictly between 0 and 1.
    pub(super) fn quantile(&self, p: f64) -> f64 {
        match self {
            Curve::Exponential(law) => law.inverse_cdf(p),
            Curve::Erlang(_, law) | Curve::Gamma(law) => law.inverse_cdf(p),
            Curve::Lognormal(law) => law.inverse_cdf(p),
            Curve::Weibull(law) => law.inverse_cdf(p),
            Curve::Shifted(shift, law) => shift + law.quantile(p),
            Curve::Mixture(_, parts) => {
                // It lies between those of the parts.
                let (a, b) = (parts[0].quantile(p), parts[1].quantile(p));
                solve(|x| self.tails(x).0 - p, BrentRoot::new(a.min(b), a.max(b), TOLERANCE)).unwrap_or(a)
            }
        }
    }

    /// Mean and variance.
    fn moments(&self) -> (f64, f64) {
        let of = |mean: Option<f64>, variance: Option<f64>| {
            (mean.unwrap_or(f64::INFINITY), variance.unwrap_or(f64::INFINITY))
        };
        match self {
            Curve::Exponential(law) => of(law.mean(), law.variance()),
            Curve::Erlang(_, law) | Curve::Gamma(law) => of(law.mean(), law.variance()),
            Curve::Lognormal(law) => of(law.mean(), law.variance()),
            Curve::Weibull(law) => of(law.mean(), law.variance()),
            Curve::Shifted(shift, law) => {
                let (mean, variance) = law.moments();
                (shift + mean, variance)
            }
            Curve::Mixture(share, parts) => {
                let ((a, var_a), (b, var_b)) = (parts[0].moments(), parts[1].moments());
                let rest = 1.0 - share;
                (share * a + rest * b, share * var_a + rest * var_b + share * rest * (a - b).powi(2))
            }
        }
    }

    /// Mean, coefficient of variation and 95th percentile.
    pub(super) fn summary(&self) -> Summary {
        let (mean, variance) = self.moments();
        Summary { mean, cv: variance.sqrt() / mean, p95: self.quantile(0.95) }
    }

    /// A variate, never zero.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> f64 {
        let drawn = match self {
            Curve::Exponential(law) => law.sample(rng),
            Curve::Erlang(_, law) | Curve::Gamma(law) => law.sample(rng),
            Curve::Lognormal(law) => law.sample(rng),
            Curve::Weibull(law) => law.sample(rng),
            Curve::Shifted(shift, law) => shift + law.draw(rng),
            Curve::Mixture(share, parts) => {
                let first = (rng.next_u64() as f64) < share * 2.0_f64.powi(64);
                parts[usize::from(!first)].draw(rng)
            }
        };
        drawn.max(f64::MIN_POSITIVE)
    }

    /// As the simulator knows it, where one is `scale_s` \[s\].
    pub(super) fn law(&self, scale_s: f64) -> ServiceLaw {
        let (mean, variance) = self.moments();
        let (mean_s, cv) = (mean * scale_s, variance.sqrt() / mean);
        match self {
            Curve::Exponential(_) => ServiceLaw::Exponential { mean_s },
            Curve::Erlang(stages, _) => ServiceLaw::Erlang { stages: *stages, mean_s },
            Curve::Gamma(_) => ServiceLaw::Gamma { mean_s, cv },
            Curve::Lognormal(_) => ServiceLaw::Lognormal { mean_s, cv },
            Curve::Weibull(_) => ServiceLaw::Weibull { mean_s, cv },
            Curve::Shifted(shift, law) => {
                ServiceLaw::Shifted { shift_s: shift * scale_s, law: Box::new(law.law(scale_s)) }
            }
            Curve::Mixture(share, parts) => {
                let [first, second] = parts.each_ref().map(|part| Box::new(part.law(scale_s)));
                ServiceLaw::Mixture { share: *share, first, second }
            }
        }
    }
}

fn tails<L: ContinuousCDF<f64, f64>>(law: &L, x: f64) -> (f64, f64) {
    let below = law.cdf(x);
    // Up to here the complement keeps thirteen digits; beyond, it costs a second function.
    if below < 0.999 { (below, 1.0 - below) } else { (below, law.sf(x)) }
}
