//! One traffic level: what its data allow to be said, and the document made of all levels.
//!
//! | status | when |
//! |---|---|
//! | `INSUFFICIENT` | one or two pod counts: the means, no test and no rate |
//! | `FLAT` | "pods make no difference" is not rejected at `alpha`: the mean over all measurements |
//! | `EXP` | the profile interval of b at level 1 - `alpha` is bounded and excludes zero: a, b, c |
//! | `RATE_NOT_IDENTIFIED` | all else: the curve's values at the measured pods, never a, b, c |
//!
//! **The test of flatness.** With repeats: F = (between pods / (k-1)) / (within pods / (n-k)), the one-way
//! analysis of variance of n times at k pod counts. Without repeats, or with repeats that agree to the last
//! digit and so say nothing about noise, two questions, both at `alpha`, and a trend needs both:
//! is the scatter between pods more than the stated noise explains (chi-square, k-1), and, where n > 3, does
//! the curve explain more of it than it leaves (F = (drop in sum of squares / 2) / (rest / (n-3)))? The
//! second keeps a table that is merely noisier than stated from passing for a trend.
//!
//! **The interval of b** takes its noise from the residuals around the curve, n-3 degrees of freedom. Three
//! single measurements leave none, so they never identify a rate, whatever noise was stated.
//!
//! A rising level (a < 0, or b < 0 where it accelerates) is fitted like any other: more pods can cost time.
//! Everything is computed in units of the level's largest time and of its range of pods, so the answer does
//! not depend on the units.

use std::collections::BTreeMap;

use splitscale_spec::{Calibration, FittedPoint, Invalid, Level, LevelStatus, Provenance};
use statrs::distribution::{ChiSquared, ContinuousCDF, FisherSnedecor};

use crate::exponential::{Exponential, Group, RESOLUTION};
use crate::{CalibrationError, Table, TimeRow};

/// How much it takes to say something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Error probability of the tests; 1 - alpha is the level of the intervals.
    pub alpha: f64,
    /// Standard deviation of a time relative to the level's mean, believed where repeats tell nothing.
    pub noise: f64,
}

impl Default for Options {
    fn default() -> Self {
        Options { alpha: 0.05, noise: 0.01 }
    }
}

/// Fits every level of a table; `laws` stays absent.
///
/// # Errors
/// An option out of range, or no level at all.
pub fn calibrate(table: &Table<TimeRow>, options: &Options) -> Result<Calibration, CalibrationError> {
    for (field, value) in [("alpha", options.alpha), ("noise", options.noise)] {
        if !(value > 0.0 && value < 1.0) {
            return Err(Invalid::new(field, format!("{value} is not between 0 and 1")).into());
        }
    }
    let mut levels: BTreeMap<Option<u32>, Vec<(u32, f64)>> = BTreeMap::new();
    for row in &table.rows {
        levels.entry(row.slots).or_default().push((row.pods, row.y_s));
    }
    let calibration = Calibration {
        burst: None,
        schema: Calibration::SCHEMA,
        levels: levels.iter().map(|(&slots, times)| Level { slots, ..fit_level(times, options) }).collect(),
        laws: None,
        provenance: Provenance {
            table: table.file.clone(),
            hash: table.hash.clone(),
            rows: u32::try_from(table.rows.len()).unwrap_or(u32::MAX),
            dropped: table.dropped.iter().map(ToString::to_string).collect(),
        },
    };
    calibration.validate()?;
    Ok(calibration)
}

/// Fits one level; its `slots` stay absent.
///
/// `times` are (pods, time \[s\]) in any order, each time finite and above zero.
pub fn fit_level(times: &[(u32, f64)], options: &Options) -> Level {
    let data = Data::new(times);
    let flat = data.groups.iter().map(|_| data.mean()).collect();
    let means = data.groups.iter().map(|g| g.y).collect();
    if data.groups.len() < 3 {
        return data.level(LevelStatus::Insufficient, None, means);
    }
    let curve = Exponential::fit(&data.groups);
    let p_flat = data.p_flat(&curve, options);
    if p_flat >= options.alpha {
        return data.level(LevelStatus::Flat, Some(p_flat), flat);
    }
    let fitted: Vec<f64> = data.groups.iter().map(|g| curve.value(g.x)).collect();
    if fitted.iter().any(|&y| y <= 0.0) {
        // A least-squares curve through wild data can pass below zero, which is no time.
        return data.level(LevelStatus::RateNotIdentified, Some(p_flat), means);
    }
    match curve.interval(&data.groups, data.pure_ss, options.alpha) {
        (Some(low), Some(high)) if low > 0.0 || high < 0.0 => {
            let (a, c) = curve.height_and_floor();
            Level {
                a: Some(a * data.scale),
                b: Some(curve.beta / data.range),
                c: Some(c * data.scale),
                ..data.level(LevelStatus::Exp, Some(p_flat), fitted)
            }
        }
        _ => data.level(LevelStatus::RateNotIdentified, Some(p_flat), fitted),
    }
}

