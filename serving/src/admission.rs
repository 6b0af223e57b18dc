//! Who may wait: a bound on the number of requests and on their bytes, and credits on it.
//!
//! Whatever waits in a queue holds an [`Admission`] and gives it up when its turn comes. It has it before any of
//! its body is read, for as many bytes as it announces: what has no place costs no memory. A credit is an
//! admission that was promised to the stage before: A asks for it before its half runs, so that no activation
//! is computed that would be turned away, and what waits for room waits as a small image. A credit that is
//! not used within [`CREDIT_LIFE`] is void: whoever asked for it may be gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics::Integral;

/// How long a credit is kept for whoever asked for it.
pub(crate) const CREDIT_LIFE: Duration = Duration::from_secs(60);

/// What the last interval between places given up counts for in their mean.
const LAST_WEIGHT: f64 = 1.0 / 16.0;

/// Most that may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueBound {
    /// Requests.
    pub requests: usize,
    /// Bytes of their bodies.
    pub bytes: usize,
}

/// The place before a queue; clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<Mutex<Held>>);

#[derive(Debug)]
struct Held {
    bound: QueueBound,
    requests: usize,
    bytes: usize,
    credits: BTreeMap<u64, (Instant, usize)>,
    next_credit: u64,
    /// Places whose bodies are on their way.
    coming: usize,
    /// When the last place was given up, or the first was taken after that.
    since: Instant,
    /// Whether any was turned away since.
    wanted: bool,
    /// Mean time between places given up while others waited, the last ones above all \[s\].
    between_s: Option<f64>,
    /// Integral of those that wait; what credits stand for, and what is on its way, is not here yet.
    depth: Integral,
}

/// A place in the queue; dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Admission {
    gate: Gate,
    bytes: usize,
    here: bool,
}

impl Gate {
    pub(crate) fn new(bound: QueueBound) -> Gate {
        let (credits, depth) = (BTreeMap::new(), Integral::new(Instant::now()));
        Gate(Arc::new(Mutex::new(Held {
            bound,
            requests: 0,
            bytes: 0,
            credits,
            next_credit: 0,
            coming: 0,
            since: Instant::now(),
            wanted: false,
            between_s: None,
            depth,
        })))
    }

    /// A place for so many bytes that will come, or why there is none.
    pub(crate) fn admit(&self, now: Instant, bytes: usize) -> Result<Admission, String> {
        let mut held = self.lock();
        held.take(now, bytes)?;
        Ok(self.place(&mut held, bytes))
    }

    /// Promises a place for so many bytes; the promise's number, or why there is none.
    pub(crate) fn promise(&self, now: Instant, bytes: usize) -> Result<u64, String> {
        let mut held = self.lock();
        held.take(now, bytes)?;
        let number = held.next_credit;
        held.next_credit += 1;
        held.credits.insert(number, (now + CREDIT_LIFE, bytes));
        Ok(number)
    }

    /// The place that was promised, now for what is coming; a place like any other where there is no such promise.
    pub(crate) fn redeem(
        &self,
        now: Instant,
        number: Option<u64>,
        bytes: usize,
    ) -> Result<Admission, String> {
        let mut held = self.lock();
        if let Some((_, promised)) = number.and_then(|number| held.credits.remove(&number)) {
            held.bytes = held.bytes - promised + bytes;
            return Ok(self.place(&mut held, bytes));
        }
        drop(held);
        self.admit(now, bytes)
    }

    /// A place for one that had one, and comes back whatever the bound is.
    pub(crate) fn back(&self, now: Instant, bytes: usize) -> Admission {
        let mut held = self.lock();
        held.give(now, bytes);
        held.note(now);
        Admission { gate: self.clone(), bytes, here: true }
    }

    /// Takes a promise back that will not be used.
    pub(crate) fn release(&self, number: u64) {
        self.lock().void(Instant::now(), number);
    }

