//! The agent by itself: ends of episodes, the learning curve, determinism, settings.

use splitscale_rl::{Environment, QLearning, QLearningConfig, Step, train};

use crate::{demo, learn};

/// One state, one action, reward 1; ends after one step in the given way.
#[derive(Clone)]
struct OneStep {
    terminated: bool,
}

impl Environment for OneStep {
    fn states(&self) -> usize {
        1
    }

    fn actions(&self) -> usize {
        1
    }

    fn reset(&mut self, _seed: Option<u64>) -> usize {
        0
    }

    fn step(&mut self, _action: usize) -> Step {
        Step { observation: 0, reward: 1.0, terminated: self.terminated, truncated: !self.terminated }
    }
}

#[test]
fn termination_ends_the_future_and_truncation_does_not() {
    let config = QLearningConfig { discount: 0.5, episodes: 2_000, ..QLearningConfig::default() };
    let value =
        |terminated| train(&mut OneStep { terminated }, &config, 0, |_| None).unwrap().table.row(0)[0];
    assert!((value(true) - 1.0).abs() < 1e-9);
    // q = 1 + 0.5 q
    assert!((value(false) - 2.0).abs() < 1e-9);
}

#[test]
fn the_discount_does_not_enter_a_terminated_target() {
    let curves = demo();
    let with =
        |discount| learn(&curves, &QLearningConfig { discount, ..QLearningConfig::default() }, 3).table;
    assert_eq!(with(0.0), with(0.9));
}

#[test]
fn the_learning_curve_covers_every_episode() {
    let curves = demo();
    let config = QLearningConfig { episodes: 1_050, record_every: 100, ..QLearningConfig::default() };
    let trained = learn(&curves, &config, 5);
    let episodes: Vec<u64> = trained.learning_curve.iter().map(|point| point.episode).collect();
    assert_eq!(episodes, [100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000, 1_050]);

    // The same agent by hand: the means weighted by their windows are the mean of all returns.
    let mut environment = curves.clone();
    let mut agent = QLearning::new(&config, &environment, 5).unwrap();
    environment.reset(Some(5));
    let returns: Vec<f64> = (0..1_050).map(|_| agent.episode(&mut environment)).collect();
    for (window, point) in returns.chunks(100).zip(&trained.learning_curve) {
        assert_eq!(point.mean_return, window.iter().sum::<f64>() / window.len() as f64);
    }
    assert_eq!(agent.table(), &trained.table);

    // It learns: the last windows earn more than the first, and the regret falls.
    let (first, last) = (trained.learning_curve[0], trained.learning_curve[9]);
    assert!(last.mean_return > first.mean_return && last.regret < first.regret, "{first:?} {last:?}");
}

#[test]
fn recording_changes_nothing_that_is_learnt() {
    let curves = demo();
    let with = |record_every| {
        let config = QLearningConfig { record_every, ..QLearningConfig::default() };
        learn(&curves, &config, 7).table
    };
    assert_eq!(with(1), with(1_000_000));
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let curves = demo();
    let run = |seed| splitscale_policy::document_hash(&learn(&curves, &QLearningConfig::default(), seed));
    assert_eq!(run(11), run(11));
    assert_ne!(run(11), run(12));
    // Committed, so that another platform or another version of a dependency shows.
    assert_eq!(run(11), "65cd5153645dfe87");
}

#[test]
fn an_agent_and_its_environment_are_snapshots_when_cloned() {
    let mut environment = demo();
    let mut agent = QLearning::new(&QLearningConfig::default(), &environment, 2).unwrap();
    environment.reset(Some(2));
    for _ in 0..1_000 {
        agent.episode(&mut environment);
    }
    let (mut other_agent, mut other_environment) = (agent.clone(), environment.clone());
    for _ in 0..1_000 {
        assert_eq!(agent.episode(&mut environment), other_agent.episode(&mut other_environment));
    }
    assert_eq!(agent.table(), other_agent.table());
}

#[test]
fn settings_out_of_range_are_named() {
    let problem = |config: QLearningConfig| config.validate().unwrap_err().to_string();
    let good = QLearningConfig::default;
    assert!(good().validate().is_ok());
    assert_eq!(
        problem(QLearningConfig { learning_rate: 0.0, ..good() }),
        "learning_rate: 0 is not in (0, 1]"
    );
    assert_eq!(problem(QLearningConfig { discount: 1.1, ..good() }), "discount: 1.1 is not in [0, 1]");
    assert_eq!(
        problem(QLearningConfig { exploration: f64::NAN, ..good() }),
        "exploration: NaN is not in [0, 1]"
    );
    assert_eq!(problem(QLearningConfig { episodes: 0, ..good() }), "episodes: zero; it takes at least 1");
    assert_eq!(
        problem(QLearningConfig { record_every: 0, ..good() }),
        "record_every: zero; it takes at least 1"
    );
    assert_eq!(
        problem(QLearningConfig { initial_q: f64::INFINITY, ..good() }),
        "initial_q: inf is not a finite number"
    );
    let zero = QLearningConfig { episodes: 0, ..good() };
    assert!(train(&mut demo(), &zero, 0, |_| None).is_err());
}

#[test]
fn settings_are_read_with_defaults_and_unknown_keys_are_refused() {
    let config: QLearningConfig = toml::from_str("episodes = 5").unwrap();
    assert_eq!(config, QLearningConfig { episodes: 5, ..QLearningConfig::default() });
    let problem = toml::from_str::<QLearningConfig>("epsilon = 0.1").unwrap_err().to_string();
    assert!(problem.contains("unknown field `epsilon`"), "{problem}");
    let problem = toml::from_str::<splitscale_rl::RewardConfig>("beta = 0.1").unwrap_err().to_string();
    assert!(problem.contains("unknown field `beta`"), "{problem}");
}
