//! Q-learning (Watkins, 1989; Sutton and Barto, *Reinforcement Learning*, 2nd ed., section 6.5):
//!
//! ```text
//! Q(s, a) <- Q(s, a) + learning_rate * ( r + discount * max_a' Q(s', a') - Q(s, a) )
//! ```
//!
//! with epsilon-greedy choice. The future, max Q(s', .), is left out where the episode terminated and kept
//! where it was truncated.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use splitscale_spec::Invalid;

use crate::chance;
use crate::environment::Environment;
use crate::q_table::QTable;

/// Settings, with the original's as defaults. Written as TOML every field may be left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QLearningConfig {
    /// Step size, in (0, 1].
    pub learning_rate: f64,
    /// Worth of a reward one step later, in [0, 1].
    pub discount: f64,
    /// Probability of a random action, in [0, 1].
    pub exploration: f64,
    /// Episodes played.
    pub episodes: u64,
    /// Value of every action at the start. Above every reward it does the exploring; below, it prevents it.
    pub initial_q: f64,
    /// Episodes between two points of the learning curve.
    pub record_every: u64,
}

/// The agent: its table and its chance. `clone` is a snapshot.
#[derive(Debug, Clone)]
pub struct QLearning {
    learning_rate: f64,
    discount: f64,
    explore: u64,
    actions: usize,
    table: QTable,
    rng: ChaCha8Rng,
}

/// One point of a learning curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LearningPoint {
    /// Episodes played so far.
    pub episode: u64,
    /// Mean undiscounted return of the episodes since the point before, random actions included.
    pub mean_return: f64,
    /// Regret of the greedy policy at this moment; absent where no optimum is known.
    pub regret: Option<f64>,
}

/// A finished run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trained {
    /// Settings it was run with.
    pub config: QLearningConfig,
    /// Seed of environment and agent.
    pub seed: u64,
    /// Action values at the end.
    pub table: QTable,
    /// Greedy action of every state at the end.
    pub greedy: Vec<usize>,
    /// One point every `record_every` episodes, and one at the end.
    pub learning_curve: Vec<LearningPoint>,
}

/// Plays `config.episodes` episodes. `regret` judges the table at each point of the learning curve: where
/// no optimum is known it returns `None`.
///
/// # Errors
/// The first field of `config` that is out of range.
pub fn train<E: Environment>(
    environment: &mut E,
    config: &QLearningConfig,
    seed: u64,
    regret: impl Fn(&QTable) -> Option<f64>,
) -> Result<Trained, Invalid> {
    let mut agent = QLearning::new(config, environment, seed)?;
    environment.reset(Some(seed));
    let points = config.episodes.div_ceil(config.record_every);
    let mut learning_curve = Vec::new();
    for point in 1..=points {
        let from = (point - 1) * config.record_every;
        let episode = (from + config.record_every).min(config.episodes);
        let total: f64 = (from..episode).map(|_| agent.episode(environment)).sum();
        let mean_return = total / (episode - from) as f64;
        learning_curve.push(LearningPoint { episode, mean_return, regret: regret(&agent.table) });
    }
    let greedy = agent.table.greedy();
    Ok(Trained { config: config.clone(), seed, table: agent.table, greedy, learning_curve })
}

impl QLearning {
    /// An agent that has seen nothing of `environment` yet.
    ///
    /// # Errors
    /// The first field of `config` that is out of range.
    pub fn new(config: &QLearningConfig, environment: &impl Environment, seed: u64) -> Result<Self, Invalid> {
        config.validate()?;
        Ok(QLearning {
            learning_rate: config.learning_rate,
            discount: config.discount,
            explore: chance::probability(config.exploration),
            actions: environment.actions(),
            table: QTable::filled(environment.states(), environment.actions(), config.initial_q),
            rng: chance::generator(seed, chance::AGENT),
        })
    }

    /// Action values so far.
    pub fn table(&self) -> &QTable {
        &self.table
    }

    /// Plays one episode, learns from every step, returns the undiscounted sum of its rewards.
    pub fn episode(&mut self, environment: &mut impl Environment) -> f64 {
        let mut state = environment.reset(None);
        let mut total = 0.0;
        loop {
            let action = self.choose(state);
            let step = environment.step(action);
            // Only an end by the episode's own rules leaves no future; a truncated one would have had it.
            let future = if step.terminated { 0.0 } else { self.table.best(step.observation).1 };
            let target = step.reward + self.discount * future;
            let value = self.table.value_mut(state, action);
            *value += self.learning_rate * (target - *value);
            total += step.reward;
            if step.terminated || step.truncated {
                return total;
            }
            state = step.observation;
        }
    }

    #[inline]
    fn choose(&mut self, state: usize) -> usize {
        if chance::happens(&mut self.rng, self.explore) {
            chance::below(&mut self.rng, self.actions)
        } else {
            self.table.best(state).0
        }
    }
}

// === impl QLearningConfig ===

impl Default for QLearningConfig {
    fn default() -> Self {
        QLearningConfig {
            learning_rate: 0.1,
            discount: 0.9,
            exploration: 0.1,
            episodes: 30_000,
            initial_q: 0.0,
            record_every: 100,
        }
    }
}

impl QLearningConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        if !(self.learning_rate > 0.0 && self.learning_rate <= 1.0) {
            return Err(Invalid::new("learning_rate", format!("{} is not in (0, 1]", self.learning_rate)));
        }
        for (field, value) in [("discount", self.discount), ("exploration", self.exploration)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Invalid::new(field, format!("{value} is not in [0, 1]")));
            }
        }
        for (field, value) in [("episodes", self.episodes), ("record_every", self.record_every)] {
            if value == 0 {
                return Err(Invalid::new(field, "zero; it takes at least 1"));
            }
        }
        if !self.initial_q.is_finite() {
            return Err(Invalid::new("initial_q", format!("{} is not a finite number", self.initial_q)));
        }
        Ok(())
    }
}
