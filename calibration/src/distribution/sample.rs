//! Positive values, and what of them the likelihoods need.

use argmin::solver::brent::BrentRoot;
use statrs::distribution::{Exp, Gamma, LogNormal, Weibull};
use statrs::function::gamma::{digamma, ln_gamma};

use super::curve::Curve;
use super::model::{Family, Fit};
use crate::exponential::{TOLERANCE, solve};

/// A number of stages is settled where its neighbours are less likely by this factor's logarithm: ln 50.
const SETTLED: f64 = 3.9;

/// A sample with its logarithms.
pub(super) struct Sample {
    n: f64,
    mean: f64,
    /// Rising.
    logs: Vec<f64>,
    mean_log: f64,
}

impl Sample {
    /// Of rising values, each of them less `shift`; absent where one would be negative.
    pub(super) fn new(sorted: &[f64], shift: f64) -> Option<Sample> {
        let n = sorted.len() as f64;
        let logs: Vec<f64> = sorted.iter().map(|x| (x - shift).ln()).collect();
        let (mean, mean_log) = (sorted.iter().sum::<f64>() / n - shift, logs.iter().sum::<f64>() / n);
        (mean > 0.0 && !mean_log.is_nan()).then_some(Sample { n, mean, logs, mean_log })
    }

    /// The law of largest likelihood; absent for values that are all the same or, but for the exponential law, zero.
    pub(super) fn fit(&self, family: Family) -> Option<Fit> {
        if family == Family::Exponential {
            let curve = Curve::Exponential(Exp::new(1.0 / self.mean).ok()?);
            return Some(Fit { curve, ln_likelihood: -self.n * (self.mean.ln() + 1.0), parameters: 1 });
        }
        let spread = self.mean.ln() - self.mean_log;
        if !(spread.is_finite() && spread > f64::EPSILON) {
            return None;
        }
        match family {
            Family::Exponential => None,
            Family::Erlang => self.erlang(spread),
            Family::Gamma => {
                let shape = gamma_shape(spread)?;
                let curve = Curve::Gamma(Gamma::new(shape, shape / self.mean).ok()?);
                Some(Fit { curve, ln_likelihood: self.gamma_likelihood(shape), parameters: 2 })
            }
            Family::Lognormal => self.lognormal(),
            Family::Weibull => self.weibull(),
        }
    }

    /// Of the gamma law with this shape, and the mean of the sample.
    fn gamma_likelihood(&self, shape: f64) -> f64 {
        let scale = self.mean / shape;
        self.n * ((shape - 1.0) * self.mean_log - shape - shape * scale.ln() - ln_gamma(shape))
    }

    /// The likelihood has one peak in the shape, so that one of the two stages around it is the best.
    ///
    /// A whole number is no parameter where the data leave no choice of it; it counts as one where a neighbour is
    /// likely too.
    fn erlang(&self, spread: f64) -> Option<Fit> {
        let shape = gamma_shape(spread)?.min(1e9);
        let likelihood = |stages: f64| {
            if stages < 1.0 { f64::NEG_INFINITY } else { self.gamma_likelihood(stages) }
        };
        let (below, above) = (shape.floor().max(1.0), shape.floor() + 1.0);
        let stages = if likelihood(below) >= likelihood(above) { below } else { above };
        let best = likelihood(stages);
        let settled = best - likelihood(stages - 1.0).max(likelihood(stages + 1.0)) > SETTLED;
        let curve = Curve::Erlang(stages as u32, Gamma::new(stages, stages / self.mean).ok()?);
        Some(Fit { curve, ln_likelihood: best, parameters: if settled { 1 } else { 2 } })
    }

    fn lognormal(&self) -> Option<Fit> {
        let variance = self.logs.iter().map(|z| (z - self.mean_log).powi(2)).sum::<f64>() / self.n;
        let curve = Curve::Lognormal(LogNormal::new(self.mean_log, variance.sqrt()).ok()?);
        let ln_likelihood = -self.n * (self.mean_log + 0.5 * ((std::f64::consts::TAU * variance).ln() + 1.0));
        Some(Fit { curve, ln_likelihood, parameters: 2 })
    }

    /// The shape k solves sum x^k ln x / sum x^k - 1/k = mean of ln x, whose left side rises.
    fn weibull(&self) -> Option<Fit> {
        let top = *self.logs.last()?;
        let sums = |k: f64| {
            self.logs.iter().fold((0.0, 0.0), |(weights, weighted), z| {
                let weight = (k * (z - top)).exp();
                (weights + weight, weighted + weight * z)
            })
        };
        let excess = |k: f64| {
            let (weights, weighted) = sums(k);
            weighted / weights - self.mean_log - 1.0 / k
        };
        // The logarithm of a Weibull variate has the standard deviation pi / (sqrt 6 k).
        let sd = (self.logs.iter().map(|z| (z - self.mean_log).powi(2)).sum::<f64>() / self.n).sqrt();
        let guess = std::f64::consts::PI / (6.0_f64.sqrt() * sd);
        let mut bracket = (guess / 1.5, guess * 1.5);
        while excess(bracket.0) > 0.0 {
            bracket.0 /= 2.0;
        }
        while excess(bracket.1) < 0.0 {
            bracket.1 *= 2.0;
        }
        let k = solve(excess, BrentRoot::new(bracket.0, bracket.1, TOLERANCE))?;
        let ln_scale = top + (sums(k).0 / self.n).ln() / k;
        let curve = Curve::Weibull(Weibull::new(k, ln_scale.exp()).ok()?);
        let ln_likelihood = self.n * (k.ln() - k * ln_scale + (k - 1.0) * self.mean_log - 1.0);
        Some(Fit { curve, ln_likelihood, parameters: 2 })
    }
}

/// The shape k solves ln k - digamma(k) = ln of the mean - mean of ln x. The left side lies between 1 / (2 k) and 1 / k.
fn gamma_shape(spread: f64) -> Option<f64> {
    let excess = |k: f64| k.ln() - digamma(k) - spread;
    solve(excess, BrentRoot::new(0.499 / spread, 1.001 / spread, TOLERANCE))
}