/// The times of a level, by rising pods, in units of the largest time and of the range of pods.
struct Data {
    times: BTreeMap<u32, Vec<f64>>,
    groups: Vec<Group>,
    /// Largest time \[s\].
    scale: f64,
    /// pods_max - pods_min, at least 1 [pods].
    range: f64,
    /// Sum of squares of the repeats around their means, in units of `scale` squared.
    pure_ss: f64,
}

impl Data {
    fn new(measured: &[(u32, f64)]) -> Data {
        let scale = measured.iter().map(|m| m.1).fold(f64::MIN_POSITIVE, f64::max);
        let mut times: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for &(pods, y) in measured {
            times.entry(pods).or_default().push(y / scale);
        }
        let first = times.keys().next().copied().unwrap_or_default();
        let last = times.keys().next_back().copied().unwrap_or_default();
        let range = f64::from(last - first).max(1.0);
        let groups = times.iter().map(|(&pods, repeats)| Group {
            x: f64::from(pods - first) / range,
            y: repeats.iter().sum::<f64>() / repeats.len() as f64,
            weight: repeats.len() as f64,
        });
        let groups: Vec<Group> = groups.collect();
        let within =
            times.values().zip(&groups).flat_map(|(repeats, g)| repeats.iter().map(|y| (y - g.y).powi(2)));
        let pure_ss = within.sum();
        Data { times, groups, scale, range, pure_ss }
    }

    fn total_weight(&self) -> f64 {
        self.groups.iter().map(|g| g.weight).sum()
    }

    fn mean(&self) -> f64 {
        self.groups.iter().map(|g| g.weight * g.y).sum::<f64>() / self.total_weight()
    }

    /// p-value of "pods make no difference", as the module says.
    fn p_flat(&self, curve: &Exponential, options: &Options) -> f64 {
        let (n, k) = (self.total_weight(), self.groups.len() as f64);
        let mean = self.mean();
        let between: f64 = self.groups.iter().map(|g| g.weight * (g.y - mean).powi(2)).sum();
        let repeats_tell = self.pure_ss > (n - k) * RESOLUTION * RESOLUTION;
        if repeats_tell {
            return f_test(between, k - 1.0, self.pure_ss, n - k);
        }
        let stated = between / (options.noise * mean).powi(2);
        let by_noise = ChiSquared::new(k - 1.0).map_or(1.0, |law| law.sf(stated));
        let by_curve = if n > 3.0 { f_test(between - curve.sse, 2.0, curve.sse, n - 3.0) } else { 0.0 };
        by_noise.max(by_curve)
    }

    fn level(self, status: LevelStatus, p_flat: Option<f64>, fitted: Vec<f64>) -> Level {
        let squares = self.groups.iter().zip(&fitted).map(|(g, y)| (g.y - y).powi(2));
        let rmse = (squares.sum::<f64>() / fitted.len() as f64).sqrt();
        let points =
            self.times.iter().zip(self.groups.iter().zip(&fitted)).map(|((&pods, repeats), (g, &y))| {
                let square: f64 = repeats.iter().map(|y| (y - g.y).powi(2)).sum();
                FittedPoint {
                    pods,
                    repeats: repeats.len() as u32,
                    mean_s: g.y * self.scale,
                    sd_s: (repeats.len() > 1).then(|| (square / (g.weight - 1.0)).sqrt() * self.scale),
                    fitted_s: y * self.scale,
                }
            });
        let points: Vec<FittedPoint> = points.collect();
        Level {
            slots: None,
            status,
            pods_min: points.first().map_or(0, |point| point.pods),
            a: None,
            b: None,
            c: None,
            p_flat,
            rmse_s: rmse * self.scale,
            points,
        }
    }
}

/// p-value of an F-test; residuals below the resolution of the data count as that resolution.
fn f_test(effect_ss: f64, effect_freedom: f64, rest_ss: f64, rest_freedom: f64) -> f64 {
    let rest = (rest_ss / rest_freedom).max(RESOLUTION * RESOLUTION);
    let f = effect_ss.max(0.0) / effect_freedom / rest;
    FisherSnedecor::new(effect_freedom, rest_freedom).map_or(1.0, |law| law.sf(f))
}
