//! 64 bits that sum up a run.

use crate::event::Event;
use crate::mix::{GAMMA, MIX_A, MIX_B, finish};
use crate::time::SimTime;

/// Hash of everything that happened, in order. Equal runs have equal fingerprints; runs that differ in one
/// event differ in it but for a chance of 2^-64.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fingerprint(u64);

/// What is changed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    Slots = 16,
    PodsA = 17,
    PodsB = 18,
}

impl Fingerprint {
    pub(crate) const fn new() -> Self {
        Fingerprint(GAMMA)
    }

    /// An event: time, class and request. The place is left out, it depends on whether records are kept.
    #[inline]
    pub(crate) fn event(&mut self, event: Event) {
        self.mix(event.time, (event.kind as u64) << 32 | u64::from(event.request));
    }

    /// A change: of slots, of pods wanted; its classes are above those of events.
    pub(crate) fn change(&mut self, now: SimTime, change: Change, value: u32) {
        self.mix(now, (change as u64) << 32 | u64::from(value));
    }

    pub(crate) fn value(self) -> u64 {
        finish(self.0)
    }

    /// One multiplication on the chain from event to event; the other is off it.
    #[inline]
    fn mix(&mut self, time: SimTime, what: u64) {
        let word = time.as_nanos().wrapping_mul(MIX_A) ^ what.wrapping_mul(MIX_B);
        self.0 = (self.0.rotate_left(29) ^ word).wrapping_mul(GAMMA);
    }
}
