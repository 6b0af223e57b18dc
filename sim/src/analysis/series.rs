//! One run: values in the order of time, each depending on those before it.

use splitscale_spec::Invalid;

use super::interval::{Interval, Moments};
use super::{check_confidence, check_values};

/// What to delete from the start of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WarmUp {
    /// Values to delete, a multiple of 5 and at most half of them.
    pub delete: usize,
    /// A cut in the second half would have been better: the run had not settled by then; make it longer.
    pub too_short: bool,
}

/// The interval of the mean of one stationary run, by non-overlapping batch means: the run is cut into
/// `batches` of equal length, and their means are treated as independent. The few oldest values that fill no
/// batch are left out. 10 to 30 batches serve best: more gain little, and shorter ones are less independent
/// (Schmeiser, Batch size effects in the analysis of simulation output, Operations Research 30(3), 1982).
///
/// The interval is right if a batch is much longer than the run remembers. Delete the warm-up first.
///
/// # Errors
/// Fewer than two batches, fewer values than batches, a value that is not finite, a confidence outside (0, 1).
pub fn batch_means(series: &[f64], batches: usize, confidence: f64) -> Result<Interval, Invalid> {
    check_confidence(confidence)?;
    if batches < 2 {
        let problem = format!("{batches}; it takes at least 2, 10 to 30 serve best");
        return Err(Invalid::new("batches", problem));
    }
    check_values("series", series, batches)?;
    let length = series.len() / batches;
    let moments: Moments = series[series.len() - length * batches..].chunks_exact(length).map(mean).collect();
    Ok(moments.interval(confidence))
}

/// The warm-up of one run by MSER-5. With Z(1), ..., Z(k) the means of successive fives, it deletes the first d
/// fives, where d minimises
///
/// ```text
/// MSER(d) = 1 / (k - d)^2 * sum over j = d + 1, ..., k of (Z(j) - mean of Z(d + 1), ..., Z(k))^2
/// ```
///
/// over 0 <= d <= k / 2, the smallest of equals. It is the squared standard error of the mean of what is
/// left, were that independent: the variance and the number of values left both count, hence the square
/// (White, An effective truncation heuristic for bias reduction in simulation output, Simulation 69(6),
/// 1997; White, Cobb and Spratt, A comparison of five steady-state truncation heuristics for simulation,
/// Winter Simulation Conference 2000).
///
/// A cut in the second half is not made. Whether one were better is looked for without those that leave five
/// fives or fewer, of which the statistic is small by chance (Hoad, Robinson and Davies, Automating warm-up
/// length estimation, Journal of the Operational Research Society 61, 2010).
///
/// # Errors
/// Fewer than 10 values, a value that is not finite.
pub fn mser5(series: &[f64]) -> Result<WarmUp, Invalid> {
    check_values("series", series, 2 * FIVE)?;
    let fives: Vec<f64> = series.chunks_exact(FIVE).map(mean).collect();
    let latest = fives.len() / 2;
    let mut rest = Moments::default();
    let (mut best, mut cut, mut later) = (f64::INFINITY, 0, f64::INFINITY);
    // From the end, so that one pass has the moments of every remainder.
    for (d, five) in fives.iter().enumerate().rev() {
        rest.add(*five);
        let mser = rest.squares / (rest.n * rest.n) as f64;
        if d <= latest && mser <= best {
            (best, cut) = (mser, d);
        } else if d > latest && rest.n > 5 {
            later = later.min(mser);
        }
    }
    Ok(WarmUp { delete: cut * FIVE, too_short: later < best })
}

const FIVE: usize = 5;

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
