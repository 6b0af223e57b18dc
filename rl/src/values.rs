//! What agents learn: something to act by, most often action values that are linear in features.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Values beyond this have left every reward behind.
const FAR: f64 = 1e100;

/// What was learnt, as far as a run needs it: one acts by it, and sees when it has diverged.
pub trait Greedy: Clone + Serialize + DeserializeOwned {
    /// What the environment shows.
    type Observation;

    /// The best of the actions that are allowed; ties go to the first.
    fn act(&self, observation: &Self::Observation, allows: impl Fn(usize) -> bool) -> usize;

    /// A weight that is no number any more, or so great that none is behind it; absent where all is well.
    fn far(&self) -> Option<f64>;
}

/// Values that are linear in binary features: a table has one feature a state, a tile coding a few that are active at
/// once. `q(s, a)` is the sum of the weights that are active in s for a.
pub trait Values: Clone + Serialize + DeserializeOwned {
    /// What the environment shows.
    type Observation;
    /// What the values know of it.
    type State: Copy;

    /// Number of actions.
    fn actions(&self) -> usize;

    /// What an observation is coded as.
    fn state(&self, observation: &Self::Observation) -> Self::State;

    /// How many weights are active at once; a step size is spread evenly over them.
    fn active(&self) -> usize;

    /// Calls `each` with the number of every active weight.
    fn each(&self, state: Self::State, action: usize, each: impl FnMut(usize));

    /// Every weight.
    fn weights(&self) -> &[f64];

    /// The same, to be changed.
    fn weights_mut(&mut self) -> &mut [f64];

    /// The value of an action.
    #[inline]
    fn value(&self, state: Self::State, action: usize) -> f64 {
        let mut sum = 0.0;
        self.each(state, action, |weight| sum += self.weights()[weight]);
        sum
    }

    /// Moves the value of an action by `by`.
    fn add(&mut self, state: Self::State, action: usize, by: f64);

    /// Moves the value of an action by `step_size` of the way to its target.
    #[inline]
    fn learn(&mut self, state: Self::State, action: usize, target: f64, step_size: f64) {
        let error = target - self.value(state, action);
        self.add(state, action, step_size * error);
    }

    /// Whether what is learnt in one state may change the values of the other.
    #[inline]
    fn shares(&self, _one: Self::State, _other: Self::State) -> bool {
        true
    }

    /// The best action and its value; ties go to the first.
    #[inline]
    fn best(&self, state: Self::State) -> (usize, f64) {
        self.best_of(state, |_| true)
    }

    /// The best of the actions that are allowed and its value; the first allowed one, with minus infinity, where none has a
    /// value above that.
    #[inline]
    fn best_of(&self, state: Self::State, allows: impl Fn(usize) -> bool) -> (usize, f64) {
        let mut best: Option<(usize, f64)> = None;
        for action in (0..self.actions()).filter(|&action| allows(action)) {
            let value = self.value(state, action);
            if value > best.map_or(f64::NEG_INFINITY, |(_, most)| most) {
                best = Some((action, value));
            } else if best.is_none() {
                best = Some((action, f64::NEG_INFINITY));
            }
        }
        best.unwrap_or((0, f64::NEG_INFINITY))
    }
}

impl<V: Values> Greedy for V {
    type Observation = V::Observation;

    fn act(&self, observation: &V::Observation, allows: impl Fn(usize) -> bool) -> usize {
        self.best_of(self.state(observation), allows).0
    }

    fn far(&self) -> Option<f64> {
        self.weights().iter().copied().find(|weight| weight.is_nan() || weight.abs() >= FAR)
    }
}
