//! Tests of splitscale-rl.

mod cliff;
mod exogenous;
mod export;
mod fitted_curves;
mod published;
mod q_learning;
mod regret;

use splitscale_rl::{FittedCurves, Optimum, QLearningConfig, RewardConfig, TimeTable, Trained, train};
use splitscale_spec::{Calibration, FittedPoint, Level, LevelStatus, Provenance};

/// A calibration with these times [s], one row a level.
fn calibration(slots: &[u32], pods: &[u32], times_s: &[Vec<f64>]) -> Calibration {
    let point = |(&pods, &time_s): (&u32, &f64)| FittedPoint {
        pods,
        repeats: 1,
        mean_s: time_s,
        sd_s: None,
        fitted_s: time_s,
        low_s: None,
        high_s: None,
    };
    let level = |(&slots, row): (&u32, &Vec<f64>)| Level {
        slots: Some(slots),
        status: LevelStatus::Insufficient,
        pods_min: pods[0],
        a: None,
        b: None,
        c: None,
        b_low: None,
        b_high: None,
        p_flat: None,
        p_lack: None,
        rmse_s: 0.0,
        points: pods.iter().zip(row).map(point).collect(),
    };
    Calibration {
        burst: None,
        schema: Calibration::SCHEMA,
        levels: slots.iter().zip(times_s).map(level).collect(),
        surface: None,
        laws: None,
        provenance: Provenance::default(),
    }
}

/// The demo's grid as expected from its service times: slots 1, 2, 4, 8 by pods 2, 4, 6, 8 [s].
fn demo() -> FittedCurves {
    let times_s = [
        vec![7.9, 7.9, 7.9, 7.9],
        vec![7.0, 4.3, 4.3, 4.3],
        vec![7.0, 3.8, 3.0, 2.6],
        vec![7.0, 3.7, 3.0, 2.3],
    ];
    let times = TimeTable::from_calibration(&calibration(&[1, 2, 4, 8], &[2, 4, 6, 8], &times_s)).unwrap();
    FittedCurves::new(times, RewardConfig::default()).unwrap()
}

/// Trains on a copy, with the regret in the learning curve.
fn learn(curves: &FittedCurves, config: &QLearningConfig, seed: u64) -> Trained {
    let optimum = Optimum::of(curves);
    train(&mut curves.clone(), config, seed, |table| Some(optimum.regret(&table.greedy()))).unwrap()
}
