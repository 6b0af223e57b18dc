//! Agents that learn action values, one algorithm a file, and what they share.

mod double_q;
pub(crate) mod dqn;
mod dyna_q;
mod expected_sarsa;
mod monte_carlo;
mod n_step_sarsa;
mod q_learning;
mod sarsa;
mod sarsa_lambda;

pub use double_q::DoubleQ;
pub use dyna_q::DynaQ;
pub use expected_sarsa::ExpectedSarsa;
pub use monte_carlo::MonteCarlo;
pub use n_step_sarsa::NStepSarsa;
pub use q_learning::QLearning;
pub use sarsa::Sarsa;
pub use sarsa_lambda::SarsaLambda;

use serde::{Deserialize, Serialize};
use splitscale_spec::Invalid;

use crate::chance::{AGENT, Chance, probability};
use crate::environment::Environment;
use crate::schedule::Schedule;
use crate::values::{Greedy, Values};
use crate::wrappers::Episode;

/// Who learns by playing. `clone` is a snapshot, and so is what serde writes.
pub trait Agent<E: Environment>: Clone {
    /// What it goes by.
    type Values: Greedy<Observation = E::Observation>;

    /// Plays one episode to its end and learns from it.
    fn episode(&mut self, environment: &mut E) -> Episode;

    /// What it has learnt.
    fn values(&self) -> &Self::Values;
}

/// Settings that all agents have. Written as TOML every field may be left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Step size, in (0, 1].
    pub step_size: Schedule,
    /// Probability of a random action, in [0, 1].
    pub exploration: Schedule,
    /// Worth of a reward one step later, in [0, 1].
    pub discount: f64,
    /// Value of every action at the start. Above every return it does the exploring; below, it prevents it.
    pub initial_q: f64,
    /// Which of several best actions is taken.
    pub ties: Ties,
}

/// Which of several best actions is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ties {
    /// The first.
    #[default]
    First,
    /// Any, by chance. What is learnt is told by the first all the same.
    Random,
}

/// Values with everything that changes them: what every agent has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Learner<V> {
    pub(crate) values: V,
    settings: Settings,
    pub(crate) chance: Chance,
    /// Episodes begun.
    episodes: u64,
    /// Of this episode.
    step_size: f64,
    /// Of this episode.
    exploration: f64,
    explore: u64,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Settings {
            step_size: Schedule::Constant(0.1),
            exploration: Schedule::Constant(0.1),
            discount: 0.9,
            initial_q: 0.0,
            ties: Ties::First,
        }
    }
}

impl Settings {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.step_size.validate("step_size", false)?;
        self.exploration.validate("exploration", true)?;
        if !(0.0..=1.0).contains(&self.discount) {
            return Err(Invalid::new("discount", format!("{} is not in [0, 1]", self.discount)));
        }
        if !self.initial_q.is_finite() {
            return Err(Invalid::new("initial_q", format!("{} is not a finite number", self.initial_q)));
        }
        Ok(())
    }
}

// === impl Learner ===

impl<V: Values> Learner<V> {
    fn new(values: V, settings: &Settings, seed: u64) -> Result<Self, Invalid> {
        settings.validate()?;
        let chance = Chance::new(seed, AGENT);
        let settings = settings.clone();
        Ok(Learner { values, settings, chance, episodes: 0, step_size: 0.0, exploration: 0.0, explore: 0 })
    }

    /// Begins an episode: the schedules move on.
    #[inline]
    fn begin<E: Environment<Observation = V::Observation>>(&mut self, environment: &mut E) -> V::State {
        self.step_size = self.settings.step_size.at(self.episodes);
        self.exploration = self.settings.exploration.at(self.episodes);
        self.explore = probability(self.exploration);
        self.episodes += 1;
        self.values.state(&environment.reset(None))
    }

    #[inline]
    fn discount(&self) -> f64 {
        self.settings.discount
    }

    /// The best action that is allowed now, and its value.
    #[inline]
    fn best<E: Environment>(&self, environment: &E, state: V::State) -> (usize, f64) {
        best(&self.values, environment, state)
    }

    /// The same off the common way, without another copy of its code there.
    #[inline(never)]
    fn best_aside<E: Environment>(&self, environment: &E, state: V::State) -> (usize, f64) {
        self.best(environment, state)
    }

    /// Epsilon-greedy among the actions that are allowed now.
    #[inline]
    fn choose<E: Environment>(&mut self, environment: &E, state: V::State) -> usize {
        let best = self.best(environment, state).0;
        self.choose_by(best, environment, state)
    }

    /// The same where the [`best`](Self::best) action is known.
    #[inline]
    fn choose_by<E: Environment>(&mut self, best: usize, environment: &E, state: V::State) -> usize {
        if self.chance.happens(self.explore) {
            return match environment.masked() {
                false => self.chance.below(self.values.actions()),
                true => self.any(environment, |_, _| true),
            };
        }
        match self.settings.ties {
            Ties::First => best,
            Ties::Random => self.any_of_best(environment, state),
        }
    }

    // Apart, so that the way of those who do not need it keeps its registers.
    #[inline(never)]
    fn any_of_best<E: Environment>(&mut self, environment: &E, state: V::State) -> usize {
        let best = self.best_aside(environment, state).1;
        self.any(environment, |values, action| values.value(state, action) == best)
    }

    /// Any of the actions that are allowed now and `right`, by one draw. There is one.
    #[inline(never)]
    fn any<E: Environment>(&mut self, environment: &E, right: impl Fn(&V, usize) -> bool) -> usize {
        let allows = |action| !environment.masked() || environment.allows(action);
        let all = (0..self.values.actions()).filter(|&action| allows(action) && right(&self.values, action));
        drawn(&mut self.chance, all)
    }

    /// The value of `state` for who chooses so: exploration and all.
    fn expectation<E: Environment>(&self, environment: &E, state: V::State) -> f64 {
        let allowed = (0..self.values.actions()).filter(|&action| environment.allows(action));
        let (mut sum, mut count, mut best) = (0.0, 0.0, f64::NEG_INFINITY);
        for action in allowed {
            let value = self.values.value(state, action);
            (sum, count, best) = (sum + value, count + 1.0, best.max(value));
        }
        self.exploration * sum / count + (1.0 - self.exploration) * best
    }

    /// Moves a value towards its target.
    #[inline]
    fn learn(&mut self, state: V::State, action: usize, target: f64) {
        self.values.learn(state, action, target, self.step_size);
    }
}

/// The best action that is allowed now, and its value.
#[inline]
fn best<V: Values, E: Environment>(values: &V, environment: &E, state: V::State) -> (usize, f64) {
    match environment.masked() {
        false => values.best(state),
        true => values.best_of(state, |action| environment.allows(action)),
    }
}

/// Any of these, by one draw. There is one.
fn drawn(chance: &mut Chance, mut of: impl Iterator<Item = usize> + Clone) -> usize {
    let at = chance.below(of.clone().count());
    of.nth(at).unwrap_or(0)
}
