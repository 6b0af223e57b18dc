//! Action values by state.

use serde::{Deserialize, Serialize};

use crate::values::Values;

/// The value of every action in every state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QTable {
    actions: usize,
    /// Row by row, one row a state.
    values: Vec<f64>,
}

impl QTable {
    /// A table that holds `value` everywhere.
    pub fn filled(states: usize, actions: usize, value: f64) -> Self {
        QTable { actions, values: vec![value; states * actions] }
    }

    /// Number of states.
    pub fn states(&self) -> usize {
        self.values.len() / self.actions
    }

    /// Values of a state, one an action.
    ///
    /// # Panics
    /// If there is no such state.
    #[inline]
    pub fn row(&self, state: usize) -> &[f64] {
        &self.values[state * self.actions..][..self.actions]
    }

    /// The best action of every state, masks left aside; ties go to the first.
    pub fn greedy(&self) -> Vec<usize> {
        (0..self.states()).map(|state| self.best(state).0).collect()
    }
}

impl Values for QTable {
    type Observation = usize;
    type State = usize;

    #[inline]
    fn actions(&self) -> usize {
        self.actions
    }

    #[inline]
    fn state(&self, &observation: &usize) -> usize {
        observation
    }

    #[inline]
    fn active(&self) -> usize {
        1
    }

    #[inline]
    fn each(&self, state: usize, action: usize, mut each: impl FnMut(usize)) {
        each(state * self.actions + action);
    }

    #[inline]
    fn shares(&self, one: usize, other: usize) -> bool {
        one == other
    }

    fn weights(&self) -> &[f64] {
        &self.values
    }

    fn weights_mut(&mut self) -> &mut [f64] {
        &mut self.values
    }

    #[inline]
    fn value(&self, state: usize, action: usize) -> f64 {
        self.row(state)[action]
    }

    #[inline]
    fn add(&mut self, state: usize, action: usize, by: f64) {
        self.values[state * self.actions..][..self.actions][action] += by;
    }

    #[inline]
    fn learn(&mut self, state: usize, action: usize, target: f64, step_size: f64) {
        debug_assert!(action < self.actions);
        let value = &mut self.values[state * self.actions + action];
        *value += step_size * (target - *value);
    }

    #[inline(always)]
    fn best(&self, state: usize) -> (usize, f64) {
        // Of so many actions as most have, the compiler writes the comparisons out.
        match self.actions {
            2 => first_of::<2>(&self.values, state),
            3 => first_of::<3>(&self.values, state),
            4 => first_of::<4>(&self.values, state),
            5 => first_of::<5>(&self.values, state),
            6 => first_of::<6>(&self.values, state),
            7 => first_of::<7>(&self.values, state),
            _ => self.row(state).iter().copied().enumerate().fold((0, f64::NEG_INFINITY), better),
        }
    }
}

/// The first of the greatest.
#[inline(always)]
fn first_of<const N: usize>(values: &[f64], state: usize) -> (usize, f64) {
    let row = &values.as_chunks::<N>().0[state];
    (1..N).fold((0, row[0]), |best, action| better(best, (action, row[action])))
}

#[inline(always)]
fn better(best: (usize, f64), next: (usize, f64)) -> (usize, f64) {
    let is = next.1 > best.1;
    (if is { next.0 } else { best.0 }, if is { next.1 } else { best.1 })
}
