//! Two systems under common random numbers.

use splitscale_spec::Invalid;

use super::interval::{Interval, Moments};
use super::{check_confidence, check_values};

/// Two systems that met the same chance, replication by replication.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paired {
    /// The mean of a - b. The systems differ if zero lies outside.
    pub difference: Interval,
    /// What the pairing saves: (var(a) + var(b)) / var(a - b). Independent runs need so many times the
    /// replications for the same half-width; below 1 the pairing does harm. Infinite where the difference
    /// never varies and the systems do, 1 where nothing varies.
    pub variance_reduction: f64,
}

impl Paired {
    /// Of values of the same replications of the same seed, in the same order. The paired-t interval holds
    /// whatever the two variances are (Law, Simulation Modeling and Analysis, sections 10.2.1 and 11.2).
    ///
    /// # Errors
    /// Lists of different length, fewer than two pairs, a value that is not finite, a confidence outside
    /// (0, 1).
    pub fn of(a: &[f64], b: &[f64], confidence: f64) -> Result<Self, Invalid> {
        check_confidence(confidence)?;
        check_values("a", a, 2)?;
        check_values("b", b, 2)?;
        if a.len() != b.len() {
            let problem = format!("{} values against {} of a; run the same replications", b.len(), a.len());
            return Err(Invalid::new("b", problem));
        }
        let variance = |values: &[f64]| values.iter().copied().collect::<Moments>().variance();
        let differences: Moments = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let apart = variance(a) + variance(b);
        let together = differences.variance();
        let variance_reduction = if apart == together { 1.0 } else { apart / together };
        Ok(Paired { difference: differences.interval(confidence), variance_reduction })
    }
}
