//! A law and a constant before it.
//!
//! The constant counts as two parameters: where the law is steep at its start, as the exponential one is, twice the
//! logarithm of the likelihood ratio of a shift that is not there has the chi-square law of two degrees of freedom,
//! not one (Hogg, *On the distribution of the likelihood ratio*, Annals of Mathematical Statistics 27(2), 1956).

use argmin::solver::brent::BrentOpt;

use super::curve::Curve;
use super::model::{Family, Fit};
use super::sample::Sample;
use crate::exponential::solve;

/// Points of the scan for the shift.
const SCAN: u32 = 12;

/// How near to the best ln of the gap between shift and minimum: the likelihood is flat there.
const NEAR: f64 = 1e-3;

/// Fits rising values; the shift is zero where none makes them likelier.
pub(super) fn fit(family: Family, sorted: &[f64]) -> Option<Fit> {
    let (n, least) = (sorted.len() as f64, *sorted.first()?);
    // Over the gap between shift and minimum, evenly in its logarithm: from what a minimum is too large by to all of it.
    let gap_min = (sorted.iter().sum::<f64>() / n - least) / (n - 1.0);
    if gap_min >= least || gap_min <= 0.0 {
        return at(family, sorted, 0.0);
    }
    if family == Family::Exponential {
        return at(family, sorted, least - gap_min);
    }
    let (low, high) = (gap_min.ln(), least.ln());
    let likelihood = |ln_gap: f64| {
        let fit = Sample::new(sorted, least - ln_gap.exp()).and_then(|sample| sample.fit(family));
        fit.map_or(f64::NEG_INFINITY, |fit| fit.ln_likelihood)
    };
    let point = |i: u32| low + (high - low) * f64::from(i) / f64::from(SCAN - 1);
    let scanned: Vec<f64> = (0..SCAN).map(|i| likelihood(point(i))).collect();
    let (best, value) = (0..SCAN).zip(&scanned).max_by(|a, b| a.1.total_cmp(b.1))?;
    if best == SCAN - 1 {
        return at(family, sorted, 0.0);
    }
    let brent = BrentOpt::new(point(best.saturating_sub(1)), point(best + 1)).set_tolerance(NEAR, NEAR);
    let refined = solve(|ln_gap| -likelihood(ln_gap), brent).filter(|&x| likelihood(x) >= *value);
    at(family, sorted, least - refined.unwrap_or_else(|| point(best)).exp())
}

fn at(family: Family, sorted: &[f64], shift: f64) -> Option<Fit> {
    let fit = Sample::new(sorted, shift)?.fit(family)?;
    // Stages and shift make up for each other, so that the data never settle the stages.
    let inner = if family == Family::Erlang { 2 } else { fit.parameters };
    let curve = Curve::Shifted(shift, Box::new(fit.curve));
    Some(Fit { curve, parameters: inner + 2, ..fit })
}
