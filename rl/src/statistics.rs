//! How sure the numbers of a few runs are (Agarwal et al., *Deep Reinforcement Learning at the Edge of the Statistical
//! Precipice*, NeurIPS 2021).

use serde::{Deserialize, Serialize};

use crate::chance::{BOOTSTRAP, Chance};

/// A number and the interval it lies in with a probability of 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Scores by task and run; tasks are the strata that runs are resampled within.
pub type Scores<'a> = &'a [Vec<f64>];

/// Interquartile mean: of the middle half of the values, those at its ends counting in part.
pub fn iqm(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let cut = sorted.len() as f64 / 4.0;
    let weight = |at: usize| {
        // How much of the unit interval at..at+1 lies within cut..n - cut.
        let (low, high) = (cut.max(at as f64), (sorted.len() as f64 - cut).min(at as f64 + 1.0));
        (high - low).max(0.0)
    };
    let sum: f64 = sorted.iter().enumerate().map(|(at, value)| weight(at) * value).sum();
    sum / (sorted.len() as f64 / 2.0)
}

/// Mean.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Share of the values above `level`: one point of a performance profile.
pub fn above(values: &[f64], level: f64) -> f64 {
    values.iter().filter(|&&value| value > level).count() as f64 / values.len() as f64
}

/// A statistic of all scores, with the percentile interval of `resamples` stratified bootstraps: within each task, runs
/// are drawn with replacement.
pub fn stratified(
    scores: Scores<'_>,
    statistic: impl Fn(&[f64]) -> f64,
    resamples: usize,
    seed: u64,
) -> Estimate {
    let all: Vec<f64> = scores.iter().flatten().copied().collect();
    let mut chance = Chance::new(seed, BOOTSTRAP);
    let mut sample = Vec::with_capacity(all.len());
    let drawn = (0..resamples).map(|_| {
        sample.clear();
        for runs in scores {
            sample.extend((0..runs.len()).map(|_| runs[chance.below(runs.len())]));
        }
        statistic(&sample)
    });
    interval(statistic(&all), drawn.collect())
}

/// Probability that a run of X scores above a run of Y, ties counting half, mean over the tasks (Mann and Whitney's U).
pub fn improvement(x: Scores<'_>, y: Scores<'_>, resamples: usize, seed: u64) -> Estimate {
    let above = |x: &[f64], y: &[f64]| {
        let wins: f64 = x
            .iter()
            .flat_map(|x| y.iter().map(move |y| if x > y { 1.0 } else { 0.5 * f64::from(u8::from(x == y)) }))
            .sum();
        wins / (x.len() * y.len()) as f64
    };
    let over = |x: Scores<'_>, y: Scores<'_>| {
        x.iter().zip(y).map(|(x, y)| above(x, y)).sum::<f64>() / x.len().max(1) as f64
    };
    let mut chance = Chance::new(seed, BOOTSTRAP);
    let mut again = |scores: Scores<'_>| -> Vec<Vec<f64>> {
        let resampled = |runs: &Vec<f64>| runs.iter().map(|_| runs[chance.below(runs.len())]).collect();
        scores.iter().map(resampled).collect()
    };
    let drawn = (0..resamples).map(|_| over(&again(x), &again(y))).collect();
    interval(over(x, y), drawn)
}

fn interval(value: f64, mut drawn: Vec<f64>) -> Estimate {
    drawn.sort_by(f64::total_cmp);
    let at = |q: f64| {
        let last = drawn.len().saturating_sub(1);
        drawn.get((q * last as f64).round() as usize).copied().unwrap_or(value)
    };
    Estimate { value, low: at(0.025), high: at(0.975) }
}
