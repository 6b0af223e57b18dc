//! SARSA (Rummery and Niranjan, 1994; Sutton and Barto, 2nd ed., section 6.4):
//!
//! ```text
//! Q(s, a) <- Q(s, a) + step_size * ( r + discount * Q(s', a') - Q(s, a) )       a' is what is done next
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
pub struct Sarsa<V>(Learner<V>);

impl<V: Values> Sarsa<V> {
    /// One that goes on from these values.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn new(values: V, settings: &Settings, seed: u64) -> Result<Self, Invalid> {
        Learner::new(values, settings, seed).map(Sarsa)
    }
}

impl<V: Values, E: Environment<Observation = V::Observation>> Agent<E> for Sarsa<V> {
    type Values = V;

    fn episode(&mut self, environment: &mut E) -> Episode {
        let Sarsa(learner) = self;
        let mut episode = Episode::default();
        let mut state = learner.begin(environment);
        let mut action = learner.choose(environment, state);
        loop {
            let step = environment.step(action);
            episode.add(step.reward);
            if step.terminated {
                learner.learn(state, action, step.reward);
                return episode;
            }
            let next = learner.values.state(&step.observation);
            // Where the episode was cut off this is what would have been done.
            let next_action = learner.choose(environment, next);
            let future = learner.values.value(next, next_action);
            learner.learn(state, action, step.reward + learner.discount() * future);
            if step.truncated {
                return episode;
            }
            (state, action) = (next, next_action);
        }
    }

    fn values(&self) -> &V {
        &self.0.values
    }
}
