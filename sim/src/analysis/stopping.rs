//! When there are enough replications.

use splitscale_spec::Invalid;

use super::check_confidence;
use super::interval::{Interval, Moments};

/// Adds replications until the mean is known to a relative error.
///
/// With the relative error gamma, it stops at the first n >= the minimum at which
/// half-width / |mean| <= gamma / (1 + gamma). The half-width relates to the estimate; corrected so, the error
/// relative to the true mean is at most gamma: |x - mu| <= g |x| gives |x - mu| <= g / (1 - g) |mu|, and
/// g = gamma / (1 + gamma) makes that gamma (Law, Simulation Modeling and Analysis, section 9.4.1).
///
/// A mean of zero is never known to a relative error, unless nothing varies: bound the number of
/// replications outside. Stopping early at a lucky small variance costs some coverage; with a minimum of 10
/// and gamma of at most 0.15 it is slight (Law, the same section).
#[derive(Debug, Clone)]
pub struct Stopping {
    /// gamma / (1 + gamma).
    corrected: f64,
    confidence: f64,
    minimum: u64,
    moments: Moments,
}

impl Stopping {
    /// Aims at the relative error `relative`, with at least `minimum` replications.
    ///
    /// # Errors
    /// A relative error that is not above zero, a confidence outside (0, 1), a minimum below 2.
    pub fn new(relative: f64, confidence: f64, minimum: u64) -> Result<Self, Invalid> {
        if !(relative.is_finite() && relative > 0.0) {
            let problem = format!("{relative} is not a finite number above zero; 0.05 is usual");
            return Err(Invalid::new("relative", problem));
        }
        check_confidence(confidence)?;
        if minimum < 2 {
            let problem = format!("{minimum}; an interval takes at least 2 replications, 10 are better");
            return Err(Invalid::new("minimum", problem));
        }
        let corrected = relative / (1.0 + relative);
        Ok(Stopping { corrected, confidence, minimum, moments: Moments::default() })
    }

    /// Takes the value of the next replication and says whether it was the last.
    ///
    /// # Errors
    /// A value that is not finite. It is not counted.
    pub fn add(&mut self, value: f64) -> Result<bool, Invalid> {
        if !value.is_finite() {
            let problem = format!("{value} is not a finite number; mend the run");
            return Err(Invalid::new(format!("values[{}]", self.moments.n), problem));
        }
        self.moments.add(value);
        if self.moments.n < self.minimum {
            return Ok(false);
        }
        let interval = self.moments.interval(self.confidence);
        Ok(interval.half_width <= self.corrected * interval.mean.abs())
    }

    /// The interval so far; absent before the second value.
    pub fn interval(&self) -> Option<Interval> {
        (self.moments.n >= 2).then(|| self.moments.interval(self.confidence))
    }
}
