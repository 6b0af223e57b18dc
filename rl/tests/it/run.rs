//! Runs: their curves, ends of episodes, determinism, resuming, divergence, settings.

use splitscale_rl::classic::cliff_walking;
use splitscale_rl::{
    Agent, Chance, DoubleQ, DynaQ, Environment, ExpectedSarsa, Length, MonteCarlo, NStepSarsa, Played,
    QLearning, QTable, Run, Sarsa, SarsaLambda, Schedule, Settings, Space, Step, Ties, Values,
};

use crate::{demo, greedy, learn, table, table_of};

/// One state, one action, a reward; ends after one step in the given way.
#[derive(Clone)]
struct OneStep {
    terminated: bool,
    reward: f64,
    chance: Chance,
}

impl OneStep {
    fn new(terminated: bool, reward: f64) -> Self {
        OneStep { terminated, reward, chance: Chance::new(0, 0) }
    }
}

impl Environment for OneStep {
    type Observation = usize;

    fn observation_space(&self) -> Space {
        Space::Discrete(1)
    }

    fn action_space(&self) -> Space {
        Space::Discrete(1)
    }

    fn actions(&self) -> usize {
        1
    }

    fn chance(&mut self) -> &mut Chance {
        &mut self.chance
    }

    fn begin(&mut self) -> usize {
        0
    }

    fn step(&mut self, _action: usize) -> Step<usize> {
        let reward = self.reward;
        Step { observation: 0, reward, terminated: self.terminated, truncated: !self.terminated }
    }
}

fn value_after<A: Agent<OneStep, Values = QTable>>(agent: A, terminated: bool) -> f64 {
    let mut run =
        Run::new(agent, Length { episodes: 2_000, record_every: 100, ..Length::default() }, 0).unwrap();
    run.finish(&mut OneStep::new(terminated, 1.0), |_| None).unwrap();
    run.agent.values().row(0)[0]
}

#[test]
fn termination_ends_the_future_and_truncation_does_not_for_every_agent() {
    let settings = Settings { discount: 0.5, ..Settings::default() };
    for terminated in [true, false] {
        // q = 1, or q = 1 + 0.5 q.
        let expected = if terminated { 1.0 } else { 2.0 };
        let q = || QTable::filled(1, 1, 0.0);
        for (name, value) in [
            ("q-learning", value_after(QLearning::new(q(), &settings, 1).unwrap(), terminated)),
            ("sarsa", value_after(Sarsa::new(q(), &settings, 1).unwrap(), terminated)),
            ("expected sarsa", value_after(ExpectedSarsa::new(q(), &settings, 1).unwrap(), terminated)),
            ("double q", value_after(DoubleQ::new(q(), &settings, 1).unwrap(), terminated)),
            ("n-step sarsa", value_after(NStepSarsa::new(q(), 3, &settings, 1).unwrap(), terminated)),
            ("sarsa(lambda)", value_after(SarsaLambda::new(q(), 0.9, &settings, 1).unwrap(), terminated)),
            ("dyna-q", value_after(DynaQ::new(q(), 3, &settings, 1).unwrap(), terminated)),
            ("monte carlo", value_after(MonteCarlo::new(q(), &settings, 1).unwrap(), terminated)),
        ] {
            assert!((value - expected).abs() < 1e-9, "{name}, terminated {terminated}: {value}");
        }
    }
}

#[test]
fn the_discount_does_not_enter_a_terminated_target() {
    let curves = demo();
    let with = |discount| {
        let run = learn(&curves, &Settings { discount, ..Settings::default() }, Length::default(), 3);
        table(&run.agent).clone()
    };
    assert_eq!(with(0.0), with(0.9));
}

