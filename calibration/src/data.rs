//! The measurements of one level, in units of their largest time and of their range of pods.

use std::collections::BTreeMap;

use statrs::distribution::{ContinuousCDF, FisherSnedecor};

use crate::exponential::{Exponential, Group};
use crate::profile::RESOLUTION;

/// One measured time and how much it counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measured {
    /// Pods of each stage.
    pub(crate) pods: u32,
    /// Time \[s\].
    pub(crate) y_s: f64,
    /// 1 where all count alike.
    pub(crate) weight: f64,
}

/// The measurements of one level, so that the answer does not depend on the units.
pub(crate) struct Data {
    /// By rising pods: (time in units of `scale`, weight).
    pub(crate) times: BTreeMap<u32, Vec<(f64, f64)>>,
    /// Their weighted means, by rising pods.
    pub(crate) groups: Vec<Group>,
    /// Largest time \[s\].
    pub(crate) scale: f64,
    /// pods_max - pods_min, at least 1 [pods].
    pub(crate) range: f64,
    /// Weighted sum of squares of the repeats around their means, in units of `scale` squared.
    pub(crate) pure_ss: f64,
    /// Measurements.
    pub(crate) count: usize,
}

impl Data {
    /// Measurements in any order, each time finite and above zero; those of weight zero are left out.
    pub(crate) fn new(measured: &[Measured]) -> Data {
        let counted = || measured.iter().filter(|m| m.weight > 0.0);
        let scale = counted().map(|m| m.y_s).fold(f64::MIN_POSITIVE, f64::max);
        let mut times: BTreeMap<u32, Vec<(f64, f64)>> = BTreeMap::new();
        for m in counted() {
            times.entry(m.pods).or_default().push((m.y_s / scale, m.weight));
        }
        let first = times.keys().next().copied().unwrap_or_default();
        let last = times.keys().next_back().copied().unwrap_or_default();
        let range = f64::from(last - first).max(1.0);
        let groups = times.iter().map(|(&pods, repeats)| {
            let weight = repeats.iter().map(|(_, w)| w).sum::<f64>();
            let y = repeats.iter().map(|(y, w)| w * y).sum::<f64>() / weight;
            Group { x: f64::from(pods - first) / range, y, weight }
        });
        let groups: Vec<Group> = groups.collect();
        let within = times
            .values()
            .zip(&groups)
            .flat_map(|(repeats, g)| repeats.iter().map(|(y, w)| w * (y - g.y).powi(2)));
        let (pure_ss, count) = (within.sum(), counted().count());
        Data { times, groups, scale, range, pure_ss, count }
    }

    /// Weighted mean over all measurements.
    pub(crate) fn mean(&self) -> f64 {
        let total: f64 = self.groups.iter().map(|g| g.weight).sum();
        self.groups.iter().map(|g| g.weight * g.y).sum::<f64>() / total
    }

    /// Smallest number of pods.
    pub(crate) fn first_pods(&self) -> u32 {
        self.times.keys().next().copied().unwrap_or_default()
    }

    /// Gap between the two smallest pod counts, and between the two largest, in units of `range`.
    pub(crate) fn first_gap(&self) -> f64 {
        self.groups.get(1).map_or(1.0, |second| second.x)
    }

    pub(crate) fn last_gap(&self) -> f64 {
        self.groups.len().checked_sub(2).map_or(1.0, |at| 1.0 - self.groups[at].x)
    }

    /// Degrees of freedom that `parameters` leave.
    pub(crate) fn freedom(&self, parameters: u32) -> f64 {
        self.count as f64 - f64::from(parameters)
    }

    /// p-value of "pods make no difference": the smaller of those against a straight line and against the curve,
    /// doubled, for two questions were asked (Bonferroni). Only the line is asked where the curve leaves nothing to
    /// judge it by.
    pub(crate) fn p_flat(&self, line: &Exponential, curve: &Exponential) -> f64 {
        let mean = self.mean();
        let flat_ss: f64 = self.groups.iter().map(|g| g.weight * (g.y - mean).powi(2)).sum();
        let against = |fit: &Exponential, extra: u32| {
            let rest = (self.pure_ss + fit.sse, self.freedom(1 + extra));
            f_test((flat_ss - fit.sse, f64::from(extra)), rest)
        };
        (2.0 * against(line, 1).min(against(curve, 2))).min(1.0)
    }

    /// p-value of "the fit misses the means by no more than the repeats scatter", the pure-error test of lack of fit
    /// (Draper and Smith, *Applied Regression Analysis*, 3rd edition, 1998, section 2.1); absent without repeats, or
    /// where the fit has as many parameters as there are pod counts.
    pub(crate) fn p_lack(&self, fit_ss: f64, parameters: u32) -> Option<f64> {
        let (groups, pure) = (self.groups.len() as f64, self.freedom(self.groups.len() as u32));
        let lack = groups - f64::from(parameters);
        (lack > 0.0 && pure > 0.0).then(|| f_test((fit_ss, lack), (self.pure_ss, pure)))
    }
}

/// p-value of an F-test of (sum of squares, degrees of freedom) against the rest; a rest below the resolution of
/// the data counts as that resolution, and one without freedom decides nothing.
fn f_test((effect_ss, effect): (f64, f64), (rest_ss, rest): (f64, f64)) -> f64 {
    let Ok(law) = FisherSnedecor::new(effect, rest) else { return 1.0 };
    let variance = (rest_ss / rest).max(RESOLUTION * RESOLUTION);
    law.sf(effect_ss.max(0.0) / effect / variance)
}
