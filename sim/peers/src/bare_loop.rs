//! The limit: loops that know their one model. Same events, same generator, draws in the order of need;
//! nothing is counted, hashed or kept but what is returned.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::{A_S, B_S, CUSTOMERS, GAP_S, JOBS, PODS_A, PODS_B, SERVICE_S, SLOTS, TRANSFER_S};

/// Draws, and the events to come. The key of an event is `time [ns] << 64 | sequence << 2 | kind`.
struct Bare {
    rng: ChaCha8Rng,
    sequence: u64,
    heap: BinaryHeap<Reverse<u128>>,
}

pub(crate) fn mm1(seed: u64) -> f64 {
    const ARRIVAL: u64 = 0;
    let mut bare = Bare::new(seed);
    let mut left = CUSTOMERS - 1;
    let mut waiting = VecDeque::new();
    let mut busy = false;
    let mut waits_ns = 0;
    let first = bare.event(0, GAP_S, ARRIVAL);
    bare.heap.push(first);
    while let Some((now, kind)) = bare.first() {
        let next = if kind == ARRIVAL {
            let arrival = (left > 0).then(|| {
                left -= 1;
                bare.event(now, GAP_S, ARRIVAL)
            });
            if busy {
                waiting.push_back(now);
                [arrival, None]
            } else {
                busy = true;
                [Some(bare.event(now, SERVICE_S, 1)), arrival]
            }
        } else if let Some(since) = waiting.pop_front() {
            waits_ns += now - since;
            [Some(bare.event(now, SERVICE_S, 1)), None]
        } else {
            busy = false;
            [None, None]
        };
        bare.replace_first(next);
    }
    waits_ns as f64 * 1e-9 / f64::from(CUSTOMERS)
}

pub(crate) fn burst(seed: u64) -> f64 {
    let mut bare = Bare::new(seed);
    let mut left_a = JOBS as usize - PODS_A;
    let (mut wait_slot, mut wait_b, mut held, mut busy_b) = (0usize, 0usize, 0, 0);
    for _ in 0..PODS_A {
        let done = bare.event(0, A_S, 0);
        bare.heap.push(done);
    }
    let mut now = 0;
    while let Some((time, kind)) = bare.first() {
        now = time;
        let mut next = [None; 2];
        match kind {
            0 => {
                if left_a > 0 {
                    left_a -= 1;
                    next[0] = Some(bare.event(now, A_S, 0));
                }
                if held < SLOTS {
                    held += 1;
                    next[1] = Some(bare.event(now, TRANSFER_S, 1));
                } else {
                    wait_slot += 1;
                }
            }
            1 if busy_b < PODS_B => {
                busy_b += 1;
                next[0] = Some(bare.event(now, B_S, 2));
            }
            1 => wait_b += 1,
            _ => {
                if wait_b > 0 {
                    wait_b -= 1;
                    next[0] = Some(bare.event(now, B_S, 2));
                } else {
                    busy_b -= 1;
                }
                if wait_slot > 0 {
                    wait_slot -= 1;
                    next[1] = Some(bare.event(now, TRANSFER_S, 1));
                } else {
                    held -= 1;
                }
            }
        }
        bare.replace_first(next);
    }
    now as f64 * 1e-9
}

impl Bare {
    fn new(seed: u64) -> Self {
        Bare { rng: ChaCha8Rng::seed_from_u64(seed), sequence: 0, heap: BinaryHeap::with_capacity(16) }
    }

    /// An exponential time from now.
    #[inline]
    fn event(&mut self, now: u64, mean_s: f64, kind: u64) -> Reverse<u128> {
        let unit = ((self.rng.next_u64() >> 12) as f64 + 0.5) * (1.0 / (1u64 << 52) as f64);
        let time = now + (-mean_s * 1e9 * unit.ln()) as u64;
        self.sequence += 1;
        Reverse(u128::from(time) << 64 | u128::from(self.sequence << 2 | kind))
    }

    /// Time and kind.
    #[inline]
    fn first(&self) -> Option<(u64, u64)> {
        self.heap.peek().map(|Reverse(key)| ((key >> 64) as u64, *key as u64 & 3))
    }

    /// One event in the place of another is one walk through the heap; taking out and putting in are two.
    #[inline]
    fn replace_first(&mut self, next: [Option<Reverse<u128>>; 2]) {
        let [first, second] = if next[0].is_some() { next } else { [next[1], None] };
        match first {
            Some(event) => *self.heap.peek_mut().expect("the event that was handled") = event,
            None => drop(self.heap.pop()),
        }
        self.heap.extend(second);
    }
}
