//! Events and the queue that puts them in their total order. The contract is in the crate's docs.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::time::SimTime;

/// What happens. The numbers are the classes of the event order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Answer = 0,
    ServedB = 1,
    Transferred = 2,
    ServedA = 3,
    Arrive = 4,
}

/// One event: what happens to which request, and where that request is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) time: SimTime,
    pub(crate) kind: Kind,
    pub(crate) request: u32,
    pub(crate) place: u32,
}

/// Pending events, the next one first.
///
/// An event is one integer, so that comparing is one instruction pair:
///
/// ```text
/// bit 127        64 63     60 59          28 27       0
///     time [ns]     | class   | request      | place
/// ```
///
/// The place only rides along: (time, class, request) is already unique.
#[derive(Debug, Clone)]
pub(crate) struct EventQueue {
    heap: BinaryHeap<Reverse<u128>>,
    /// The top was handed out and waits to be overwritten by the next push: most events schedule another
    /// one, and to replace the top costs half of a pop and a push.
    hole: bool,
}

const PLACE_BITS: u32 = 28;
const CLASS_SHIFT: u32 = 60;

/// Most requests in one run: what a place holds.
pub(crate) const MAX_REQUESTS: u32 = 1 << PLACE_BITS;

impl EventQueue {
    pub(crate) fn with_capacity(events: usize) -> Self {
        EventQueue { heap: BinaryHeap::with_capacity(events), hole: false }
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, event: Event) {
        let key = Reverse(event.key());
        if self.hole {
            self.hole = false;
            if let Some(mut top) = self.heap.peek_mut() {
                *top = key;
            }
        } else {
            self.heap.push(key);
        }
    }

    /// Takes the next event, if it is due by `until`.
    #[inline]
    pub(crate) fn pop_until(&mut self, until: SimTime) -> Option<Event> {
        let mut top = self.heap.peek_mut()?;
        if self.hole {
            self.hole = false;
            PeekMut::pop(top);
            top = self.heap.peek_mut()?;
        }
        let event = Event::of(top.0);
        self.hole = event.time <= until;
        self.hole.then_some(event)
    }

    /// Events that are still to come.
    pub(crate) fn len(&self) -> usize {
        self.heap.len() - usize::from(self.hole)
    }
}

impl Event {
    #[inline]
    fn key(self) -> u128 {
        u128::from(self.time.as_nanos()) << 64 | u128::from(self.low())
    }

    #[inline]
    fn low(self) -> u64 {
        (self.kind as u64) << CLASS_SHIFT | u64::from(self.request) << PLACE_BITS | u64::from(self.place)
    }

    #[inline]
    fn of(key: u128) -> Self {
        let low = key as u64;
        let kind = match low >> CLASS_SHIFT {
            0 => Kind::Answer,
            1 => Kind::ServedB,
            2 => Kind::Transferred,
            3 => Kind::ServedA,
            _ => Kind::Arrive,
        };
        Event {
            time: SimTime::from_nanos((key >> 64) as u64),
            kind,
            request: (low >> PLACE_BITS) as u32,
            place: low as u32 & (MAX_REQUESTS - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KINDS: [Kind; 5] = [Kind::Answer, Kind::ServedB, Kind::Transferred, Kind::ServedA, Kind::Arrive];

    fn event(time: u64, kind: usize, request: u32, place: u32) -> Event {
        Event { time: SimTime::from_nanos(time), kind: KINDS[kind], request, place }
    }

    fn drain(queue: &mut EventQueue) -> Vec<Event> {
        std::iter::from_fn(|| queue.pop_until(SimTime::MAX)).collect()
    }

    #[test]
    fn time_goes_before_class_before_sequence() {
        let order = [
            event(1, 4, 9, 0),
            event(2, 0, 8, 0),
            event(2, 1, 7, 0),
            event(2, 2, 6, 0),
            event(2, 3, 2, 9),
            event(2, 3, 5, 1),
            event(2, 4, 0, 0),
            event(2, 4, u32::MAX, MAX_REQUESTS - 1),
            event(u64::MAX, 0, 0, 0),
        ];
        let mut queue = EventQueue::with_capacity(0);
        order.iter().rev().for_each(|&e| queue.push(e));
        assert_eq!(drain(&mut queue), order);
    }

    #[test]
    fn what_is_not_due_stays() {
        let mut queue = EventQueue::with_capacity(0);
        queue.push(event(5, 4, 0, 0));
        assert_eq!(queue.pop_until(SimTime::from_nanos(4)), None);
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.pop_until(SimTime::from_nanos(5)), Some(event(5, 4, 0, 0)));
        assert_eq!(queue.len(), 0);
        assert_eq!(queue.pop_until(SimTime::MAX), None);
    }

    proptest! {
        /// Against a plain sorted list, pushes and pops mixed as they come.
        #[test]
        fn pops_the_least_whatever_was_replaced(steps in prop::collection::vec((0u64..20, 0usize..5, 0..3), 1..200)) {
            let mut queue = EventQueue::with_capacity(0);
            let mut list: Vec<(u64, usize, u32)> = Vec::new();
            for (number, (time, kind, pops)) in steps.into_iter().enumerate() {
                queue.push(event(time, kind, number as u32, 0));
                list.push((time, kind, number as u32));
                list.sort_unstable();
                for _ in 0..pops {
                    let expected = (!list.is_empty()).then(|| list.remove(0));
                    let popped = queue.pop_until(SimTime::MAX);
                    prop_assert_eq!(popped, expected.map(|(t, k, r)| event(t, k, r, 0)));
                }
                prop_assert_eq!(queue.len(), list.len());
            }
        }
    }
}
