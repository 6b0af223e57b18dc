//! Transfer slots and the queue before them: who may transfer when. Pure; the time is an argument.
//!
//! A slot is taken by the activation that has waited longest and is held until it is released. Changing
//! the number takes effect at once: more slots take more of the backlog now, surplus ones end as they are
//! released. Nothing ever blocks.

use std::collections::VecDeque;
use std::time::Instant;

use crate::metrics::Integral;

/// `slots` slots before a queue of `T`.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    queue: VecDeque<T>,
    slots: u32,
    held: u32,
    /// Integral of the queue's length.
    pub(crate) depth: Integral,
    /// Integral of the slots there are, surplus ones at work included, so that held / there <= 1.
    pub(crate) there: Integral,
    /// Integral of the slots held.
    pub(crate) busy: Integral,
}

impl<T> Slots<T> {
    pub(crate) fn new(now: Instant, slots: u32) -> Self {
        let integral = || Integral::new(now);
        let mut new = Slots {
            queue: VecDeque::new(),
            slots,
            held: 0,
            depth: integral(),
            there: integral(),
            busy: integral(),
        };
        new.note(now);
        new
    }

    pub(crate) fn slots(&self) -> u32 {
        self.slots
    }

    pub(crate) fn held(&self) -> u32 {
        self.held
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn resize(&mut self, now: Instant, slots: u32) {
        self.slots = slots;
        self.note(now);
    }

    pub(crate) fn push(&mut self, now: Instant, waiting: T) {
        self.queue.push_back(waiting);
        self.note(now);
    }

    /// Gives a free slot to the one that has waited longest, if there are both.
    pub(crate) fn take(&mut self, now: Instant) -> Option<T> {
        if self.held >= self.slots {
            return None;
        }
        let next = self.queue.pop_front()?;
        self.held += 1;
        self.note(now);
        Some(next)
    }

    pub(crate) fn release(&mut self, now: Instant) {
        self.held -= 1;
        self.note(now);
    }

    fn note(&mut self, now: Instant) {
        self.depth.set(now, self.queue.len() as f64);
        self.there.set(now, f64::from(self.slots.max(self.held)));
        self.busy.set(now, f64::from(self.held));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn resizing_acts_on_the_backlog_at_once_and_keeps_the_order() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut slots = Slots::new(start, 1);
        (0..6).for_each(|i| slots.push(start, i));
        assert_eq!((slots.take(start), slots.take(start)), (Some(0), None));
        slots.resize(at(1), 3);
        assert_eq!((slots.take(at(1)), slots.take(at(1)), slots.take(at(1))), (Some(1), Some(2), None));
        slots.resize(at(2), 1);
        slots.release(at(3));
        slots.release(at(3));
        assert_eq!(slots.take(at(3)), None, "one slot is still held");
        slots.release(at(4));
        assert_eq!(slots.take(at(4)), Some(3));
        // Held: 1 for 1 s, 3 for 2 s, 1 for 1 s. There: 1, then 3 (2 s, surplus included), then 1.
        assert!((slots.busy.total(at(4)) - 8.0).abs() < 1e-9);
        assert!((slots.there.total(at(4)) - 8.0).abs() < 1e-9);
        // Waiting: 5 for 1 s, 3 for 3 s.
        assert!((slots.depth.total(at(4)) - 14.0).abs() < 1e-9);
    }
}
