//! What the measurements of one level allow to be said: the rules of the table in [`crate::level`].

use splitscale_spec::{FittedPoint, Level, LevelStatus};

use crate::data::Data;
use crate::exponential::{Exponential, Group};
use crate::level::Options;
use crate::profile::{Profile, room};
use crate::report::{FitMethod, OtherFit, SetAside};

/// A rate over the gap between two pod counts at which 95 % of a change has happened: exp(-3).
const STEP_RATE: f64 = 3.0;
/// The curve's parameters.
const PARAMETERS: u32 = 3;

/// What stands for the times of a level.
enum Shape {
    /// They themselves.
    Means,
    /// Their mean.
    Constant(f64),
    /// A straight line (of rate zero) or a curve.
    Curve(Exponential),
}

/// What was found of a level.
pub(crate) struct Verdict {
    data: Data,
    status: LevelStatus,
    shape: Shape,
    /// The interval of beta.
    interval: (Option<f64>, Option<f64>),
    p_flat: Option<f64>,
    alpha: f64,
}

impl Verdict {
    pub(crate) fn of(data: Data, options: &Options) -> Verdict {
        let verdict = |data, status, shape| Verdict {
            data,
            status,
            shape,
            interval: (None, None),
            p_flat: None,
            alpha: options.alpha,
        };
        if data.groups.len() < 3 || data.count <= PARAMETERS as usize {
            return verdict(data, LevelStatus::Insufficient, Shape::Means);
        }
        let (line, curve) = (Exponential::at(0.0, &data.groups), Exponential::fit(&data.groups));
        let p_flat = Some(data.p_flat(&line, &curve));
        let profile =
            Profile::new(curve, &data.groups, (data.freedom(PARAMETERS), data.pure_ss), options.alpha);
        let interval = profile.map_or((None, None), |profile| profile.interval());
        if p_flat >= Some(options.alpha) {
            let mean = Shape::Constant(data.mean());
            return Verdict { interval, p_flat, ..verdict(data, LevelStatus::Flat, mean) };
        }
        let status = match interval {
            (Some(low), Some(high)) if low <= 0.0 && high >= 0.0 => LevelStatus::Line,
            (Some(_), Some(_)) if curve.y_hi > curve.y_lo => LevelStatus::Rising,
            (Some(_), Some(_)) => LevelStatus::Exp,
            (Some(low), None) if low * data.first_gap() >= STEP_RATE => LevelStatus::Step,
            (None, Some(high)) if -high * data.last_gap() >= STEP_RATE => LevelStatus::Step,
            _ => LevelStatus::RateNotIdentified,
        };
        let fit = if status == LevelStatus::Line { line } else { curve };
        let shape = if fit.y_hi > fit.y_lo && options.monotone {
            Shape::Constant(data.mean())
        } else if data.groups.iter().any(|g| fit.value(g.x) <= 0.0) {
            // A least-squares curve through wild data can pass below zero, which is no time.
            Shape::Means
        } else {
            Shape::Curve(fit)
        };
        let status = match shape {
            Shape::Means => LevelStatus::RateNotIdentified,
            _ => status,
        };
        Verdict { interval, p_flat, ..verdict(data, status, shape) }
    }

