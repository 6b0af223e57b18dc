//! A fit that single wild measurements do not move.
//!
//! Yohai's MM estimation (*High breakdown-point and high efficiency robust estimates for regression*, The Annals of
//! Statistics 15(2), 1987), small: the start is whichever of the fits to all cells and to all but one has the
//! smallest scale, from the median of the residuals; then least squares again and again with Tukey's biweight at
//! that scale, which gives nothing to a residual beyond 4.685 of it, and 95 % efficiency where noise is normal.

use crate::data::{Data, Measured};
use crate::exponential::Exponential;
use crate::profile::RESOLUTION;

/// Tukey's constant, in standard deviations.
const TUNING: f64 = 4.685;
/// The median of |z| for a standard normal z.
const MEDIAN_OF_NORMAL: f64 = 0.6745;
/// Fewest pod counts: with one left out there must be more than the curve has parameters.
const GROUPS_MIN: usize = 5;
/// Rounds of reweighting; they settle in ten or so.
const ROUNDS: u32 = 50;

/// Each measurement with the weight that it has in the robust fit, between zero and what it had; absent where there
/// are too few pod counts.
pub(crate) fn reweighted(measured: &[Measured]) -> Option<Vec<Measured>> {
    let data = Data::new(measured);
    if data.groups.len() < GROUPS_MIN {
        return None;
    }
    let without = |pods: Option<u32>| -> Vec<Measured> {
        let weight = |m: &Measured| if Some(m.pods) == pods { 0.0 } else { m.weight };
        measured.iter().map(|m| Measured { weight: weight(m), ..*m }).collect()
    };
    let least =
        measured.iter().map(|m| RESOLUTION * m.y_s * m.weight.sqrt()).fold(f64::MIN_POSITIVE, f64::max);
    let starts = std::iter::once(None).chain(data.times.keys().map(|&pods| Some(pods)));
    let (scale, mut residuals) = starts
        .map(|pods| {
            let residuals = residuals(measured, &without(pods));
            (scale(&residuals).max(least), residuals)
        })
        .min_by(|a, b| a.0.total_cmp(&b.0))?;
    let mut now = measured.to_vec();
    for _ in 0..ROUNDS {
        let next: Vec<Measured> = measured
            .iter()
            .zip(&residuals)
            .map(|(m, residual)| Measured { weight: m.weight * biweight(residual / scale), ..*m })
            .collect();
        let settled = next.iter().zip(&now).all(|(a, b)| (a.weight - b.weight).abs() <= 1e-6 * b.weight);
        now = next;
        if settled {
            break;
        }
        residuals = self::residuals(measured, &now);
    }
    // Where the weights leave too few pod counts there is no robust fit.
    (Data::new(&now).groups.len() >= GROUPS_MIN - 1).then_some(now)
}

/// Of every measurement, around the curve of those that `fitted` gives weight; by the root of the weight it had \[s\].
fn residuals(measured: &[Measured], fitted: &[Measured]) -> Vec<f64> {
    let data = Data::new(fitted);
    let curve = Exponential::fit(&data.groups);
    let first = data.times.keys().next().copied().unwrap_or_default();
    let at = |m: &Measured| curve.value((f64::from(m.pods) - f64::from(first)) / data.range) * data.scale;
    measured.iter().map(|m| (m.y_s - at(m)) * m.weight.sqrt()).collect()
}

/// The standard deviation that the median of |residual| stands for. The three smallest are left out: so many a curve
/// of three parameters can make vanish.
fn scale(residuals: &[f64]) -> f64 {
    let mut sizes: Vec<f64> = residuals.iter().map(|r| r.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let rest = &sizes[3.min(sizes.len() - 1)..];
    let median = (rest[(rest.len() - 1) / 2] + rest[rest.len() / 2]) / 2.0;
    median / MEDIAN_OF_NORMAL
}

/// Tukey's weight of a residual in standard deviations.
fn biweight(z: f64) -> f64 {
    let left = 1.0 - (z / TUNING).powi(2);
    if left > 0.0 { left * left } else { 0.0 }
}
