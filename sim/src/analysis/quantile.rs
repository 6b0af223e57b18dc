//! A quantile of independent values and how far off it may be, whatever their law.

use splitscale_spec::Invalid;
use statrs::distribution::{Binomial, DiscreteCDF};

use super::{check_confidence, check_values};

/// An interval of a quantile between two order statistics.
///
/// The number of values at or below the p-quantile of a continuous law is binomial (n, p), so the r-th and the
/// s-th smallest of n values hold it between them with probability F(s - 1) - F(r - 1), where F is the
/// binomial distribution function; of a law with atoms, with at least that (David and Nagaraja, Order
/// Statistics, 2003, section 7.1). r is the largest with F(r - 1) <= (1 - confidence) / 2, s the smallest
/// with F(s - 1) >= (1 + confidence) / 2, so that each side misses with at most half of what is allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuantileInterval {
    /// The smallest value that at least a share p of the values does not exceed.
    pub estimate: f64,
    /// The lower end, the r-th smallest.
    pub low: f64,
    /// The upper end, the s-th smallest.
    pub high: f64,
    /// r and s, counted from 1.
    pub ranks: (u64, u64),
    /// What the interval covers with these ranks, exactly; at least the confidence asked for.
    pub coverage: f64,
}

impl QuantileInterval {
    /// Of the `p`-quantile of independent values, in any order. Latencies of one run are not independent;
    /// take one value a replication.
    ///
    /// # Errors
    /// Too few values for this quantile (the error says how many it takes), a value that is not finite, `p`
    /// or a confidence outside (0, 1).
    pub fn of(values: &[f64], p: f64, confidence: f64) -> Result<Self, Invalid> {
        check_confidence(confidence)?;
        if !(p > 0.0 && p < 1.0) {
            return Err(Invalid::new(
                "p",
                format!("{p} is not between 0 and 1; 0.95 is the 95th percentile"),
            ));
        }
        check_values("values", values, 1)?;
        let n = values.len() as u64;
        let miss = 0.5 * (1.0 - confidence);
        // With r = 1 and s = n the sides miss with (1 - p)^n and p^n.
        let least = miss.ln() / p.max(1.0 - p).ln();
        if (n as f64) < least {
            let problem = format!("{n} values; this quantile takes at least {}", least.ceil());
            return Err(Invalid::new("values", problem));
        }
        let binomial = Binomial::new(p, n).expect("p lies between 0 and 1");
        let below = first(n, |k| binomial.cdf(k) > miss);
        // The upper tail: one minus the distribution function has lost its digits there.
        let above = first(n, |k| binomial.sf(k) <= miss);
        let (r, s) = (below.max(1), (above + 1).min(n));
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = ((p * n as f64).ceil() as u64).clamp(1, n);
        let ranked = |rank: u64| sorted[rank as usize - 1];
        Ok(QuantileInterval {
            estimate: ranked(middle),
            low: ranked(r),
            high: ranked(s),
            ranks: (r, s),
            coverage: 1.0 - binomial.cdf(r - 1) - binomial.sf(s - 1),
        })
    }
}

/// The smallest k in 0..=n of which `holds` is true; it holds from there on, and of n.
fn first(n: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}
