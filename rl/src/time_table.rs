//! How long the work takes: fitted times by traffic level and pods.

use std::ops::RangeInclusive;

use serde::Serialize;
use splitscale_spec::{Calibration, Invalid};

/// Seconds by traffic level (transfer slots) and pods, both rising.
///
/// It holds values of the fitted curves and never their parameters: where the rate of a curve is not
/// identified its values still are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimeTable {
    slots: Vec<u32>,
    pods: Vec<u32>,
    /// Row by row, one row a level.
    times_s: Vec<f64>,
    /// Coefficients of variation of the repeats, the same way; zero where there is one.
    cvs: Vec<f64>,
}

/// A published curve: time(pods) = a * exp(-b * (pods - pods_min)) + c \[s\].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpCurve {
    /// Transfer slots.
    pub slots: u32,
    /// Height above the floor \[s\].
    pub a: f64,
    /// Rate [1/pod].
    pub b: f64,
    /// Floor \[s\].
    pub c: f64,
}

impl TimeTable {
    /// The fitted values of a calibration.
    ///
    /// # Errors
    /// A level without slots or with other pods than the first, levels or pods that do not rise, a time that
    /// is not finite and above zero; the field is named.
    pub fn from_calibration(calibration: &Calibration) -> Result<Self, Invalid> {
        calibration.validate()?;
        let pods: Vec<u32> = calibration.levels[0].points.iter().map(|point| point.pods).collect();
        let mut slots = Vec::new();
        let (mut times_s, mut cvs) = (Vec::new(), Vec::new());
        for (row, level) in calibration.levels.iter().enumerate() {
            let field = |name: &str| format!("levels[{row}].{name}");
            slots.push(level.slots.ok_or_else(|| {
                Invalid::new(field("slots"), "absent; the levels are told apart by their transfer slots")
            })?);
            let here: Vec<u32> = level.points.iter().map(|point| point.pods).collect();
            if here != pods {
                let problem = format!(
                    "measured at pods {here:?}, level 0 at {pods:?}; every level needs the same pods, \
                     calibrate on a full grid"
                );
                return Err(Invalid::new(field("points"), problem));
            }
            times_s.extend(level.points.iter().map(|point| point.fitted_s));
            cvs.extend(level.points.iter().map(|point| point.sd_s.map_or(0.0, |sd_s| sd_s / point.mean_s)));
        }
        Self::checked(slots, pods, times_s, cvs)
    }

    /// The values of published curves over a range of pods, whose start is the curves' pods_min.
    ///
    /// # Errors
    /// No curve, an empty range, slots that do not rise, a time that is not finite and above zero.
    pub fn from_curves(curves: &[ExpCurve], pods: RangeInclusive<u32>) -> Result<Self, Invalid> {
        let time_s = |curve: &ExpCurve, extra: usize| curve.a * libm::exp(-curve.b * extra as f64) + curve.c;
        let pods: Vec<u32> = pods.collect();
        let times_s = curves.iter().flat_map(|curve| (0..pods.len()).map(move |extra| time_s(curve, extra)));
        let times_s: Vec<f64> = times_s.collect();
        let cvs = vec![0.0; times_s.len()];
        Self::checked(curves.iter().map(|curve| curve.slots).collect(), pods, times_s, cvs)
    }

    /// Transfer slots of each level.
    pub fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// Pods of each column.
    pub fn pods(&self) -> &[u32] {
        &self.pods
    }

    /// Times of a level, one a column \[s\].
    ///
    /// # Panics
    /// If there is no such level.
    pub fn times_s(&self, level: usize) -> &[f64] {
        &self.times_s[level * self.pods.len()..][..self.pods.len()]
    }

    /// Coefficients of variation of the repeats of a level, one a column.
    ///
    /// # Panics
    /// If there is no such level.
    pub fn cvs(&self, level: usize) -> &[f64] {
        &self.cvs[level * self.pods.len()..][..self.pods.len()]
    }

    fn checked(slots: Vec<u32>, pods: Vec<u32>, times_s: Vec<f64>, cvs: Vec<f64>) -> Result<Self, Invalid> {
        rising("slots", &slots)?;
        rising("pods", &pods)?;
        if let Some(cell) = times_s.iter().position(|&time| !(time.is_finite() && time > 0.0)) {
            let (level, column) = (cell / pods.len(), cell % pods.len());
            let problem = format!(
                "{} s at slots {}, pods {} is not a finite number above zero",
                times_s[cell], slots[level], pods[column]
            );
            return Err(Invalid::new("times_s", problem));
        }
        if let Some(cell) = cvs.iter().position(|&cv| !(0.0..=10.0).contains(&cv)) {
            let (level, column) = (cell / pods.len(), cell % pods.len());
            let problem = format!(
                "the repeats at slots {}, pods {} have a coefficient of variation of {}, which is no scatter of times",
                slots[level], pods[column], cvs[cell]
            );
            return Err(Invalid::new("sd_s", problem));
        }
        Ok(TimeTable { slots, pods, times_s, cvs })
    }
}

fn rising(field: &str, values: &[u32]) -> Result<(), Invalid> {
    match values.first() {
        None => return Err(Invalid::new(field, "empty; it takes at least one")),
        Some(0) => return Err(Invalid::new(field, "zero; it takes at least 1")),
        Some(_) => {}
    }
    match values.windows(2).find(|pair| pair[1] <= pair[0]) {
        None => Ok(()),
        Some(pair) => {
            Err(Invalid::new(field, format!("{} comes after {}; sort them, each once", pair[1], pair[0])))
        }
    }
}
