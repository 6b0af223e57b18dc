//! What each agent comes to, against what is known exactly.

use splitscale_rl::classic::{cliff_walking, dyna_maze, frozen_lake, maximisation_bias};
use splitscale_rl::dynamic_programming::{Question, evaluate_for, value_iteration};
use splitscale_rl::{
    Agent, DoubleQ, DynaQ, ExpectedSarsa, Length, MonteCarlo, NStepSarsa, Played, QLearning, QTable, Run,
    Sarsa, SarsaLambda, Schedule, Settings, Ties, TimeLimit, Values,
};

use crate::follow;

fn settings(step_size: f64, exploration: f64, discount: f64) -> Settings {
    Settings {
        step_size: Schedule::Constant(step_size),
        exploration: Schedule::Constant(exploration),
        discount,
        ..Settings::default()
    }
}

#[test]
fn q_learning_agrees_with_value_iteration_everywhere() {
    let cliff = cliff_walking();
    let exact = value_iteration(&cliff, Question::of(0.9), 1e-14).unwrap();
    // The world is deterministic, so a step size of 1 is right, and random play comes everywhere.
    let agent = QLearning::new(QTable::filled(48, 4, 0.0), &settings(1.0, 1.0, 0.9), 1).unwrap();
    let mut run =
        Run::new(agent, Length { episodes: 1_000, record_every: 1_000, ..Length::default() }, 1).unwrap();
    run.finish(&mut Played::new(cliff), |_| None).unwrap();
    let q = Agent::<Played>::values(&run.agent);
    // The cliff and the goal are never acted in.
    for cell in 0..=36 {
        for action in 0..4 {
            let (learnt, exact) = (q.row(cell)[action], exact.q.row(cell)[action]);
            assert!((learnt - exact).abs() < 1e-9, "cell {cell} action {action}: {learnt} exact {exact}");
        }
    }
}

/// Whether what an agent learns on slippery ice, cut off after 100 steps, is nearly the best there is.
fn skates<A>(name: &str, step_size: f64, agent: impl Fn(QTable, &Settings, u64) -> A)
where
    A: Agent<TimeLimit<Played>, Values = QTable>,
{
    let lake = frozen_lake(true);
    let settings = Settings {
        step_size: Schedule::Linear { from: step_size, to: 0.01, episodes: 20_000 },
        exploration: Schedule::Linear { from: 1.0, to: 0.1, episodes: 15_000 },
        discount: 0.99,
        ..Settings::default()
    };
    let mut run = Run::new(
        agent(QTable::filled(16, 4, 0.0), &settings, 3),
        Length { episodes: 20_000, record_every: 20_000, ..Length::default() },
        3,
    )
    .unwrap();
    run.finish(&mut TimeLimit::new(Played::new(lake.clone()), 100), |_| None).unwrap();
    let policy = run.agent.values().greedy();
    let reached = evaluate_for(&lake, &policy, Question::of(1.0), 100).unwrap()[0];
    // The best that does not look at the clock reaches the goal in 74.0 % of the episodes.
    assert!(reached > 0.65, "{name}: {reached}");
}

#[test]
fn every_agent_learns_to_skate() {
    skates("q-learning", 0.2, |q, s, seed| QLearning::new(q, s, seed).unwrap());
    skates("sarsa", 0.2, |q, s, seed| Sarsa::new(q, s, seed).unwrap());
    skates("expected sarsa", 0.2, |q, s, seed| ExpectedSarsa::new(q, s, seed).unwrap());
    skates("double q", 0.2, |q, s, seed| DoubleQ::new(q, s, seed).unwrap());
    skates("n-step sarsa", 0.2, |q, s, seed| NStepSarsa::new(q, 3, s, seed).unwrap());
    skates("sarsa(lambda)", 0.2, |q, s, seed| SarsaLambda::new(q, 0.5, s, seed).unwrap());
    skates("dyna-q", 0.2, |q, s, seed| DynaQ::new(q, 2, s, seed).unwrap());
}

#[test]
fn sarsa_of_one_step_and_of_lambda_zero_and_n_of_one_are_the_same() {
    let world = || Played::new(cliff_walking());
    let settings = settings(0.5, 0.1, 1.0);
    let q = || QTable::filled(48, 4, 0.0);
    let mut sarsa = Sarsa::new(q(), &settings, 6).unwrap();
    let mut one = NStepSarsa::new(q(), 1, &settings, 6).unwrap();
    let mut lambda = SarsaLambda::new(q(), 0.0, &settings, 6).unwrap();
    let (mut a, mut b, mut c) = (world(), world(), world());
    for _ in 0..100 {
        let total = sarsa.episode(&mut a);
        assert_eq!(one.episode(&mut b), total);
        assert_eq!(lambda.episode(&mut c), total);
    }
    assert_eq!(Agent::<Played>::values(&sarsa), Agent::<Played>::values(&one));
}

#[test]
fn masks_are_kept_by_every_agent() {
    // In A eight of the ten actions do not exist.
    fn keeps<A: Agent<Played, Values = QTable>>(agent: A) {
        let mut run =
            Run::new(agent, Length { episodes: 500, record_every: 500, ..Length::default() }, 2).unwrap();
        run.finish(&mut Played::new(maximisation_bias(10)), |_| None).unwrap();
        assert!(run.agent.values().row(0)[2..].iter().all(|&value| value == 5.0), "they were never taken");
    }
    let settings = Settings { initial_q: 5.0, ..settings(0.1, 0.5, 1.0) };
    let q = || QTable::filled(2, 10, 5.0);
    keeps(QLearning::new(q(), &settings, 1).unwrap());
    keeps(Sarsa::new(q(), &settings, 1).unwrap());
    keeps(ExpectedSarsa::new(q(), &settings, 1).unwrap());
    keeps(DoubleQ::new(q(), &settings, 1).unwrap());
    keeps(NStepSarsa::new(q(), 2, &settings, 1).unwrap());
    keeps(SarsaLambda::new(q(), 0.9, &settings, 1).unwrap());
    keeps(DynaQ::new(q(), 3, &settings, 1).unwrap());
    keeps(MonteCarlo::new(q(), &settings, 1).unwrap());
}

#[test]
fn dyna_finds_its_way_through_the_maze_from_what_it_remembers() {
    // Nothing is rewarded before the goal: who always tries the first of equals stays in a corner.
    let settings = Settings { ties: Ties::Random, ..settings(0.1, 0.1, 0.95) };
    let ways: Vec<u32> = (0..10)
        .map(|seed| {
            let agent = DynaQ::new(QTable::filled(54, 4, 0.0), 50, &settings, seed).unwrap();
            let mut world = Played::new(dyna_maze());
            let mut run =
                Run::new(agent, Length { episodes: 100, record_every: 100, ..Length::default() }, seed)
                    .unwrap();
            run.finish(&mut world, |_| None).unwrap();
            follow(&mut world, Agent::<Played>::values(&run.agent), 100).0
        })
        .collect();
    // A detour of two that is found first may stay: nothing but exploration leaves it.
    assert!(ways.iter().all(|way| (14..=18).contains(way)), "{ways:?}");
    assert!(ways.iter().filter(|&&way| way == 14).count() >= 5, "{ways:?}");
}

#[test]
fn the_best_is_allowed_whatever_the_values_are() {
    for value in [f64::NAN, f64::NEG_INFINITY] {
        let mut table = QTable::filled(1, 3, value);
        assert_eq!(table.best_of(0, |action| action > 0), (1, f64::NEG_INFINITY));
        table.weights_mut()[2] = -1.0;
        assert_eq!(table.best_of(0, |action| action > 0), (2, -1.0));
    }
}
