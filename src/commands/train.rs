//! `splitscale train`: a calibration in; a policy out, beside the exact optimum.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use splitscale_rl::{
    FittedCurves, LearningPoint, Optimum, QLearningConfig, QTable, RewardConfig, TimeTable, Trained,
};
use splitscale_spec::Calibration;

use crate::cli::{Train, TrainSettings};
use crate::files;

/// A training run as it is written down. Every key may be left out.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TrainConfig {
    seed: u64,
    q_learning: QLearningConfig,
    reward: RewardConfig,
}

impl Default for TrainConfig {
    fn default() -> Self {
        TrainConfig { seed: 1, q_learning: QLearningConfig::default(), reward: RewardConfig::default() }
    }
}

/// A row of `learning.csv`.
#[derive(Debug, Serialize)]
struct CurveRow {
    episode: u64,
    mean_return: f64,
    regret: Option<f64>,
    optimum_return: f64,
}

impl CurveRow {
    fn of(point: &LearningPoint, optimum_return: f64) -> Self {
        let &LearningPoint { episode, mean_return, regret } = point;
        CurveRow { episode, mean_return, regret, optimum_return }
    }
}

/// What a run gave.
pub struct Outcome {
    /// The curves it was trained on.
    pub curves: FittedCurves,
    /// What was learnt.
    pub trained: Trained,
    /// The exact optimum.
    pub optimum: Optimum,
}

/// Trains, prints the policy beside the optimum, writes the policy and the learning curve.
pub fn run(args: &Train) -> Result<Outcome> {
    let calibration: Calibration = files::read_json(&args.calibration, Calibration::SCHEMA)?;
    let curves = TimeTable::from_calibration(&calibration);
    let curves = curves.with_context(|| format!("{} cannot be trained on", args.calibration.display()))?;
    let config = settings(args.config.as_deref(), &args.settings)?;
    let mut environment = FittedCurves::new(curves, config.reward)?;
    let optimum = Optimum::of(&environment);
    let regret = |table: &QTable| Some(optimum.regret(&table.greedy()));
    let trained = splitscale_rl::train(&mut environment, &config.q_learning, config.seed, regret)
        .context("q_learning")?;
    files::write_json(&args.out, &splitscale_rl::to_policy(&environment, &trained))?;
    if let Some(path) = &args.curve {
        let optimum_return = -optimum.cost;
        files::write_csv(
            path,
            trained.learning_curve.iter().map(|point| CurveRow::of(point, optimum_return)),
        )?;
    }
    print(&environment, &trained, &optimum);
    Ok(Outcome { curves: environment, trained, optimum })
}

/// The file's settings, or the defaults; what was typed wins.
fn settings(file: Option<&Path>, typed: &TrainSettings) -> Result<TrainConfig> {
    let mut config = file.map_or_else(|| Ok(TrainConfig::default()), files::read_toml)?;
    let learning = &mut config.q_learning;
    let reward = &mut config.reward;
    for (to, from) in [
        (&mut learning.learning_rate, typed.learning_rate),
        (&mut learning.discount, typed.discount),
        (&mut learning.exploration, typed.exploration),
        (&mut reward.alpha, typed.alpha),
        (&mut reward.k_time, typed.k_time),
        (&mut reward.k_pods, typed.k_pods),
    ] {
        *to = from.unwrap_or(*to);
    }
    learning.episodes = typed.episodes.unwrap_or(learning.episodes);
    config.seed = typed.seed.unwrap_or(config.seed);
    Ok(config)
}

fn print(curves: &FittedCurves, trained: &Trained, optimum: &Optimum) {
    println!("{:>6} {:>7} {:>8} {:>10} {:>10}", "slots", "learnt", "optimum", "gap to 2nd", "regret");
    let regrets = optimum.regret_by_level(&trained.greedy);
    for ((level, &action), regret) in optimum.levels.iter().zip(&trained.greedy).zip(regrets) {
        let gap = level.second.map_or_else(|| "-".into(), |second| format!("{:.6}", second.gap));
        let learnt = curves.times().pods()[action];
        println!("{:>6} {learnt:>7} {:>8} {gap:>10} {:>9.4}%", level.slots, level.pods, regret * 100.0);
    }
    let regret = optimum.regret(&trained.greedy) * 100.0;
    println!(
        "q-learning, {} episodes, seed {}: regret {regret:.4} % of the exact optimum's cost {:.4}",
        trained.config.episodes, trained.seed, optimum.cost
    );
}