#[test]
fn the_learning_curve_covers_every_episode() {
    let curves = demo();
    let length = Length { episodes: 1_050, record_every: 100, ..Length::default() };
    let run = learn(&curves, &Settings::default(), length, 5);
    let episodes: Vec<u64> = run.curve.iter().map(|point| point.episode).collect();
    assert_eq!(episodes, [100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000, 1_050]);

    // The same agent by hand: the means weighted by their windows are the mean of all returns.
    let mut environment = curves.clone();
    let settings = Settings::default();
    let mut agent = QLearning::new(table_of(&curves, &settings), &settings, 5).unwrap();
    environment.reset(Some(5));
    *environment.chance() = Chance::new(5, 0);
    let returns: Vec<f64> = (0..1_050).map(|_| agent.episode(&mut environment).total).collect();
    for (window, point) in returns.chunks(100).zip(&run.curve) {
        assert_eq!(point.mean_return, window.iter().sum::<f64>() / window.len() as f64);
    }
    assert_eq!(table(&agent), table(&run.agent));

    // It learns: the last windows earn more than the first, and the regret falls.
    let (first, last) = (run.curve[0], run.curve[9]);
    assert!(last.mean_return > first.mean_return && last.regret < first.regret, "{first:?} {last:?}");
    // The best is the earliest of those with the least regret.
    let least = run.curve.iter().map(|point| point.regret.unwrap()).fold(f64::INFINITY, f64::min);
    let earliest = run.curve.iter().find(|point| point.regret == Some(least)).unwrap();
    assert_eq!(run.best.as_ref().unwrap().episode, earliest.episode);
}

#[test]
fn recording_changes_nothing_that_is_learnt() {
    let curves = demo();
    let with = |record_every| {
        let length = Length { record_every, ..Length::default() };
        table(&learn(&curves, &Settings::default(), length, 7).agent).clone()
    };
    assert_eq!(with(1), with(1_000_000));
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let curves = demo();
    let run = |seed| {
        let run = learn(&curves, &Settings::default(), Length::default(), seed);
        splitscale_policy::document_hash(&(table(&run.agent), &run.curve))
    };
    assert_eq!(run(11), run(11));
    assert_ne!(run(11), run(12));
}

/// Goes on from what was written down half way, and must come to the same bytes as the run that was not interrupted.
fn resumed<A>(agent: A)
where
    A: Agent<Played> + serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    A::Values: PartialEq + std::fmt::Debug,
{
    let length = Length { episodes: 60, record_every: 10, ..Length::default() };
    let mut cliff = Played::new(cliff_walking());
    let mut whole = Run::<A, A::Values>::new(agent, length, 4).unwrap();
    let mut half = whole.clone();
    whole.finish(&mut cliff, |_| None).unwrap();
    for _ in 0..3 {
        half.go_on(&mut cliff, |_| None).unwrap();
    }
    let text = serde_json::to_string(&half).unwrap();
    let mut read: Run<A, A::Values> = serde_json::from_str(&text).unwrap();
    // Another environment, that has seen other things.
    let mut other = Played::new(cliff_walking());
    other.reset(Some(99));
    read.finish(&mut other, |_| None).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), serde_json::to_string(&whole).unwrap());
}

#[test]
fn a_run_that_was_written_down_goes_on_as_if_it_never_had_been() {
    let q = || QTable::filled(48, 4, 0.0);
    let settings = Settings {
        step_size: Schedule::Power { from: 0.5, exponent: 0.1 },
        exploration: Schedule::Linear { from: 0.3, to: 0.05, episodes: 40 },
        discount: 1.0,
        initial_q: 0.0,
        ties: Ties::Random,
    };
    resumed(QLearning::new(q(), &settings, 1).unwrap());
    resumed(Sarsa::new(q(), &settings, 1).unwrap());
    resumed(ExpectedSarsa::new(q(), &settings, 1).unwrap());
    resumed(DoubleQ::new(q(), &settings, 1).unwrap());
    resumed(NStepSarsa::new(q(), 4, &settings, 1).unwrap());
    resumed(SarsaLambda::new(q(), 0.9, &settings, 1).unwrap());
    resumed(DynaQ::new(q(), 5, &settings, 1).unwrap());
    resumed(MonteCarlo::new(q(), &settings, 1).unwrap());
}

#[test]
fn divergence_is_told_and_ends_the_run() {
    let mut settings = Settings { discount: 1.0, step_size: Schedule::Constant(1.0), ..Settings::default() };
    let grow = |settings: &Settings, reward| {
        let agent = QLearning::new(QTable::filled(1, 1, 0.0), settings, 0).unwrap();
        let mut run =
            Run::new(agent, Length { episodes: 400, record_every: 10, ..Length::default() }, 7).unwrap();
        run.finish(&mut OneStep::new(false, reward), |_| None).unwrap_err().to_string()
    };
    let said = grow(&settings, 6e98);
    assert!(said.starts_with("seed 7 diverged by episode 20: there is a value of 12000"), "{said}");
    settings.discount = 0.5;
    let said = grow(&settings, f64::NAN);
    assert!(said.contains("by episode 10: the episodes' returns add up to NaN"), "{said}");
}

