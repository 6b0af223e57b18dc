//! A training run: it goes on in stretches, may be stopped between two, written down, read back, and then goes on as if it
//! never had been.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use splitscale_spec::Invalid;

use crate::agent::Agent;
use crate::chance::{Chance, ENVIRONMENT, EVALUATION};
use crate::environment::Environment;
use crate::values::Greedy;

/// How long a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Length {
    /// Episodes played.
    pub episodes: u64,
    /// Episodes between two points of the learning curve.
    pub record_every: u64,
    /// Steps that end the run too, with the episode that reaches them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Greedy episodes that judge what was learnt at each point of the learning curve; the same ones at each, none of them
    /// learnt from.
    pub evaluate: u32,
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
    /// Mean undiscounted return of the greedy policy over the episodes that judge; absent where there are none.
    pub greedy_return: Option<f64>,
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
    /// What was learnt at the first point of the highest [`LearningPoint::score`].
    pub best: Option<Best<V>>,
}

/// The best of the values that were on the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best<V> {
    /// When that was.
    pub episode: u64,
    /// Of the point.
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
        Length { episodes: 30_000, record_every: 100, steps: None, evaluate: 0 }
    }
}

impl Length {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        let steps = self.steps.unwrap_or(1);
        for (field, value) in
            [("episodes", self.episodes), ("record_every", self.record_every), ("steps", steps)]
        {
            if value == 0 {
                return Err(Invalid::new(field, "zero; it takes at least 1"));
            }
        }
        Ok(())
    }
}

// === impl LearningPoint ===

impl LearningPoint {
    /// How good the greedy policy was, the more the better: minus its regret, where an optimum is known; else its return in
    /// the episodes that judge; else the return of those that were learnt from.
    pub fn score(&self) -> f64 {
        self.regret.map(|regret| -regret).or(self.greedy_return).unwrap_or(self.mean_return)
    }
}

/// Mean undiscounted return of so many episodes in which the best action is always taken. Their chance is that of `seed` on
/// a stream of its own: neither a training's nor what the environment has now.
pub fn evaluate<E, V>(values: &V, environment: &E, seed: u64, episodes: u32) -> f64
where
    E: Environment,
    V: Greedy<Observation = E::Observation>,
{
    let mut environment = environment.clone();
    *environment.chance() = Chance::new(seed, EVALUATION);
    let mut total = 0.0;
    for _ in 0..episodes {
        let mut observation = environment.reset(None);
        loop {
            let allows = |action| !environment.masked() || environment.allows(action);
            let step = environment.step(values.act(&observation, allows));
            total += step.reward;
            if step.over() {
                break;
            }
            observation = step.observation;
        }
    }
    total / f64::from(episodes)
}

// === impl Run ===

impl<A, V: Greedy> Run<A, V> {
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

    /// Whether all episodes were played, or all steps taken.
    pub fn is_over(&self) -> bool {
        self.episode() >= self.length.episodes || self.out_of_steps()
    }

    fn out_of_steps(&self) -> bool {
        self.length.steps.is_some_and(|steps| self.steps >= steps)
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
        V: Greedy<Observation = E::Observation>,
    {
        if self.is_over() {
            return Ok(None);
        }
        let from = self.episode();
        let (mut to, end) = (from, (from + self.length.record_every).min(self.length.episodes));
        std::mem::swap(environment.chance(), &mut self.chance);
        let mut total = 0.0;
        while to < end && !self.out_of_steps() {
            let episode = self.agent.episode(environment);
            total += episode.total;
            self.steps += episode.steps;
            to += 1;
        }
        std::mem::swap(environment.chance(), &mut self.chance);
        let values = self.agent.values();
        let diverged = |what: String| Diverged { seed: self.seed, episode: to, what };
        if !total.is_finite() {
            return Err(diverged(format!("the episodes' returns add up to {total}")));
        }
        if let Some(weight) = values.far() {
            return Err(diverged(format!(
                "there is a value of {weight}; lower the step size or the discount"
            )));
        }
        let regret = regret(values);
        let mean_return = total / (to - from) as f64;
        let judges = self.length.evaluate;
        let greedy_return = (judges > 0).then(|| evaluate(values, environment, self.seed, judges));
        let point = LearningPoint { episode: to, steps: self.steps, mean_return, regret, greedy_return };
        let score = point.score();
        if self.best.as_ref().is_none_or(|best| score > best.score) {
            self.best = Some(Best { episode: to, score, values: values.clone() });
        }
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
        V: Greedy<Observation = E::Observation>,
    {
        while self.go_on(environment, &regret)?.is_some() {}
        Ok(())
    }
}
