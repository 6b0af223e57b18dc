//! Processor sharing: the cores of a node, the bandwidth of a link.
//!
//! ```text
//! every job gets the same rate r(t), so one clock of service is enough for all:
//! V(t) = integral of r,   a job of demand d that joins at s is done when V(t) = V(s) + d
//! ```
//!
//! (the virtual time of Zhang, *Virtual Clock*, SIGCOMM 1990, and of fluid fair queueing, Parekh and Gallager,
//! IEEE/ACM ToN 1(3), 1993). Joining and leaving cost a heap operation however many share, and a rate of zero
//! simply stops the clock.
//!
//! Service is counted in integers of 2^-40 of its unit (nanoseconds at full speed, or bits), so that no
//! rounding adds up: a rate is too high by at most 2^-40. It is never too low: a job that ends by right in the
//! instant in which the rate falls must not miss it by a hair.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::SimTime;

const FRACTION_BITS: u32 = 40;

/// A resource that its jobs share evenly.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared {
    /// V \[2^-40 units\].
    served: u128,
    /// r \[2^-40 units a ns\].
    rate: u64,
    since: SimTime,
    /// When V reaches the end of each job, its number, its place.
    jobs: BinaryHeap<Reverse<(u128, u32, u32)>>,
    /// Of the one event that is valid.
    generation: u32,
}

impl Shared {
    /// Jobs that share it.
    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Brings the clock of service up to `now`.
    pub(crate) fn advance(&mut self, now: SimTime) {
        self.served += u128::from(now.since(self.since)) * u128::from(self.rate);
        self.since = now;
    }

    /// From now on each job gets `rate` \[units a ns\].
    pub(crate) fn set_rate(&mut self, rate: f64) {
        self.rate = (rate * (1u64 << FRACTION_BITS) as f64).ceil() as u64;
    }

    /// A job of `demand` units joins.
    pub(crate) fn join(&mut self, demand: u64, number: u32, place: u32) {
        self.jobs.push(Reverse((self.served + (u128::from(demand) << FRACTION_BITS), number, place)));
    }

    /// The next job that is done by now: its place.
    pub(crate) fn leave(&mut self) -> Option<u32> {
        let Reverse((end, _, place)) = *self.jobs.peek()?;
        (end <= self.served).then(|| {
            self.jobs.pop();
            place
        })
    }

    /// A job goes before it is done.
    pub(crate) fn remove(&mut self, place: u32) {
        self.jobs.retain(|Reverse((_, _, job))| *job != place);
    }

    /// When the next job is done at the rate of now, rounded up; never where the clock stands.
    pub(crate) fn next(&self) -> Option<SimTime> {
        let Reverse((end, _, _)) = self.jobs.peek()?;
        let left = end.saturating_sub(self.served);
        if left == 0 {
            return Some(self.since);
        }
        (self.rate > 0).then(|| {
            let wait = left.div_ceil(u128::from(self.rate));
            self.since.after(u64::try_from(wait).unwrap_or(u64::MAX))
        })
    }

    /// Makes every event scheduled so far void, and names the one to come.
    pub(crate) fn renew(&mut self) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        self.generation
    }

    /// Whether an event was made void.
    pub(crate) fn is_void(&self, generation: u32) -> bool {
        self.generation != generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ns: u64) -> SimTime {
        SimTime::from_nanos(ns)
    }

    #[test]
    fn two_jobs_take_twice_as_long_while_both_are_there() {
        let mut cores = Shared::default();
        cores.set_rate(1.0);
        cores.join(100, 0, 7);
        cores.advance(at(50));
        cores.set_rate(0.5);
        cores.join(100, 1, 8);
        assert_eq!(cores.next(), Some(at(150)));
        cores.advance(at(150));
        assert_eq!((cores.leave(), cores.leave()), (Some(7), None));
        cores.set_rate(1.0);
        assert_eq!(cores.next(), Some(at(200)));
        cores.advance(at(200));
        assert_eq!((cores.leave(), cores.len()), (Some(8), 0));
    }

    #[test]
    fn at_rate_zero_nothing_ends() {
        let mut link = Shared::default();
        link.join(8, 0, 0);
        assert_eq!(link.next(), None);
        link.advance(at(1_000_000));
        assert_eq!(link.leave(), None);
        link.set_rate(0.001);
        assert_eq!(link.next(), Some(at(1_008_000)));
    }

    #[test]
    fn of_equal_ends_the_older_job_goes_first() {
        let mut cores = Shared::default();
        cores.set_rate(1.0);
        cores.join(5, 2, 20);
        cores.join(5, 1, 10);
        cores.advance(at(5));
        assert_eq!((cores.leave(), cores.leave()), (Some(10), Some(20)));
    }
}
