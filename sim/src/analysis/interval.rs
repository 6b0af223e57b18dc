//! The mean of independent values and how far off it may be.

use splitscale_spec::Invalid;
use statrs::distribution::{Continuous, ContinuousCDF, Normal, StudentsT};

use super::{check_confidence, check_values};

/// A confidence interval of a mean, `mean` +- `half_width`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The mean of the values.
    pub mean: f64,
    /// Half of the interval's width, in the unit of the mean.
    pub half_width: f64,
    /// The share of such intervals that hold the true mean, such as 0.95.
    pub confidence: f64,
    /// Values it is made of.
    pub n: u64,
}

/// Running mean and variance (Welford 1962), which lose no digits where the mean is large.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moments {
    pub(super) n: u64,
    pub(super) mean: f64,
    /// Sum of squared distances from the mean.
    pub(super) squares: f64,
}

// === impl Interval ===

impl Interval {
    /// Student's interval of independent, roughly normal values:
    /// t(n - 1, (1 + confidence) / 2) * s / sqrt(n), where s is the standard deviation with n - 1.
    /// A mean of many requests is roughly normal, a single latency is not.
    ///
    /// # Errors
    /// Fewer than two values, a value that is not finite, a confidence outside (0, 1).
    pub fn of(values: &[f64], confidence: f64) -> Result<Self, Invalid> {
        check_confidence(confidence)?;
        check_values("values", values, 2)?;
        let moments: Moments = values.iter().copied().collect();
        Ok(moments.interval(confidence))
    }

    /// The lower end.
    pub fn low(&self) -> f64 {
        self.mean - self.half_width
    }

    /// The upper end.
    pub fn high(&self) -> f64 {
        self.mean + self.half_width
    }

    /// Whether `value` lies in it, the ends included.
    pub fn contains(&self, value: f64) -> bool {
        self.low() <= value && value <= self.high()
    }
}

// === impl Moments ===

impl Moments {
    pub(super) fn add(&mut self, value: f64) {
        self.n += 1;
        let before = value - self.mean;
        self.mean += before / self.n as f64;
        self.squares += before * (value - self.mean);
    }

    /// With n - 1; of at least two values.
    pub(super) fn variance(&self) -> f64 {
        self.squares / (self.n - 1) as f64
    }

    /// Of at least two values.
    pub(super) fn interval(&self, confidence: f64) -> Interval {
        let error = (self.variance() / self.n as f64).sqrt();
        let half_width = student((self.n - 1) as f64, confidence) * error;
        Interval { mean: self.mean, half_width, confidence, n: self.n }
    }
}

impl FromIterator<f64> for Moments {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut moments = Moments::default();
        values.into_iter().for_each(|value| moments.add(value));
        moments
    }
}

/// The two-sided quantile of Student's t with `freedom` degrees of freedom, by Newton's method on the upper
/// tail, which is convex: from the normal quantile, which is never above it, the steps only climb. (The
/// `inverse_cdf` of statrs 0.19 is 7 % off at 1e7 degrees of freedom and does not return at 1e8.)
fn student(freedom: f64, confidence: f64) -> f64 {
    let law = StudentsT::new(0.0, 1.0, freedom).expect("location, scale and degrees of freedom are in range");
    let miss = 0.5 * (1.0 - confidence);
    let mut t = Normal::standard().inverse_cdf(1.0 - miss);
    for _ in 0..100 {
        let step = (law.sf(t) - miss) / law.pdf(t);
        t += step;
        if step.abs() <= 1e-12 * t {
            break;
        }
    }
    t
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables of the t distribution, such as Law, Simulation Modeling and Analysis, table T.1.
    #[test]
    fn quantiles_are_those_of_the_tables() {
        let table = [
            (1.0, 0.95, 12.706_204_736),
            (1.0, 0.999, 636.619_248_769),
            (2.0, 0.50, 0.816_496_581),
            (4.0, 0.90, 2.131_846_786),
            (9.0, 0.95, 2.262_157_163),
            (9.0, 0.99, 3.249_835_542),
            (30.0, 0.95, 2.042_272_456),
            (999.0, 0.95, 1.962_341_461),
            (1e5, 0.95, 1.959_987_708),
            (1e7, 0.95, 1.959_964_222),
        ];
        for (freedom, confidence, expected) in table {
            let t = student(freedom, confidence);
            assert!((t / expected - 1.0).abs() < 1e-8, "{freedom} {confidence}: {t} against {expected}");
        }
    }

    #[test]
    fn no_digits_are_lost_far_from_zero() {
        let moments: Moments = [1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0].into_iter().collect();
        assert_eq!((moments.mean, moments.variance()), (1e9 + 10.0, 30.0));
    }
}
