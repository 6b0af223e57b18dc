//! Q-learning (Watkins, 1989; Sutton and Barto, 2nd ed., section 6.5):
//!
//! ```text
//! Q(s, a) <- Q(s, a) + step_size * ( r + discount * max_a' Q(s', a') - Q(s, a) )
//! ```
//!
//! The future, max Q(s', .), is left out where the episode terminated and kept where it was truncated.

use serde::{Deserialize, Serialize};
use splitscale_spec::Invalid;

use super::{Agent, Learner, Settings};
use crate::environment::Environment;
use crate::values::Values;
use crate::wrappers::Episode;

/// The agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QLearning<V>(Learner<V>);

impl<V: Values> QLearning<V> {
    /// One that goes on from these values.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn new(values: V, settings: &Settings, seed: u64) -> Result<Self, Invalid> {
        Learner::new(values, settings, seed).map(QLearning)
    }
}

impl<V: Values, E: Environment<Observation = V::Observation>> Agent<E> for QLearning<V> {
    type Values = V;

    fn episode(&mut self, environment: &mut E) -> Episode {
        let QLearning(learner) = self;
        let mut episode = Episode::default();
        let mut state = learner.begin(environment);
        let mut best = learner.best(environment, state);
        loop {
            let action = learner.choose_by(best.0, environment, state);
            let step = environment.step(action);
            let next = learner.values.state(&step.observation);
            let mut future = 0.0;
            if !step.terminated {
                best = learner.best(environment, next);
                future = best.1;
            }
            learner.learn(state, action, step.reward + learner.discount() * future);
            episode.add(step.reward);
            if step.over() {
                return episode;
            }
            if learner.values.shares(state, next) {
                best = learner.best_aside(environment, next);
            }
            state = next;
        }
    }

    fn values(&self) -> &V {
        &self.0.values
    }
}
