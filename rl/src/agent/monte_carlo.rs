//! On-policy Monte Carlo control, every visit, with a step size (Sutton and Barto, 2nd ed., section 5.4, and equation 6.1):
//!
//! ```text
//! Q(s_t, a_t) <- Q(s_t, a_t) + step_size * ( r_t+1 + discount * r_t+2 + ... - Q(s_t, a_t) )
//! ```
//!
//! The rest of an episode that was truncated is worth what the policy expects where it was cut off.

use serde::{Deserialize, Serialize};
use splitscale_spec::Invalid;

use super::{Agent, Learner, Settings};
use crate::environment::Environment;
use crate::values::Values;
use crate::wrappers::Episode;

/// The agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(bound(serialize = "V: Serialize", deserialize = "V: Values"))]
pub struct MonteCarlo<V: Values> {
    learner: Learner<V>,
    /// State, action and reward of every step of the episode.
    #[serde(skip)]
    path: Vec<(V::State, usize, f64)>,
}

impl<V: Values> MonteCarlo<V> {
    /// One that goes on from these values.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn new(values: V, settings: &Settings, seed: u64) -> Result<Self, Invalid> {
        Ok(MonteCarlo { learner: Learner::new(values, settings, seed)?, path: Vec::new() })
    }
}

impl<V: Values, E: Environment<Observation = V::Observation>> Agent<E> for MonteCarlo<V> {
    type Values = V;

    fn episode(&mut self, environment: &mut E) -> Episode {
        let MonteCarlo { learner, path } = self;
        let mut episode = Episode::default();
        let mut state = learner.begin(environment);
        let mut target = loop {
            let action = learner.choose(environment, state);
            let step = environment.step(action);
            episode.add(step.reward);
            path.push((state, action, step.reward));
            state = learner.values.state(&step.observation);
            match (step.terminated, step.truncated) {
                (true, _) => break 0.0,
                (false, true) => break learner.expectation(environment, state),
                (false, false) => {}
            }
        };
        for (state, action, reward) in path.drain(..).rev() {
            target = reward + learner.discount() * target;
            learner.learn(state, action, target);
        }
        episode
    }

    fn values(&self) -> &V {
        &self.learner.values
    }
}
