//! Tests of splitscale-rl.

mod agents;
mod bandit;
mod batch;
mod check;
mod dqn;
mod evaluate;
mod exact;
mod exogenous;
mod export;
mod fitted_curves;
mod problem;
mod published;
mod python;
mod referee;
mod regret;
mod replicated;
mod run;
mod scaling;
mod statistics;

use splitscale_rl::{
    Agent, Environment, FittedCurves, Length, Noise, Optimum, Played, QLearning, QTable, RewardConfig, Run,
    Settings, TimeTable, Values,
};
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
    FittedCurves::new(times, RewardConfig::default(), Noise::None).unwrap()
}

/// The run of Q-learning on a copy of the curves, with the regret in the learning curve.
fn learn(
    curves: &FittedCurves,
    settings: &Settings,
    length: Length,
    seed: u64,
) -> Run<QLearning<QTable>, QTable> {
    let optimum = Optimum::of(curves);
    let agent = QLearning::new(table_of(curves, settings), settings, seed).unwrap();
    let mut run = Run::new(agent, length, seed).unwrap();
    run.finish(&mut curves.clone(), |table| Some(optimum.regret(&table.greedy()))).unwrap();
    run
}

/// What a run of Q-learning came to.
fn greedy(run: &Run<QLearning<QTable>, QTable>) -> Vec<usize> {
    table(&run.agent).greedy()
}

fn table(agent: &QLearning<QTable>) -> &QTable {
    Agent::<FittedCurves>::values(agent)
}

/// A table for an environment of numbered states.
fn table_of<E: Environment<Observation = usize>>(environment: &E, settings: &Settings) -> QTable {
    let states = environment.observation_space().size().unwrap();
    QTable::filled(states, environment.actions(), settings.initial_q)
}

/// Follows the best actions from the start; the episode's length and return, cut off after `most` steps.
fn follow<V: Values<Observation = usize>>(world: &mut Played, values: &V, most: u32) -> (u32, f64) {
    let mut state = world.reset(None);
    let (mut steps, mut total) = (0, 0.0);
    while steps < most {
        let action = values.best_of(values.state(&state), |action| world.allows(action)).0;
        let step = world.step(action);
        (steps, total, state) = (steps + 1, total + step.reward, step.observation);
        if step.over() {
            break;
        }
    }
    (steps, total)
}