    /// Its values at these abscissae, and their bands; in units of the data.
    fn values(&self, xs: &[f64]) -> Vec<(f64, Option<(f64, f64)>)> {
        let data = &self.data;
        let banded = |values: Vec<f64>, band: Option<Vec<(f64, f64)>>| match band {
            Some(band) => values.into_iter().zip(band.into_iter().map(Some)).collect(),
            None => values.into_iter().map(|value| (value, None)).collect(),
        };
        match &self.shape {
            Shape::Means => {
                let nearest = |x: f64| {
                    let distance = |g: &&Group| (g.x - x).abs();
                    data.groups.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).map_or(0.0, |g| g.y)
                };
                banded(xs.iter().map(|&x| nearest(x)).collect(), None)
            }
            Shape::Constant(mean) => {
                let around: f64 = data.groups.iter().map(|g| g.weight * (g.y - mean).powi(2)).sum();
                let total: f64 = data.groups.iter().map(|g| g.weight).sum();
                let half = room(data.pure_ss + around, data.freedom(1), self.alpha)
                    .map(|room| (room / total).sqrt());
                let band = half.map(|half| vec![(mean - half, mean + half); xs.len()]);
                banded(vec![*mean; xs.len()], band)
            }
            Shape::Curve(curve) => {
                let straight = self.status == LevelStatus::Line;
                let freedom = data.freedom(if straight { 2 } else { PARAMETERS });
                let band =
                    Profile::new(*curve, &data.groups, (freedom, data.pure_ss), self.alpha).map(|profile| {
                        match straight {
                            true => profile.band_of(&[0.0], xs),
                            false => profile.band(xs),
                        }
                    });
                banded(xs.iter().map(|&x| curve.value(x)).collect(), band)
            }
        }
    }

    /// (a, b, c) where they may be told \[s, 1/pod, s\].
    fn coefficients(&self) -> Option<(f64, f64, f64)> {
        let told = matches!(self.status, LevelStatus::Exp | LevelStatus::Rising);
        let Shape::Curve(curve) = &self.shape else { return None };
        let ((a, c), scale) = (curve.height_and_floor(), self.data.scale);
        told.then(|| (a * scale, curve.beta / self.data.range, c * scale))
    }

    /// Its values and bands at the pods of `all` \[s\].
    fn at(&self, all: &Data) -> Vec<(f64, Option<(f64, f64)>)> {
        let first = self.data.first_pods();
        let xs: Vec<f64> =
            all.times.keys().map(|&pods| (f64::from(pods) - f64::from(first)) / self.data.range).collect();
        let scale = self.data.scale;
        let seconds = |(low, high): (f64, f64)| (low * scale, high * scale);
        self.values(&xs).into_iter().map(|(value, band)| (value * scale, band.map(seconds))).collect()
    }

    pub(crate) fn beside(&self, method: FitMethod, set_aside: Vec<SetAside>, all: &Data) -> OtherFit {
        let (a, b, c) =
            self.coefficients().map_or((None, None, None), |(a, b, c)| (Some(a), Some(b), Some(c)));
        let fitted_s = self.at(all).iter().map(|(value, _)| *value).collect();
        OtherFit { slots: None, method, status: self.status, a, b, c, fitted_s, set_aside }
    }

    /// The document, with a point for every pod count of `all`.
    pub(crate) fn level(&self, all: &Data) -> Level {
        let (a, b, c) =
            self.coefficients().map_or((None, None, None), |(a, b, c)| (Some(a), Some(b), Some(c)));
        let rate = |beta: f64| beta / self.data.range;
        let points: Vec<FittedPoint> = all
            .times
            .iter()
            .zip(&all.groups)
            .zip(self.at(all))
            .map(|(((&pods, repeats), group), (fitted_s, band))| {
                let mean = repeats.iter().map(|(y, _)| y).sum::<f64>() / repeats.len() as f64;
                let square: f64 = repeats.iter().map(|(y, _)| (y - mean).powi(2)).sum();
                let freedom = repeats.len() as f64 - 1.0;
                FittedPoint {
                    pods,
                    repeats: repeats.len() as u32,
                    mean_s: group.y * all.scale,
                    sd_s: (freedom > 0.0).then(|| (square / freedom).sqrt() * all.scale),
                    fitted_s,
                    low_s: band.map(|band| band.0),
                    high_s: band.map(|band| band.1),
                }
            })
            .collect();
        let squares = points.iter().map(|point| (point.mean_s - point.fitted_s).powi(2));
        Level {
            slots: None,
            status: self.status,
            pods_min: points.first().map_or(0, |point| point.pods),
            a,
            b,
            c,
            b_low: self.interval.0.map(rate),
            b_high: self.interval.1.map(rate),
            p_flat: self.p_flat,
            p_lack: self.p_lack(),
            rmse_s: (squares.sum::<f64>() / points.len() as f64).sqrt(),
            points,
        }
    }

    fn p_lack(&self) -> Option<f64> {
        let fit_ss = |value: &dyn Fn(f64) -> f64| -> f64 {
            self.data.groups.iter().map(|g| g.weight * (g.y - value(g.x)).powi(2)).sum()
        };
        match &self.shape {
            Shape::Means => None,
            Shape::Constant(mean) => self.data.p_lack(fit_ss(&|_| *mean), 1),
            Shape::Curve(curve) => {
                let parameters = if self.status == LevelStatus::Line { 2 } else { PARAMETERS };
                self.data.p_lack(fit_ss(&|x| curve.value(x)), parameters)
            }
        }
    }
}
