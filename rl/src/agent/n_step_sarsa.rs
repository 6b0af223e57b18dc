//! n-step SARSA (Sutton and Barto, 2nd ed., section 7.2): what n steps bring, and then the value:
//!
//! ```text
//! G = r_1 + discount * r_2 + ... + discount^(n-1) * r_n + discount^n * Q(s_n, a_n)
//! ```

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use splitscale_spec::Invalid;

use super::{Agent, Learner, Settings};
use crate::environment::Environment;
use crate::values::Values;
use crate::wrappers::Episode;

/// Most steps that are looked ahead.
const MOST: usize = 100_000;

/// The agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(bound(serialize = "V: Serialize", deserialize = "V: Values"))]
pub struct NStepSarsa<V: Values> {
    learner: Learner<V>,
    n: usize,
    /// State, action and reward of the last steps, n at most; empty between episodes.
    #[serde(skip)]
    path: VecDeque<(V::State, usize, f64)>,
}

impl<V: Values> NStepSarsa<V> {
    /// One that goes on from these values and looks `n` steps ahead.
    ///
    /// # Errors
    /// The first setting that is out of range, or an n of zero.
    pub fn new(values: V, n: usize, settings: &Settings, seed: u64) -> Result<Self, Invalid> {
        if !(1..=MOST).contains(&n) {
            return Err(Invalid::new("n", format!("{n} is not in 1..={MOST}")));
        }
        let learner = Learner::new(values, settings, seed)?;
        Ok(NStepSarsa { learner, n, path: VecDeque::new() })
    }
}

impl<V: Values, E: Environment<Observation = V::Observation>> Agent<E> for NStepSarsa<V> {
    type Values = V;

    fn episode(&mut self, environment: &mut E) -> Episode {
        let NStepSarsa { learner, n, path } = self;
        let mut episode = Episode::default();
        let mut state = learner.begin(environment);
        let mut action = learner.choose(environment, state);
        loop {
            let step = environment.step(action);
            episode.add(step.reward);
            path.push_back((state, action, step.reward));
            let mut future = 0.0;
            if !step.terminated {
                state = learner.values.state(&step.observation);
                action = learner.choose(environment, state);
                future = learner.values.value(state, action);
            }
            // At the end nothing more comes, and what is on the path learns from what there is.
            while path.len() == *n || (step.over() && !path.is_empty()) {
                let back = |target: f64, &(_, _, reward): &(_, _, f64)| reward + learner.discount() * target;
                let target = path.iter().rev().fold(future, back);
                let Some((state, action, _)) = path.pop_front() else { break };
                learner.learn(state, action, target);
            }
            if step.over() {
                return episode;
            }
        }
    }

    fn values(&self) -> &V {
        &self.learner.values
    }
}