#[test]
fn an_agent_and_its_environment_are_snapshots_when_cloned() {
    let mut environment = demo();
    let settings = Settings::default();
    let mut agent = QLearning::new(table_of(&environment, &settings), &settings, 2).unwrap();
    environment.reset(Some(2));
    for _ in 0..1_000 {
        agent.episode(&mut environment);
    }
    let (mut other_agent, mut other_environment) = (agent.clone(), environment.clone());
    for _ in 0..1_000 {
        assert_eq!(agent.episode(&mut environment), other_agent.episode(&mut other_environment));
    }
    assert_eq!(table(&agent), table(&other_agent));
}

#[test]
fn settings_out_of_range_are_named() {
    let problem = |settings: Settings| settings.validate().unwrap_err().to_string();
    let good = Settings::default;
    let constant = Schedule::Constant;
    assert!(good().validate().is_ok());
    assert_eq!(problem(Settings { step_size: constant(0.0), ..good() }), "step_size: 0 is not in (0, 1]");
    assert_eq!(problem(Settings { discount: 1.1, ..good() }), "discount: 1.1 is not in [0, 1]");
    assert_eq!(
        problem(Settings { exploration: constant(f64::NAN), ..good() }),
        "exploration: NaN is not in [0, 1]"
    );
    let line = Schedule::Linear { from: 1.0, to: -0.1, episodes: 5 };
    assert_eq!(
        problem(Settings { exploration: line, ..good() }),
        "exploration.linear.to: -0.1 is not in [0, 1]"
    );
    let line = Schedule::Linear { from: 1.0, to: 0.1, episodes: 0 };
    assert!(problem(Settings { step_size: line, ..good() }).starts_with("step_size.linear: over nothing"));
    let power = Schedule::Power { from: 1.0, exponent: 0.0 };
    assert!(
        problem(Settings { step_size: power, ..good() }).starts_with("step_size.power.exponent: 0 is not")
    );
    assert_eq!(
        problem(Settings { initial_q: f64::INFINITY, ..good() }),
        "initial_q: inf is not a finite number"
    );
    for length in
        [Length { episodes: 0, ..Length::default() }, Length { record_every: 0, ..Length::default() }]
    {
        assert!(length.validate().unwrap_err().to_string().ends_with("zero; it takes at least 1"));
    }
    let q = || QTable::filled(1, 1, 0.0);
    assert!(NStepSarsa::new(q(), 0, &good(), 0).unwrap_err().to_string().starts_with("n: 0 is not"));
    assert!(SarsaLambda::new(q(), 1.5, &good(), 0).unwrap_err().to_string().starts_with("lambda: 1.5"));
}

#[test]
fn settings_are_read_with_defaults_and_unknown_keys_are_refused() {
    let read = toml::from_str::<Settings>;
    assert_eq!(read("discount = 0.5").unwrap(), Settings { discount: 0.5, ..Settings::default() });
    let line = read("exploration = { linear = { from = 1, to = 0.1, episodes = 50 } }").unwrap();
    assert_eq!(line.exploration, Schedule::Linear { from: 1.0, to: 0.1, episodes: 50 });
    assert_eq!(line.exploration.at(25), 0.55);
    assert_eq!(line.exploration.at(1_000), 0.1);
    let power = read("step_size = { power = { from = 1.0, exponent = 0.5 } }").unwrap().step_size;
    assert!((power.at(3) - 0.5).abs() < 1e-15);
    for (text, words) in [
        ("epsilon = 0.1", "unknown field `epsilon`"),
        ("step_size = { step = 0.1 }", "unknown field `step`"),
        ("step_size = \"fast\"", "a number, { linear"),
        ("step_size = { linear = { from = 1.0, to = 0.1 } }", "missing field `episodes`"),
    ] {
        let problem = read(text).unwrap_err().to_string();
        assert!(problem.contains(words), "{problem}");
    }
    let problem = toml::from_str::<splitscale_rl::RewardConfig>("beta = 0.1").unwrap_err().to_string();
    assert!(problem.contains("unknown field `beta`"), "{problem}");
}

#[test]
fn the_greedy_actions_are_the_first_of_the_best() {
    let mut q = QTable::filled(2, 3, 0.0);
    q.add(1, 2, 1.0);
    assert_eq!(q.greedy(), [0, 2]);
    assert_eq!(q.best_of(1, |action| action < 2), (0, 0.0));
    assert_eq!(greedy(&learn(&demo(), &Settings::default(), Length::default(), 1)).len(), 4);
}
