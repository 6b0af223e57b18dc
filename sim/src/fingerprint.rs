//! 64 bits that sum up a run.

use crate::event::{Event, Kind};
use crate::time::SimTime;

/// Hash of everything that happened, in order. Equal runs have equal fingerprints; runs that differ in one
/// event differ in it but for a chance of 2^-64.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fingerprint(u64);

/// Odd constants of splitmix64 (Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators*,
/// OOPSLA 2014) and its golden gamma.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
const MIX_A: u64 = 0xbf58_476d_1ce4_e5b9;
const MIX_B: u64 = 0x94d0_49bb_1331_11eb;

impl Fingerprint {
    pub(crate) const fn new() -> Self {
        Fingerprint(GAMMA)
    }

    /// An event: time, class and request. The place is left out, it depends on whether records are kept.
    #[inline]
    pub(crate) fn event(&mut self, event: Event) {
        self.mix(event.time, (event.kind as u64) << 32 | u64::from(event.request));
    }

    /// A change from outside; classes above those of events keep the two apart.
    pub(crate) fn change(&mut self, now: SimTime, what: u64, value: u32) {
        self.mix(now, (Kind::Arrive as u64 + what) << 32 | u64::from(value));
    }

    pub(crate) fn value(self) -> u64 {
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(MIX_A);
        let z = (z ^ (z >> 27)).wrapping_mul(MIX_B);
        z ^ (z >> 31)
    }

    /// One multiplication on the chain from event to event; the other is off it.
    #[inline]
    fn mix(&mut self, time: SimTime, what: u64) {
        let word = time.as_nanos().wrapping_mul(MIX_A) ^ what.wrapping_mul(MIX_B);
        self.0 = (self.0.rotate_left(29) ^ word).wrapping_mul(GAMMA);
    }
}
