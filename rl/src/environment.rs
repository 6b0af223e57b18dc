//! The environment, with Gymnasium's meaning.

/// What a step brings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Number of the state after the step, below [`Environment::states`]. After the last step of an episode
    /// it is that episode's last state and not the next one's first: a truncated episode is valued there.
    pub observation: usize,
    /// Reward; finite.
    pub reward: f64,
    /// The episode ended by its own rules. Nothing comes after, so the future is worth zero.
    pub terminated: bool,
    /// The episode was cut from outside, by a time limit. The future is worth what it would have been:
    /// an agent that takes it for zero learns a wrong value (Pardo et al., *Time Limits in Reinforcement
    /// Learning*, ICML 2018).
    pub truncated: bool,
}

/// A world with numbered states and numbered actions.
///
/// # Contract
/// - `reset` comes before the first `step`, and again once a step was `terminated` or `truncated`.
/// - `reset(Some(seed))` starts a stream of chance; `reset(None)` goes on with the one that is there. So a
///   training run seeds once and then resets without a seed, as in Gymnasium.
/// - After `reset(Some(seed))`, the same actions bring the same steps, bit for bit.
/// - `clone` is a snapshot: original and copy go on alike, chance included, and do not touch each other.
/// - `step` allocates nothing.
/// - Every episode ends: `terminated` or `truncated` comes after finitely many steps.
///
/// # Panics
/// `step` may panic if `action` is not below [`Environment::actions`].
pub trait Environment: Clone {
    /// Number of states. Constant over the life of the environment.
    fn states(&self) -> usize;

    /// Number of actions, the same in every state. Constant over the life of the environment.
    fn actions(&self) -> usize;

    /// Begins an episode and shows its first state.
    fn reset(&mut self, seed: Option<u64>) -> usize;

    /// Takes one action.
    fn step(&mut self, action: usize) -> Step;
}
