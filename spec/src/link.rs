//! The one link estimator: what a transfer slot carries, from what the proxy counted.
//!
//! ```text
//! sample      x = bytes * 8 / 1e6 / busy            [Mbit/s]   busy: transfer seconds, summed over slots
//! weight      w = 1 - exp(-busy / busy_time_constant)
//! estimate    e <- e + w (x - e)
//! confidence  c = 1 - exp(-evidence / busy_time_constant),   evidence = discounted busy seconds
//! ```
//!
//! The weight grows with evidence and not with wall time: a window in which little was sent moves the
//! estimate little, and an idle link leaves it alone and lets it age. A link that never carried anything
//! is unknown, not slow and not fast.

use serde::{Deserialize, Serialize};

/// What is believed about the link.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkEstimate {
    /// Bandwidth of one transfer \[Mbit/s\].
    pub mbit_s: f64,
    /// In [0, 1): how much evidence stands behind it.
    pub confidence: f64,
    /// Time since something was last sent \[s\].
    pub age_s: f64,
}

/// Follows the bandwidth of a transfer slot. Pure: the time is an argument.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkEstimator {
    /// Busy transfer time after which an old estimate has lost 63 % of its weight \[s\].
    pub busy_time_constant_s: f64,
    mbit_s: f64,
    evidence_s: f64,
    last_s: Option<f64>,
}

impl LinkEstimator {
    /// The time constant that the live loop and the simulator use \[s\].
    pub const TIME_CONSTANT_S: f64 = 2.0;

    /// An estimator that knows nothing yet.
    pub fn new(busy_time_constant_s: f64) -> Self {
        LinkEstimator { busy_time_constant_s, mbit_s: 0.0, evidence_s: 0.0, last_s: None }
    }

    /// Takes in what was sent since the last call: `bytes` over `busy_s` transfer seconds, seen at `now_s`.
    /// A window without a transfer, or with figures that are no measurement, changes nothing.
    pub fn update(&mut self, now_s: f64, bytes: f64, busy_s: f64) {
        if !(bytes > 0.0 && busy_s > 0.0 && bytes.is_finite() && busy_s.is_finite()) {
            return;
        }
        let sample = bytes * 8e-6 / busy_s;
        let keep = (-busy_s / self.busy_time_constant_s).exp();
        let weight = if self.last_s.is_none() { 1.0 } else { 1.0 - keep };
        self.mbit_s += weight * (sample - self.mbit_s);
        self.evidence_s = self.evidence_s * keep + busy_s;
        self.last_s = Some(now_s);
    }

    /// The estimate at `now_s`; absent while nothing was ever sent.
    pub fn estimate(&self, now_s: f64) -> Option<LinkEstimate> {
        let last_s = self.last_s?;
        Some(LinkEstimate {
            mbit_s: self.mbit_s,
            confidence: 1.0 - (-self.evidence_s / self.busy_time_constant_s).exp(),
            age_s: (now_s - last_s).max(0.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_link_is_unknown_and_stays_unknown() {
        let mut link = LinkEstimator::new(1.0);
        link.update(1.0, 0.0, 0.0);
        link.update(2.0, f64::NAN, 1.0);
        assert_eq!(link.estimate(3.0), None);
    }

    #[test]
    fn it_follows_a_change_and_ages_when_idle() {
        let mut link = LinkEstimator::new(1.0);
        // 0.8 MB in 0.128 s is 50 Mbit/s.
        for step in 0..20 {
            link.update(f64::from(step), 800_000.0, 0.128);
        }
        assert!((link.estimate(19.0).unwrap().mbit_s - 50.0).abs() < 1e-9);
        for step in 20..80 {
            link.update(f64::from(step), 800_000.0, 0.64);
        }
        link.update(90.0, 0.0, 0.0);
        let estimate = link.estimate(100.0).unwrap();
        assert!((estimate.mbit_s - 10.0).abs() < 1e-3, "{estimate:?}");
        assert_eq!(estimate.age_s, 21.0);
        assert!(estimate.confidence > 0.6 && estimate.confidence < 1.0);
    }
}
