//! A sample of two kinds, such as of warm and of cold starts: a mixture of two lognormal laws.
//!
//! By expectation and maximisation (Dempster, Laird and Rubin, *Maximum likelihood from incomplete data via the EM
//! algorithm*, JRSS B 39(1), 1977) on the logarithms, from the sample cut in two at several places; a few steps from each,
//! then the best of them to its end (Biernacki, Celeux and Govaert, *Choosing starting values for the EM algorithm*,
//! Computational Statistics and Data Analysis 41, 2003). A part that shrinks to a point would be infinitely likely, so
//! its width has a lower limit.

use statrs::distribution::LogNormal;
use statrs::statistics::{Distribution as _, Median as _};

use super::curve::Curve;
use super::model::Fit;

/// Where the sample is cut in two, as a part of it.
const CUTS: [f64; 7] = [0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95];
/// Steps from each.
const SHORT: u32 = 20;
/// Steps at most, all in all.
const LONG: u32 = 500;
/// The end: a step gains less than this a value.
const GAIN: f64 = 1e-9;
/// A part is no narrower than this share of the standard deviation of all logarithms.
const NARROW: f64 = 0.05;
/// Fewest values of a part: fewer are outliers.
const PART_MIN: f64 = 5.0;
/// Two normal laws of the logarithm, each with its share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mixture {
    parts: [Part; 2],
}

#[derive(Debug, Clone, Copy)]
struct Part {
    share: f64,
    mean: f64,
    sd: f64,
}

impl Mixture {
    /// Fits rising values.
    pub(super) fn fit(sorted: &[f64]) -> Option<Fit> {
        let logs = logs(sorted)?;
        let narrow = narrow(&logs);
        let start = |cut: f64| {
            let cut = (cut * logs.len() as f64).ceil() as usize;
            let (below, above) = logs.split_at(cut.clamp(2, logs.len() - 2));
            let part = |logs: &[f64], n: usize| {
                let (mean, sd) = moments(logs);
                Part { share: logs.len() as f64 / n as f64, mean, sd: sd.max(narrow) }
            };
            Mixture { parts: [part(below, logs.len()), part(above, logs.len())] }.climb(&logs, narrow, SHORT)
        };
        let (mixture, _) = CUTS.map(start).into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
        mixture.climb_to_the_end(&logs, narrow)
    }

    /// Fits values drawn from a mixture, starting there.
    pub(super) fn refit(share: f64, parts: &[Curve; 2], sorted: &[f64]) -> Option<Fit> {
        let [Curve::Lognormal(first), Curve::Lognormal(second)] = parts else { return None };
        let part = |law: &LogNormal, share: f64| {
            let mean = law.median().ln();
            Some(Part { share, mean, sd: (2.0 * (law.mean()?.ln() - mean)).sqrt() })
        };
        let logs = logs(sorted)?;
        let narrow = narrow(&logs);
        Mixture { parts: [part(first, share)?, part(second, 1.0 - share)?] }.climb_to_the_end(&logs, narrow)
    }

    /// Whether each part has values enough.
    pub(super) fn stands(share: f64, n: usize) -> bool {
        share.min(1.0 - share) * n as f64 >= PART_MIN
    }

    fn climb_to_the_end(self, logs: &[f64], narrow: f64) -> Option<Fit> {
        let (mixture, ln_likelihood) = self.climb(logs, narrow, LONG);
        let [first, second] = mixture.parts;
        let curve = |part: Part| LogNormal::new(part.mean, part.sd).ok().map(Curve::Lognormal);
        let parts = Box::new([curve(first)?, curve(second)?]);
        let ln_likelihood = ln_likelihood - logs.iter().sum::<f64>();
        Some(Fit { curve: Curve::Mixture(first.share, parts), ln_likelihood, parameters: 5 })
    }

    /// So many steps up, and the likelihood of the logarithms at the last.
    fn climb(self, logs: &[f64], narrow: f64, steps: u32) -> (Mixture, f64) {
        let (mut mixture, mut reached) = (self, f64::NEG_INFINITY);
        for _ in 0..steps {
            let (next, likelihood) = mixture.step(logs, narrow);
            if likelihood - reached < GAIN * logs.len() as f64 {
                return (mixture, likelihood);
            }
            (mixture, reached) = (next, likelihood);
        }
        let likelihood = mixture.step(logs, narrow).1;
        (mixture, likelihood)
    }

    /// The next mixture, and the likelihood of this one.
    fn step(&self, logs: &[f64], narrow: f64) -> (Mixture, f64) {
        let ln_half_tau = 0.5 * std::f64::consts::TAU.ln();
        let [first, second] = self.parts;
        let heights = self.parts.map(|part| part.share.ln() - part.sd.ln() - ln_half_tau);
        let mut likelihood = 0.0;
        // Of each part: its weight, and the weighted sums of what lies off its mean and of the squares of it.
        let mut sums = [[0.0; 3]; 2];
        for z in logs {
            let off = [z - first.mean, z - second.mean];
            let a = heights[0] - 0.5 * (off[0] / first.sd).powi(2);
            let b = heights[1] - 0.5 * (off[1] / second.sd).powi(2);
            let (high, ratio) = (a.max(b), (-(a - b).abs()).exp());
            likelihood += high + ratio.ln_1p();
            let (larger, smaller) = (1.0 / (1.0 + ratio), ratio / (1.0 + ratio));
            let weights = if a >= b { [larger, smaller] } else { [smaller, larger] };
            for ((sums, weight), off) in sums.iter_mut().zip(weights).zip(off) {
                sums[0] += weight;
                sums[1] += weight * off;
                sums[2] += weight * off * off;
            }
        }
        let next = |part: Part, [weight, off, squares]: [f64; 3]| {
            let weight = weight.max(f64::MIN_POSITIVE);
            let shift = off / weight;
            let variance = (squares / weight - shift * shift).max(0.0);
            Part {
                share: weight / logs.len() as f64,
                mean: part.mean + shift,
                sd: variance.sqrt().max(narrow),
            }
        };
        (Mixture { parts: [next(first, sums[0]), next(second, sums[1])] }, likelihood)
    }
}

/// Absent for a sample with a zero, or too small to be cut.
fn logs(sorted: &[f64]) -> Option<Vec<f64>> {
    let positive = sorted.len() >= 8 && sorted.iter().all(|&x| x > 0.0);
    positive.then(|| sorted.iter().map(|x| x.ln()).collect())
}

/// The least width of a part: of a coefficient of variation that the simulator takes, and of the sample's own.
fn narrow(logs: &[f64]) -> f64 {
    (NARROW * moments(logs).1).max(0.0101)
}

/// Mean and standard deviation.
fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / n).sqrt())
}
