//! A training run: it goes on in stretches, may be stopped between two, written down, read back, and then goes on as if it
//! never had been.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use splitscale_spec::Invalid;

use crate::agent::Agent;
use crate::chance::{Chance, ENVIRONMENT};
use crate::environment::Environment;
use crate::values::Values;

/// Values beyond this have left every reward behind.
const FAR: f64 = 1e100;

/// How long a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Length {
    /// Episodes played.
    pub episodes: u64,
    /// Episodes between two points of the learning curve.
    pub record_every: u64,
}

/// One point of a learning curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearningPoint {
    /// Episodes played so far.
    pub episode: u64,
    /// Steps taken so far.
    pub steps: u64,
    /// Mean undiscounted return of the episodes since the point before, random actions included.
    pub mean_return: f64,
    /// Regret of the greedy policy at this moment; absent where no optimum is known.
    pub regret: Option<f64>,
}

/// A run: everything that is needed to go on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(bound(
    serialize = "A: Serialize, V: Serialize",
    deserialize = "A: DeserializeOwned, V: DeserializeOwned"
))]
pub struct Run<A, V> {
    /// Seed of environment and agent.
    pub seed: u64,
    /// How long it is to be.
    pub length: Length,
    /// The agent.
    pub agent: A,
    /// The environment's chance.
    chance: Chance,
    steps: u64,
    /// One point every `record_every` episodes, and one at the end.
    pub curve: Vec<LearningPoint>,
    /// What was learnt at the point with the least regret; where no optimum is known, with the greatest return.
    pub best: Option<Best<V>>,
}

/// The best of the values that were on the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best<V> {
    /// When that was.
    pub episode: u64,
    /// Minus the regret, or the mean return.
    score: f64,
    /// The values.
    pub values: V,
}

/// Why a run cannot go on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("seed {seed} diverged by episode {episode}: {what}")]
pub struct Diverged {
    /// Of which run.
    pub seed: u64,
    /// When it was seen.
    pub episode: u64,
    /// What is not finite any more.
    pub what: String,
}

// === impl Length ===

impl Default for Length {
    fn default() -> Self {
        Length { episodes: 30_000, record_every: 100 }
    }
}

impl Length {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        for (field, value) in [("episodes", self.episodes), ("record_every", self.record_every)] {
            if value == 0 {
                return Err(Invalid::new(field, "zero; it takes at least 1"));
            }
        }
        Ok(())
    }
}

// === impl Run ===

impl<A, V: Values> Run<A, V> {
    /// One that has not begun.
    ///
    /// # Errors
    /// A length that is none.
    pub fn new(agent: A, length: Length, seed: u64) -> Result<Self, Invalid> {
        length.validate()?;
        let chance = Chance::new(seed, ENVIRONMENT);
        Ok(Run { seed, length, agent, chance, steps: 0, curve: Vec::new(), best: None })
    }

    /// Episodes played so far.
    pub fn episode(&self) -> u64 {
        self.curve.last().map_or(0, |point| point.episode)
    }

    /// Whether all episodes were played.
    pub fn is_over(&self) -> bool {
        self.episode() >= self.length.episodes
    }

    /// Plays up to the next point of the learning curve and returns it; absent where the run is over. `regret` judges the
    /// values there. Whatever happened to `environment` in between, it goes on where the run left it.
    ///
    /// # Errors
    /// Rewards or values that are not finite any more: the run is over as it stands.
    pub fn go_on<E>(
        &mut self,
        environment: &mut E,
        regret: impl Fn(&V) -> Option<f64>,
    ) -> Result<Option<LearningPoint>, Diverged>
    where
        E: Environment,
        A: Agent<E, Values = V>,
    {
        let from = self.episode();
        let to = (from + self.length.record_every).min(self.length.episodes);
        if from >= to {
            return Ok(None);
        }
        std::mem::swap(environment.chance(), &mut self.chance);
        let mut total = 0.0;
        for _ in from..to {
            let episode = self.agent.episode(environment);
            total += episode.total;
            self.steps += episode.steps;
        }
        std::mem::swap(environment.chance(), &mut self.chance);
        let values = self.agent.values();
        let diverged = |what: String| Diverged { seed: self.seed, episode: to, what };
        if !total.is_finite() {
            return Err(diverged(format!("the episodes' returns add up to {total}")));
        }
        if let Some(weight) = values.weights().iter().find(|weight| weight.is_nan() || weight.abs() >= FAR) {
            return Err(diverged(format!(
                "there is a value of {weight}; lower the step size or the discount"
            )));
        }
        let regret = regret(values);
        let mean_return = total / (to - from) as f64;
        let score = regret.map_or(mean_return, |regret| -regret);
        if self.best.as_ref().is_none_or(|best| score > best.score) {
            self.best = Some(Best { episode: to, score, values: values.clone() });
        }
        let point = LearningPoint { episode: to, steps: self.steps, mean_return, regret };
        self.curve.push(point);
        Ok(Some(point))
    }

    /// Plays to the end.
    ///
    /// # Errors
    /// As [`Run::go_on`].
    pub fn finish<E>(
        &mut self,
        environment: &mut E,
        regret: impl Fn(&V) -> Option<f64>,
    ) -> Result<(), Diverged>
    where
        E: Environment,
        A: Agent<E, Values = V>,
    {
        while self.go_on(environment, &regret)?.is_some() {}
        Ok(())
    }
}
