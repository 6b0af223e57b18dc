//! A share of requests, counted in each of several seeds, and how far off it may be.

use anyhow::Result;
use splitscale_sim::analysis::Interval;

use super::candidate::Spread;

/// How sure an interval is: its confidence, and the two-sided quantile of the normal law that belongs to it.
#[derive(Debug, Clone, Copy)]
pub struct Sure {
    confidence: f64,
    z: f64,
}

/// As sure as all intervals of a plan are.
pub const USUAL: Sure = Sure { confidence: 0.95, z: 1.959_964 };
/// So sure that a candidate is given up for it.
pub const BEYOND_DOUBT: Sure = Sure { confidence: 0.999, z: 3.290_527 };

/// The share of all requests of all seeds, of `(hits, all)` each, with the wider of two intervals at either end.
///
/// Student's interval of one share a seed knows what the seeds differ by, and requests of one seed are like each other; but
/// where all seeds are alike, as near 1 they are, it has no width. Wilson's interval (1927) of the counts of all seeds
/// together knows how few requests there were: of n hits in n it begins at n / (n + z^2).
///
/// # Errors
/// As [`Interval::of`].
pub fn spread(counts: &[(u64, u64)], sure: Sure) -> Result<Spread> {
    let shares: Vec<f64> = counts.iter().map(|&(hits, all)| hits as f64 / (all as f64).max(1.0)).collect();
    let student = Interval::of(&shares, sure.confidence)?;
    let (hits, all) = counts.iter().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    let (low, high) = wilson(hits, all, sure.z);
    let value = hits as f64 / (all as f64).max(1.0);
    Ok(Spread {
        value,
        low: student.low().min(low).min(value).clamp(0.0, 1.0),
        high: student.high().max(high).max(value).clamp(0.0, 1.0),
    })
}

/// Wilson's score interval; of nothing it is everything.
fn wilson(hits: u64, all: u64, z: f64) -> (f64, f64) {
    if all == 0 {
        return (0.0, 1.0);
    }
    let (n, share) = (all as f64, hits as f64 / all as f64);
    let middle = share + z * z / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let whole = 1.0 + z * z / n;
    ((middle - half) / whole, (middle + half) / whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3.
    #[test]
    fn wilson_s_interval_is_that_of_the_literature() {
        for ((hits, all), (low, high)) in [
            ((81, 263), (0.2553, 0.3662)),
            ((15, 148), (0.0624, 0.1605)),
            ((0, 20), (0.0, 0.1611)),
            ((1, 29), (0.0061, 0.1718)),
        ] {
            let of = wilson(hits, all, USUAL.z);
            assert!((of.0 - low).abs() < 6e-5 && (of.1 - high).abs() < 6e-5, "{hits} of {all}: {of:?}");
        }
    }

    #[test]
    fn seeds_that_are_alike_are_as_sure_as_their_requests_are_many() {
        let (n, z) = (4.0 * 90.0, USUAL.z);
        let few = spread(&[(90, 90); 4], USUAL).unwrap();
        assert!((few.low - n / (n + z * z)).abs() < 1e-12 && few.high == 1.0 && few.value == 1.0, "{few:?}");
        // 90 requests in time say nothing of 0.9999, and neither do 89 of each 90 say that 0.99 is missed.
        assert!(few.low < 0.9999);
        let below = spread(&[(89, 90); 4], BEYOND_DOUBT).unwrap();
        assert!(below.value < 0.99 && below.high > 0.99, "{below:?}");
        // What the seeds differ by counts where it is more.
        let apart = spread(&[(900, 1000), (1000, 1000)], USUAL).unwrap();
        let half = 12.706_205 * 0.05; // t of one degree of freedom, and the error of the mean
        assert!((apart.low - (0.95 - half)).abs() < 1e-6 && apart.high == 1.0, "{apart:?}");
    }
}
