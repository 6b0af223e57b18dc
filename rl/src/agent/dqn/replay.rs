//! What is remembered, and the batches that are drawn of it.

use serde::{Deserialize, Serialize};

use crate::chance::Chance;

/// Transitions of up to n steps, column by column; the newest replaces the oldest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Replay {
    capacity: usize,
    /// Where the next one goes.
    next: usize,
    states: Vec<f32>,
    actions: Vec<u32>,
    returns: Vec<f32>,
    /// What the value of the state after counts: discount^k, or zero where nothing comes after.
    weights: Vec<f32>,
    after: Vec<f32>,
    /// Of the state after, by action, whether it is allowed; empty where all always are.
    allowed: Vec<bool>,
}

/// A transition to be remembered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transition<'a> {
    pub(super) state: &'a [f32],
    pub(super) action: usize,
    /// Discounted sum of the rewards.
    pub(super) sum: f32,
    pub(super) weight: f32,
    pub(super) after: &'a [f32],
    pub(super) allowed: &'a [bool],
}

/// Some of them, by row.
#[derive(Debug, Clone, Default)]
pub(super) struct Batch {
    /// The states, and then the states after.
    pub(super) rows: Vec<f32>,
    pub(super) actions: Vec<u32>,
    pub(super) returns: Vec<f32>,
    pub(super) weights: Vec<f32>,
    pub(super) allowed: Vec<bool>,
}

impl Replay {
    pub(super) fn new(capacity: usize) -> Self {
        Replay {
            capacity,
            next: 0,
            states: Vec::new(),
            actions: Vec::new(),
            returns: Vec::new(),
            weights: Vec::new(),
            after: Vec::new(),
            allowed: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, transition: Transition<'_>) {
        let at = self.next;
        put(&mut self.states, at, transition.state);
        put(&mut self.actions, at, &[transition.action as u32]);
        put(&mut self.returns, at, &[transition.sum]);
        put(&mut self.weights, at, &[transition.weight]);
        put(&mut self.after, at, transition.after);
        put(&mut self.allowed, at, transition.allowed);
        self.next = (at + 1) % self.capacity;
    }

    /// Whether nothing is remembered yet.
    pub(super) fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// Fills a batch of `size`, each of any that is remembered, one draw a row.
    ///
    /// # Panics
    /// If nothing is.
    pub(super) fn draw(&self, size: usize, chance: &mut Chance, batch: &mut Batch) {
        let kept = self.actions.len();
        let (width, mask) = (self.states.len() / kept, self.allowed.len() / kept);
        batch.rows.clear();
        batch.rows.resize(2 * size * width, 0.0);
        batch.actions.clear();
        batch.returns.clear();
        batch.weights.clear();
        batch.allowed.clear();
        let (states, after) = batch.rows.split_at_mut(size * width);
        for row in 0..size {
            let at = chance.below(kept);
            let columns = row * width..(row + 1) * width;
            states[columns.clone()].copy_from_slice(&self.states[at * width..][..width]);
            after[columns].copy_from_slice(&self.after[at * width..][..width]);
            batch.actions.push(self.actions[at]);
            batch.returns.push(self.returns[at]);
            batch.weights.push(self.weights[at]);
            batch.allowed.extend_from_slice(&self.allowed[at * mask..][..mask]);
        }
    }
}

/// Writes a row over the one that is there, or behind the last.
fn put<T: Copy>(column: &mut Vec<T>, at: usize, row: &[T]) {
    match column.get_mut(at * row.len()..(at + 1) * row.len()) {
        Some(old) => old.copy_from_slice(row),
        None => column.extend_from_slice(row),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first_and_rows_stay_together() {
        let mut replay = Replay::new(3);
        for at in 0..5u8 {
            let value = f32::from(at);
            replay.push(Transition {
                state: &[value, -value],
                action: at.into(),
                sum: 10.0 * value,
                weight: 0.5,
                after: &[value + 1.0, 0.0],
                allowed: &[true, at > 3],
            });
        }
        let (mut batch, mut seen) = (Batch::default(), [0; 5]);
        replay.draw(300, &mut Chance::new(1, 0), &mut batch);
        for row in 0..300 {
            let at = batch.actions[row];
            let value = at as f32;
            seen[at as usize] += 1;
            assert_eq!(batch.rows[2 * row..][..2], [value, -value]);
            assert_eq!(batch.rows[2 * (300 + row)..][..2], [value + 1.0, 0.0]);
            assert_eq!((batch.returns[row], batch.weights[row]), (10.0 * value, 0.5));
            assert_eq!(batch.allowed[2 * row..][..2], [true, at > 3]);
        }
        assert_eq!(seen[..2], [0, 0]);
        assert!(seen[2..].iter().all(|&count| count > 70), "{seen:?}");
    }
}
