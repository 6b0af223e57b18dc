//! SARSA(lambda) with replacing traces (Singh and Sutton, 1996; Sutton and Barto, 2nd ed., section 12.7): every weight
//! that was active lately learns from each error, by its trace z:
//!
//! ```text
//! error = r + discount * Q(s', a') - Q(s, a)
//! z of what is active in (s, a) <- 1;    w <- w + step_size / active * error * z;    z <- discount * lambda * z
//! ```

use serde::{Deserialize, Serialize};
use splitscale_spec::Invalid;

use super::{Agent, Learner, Settings};
use crate::environment::Environment;
use crate::values::Values;
use crate::wrappers::Episode;

/// A trace below this is forgotten.
const FORGOTTEN: f64 = 1e-6;

/// The agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SarsaLambda<V> {
    learner: Learner<V>,
    lambda: f64,
    /// Trace of every weight; zero between episodes.
    #[serde(skip)]
    traces: Vec<f64>,
    /// Weights whose trace is not zero.
    #[serde(skip)]
    traced: Vec<usize>,
}

impl<V: Values> SarsaLambda<V> {
    /// One that goes on from these values.
    ///
    /// # Errors
    /// The first setting that is out of range, or a lambda outside [0, 1].
    pub fn new(values: V, lambda: f64, settings: &Settings, seed: u64) -> Result<Self, Invalid> {
        if !(0.0..=1.0).contains(&lambda) {
            return Err(Invalid::new("lambda", format!("{lambda} is not in [0, 1]")));
        }
        let learner = Learner::new(values, settings, seed)?;
        Ok(SarsaLambda { learner, lambda, traces: Vec::new(), traced: Vec::new() })
    }

    /// Marks what is active, lets everything that is marked learn, and fades it.
    fn learn(&mut self, state: V::State, action: usize, target: f64) {
        let SarsaLambda { learner, lambda, traces, traced } = self;
        let error = target - learner.values.value(state, action);
        learner.values.each(state, action, |weight| {
            if traces[weight] == 0.0 {
                traced.push(weight);
            }
            traces[weight] = 1.0;
        });
        let by = learner.step_size / learner.values.active() as f64 * error;
        let fade = learner.discount() * *lambda;
        let weights = learner.values.weights_mut();
        traced.retain(|&weight| {
            weights[weight] += by * traces[weight];
            traces[weight] *= fade;
            if traces[weight] < FORGOTTEN {
                traces[weight] = 0.0;
            }
            traces[weight] > 0.0
        });
    }
}

impl<V: Values, E: Environment<Observation = V::Observation>> Agent<E> for SarsaLambda<V> {
    type Values = V;

    fn episode(&mut self, environment: &mut E) -> Episode {
        self.traces.resize(self.learner.values.weights().len(), 0.0);
        for weight in self.traced.drain(..) {
            self.traces[weight] = 0.0;
        }
        let mut episode = Episode::default();
        let mut state = self.learner.begin(environment);
        let mut action = self.learner.choose(environment, state);
        loop {
            let step = environment.step(action);
            episode.add(step.reward);
            if step.terminated {
                self.learn(state, action, step.reward);
                return episode;
            }
            let next = self.learner.values.state(&step.observation);
            let next_action = self.learner.choose(environment, next);
            let future = self.learner.values.value(next, next_action);
            self.learn(state, action, step.reward + self.learner.discount() * future);
            if step.truncated {
                return episode;
            }
            (state, action) = (next, next_action);
        }
    }

    fn values(&self) -> &V {
        &self.learner.values
    }
}
