//! Several environments side by side.

use crate::chance::{Chance, ENVIRONMENT, SEEDS};
use crate::environment::{Environment, Step};

/// What happens to an environment of a batch whose episode is over (Gymnasium's `AutoresetMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Autoreset {
    /// The next step resets it: that step's action is ignored, its reward is zero, and what it shows is the first
    /// observation of the new episode. Such a step is no transition; [`Batch::is_first`] tells it apart.
    NextStep,
    /// The same step resets it: it shows the first observation of the new episode, and [`Batch::last`] keeps the
    /// last one of the old.
    SameStep,
    /// Nothing: [`Batch::begin`] it.
    Disabled,
}

/// Copies of an environment, each with chance of its own.
#[derive(Debug, Clone)]
pub struct Batch<E: Environment> {
    environments: Vec<E>,
    mode: Autoreset,
    steps: Vec<Step<E::Observation>>,
    last: Vec<Option<E::Observation>>,
    first: Vec<bool>,
}

impl<E: Environment> Batch<E> {
    /// `count` copies, not begun yet.
    ///
    /// # Panics
    /// If there are none.
    pub fn new(environment: &E, count: usize, mode: Autoreset) -> Self {
        assert!(count > 0, "a batch has at least one environment");
        let mut environments = vec![environment.clone(); count];
        for (index, environment) in environments.iter_mut().enumerate() {
            *environment.chance() = Chance::new(Self::seed_of(0, index), ENVIRONMENT);
        }
        Batch { environments, mode, steps: Vec::new(), last: vec![None; count], first: vec![true; count] }
    }

    /// The seed of one environment of a batch: of a stream of its own, so that neither neighbours nor batches
    /// whose seeds are neighbours share chance, as they do where environment i gets seed + i.
    pub fn seed_of(seed: u64, index: usize) -> u64 {
        let mut chance = Chance::new(seed, SEEDS + ((index as u64) << 8));
        chance.bits()
    }

    /// Begins an episode everywhere.
    pub fn reset(&mut self, seed: Option<u64>) -> &[Step<E::Observation>] {
        self.reset_each(|index| seed.map(|seed| Self::seed_of(seed, index)))
    }

    /// Begins an episode everywhere, under seeds of one's choice.
    pub fn reset_each(&mut self, seed: impl Fn(usize) -> Option<u64>) -> &[Step<E::Observation>] {
        self.steps.clear();
        for (index, environment) in self.environments.iter_mut().enumerate() {
            self.steps.push(began(environment.reset(seed(index))));
        }
        self.last.fill(None);
        self.first.fill(true);
        &self.steps
    }

    /// Begins an episode in one of them.
    ///
    /// # Panics
    /// Before [`Batch::reset`]; if there is no such environment.
    pub fn begin(&mut self, index: usize, seed: Option<u64>) -> &Step<E::Observation> {
        self.steps[index] = began(self.environments[index].reset(seed));
        self.first[index] = true;
        &self.steps[index]
    }

    /// What the environments show now; empty before [`Batch::reset`].
    pub fn steps(&self) -> &[Step<E::Observation>] {
        &self.steps
    }

    /// One step everywhere.
    ///
    /// # Panics
    /// If there are not as many actions as environments; before [`Batch::reset`]; with [`Autoreset::Disabled`] if
    /// an episode is over.
    pub fn step(&mut self, actions: &[usize]) -> &[Step<E::Observation>] {
        assert_eq!(actions.len(), self.environments.len(), "one action an environment");
        assert_eq!(self.steps.len(), self.environments.len(), "reset comes before the first step");
        for (index, (environment, &action)) in self.environments.iter_mut().zip(actions).enumerate() {
            let step = &mut self.steps[index];
            self.first[index] = false;
            if step.over() && self.mode != Autoreset::SameStep {
                assert!(self.mode == Autoreset::NextStep, "the episode of environment {index} is over");
                *step = began(environment.begin());
                self.first[index] = true;
                continue;
            }
            *step = environment.step(action);
            if step.over() && self.mode == Autoreset::SameStep {
                let first = environment.begin();
                self.last[index] = Some(std::mem::replace(&mut step.observation, first));
            }
        }
        &self.steps
    }

    /// Whether what an environment shows now begins an episode and no step led to it.
    pub fn is_first(&self, index: usize) -> bool {
        self.first[index]
    }

    /// With [`Autoreset::SameStep`] the last observation of the last episode that ended.
    pub fn last(&self, index: usize) -> Option<&E::Observation> {
        self.last[index].as_ref()
    }

    /// The environments.
    pub fn environments(&self) -> &[E] {
        &self.environments
    }
}

fn began<O>(observation: O) -> Step<O> {
    Step { observation, reward: 0.0, terminated: false, truncated: false }
}
