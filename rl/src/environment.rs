//! The environment, with Gymnasium's meaning.

use crate::chance::{Chance, ENVIRONMENT};
use crate::space::{Observe, Space};

/// What a step brings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step<O> {
    /// What is seen after the step. After the last step of an episode it is that episode's last observation and
    /// not the next one's first: a truncated episode is valued there.
    pub observation: O,
    /// Reward; finite.
    pub reward: f64,
    /// The episode ended by its own rules. Nothing comes after, so the future is worth zero.
    pub terminated: bool,
    /// The episode was cut from outside, by a time limit. The future is worth what it would have been:
    /// an agent that takes it for zero learns a wrong value (Pardo et al., *Time Limits in Reinforcement
    /// Learning*, ICML 2018).
    pub truncated: bool,
}

impl<O> Step<O> {
    /// Whether the episode is over.
    #[inline]
    pub fn over(&self) -> bool {
        self.terminated || self.truncated
    }
}

/// A world to act in.
///
/// # Contract
/// - `reset` comes before the first `step`, and again once a step was `terminated` or `truncated`.
/// - `reset(Some(seed))` starts a stream of chance; `reset(None)` goes on with the one that is there. So a
///   training run seeds once and then resets without a seed, as in Gymnasium.
/// - After `reset(Some(seed))`, the same actions bring the same steps, bit for bit.
/// - `clone` is a snapshot: original and copy go on alike, chance included, and do not touch each other.
/// - `step` allocates nothing once its buffers have grown.
/// - Every episode ends: `terminated` or `truncated` comes after finitely many steps.
///
/// [`check_env`](crate::check_env) holds an environment to it.
///
/// # Panics
/// `step` may panic if `action` is not below [`Environment::actions`].
pub trait Environment: Clone {
    /// A state number, or a vector of features.
    type Observation: Observe;

    /// What observations lie in.
    fn observation_space(&self) -> Space;

    /// What actions lie in: [`Space::Discrete`] or [`Space::MultiDiscrete`].
    fn action_space(&self) -> Space;

    /// How many actions there are, the same in every state. Constant over the life of the environment.
    fn actions(&self) -> usize;

    /// Whether there ever is an action that may not be taken.
    #[inline]
    fn masked(&self) -> bool {
        false
    }

    /// Whether an action may be taken now (Gymnasium's action mask). There is always one that may. Asked for where it is
    /// [`masked`](Environment::masked).
    #[inline]
    fn allows(&self, _action: usize) -> bool {
        true
    }

    /// All the chance there is in it.
    fn chance(&mut self) -> &mut Chance;

    /// Begins an episode on the chance that is there and shows its first observation.
    fn begin(&mut self) -> Self::Observation;

    /// Begins an episode, on a new stream of chance where a seed is given.
    #[inline]
    fn reset(&mut self, seed: Option<u64>) -> Self::Observation {
        if let Some(seed) = seed {
            *self.chance() = Chance::new(seed, ENVIRONMENT);
        }
        self.begin()
    }

    /// Takes one action.
    fn step(&mut self, action: usize) -> Step<Self::Observation>;
}
