//! Double Q-learning (van Hasselt, 2010; Sutton and Barto, 2nd ed., section 6.7): two estimates, one to choose the best
//! action by and the other to value it, so that noise is not taken for worth. Each step a coin tells which learns:
//!
//! ```text
//! Q1(s, a) <- Q1(s, a) + step_size * ( r + discount * Q2(s', argmax_a' Q1(s', a')) - Q1(s, a) )
//! ```

use serde::{Deserialize, Serialize};
use splitscale_spec::Invalid;

use super::{Agent, Learner, Settings};
use crate::chance::probability;
use crate::environment::Environment;
use crate::values::Values;
use crate::wrappers::Episode;

/// The agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoubleQ<V> {
    /// Goes by the mean of the two.
    learner: Learner<V>,
    two: [V; 2],
}

impl<V: Values> DoubleQ<V> {
    /// One that goes on from these values, twice.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn new(values: V, settings: &Settings, seed: u64) -> Result<Self, Invalid> {
        let two = [values.clone(), values.clone()];
        Ok(DoubleQ { learner: Learner::new(values, settings, seed)?, two })
    }
}

impl<V: Values, E: Environment<Observation = V::Observation>> Agent<E> for DoubleQ<V> {
    type Values = V;

    fn episode(&mut self, environment: &mut E) -> Episode {
        let DoubleQ { learner, two } = self;
        let mut episode = Episode::default();
        let mut state = learner.begin(environment);
        loop {
            let action = learner.choose(environment, state);
            let step = environment.step(action);
            let next = learner.values.state(&step.observation);
            let one = usize::from(learner.chance.happens(probability(0.5)));
            let future = match step.terminated {
                true => 0.0,
                false => {
                    let best = super::best(&two[one], environment, next).0;
                    two[1 - one].value(next, best)
                }
            };
            let error = step.reward + learner.discount() * future - two[one].value(state, action);
            let by = learner.step_size * error;
            two[one].add(state, action, by);
            learner.values.add(state, action, by / 2.0);
            episode.add(step.reward);
            if step.over() {
                return episode;
            }
            state = next;
        }
    }

    fn values(&self) -> &V {
        &self.learner.values
    }
}
