//! What a training tells: rows for programs, lines for people.

use anyhow::{Result, bail};
use serde::Serialize;
use splitscale_rl::statistics::{iqm, mean, stratified};
use splitscale_rl::{FittedCurves, LearningPoint, Optimum, TrainConfig};

use super::seeds::Learnt;

/// Bootstraps of an interval.
const RESAMPLES: usize = 1_000;
/// Fewest seeds that an interval is told of: of fewer, resampling knows too little.
const SEEDS_MIN: usize = 5;
/// Most rows of `learning.csv`; `seeds.csv` has them all.
const ROWS_MAX: usize = 500;

/// A row of `seeds.csv`.
#[derive(Serialize)]
pub struct SeedRow {
    seed: u64,
    episode: u64,
    steps: u64,
    mean_return: f64,
    regret: Option<f64>,
    greedy_return: Option<f64>,
}

/// A row of `learning.csv`: over the seeds, interquartile means, and from five seeds on 95 % bootstrap intervals.
#[derive(Serialize)]
pub struct CurveRow {
    episode: u64,
    seeds: usize,
    mean_return: f64,
    return_low: Option<f64>,
    return_high: Option<f64>,
    regret: Option<f64>,
    regret_low: Option<f64>,
    regret_high: Option<f64>,
    optimum_return: Option<f64>,
}

/// A seed in `training.json`.
#[derive(Serialize)]
pub struct Seed {
    seed: u64,
    episodes: u64,
    steps: u64,
    last_return: Option<f64>,
    last_regret: Option<f64>,
    last_greedy_return: Option<f64>,
    best_episode: u64,
    best_return: Option<f64>,
    best_regret: Option<f64>,
    best_greedy_return: Option<f64>,
    diverged: Option<String>,
}

impl Seed {
    /// Of what came of it.
    pub fn of<V>(learnt: &Learnt<V>) -> Seed {
        let last = learnt.curve.last();
        let best = learnt.curve.iter().find(|point| point.episode == learnt.best_episode);
        Seed {
            seed: learnt.seed,
            episodes: last.map_or(0, |point| point.episode),
            steps: last.map_or(0, |point| point.steps),
            last_return: last.map(|point| point.mean_return),
            last_regret: last.and_then(|point| point.regret),
            last_greedy_return: last.and_then(|point| point.greedy_return),
            best_episode: learnt.best_episode,
            best_return: best.map(|point| point.mean_return),
            best_regret: best.and_then(|point| point.regret),
            best_greedy_return: best.and_then(|point| point.greedy_return),
            diverged: learnt.diverged.clone(),
        }
    }
}

/// The seed with the highest score at its best. The first of equals.
pub fn best<V>(learnt: &[Learnt<V>]) -> Result<&Learnt<V>> {
    let score = |learnt: &Learnt<V>| {
        let at = learnt.curve.iter().find(|point| point.episode == learnt.best_episode);
        at.map(LearningPoint::score)
    };
    let mut found: Option<(&Learnt<V>, f64)> = None;
    for learnt in learnt.iter().filter(|learnt| learnt.diverged.is_none()) {
        if let Some(score) = score(learnt)
            && found.is_none_or(|(_, best)| score > best)
        {
            found = Some((learnt, score));
        }
    }
    match found {
        Some((learnt, _)) => Ok(learnt),
        None => bail!("every seed diverged; lower settings.step_size, or the discount"),
    }
}

/// Rows of a seed.
pub fn rows<V>(learnt: &Learnt<V>) -> impl Iterator<Item = SeedRow> {
    learnt.curve.iter().map(|point| SeedRow {
        seed: learnt.seed,
        episode: point.episode,
        steps: point.steps,
        mean_return: point.mean_return,
        regret: point.regret,
        greedy_return: point.greedy_return,
    })
}

