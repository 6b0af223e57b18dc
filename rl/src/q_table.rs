//! Action values by state.

use serde::Serialize;

/// The value of every action in every state.
#[derive(Debug, Clone, PartialEq, Serialize)]
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

    /// The best action of a state and its value; ties go to the first action.
    ///
    /// # Panics
    /// If there is no such state.
    #[inline]
    pub fn best(&self, state: usize) -> (usize, f64) {
        let row = self.row(state);
        let mut best = (0, row[0]);
        for (action, &value) in row.iter().enumerate().skip(1) {
            if value > best.1 {
                best = (action, value);
            }
        }
        best
    }

    /// The best action of every state.
    pub fn greedy(&self) -> Vec<usize> {
        (0..self.states()).map(|state| self.best(state).0).collect()
    }

    /// One value, to be changed.
    #[inline]
    pub(crate) fn value_mut(&mut self, state: usize, action: usize) -> &mut f64 {
        &mut self.values[state * self.actions..][..self.actions][action]
    }
}
