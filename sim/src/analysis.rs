//! What the output of a simulation says: intervals, when to stop, what to throw away.
//!
//! | question | answer |
//! |---|---|
//! | how far off is a mean of replications | [`Interval::of`] |
//! | how many replications | [`Stopping`] |
//! | how far off is the mean of one long run | [`batch_means`] |
//! | how much of a run is warm-up | [`mser5`] |
//! | how far off is a quantile | [`QuantileInterval::of`] |
//! | which of two systems is better | [`Paired::of`] |
//!
//! All of them are pure functions of the numbers given. Values of independent replications are what
//! [`crate::replicate()`] yields; values within one run depend on one another, and only [`batch_means`] and
//! [`mser5`] may be given those.

mod interval;
mod paired;
mod quantile;
mod series;
mod stopping;

pub use interval::Interval;
pub use paired::Paired;
pub use quantile::QuantileInterval;
pub use series::{WarmUp, batch_means, mser5};
pub use stopping::Stopping;

use splitscale_spec::Invalid;

/// A level such as 0.95.
fn check_confidence(confidence: f64) -> Result<(), Invalid> {
    if confidence > 0.0 && confidence < 1.0 {
        return Ok(());
    }
    Err(Invalid::new("confidence", format!("{confidence} is not between 0 and 1; 0.95 is usual")))
}

/// Finite numbers, `least` of them or more.
fn check_values(field: &str, values: &[f64], least: usize) -> Result<(), Invalid> {
    if values.len() < least {
        let problem = format!("{} values; it takes at least {least}", values.len());
        return Err(Invalid::new(field, problem));
    }
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => {
            let problem = format!("{} is not a finite number; leave it out or mend the run", values[index]);
            Err(Invalid::new(format!("{field}[{index}]"), problem))
        }
    }
}