/// Rows of all seeds together, as far as all that did not diverge go.
pub fn curve<V>(learnt: &[Learnt<V>], optimum_return: Option<f64>) -> Vec<CurveRow> {
    let whole: Vec<&Learnt<V>> = learnt.iter().filter(|learnt| learnt.diverged.is_none()).collect();
    let points = whole.iter().map(|learnt| learnt.curve.len()).min().unwrap_or(0);
    let every = points.div_ceil(ROWS_MAX).max(1);
    let row = |at: usize| {
        let returns = Over::of(whole.iter().map(|learnt| learnt.curve[at].mean_return).collect());
        let regrets: Option<Vec<f64>> = whole.iter().map(|learnt| learnt.curve[at].regret).collect();
        let regrets = regrets.map(Over::of);
        CurveRow {
            // Bandits stop when they know: then the most that any took.
            episode: whole.iter().map(|learnt| learnt.curve[at].episode).max().unwrap_or(0),
            seeds: whole.len(),
            mean_return: returns.value,
            return_low: returns.interval.map(|ends| ends.0),
            return_high: returns.interval.map(|ends| ends.1),
            regret: regrets.map(|regret| regret.value),
            regret_low: regrets.and_then(|regret| regret.interval).map(|ends| ends.0),
            regret_high: regrets.and_then(|regret| regret.interval).map(|ends| ends.1),
            optimum_return,
        }
    };
    // The last row is always there.
    (0..points).filter(|at| (points - 1 - at).is_multiple_of(every)).map(row).collect()
}

/// A number over the seeds.
#[derive(Clone, Copy)]
struct Over {
    value: f64,
    interval: Option<(f64, f64)>,
}

impl Over {
    fn of(values: Vec<f64>) -> Over {
        if values.len() < SEEDS_MIN {
            return Over { value: iqm(&values), interval: None };
        }
        let estimate = stratified(&[values], iqm, RESAMPLES, 1);
        Over { value: estimate.value, interval: Some((estimate.low, estimate.high)) }
    }

    fn told(self, unit: f64) -> String {
        let ends = self.interval.map(|(low, high)| format!(" ({:.4} .. {:.4})", unit * low, unit * high));
        format!("{:.4}{}", unit * self.value, ends.unwrap_or_default())
    }
}

/// Pods by slots, beside the optimum.
pub fn levels(curves: &FittedCurves, greedy: &[usize], optimum: &Optimum) {
    println!("{:>6} {:>7} {:>8} {:>10} {:>10}", "slots", "learnt", "optimum", "gap to 2nd", "regret");
    let regrets = optimum.regret_by_level(greedy);
    for ((level, &action), regret) in optimum.levels.iter().zip(greedy).zip(regrets) {
        let gap = level.second.map_or_else(|| "-".into(), |second| format!("{:.6}", second.gap));
        let learnt = curves.times().pods()[action];
        println!("{:>6} {learnt:>7} {:>8} {gap:>10} {:>9.4}%", level.slots, level.pods, regret * 100.0);
    }
}

/// What all seeds came to at their ends.
pub fn summary<V>(config: &TrainConfig, learnt: &[Learnt<V>], optimum_return: Option<f64>) {
    let whole: Vec<&Learnt<V>> = learnt.iter().filter(|learnt| learnt.diverged.is_none()).collect();
    let last = |of: fn(&LearningPoint) -> Option<f64>| -> Vec<f64> {
        whole.iter().filter_map(|learnt| learnt.curve.last().and_then(of)).collect()
    };
    let (returns, regrets) = (last(|point| Some(point.mean_return)), last(|point| point.regret));
    let played = mean(&last(|point| Some(point.episode as f64)));
    let seeds = match &whole[..] {
        [one] => format!("seed {}", one.seed),
        all => {
            format!("{} seeds; interquartile means, with 95 % intervals from {SEEDS_MIN} seeds on", all.len())
        }
    };
    println!("{}, {played:.0} episodes, {seeds}:", config.algorithm.name());
    if regrets.len() == whole.len() {
        let without = regrets.iter().filter(|regret| regret.abs() < 1e-12).count();
        println!(
            "  regret {} %, mean {:.4} %; none at {without} of {} seeds",
            Over::of(regrets.clone()).told(100.0),
            100.0 * mean(&regrets),
            whole.len()
        );
    }
    let optimum = optimum_return.map_or(String::new(), |best| format!(" (the exact optimum's: {best:.4})"));
    println!("  mean return {}{optimum}", Over::of(returns).told(1.0));
    let greedy = last(|point| point.greedy_return);
    if !greedy.is_empty() {
        let best = whole.iter().filter_map(|learnt| Seed::of(learnt).best_greedy_return).collect();
        let (greedy, best) = (Over::of(greedy).told(1.0), Over::of(best).told(1.0));
        println!("  greedy return over {} episodes {greedy}, at the best {best}", config.length.evaluate);
    }
    let lost = learnt.len() - whole.len();
    if lost > 0 {
        println!("  {lost} of {} seeds diverged; training.json says how", learnt.len());
    }
}
