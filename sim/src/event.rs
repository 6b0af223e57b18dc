//! Events and the queue that puts them in their total order. The contract is in the crate's docs.

use splitscale_spec::Stage;

use crate::time::SimTime;

/// What happens. The numbers are the classes of the event order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An answer is with its client.
    Answer = 0,
    /// A request is done on cores that several share.
    Cores = 1,
    /// A B pod is done.
    ServedB = 2,
    /// A payload has crossed the link that several share, or the bandwidth changes.
    Link = 3,
    /// A transfer is done.
    Transferred = 4,
    /// An A pod is done.
    ServedA = 5,
    /// A pod is ready.
    PodReady = 6,
    /// A pod crashes.
    Crash = 7,
    /// The number of slots changes by itself.
    Slots = 8,
    /// A client gives up.
    Deadline = 9,
    /// A request arrives.
    Arrive = 10,
}

/// One event: what happens to which request, and where that request is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub time: SimTime,
    /// What.
    pub kind: Kind,
    /// Number of the request; of cores, the link and pods, how often they were rescheduled.
    pub request: u32,
    /// Where the request is kept, the node, or the pod (with the top bit set: of B).
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
    /// A binary heap, the least at the root.
    heap: Vec<u128>,
    /// The top was handed out and waits to be overwritten by the next push: most events schedule another
    /// one, and to replace the top costs half of a pop and a push.
    hole: bool,
}

const PLACE_BITS: u32 = 28;
const CLASS_SHIFT: u32 = 60;

/// Most requests in one run: what a place holds.
pub const MAX_REQUESTS: u32 = 1 << PLACE_BITS;

impl Event {
    /// The pod that is ready or crashes; absent for other events.
    pub fn pod(&self) -> Option<(Stage, u32)> {
        let stage = if self.place & OF_B == 0 { Stage::A } else { Stage::B };
        matches!(self.kind, Kind::PodReady | Kind::Crash).then_some((stage, self.place & !OF_B))
    }
}

/// Marks a pod of B in an event's place.
pub(crate) const OF_B: u32 = 1 << 27;

impl EventQueue {
    pub(crate) fn with_capacity(events: usize) -> Self {
        EventQueue { heap: Vec::with_capacity(events), hole: false }
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, event: Event) {
        let key = event.key();
        if self.hole {
            self.hole = false;
            self.sink(key);
        } else {
            self.heap.push(key);
            self.rise(key);
        }
    }

    /// Takes the next event, if it is due by `until`.
    #[inline(always)]
    pub(crate) fn pop_until(&mut self, until: SimTime) -> Option<Event> {
        if self.hole {
            self.hole = false;
            let last = self.heap.pop()?;
            if !self.heap.is_empty() {
                self.sink(last);
            }
        }
        let event = Event::of(*self.heap.first()?);
        self.hole = event.time <= until;
        self.hole.then_some(event)
    }

    /// Events that are still to come.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.heap.len() - usize::from(self.hole)
    }

    /// Puts `key` in place of the root: the lesser child moves up until neither is less.
    #[inline(always)]
    fn sink(&mut self, key: u128) {
        let heap = self.heap.as_mut_slice();
        let mut at = 0;
        let mut child = 1;
        while child + 1 < heap.len() {
            // Added, not branched on: which child is less is a coin toss.
            child += usize::from(heap[child + 1] < heap[child]);
            if key < heap[child] {
                break;
            }
            heap[at] = heap[child];
            at = child;
            child = 2 * at + 1;
        }
        if child + 1 == heap.len() && heap[child] < key {
            heap[at] = heap[child];
            at = child;
        }
        heap[at] = key;
    }

    /// Moves the last, which is `key`, up to where its parent is less.
    #[inline(always)]
    fn rise(&mut self, key: u128) {
        let heap = self.heap.as_mut_slice();
        let mut at = heap.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if heap[parent] < key {
                break;
            }
            heap[at] = heap[parent];
            at = parent;
        }
        heap[at] = key;
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
            1 => Kind::Cores,
            2 => Kind::ServedB,
            3 => Kind::Link,
            4 => Kind::Transferred,
            5 => Kind::ServedA,
            6 => Kind::PodReady,
            7 => Kind::Crash,
            8 => Kind::Slots,
            9 => Kind::Deadline,
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

    const KINDS: [Kind; 11] = [
        Kind::Answer,
        Kind::Cores,
        Kind::ServedB,
        Kind::Link,
        Kind::Transferred,
        Kind::ServedA,
        Kind::PodReady,
        Kind::Crash,
        Kind::Slots,
        Kind::Deadline,
        Kind::Arrive,
    ];

    fn event(time: u64, kind: usize, request: u32, place: u32) -> Event {
        Event { time: SimTime::from_nanos(time), kind: KINDS[kind], request, place }
    }

    fn drain(queue: &mut EventQueue) -> Vec<Event> {
        std::iter::from_fn(|| queue.pop_until(SimTime::MAX)).collect()
    }

    #[test]
    fn time_goes_before_class_before_sequence() {
        let mut order = vec![event(1, 10, 9, 0)];
        order.extend((0..11).map(|class| event(2, class, 20 - class as u32, 0)));
        order.push(event(2, 10, u32::MAX, MAX_REQUESTS - 1));
        order.push(event(u64::MAX, 0, 0, 0));
        let mut queue = EventQueue::with_capacity(0);
        order.iter().rev().for_each(|&e| queue.push(e));
        assert_eq!(drain(&mut queue), order);
    }

    #[test]
    fn what_is_not_due_stays() {
        let mut queue = EventQueue::with_capacity(0);
        queue.push(event(5, 10, 0, 0));
        assert_eq!(queue.pop_until(SimTime::from_nanos(4)), None);
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.pop_until(SimTime::from_nanos(5)), Some(event(5, 10, 0, 0)));
        assert_eq!(queue.len(), 0);
        assert_eq!(queue.pop_until(SimTime::MAX), None);
    }

    proptest! {
        /// Against a plain sorted list, pushes and pops mixed as they come.
        #[test]
        fn pops_the_least_whatever_was_replaced(steps in prop::collection::vec((0u64..20, 0usize..11, 0..3), 1..200)) {
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
