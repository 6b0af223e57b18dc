//! Environments around environments.

use crate::chance::Chance;
use crate::environment::{Environment, Step};
use crate::space::Space;

/// Cuts every episode off after so many steps. What ends by itself at that very step is terminated and not
/// truncated.
#[derive(Debug, Clone)]
pub struct TimeLimit<E> {
    inner: E,
    most: u32,
    steps: u32,
}

/// Counts what an episode brings.
#[derive(Debug, Clone)]
pub struct Statistics<E> {
    inner: E,
    now: Episode,
    /// The last episode that ended.
    pub last: Option<Episode>,
    /// Episodes that ended.
    pub episodes: u64,
}

/// What an episode brought.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Episode {
    /// Undiscounted sum of its rewards.
    pub total: f64,
    /// Its length.
    pub steps: u64,
}

impl Episode {
    /// One step more.
    #[inline]
    pub fn add(&mut self, reward: f64) {
        self.total += reward;
        self.steps += 1;
    }
}

impl<E> TimeLimit<E> {
    /// `most` steps an episode.
    ///
    /// # Panics
    /// If that is zero.
    pub fn new(inner: E, most: u32) -> Self {
        assert!(most > 0, "an episode has at least one step");
        TimeLimit { inner, most, steps: 0 }
    }
}

impl<E> Statistics<E> {
    /// Nothing counted yet.
    pub fn new(inner: E) -> Self {
        Statistics { inner, now: Episode::default(), last: None, episodes: 0 }
    }
}

impl<E: Environment> Environment for TimeLimit<E> {
    type Observation = E::Observation;

    fn observation_space(&self) -> Space {
        self.inner.observation_space()
    }

    fn action_space(&self) -> Space {
        self.inner.action_space()
    }

    fn actions(&self) -> usize {
        self.inner.actions()
    }

    fn masked(&self) -> bool {
        self.inner.masked()
    }

    fn allows(&self, action: usize) -> bool {
        self.inner.allows(action)
    }

    fn chance(&mut self) -> &mut Chance {
        self.inner.chance()
    }

    fn begin(&mut self) -> Self::Observation {
        self.steps = 0;
        self.inner.begin()
    }

    #[inline]
    fn step(&mut self, action: usize) -> Step<Self::Observation> {
        let step = self.inner.step(action);
        self.steps += 1;
        Step { truncated: step.truncated || (self.steps >= self.most && !step.terminated), ..step }
    }
}

impl<E: Environment> Environment for Statistics<E> {
    type Observation = E::Observation;

    fn observation_space(&self) -> Space {
        self.inner.observation_space()
    }

    fn action_space(&self) -> Space {
        self.inner.action_space()
    }

    fn actions(&self) -> usize {
        self.inner.actions()
    }

    fn masked(&self) -> bool {
        self.inner.masked()
    }

    fn allows(&self, action: usize) -> bool {
        self.inner.allows(action)
    }

    fn chance(&mut self) -> &mut Chance {
        self.inner.chance()
    }

    fn begin(&mut self) -> Self::Observation {
        self.now = Episode::default();
        self.inner.begin()
    }

    fn step(&mut self, action: usize) -> Step<Self::Observation> {
        let step = self.inner.step(action);
        self.now.add(step.reward);
        if step.over() {
            self.last = Some(self.now);
            self.episodes += 1;
        }
        step
    }
}
