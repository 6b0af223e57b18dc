//! Dyna-Q (Sutton, 1990; Sutton and Barto, 2nd ed., section 8.2): Q-learning that goes over what it remembers. After
//! each step it repeats `planning` remembered ones, any pair of state and action that was met, and what its last visit
//! brought.

use serde::{Deserialize, Serialize};
use splitscale_spec::Invalid;

use super::{Agent, Learner, Settings};
use crate::environment::Environment;
use crate::q_table::QTable;
use crate::values::Values;
use crate::wrappers::Episode;

/// The agent. It remembers by state number, so its values are a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DynaQ {
    learner: Learner<QTable>,
    planning: usize,
    /// By state and action: what the last visit brought.
    model: Vec<Option<Memory>>,
    /// Places of the model that are filled, in the order of their first visits.
    seen: Vec<usize>,
    /// By state and action: whether it was allowed at the last visit.
    allowed: Vec<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Memory {
    reward: f64,
    next: usize,
    terminated: bool,
}

impl DynaQ {
    /// One that goes on from these values and has nothing to remember yet.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn new(values: QTable, planning: usize, settings: &Settings, seed: u64) -> Result<Self, Invalid> {
        let places = values.weights().len();
        let learner = Learner::new(values, settings, seed)?;
        Ok(DynaQ {
            learner,
            planning,
            model: vec![None; places],
            seen: Vec::new(),
            allowed: vec![true; places],
        })
    }

    fn learn(&mut self, place: usize, memory: Memory) {
        let actions = self.learner.values.actions();
        let future = match memory.terminated {
            true => 0.0,
            false => {
                let allowed = &self.allowed[memory.next * actions..][..actions];
                self.learner.values.best_of(memory.next, |action| allowed[action]).1
            }
        };
        let target = memory.reward + self.learner.discount() * future;
        self.learner.learn(place / actions, place % actions, target);
    }
}

impl<E: Environment<Observation = usize>> Agent<E> for DynaQ {
    type Values = QTable;

    fn episode(&mut self, environment: &mut E) -> Episode {
        let actions = self.learner.values.actions();
        let mut episode = Episode::default();
        let mut state = self.learner.begin(environment);
        loop {
            let action = self.learner.choose(environment, state);
            let step = environment.step(action);
            episode.add(step.reward);
            let (place, next) = (state * actions + action, step.observation);
            // Where it terminated nothing follows, and the number may be that of a state in which something does.
            for action in (0..actions).filter(|_| !step.terminated) {
                self.allowed[next * actions + action] = environment.allows(action);
            }
            let memory = Memory { reward: step.reward, next, terminated: step.terminated };
            if self.model[place].replace(memory).is_none() {
                self.seen.push(place);
            }
            self.learn(place, memory);
            for _ in 0..self.planning {
                let place = self.seen[self.learner.chance.below(self.seen.len())];
                if let Some(memory) = self.model[place] {
                    self.learn(place, memory);
                }
            }
            if step.over() {
                return episode;
            }
            state = next;
        }
    }

    fn values(&self) -> &QTable {
        &self.learner.values
    }
}