    /// How long one that was turned away now would wait for a place \[s\]: the measured time between places given
    /// up, or how long none was where that is longer; `guess_s` before any was measured.
    pub(crate) fn free_in_s(&self, now: Instant, guess_s: f64) -> f64 {
        let held = self.lock();
        held.between_s.unwrap_or(guess_s).max(now.saturating_duration_since(held.since).as_secs_f64())
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> u64 {
        self.lock().waiting()
    }

    /// Integral of those that waited.
    pub(crate) fn depth(&self, now: Instant) -> f64 {
        self.lock().depth.total(now)
    }

    /// A place that was taken, for what is on its way.
    fn place(&self, held: &mut Held, bytes: usize) -> Admission {
        held.coming += 1;
        Admission { gate: self.clone(), bytes, here: false }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // No code under the lock leaves the state half changed when it panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn take(&mut self, now: Instant, bytes: usize) -> Result<(), String> {
        let QueueBound { requests, bytes: bytes_max } = self.bound;
        let full = |held: &Held| {
            // One that is larger than the bound may wait alone: the body's own limit holds for it.
            held.requests >= requests || (held.requests > 0 && held.bytes + bytes > bytes_max)
        };
        if full(self) {
            self.forget(now);
        }
        if full(self) {
            self.wanted = true;
            return Err(format!(
                "the queue is full: {} requests of {} bytes wait",
                self.requests, self.bytes
            ));
        }
        self.give(now, bytes);
        Ok(())
    }

    fn give(&mut self, now: Instant, bytes: usize) {
        if self.requests == 0 {
            self.since = now;
        }
        self.requests += 1;
        self.bytes += bytes;
    }

    /// Takes back the credits that were not used in time.
    fn forget(&mut self, now: Instant) {
        let void: Vec<u64> =
            self.credits.iter().filter(|(_, (end, _))| *end <= now).map(|(number, _)| *number).collect();
        void.into_iter().for_each(|number| self.void(now, number));
    }

    fn void(&mut self, now: Instant, number: u64) {
        if let Some((_, bytes)) = self.credits.remove(&number) {
            self.give_up(now, bytes);
        }
    }

    /// Gives one place up.
    fn give_up(&mut self, now: Instant, bytes: usize) {
        // One that was alone and kept nobody out passed through: it tells nothing of a queue.
        if self.wanted || self.requests > 1 {
            let between_s = now.saturating_duration_since(self.since).as_secs_f64();
            let mean_s = self.between_s.unwrap_or(between_s);
            self.between_s = Some(mean_s + (between_s - mean_s) * LAST_WEIGHT);
        }
        (self.since, self.wanted) = (now, false);
        self.requests -= 1;
        self.bytes -= bytes;
    }

    fn waiting(&self) -> u64 {
        (self.requests - self.credits.len() - self.coming) as u64
    }

    fn note(&mut self, now: Instant) {
        self.depth.set(now, self.waiting() as f64);
    }
}

impl Admission {
    /// It is here, and has so many bytes.
    pub(crate) fn came(&mut self, now: Instant, bytes: usize) {
        let mut held = self.gate.lock();
        held.bytes = held.bytes - self.bytes + bytes;
        held.coming -= usize::from(!self.here);
        (self.bytes, self.here) = (bytes, true);
        held.note(now);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let (mut held, now) = (self.gate.lock(), Instant::now());
        held.give_up(now, self.bytes);
        held.coming -= usize::from(!self.here);
        held.note(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_bytes_are_bounded_and_given_back() {
        let now = Instant::now();
        let gate = Gate::new(QueueBound { requests: 2, bytes: 100 });
        let whole = gate.admit(now, 150).expect("one may be as large as it is");
        assert!(gate.admit(now, 1).unwrap_err().contains("1 requests of 150 bytes"));
        drop(whole);
        let [_a, b] = [60, 40].map(|bytes| gate.admit(now, bytes).unwrap());
        assert!(gate.admit(now, 0).is_err(), "two wait");
        drop(b);
        assert!(gate.admit(now, 41).is_err(), "101 bytes");
        assert!(gate.admit(now, 40).is_ok());
    }

    #[test]
    fn one_that_comes_back_has_its_place_and_keeps_out_others() {
        let now = Instant::now();
        let gate = Gate::new(QueueBound { requests: 1, bytes: 100 });
        let mut waits = gate.admit(now, 60).unwrap();
        waits.came(now, 60);
        let back = gate.back(now, 60);
        assert_eq!(gate.waiting(), 2);
        drop(waits);
        assert!(gate.admit(now, 1).is_err(), "it counts as any other");
        drop(back);
        let held = gate.lock();
        assert_eq!((held.waiting(), held.bytes), (0, 0));
    }

    #[test]
    fn a_place_is_for_what_is_announced_until_it_is_here() {
        let now = Instant::now();
        let gate = Gate::new(QueueBound { requests: 3, bytes: 100 });
        let mut place = gate.admit(now, 90).unwrap();
        assert_eq!(gate.waiting(), 0, "it is on its way");
        assert!(gate.admit(now, 20).is_err());
        place.came(now, 50);
        assert_eq!(gate.waiting(), 1);
        let coming = gate.admit(now, 50).expect("the other was smaller than it said");
        drop((place, coming));
        let held = gate.lock();
        assert_eq!((held.waiting(), held.coming, held.bytes), (0, 0, 0));
    }

    #[test]
    fn the_time_to_a_free_place_is_measured_where_places_are_wanted() {
        let now = Instant::now();
        let second = |s| now + Duration::from_secs(s);
        let gate = Gate::new(QueueBound { requests: 2, bytes: 100 });
        // Alone and at once: no queue to be measured.
        gate.lock().take(now, 1).unwrap();
        gate.lock().give_up(now, 1);
        assert_eq!(gate.free_in_s(now, 3.0), 3.0);
        for s in [0, 1] {
            gate.lock().take(second(s), 1).unwrap();
        }
        gate.lock().give_up(second(8), 1);
        gate.lock().take(second(8), 1).unwrap();
        gate.lock().give_up(second(16), 1);
        assert_eq!(gate.free_in_s(second(20), 3.0), 8.0);
        assert_eq!(gate.free_in_s(second(36), 3.0), 20.0, "none was given up for so long");
        gate.lock().give_up(second(40), 1);
        assert_eq!(gate.free_in_s(second(40), 3.0), 8.0, "the last was alone, and nobody else wanted it");
        // One place, and one that did not get it.
        let gate = Gate::new(QueueBound { requests: 1, bytes: 100 });
        gate.lock().take(now, 1).unwrap();
        assert!(gate.lock().take(second(1), 1).is_err());
        gate.lock().give_up(second(5), 1);
        assert_eq!(gate.free_in_s(second(5), 3.0), 5.0);
    }

    #[test]
    fn a_credit_holds_a_place_until_it_is_used_or_void() {
        let now = Instant::now();
        let gate = Gate::new(QueueBound { requests: 1, bytes: 100 });
        let credit = gate.promise(now, 10).unwrap();
        assert!(gate.admit(now, 1).is_err() && gate.promise(now, 1).is_err());
        let place = gate.redeem(now, Some(credit), 30).expect("promised");
        assert!(gate.redeem(now, Some(credit), 30).is_err(), "a credit is good once");
        drop(place);
        let credit = gate.promise(now, 10).unwrap();
        gate.release(credit);
        gate.promise(now, 10).expect("the other was given back");
        assert_eq!(gate.waiting(), 0, "nothing came yet");
        assert!(gate.admit(now + CREDIT_LIFE / 2, 1).is_err());
        assert!(gate.admit(now + CREDIT_LIFE, 1).is_ok(), "nobody came for it");
    }
}
