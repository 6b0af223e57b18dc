//! Why an episode of FittedCurves is one step: what the docs of it claim, run.

use splitscale_rl::{
    Chance, Environment, FittedCurves, Length, Optimum, QLearning, Run, Settings, Space, Step,
};

use crate::published::published;
use crate::{greedy, learn, table_of};

/// The same problem, but the episode is cut and not terminated, and the level seen after the step is a new
/// one: the target bootstraps through a level that no action moves.
#[derive(Clone)]
struct Bootstrapped(FittedCurves);

impl Environment for Bootstrapped {
    type Observation = usize;

    fn observation_space(&self) -> Space {
        self.0.observation_space()
    }

    fn action_space(&self) -> Space {
        self.0.action_space()
    }

    fn actions(&self) -> usize {
        self.0.actions()
    }

    fn chance(&mut self) -> &mut Chance {
        self.0.chance()
    }

    fn begin(&mut self) -> usize {
        self.0.begin()
    }

    fn step(&mut self, action: usize) -> Step<usize> {
        let step = self.0.step(action);
        Step { observation: self.0.begin(), terminated: false, truncated: true, ..step }
    }
}

#[test]
fn bootstrapping_through_the_drawn_level_learns_no_exact_policy() {
    let curves = published().0;
    let optimum = Optimum::of(&curves);
    let seeds = 100;
    let mut total = 0.0;
    for seed in 0..seeds {
        let mut environment = Bootstrapped(curves.clone());
        let settings = Settings::default();
        let agent = QLearning::new(table_of(&curves, &settings), &settings, seed).unwrap();
        let mut run = Run::new(agent, Length::default(), seed).unwrap();
        run.finish(&mut environment, |_| None).unwrap();
        assert_ne!(greedy(&run), optimum.actions(), "seed {seed}");
        // The mean over levels of (best reward - reward).
        total += optimum.regret(&greedy(&run)) * optimum.cost;
    }
    // Documented: 0.059, over 2000 seeds; the standard error over 100 is 0.0033.
    let mean = total / seeds as f64;
    assert!((0.046..0.072).contains(&mean), "mean regret a level {mean}");
}

#[test]
fn a_pessimistic_table_learns_no_exact_policy() {
    let curves = published().0;
    let optimum = Optimum::of(&curves);
    let settings = Settings { initial_q: -20.0, ..Settings::default() };
    for seed in 0..50 {
        let run = learn(&curves, &settings, Length::default(), seed);
        assert_ne!(greedy(&run), optimum.actions(), "seed {seed}");
    }
}
