//! Expected SARSA (van Seijen et al., 2009; Sutton and Barto, 2nd ed., section 6.6): SARSA without the chance of a':
//!
//! ```text
//! Q(s, a) <- Q(s, a) + step_size * ( r + discount * E[Q(s', a')] - Q(s, a) )       a' epsilon-greedy
//! ```

use serde::{Deserialize, Serialize};
use splitscale_spec::Invalid;

use super::{Agent, Learner, Settings};
use crate::environment::Environment;
use crate::values::Values;
use crate::wrappers::Episode;

/// The agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExpectedSarsa<V>(Learner<V>);

impl<V: Values> ExpectedSarsa<V> {
    /// One that goes on from these values.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn new(values: V, settings: &Settings, seed: u64) -> Result<Self, Invalid> {
        Learner::new(values, settings, seed).map(ExpectedSarsa)
    }
}

impl<V: Values, E: Environment<Observation = V::Observation>> Agent<E> for ExpectedSarsa<V> {
    type Values = V;

    fn episode(&mut self, environment: &mut E) -> Episode {
        let ExpectedSarsa(learner) = self;
        let mut episode = Episode::default();
        let mut state = learner.begin(environment);
        loop {
            let action = learner.choose(environment, state);
            let step = environment.step(action);
            let next = learner.values.state(&step.observation);
            let future = if step.terminated { 0.0 } else { learner.expectation(environment, next) };
            learner.learn(state, action, step.reward + learner.discount() * future);
            episode.add(step.reward);
            if step.over() {
                return episode;
            }
            state = next;
        }
    }

    fn values(&self) -> &V {
        &self.0.values
    }
}
