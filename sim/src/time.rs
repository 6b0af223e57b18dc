//! Simulated time: whole nanoseconds from the start of the run.

use std::fmt;

/// An instant \[ns\]. Seconds as `f64` exist only at the edges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimTime(u64);

impl SimTime {
    /// The start of a run.
    pub const ZERO: SimTime = SimTime(0);
    /// The last instant.
    pub const MAX: SimTime = SimTime(u64::MAX);
    /// Where a run fails, 292 years after the start; a single duration is never longer.
    pub(crate) const END: SimTime = SimTime(i64::MAX as u64);

    /// From nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        SimTime(nanos)
    }

    /// From seconds, rounded to the nearest nanosecond; at least zero, at most 292 years.
    pub fn from_secs_f64(seconds: f64) -> Self {
        SimTime(nanos(seconds))
    }

    /// In nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// In seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 * 1e-9
    }

    /// `duration_ns` later, at the latest [`SimTime::MAX`].
    #[must_use]
    pub const fn after(self, duration_ns: u64) -> Self {
        SimTime(self.0.saturating_add(duration_ns))
    }

    /// Nanoseconds since `earlier`; zero if that is later.
    pub const fn since(self, earlier: SimTime) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09} s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// Seconds to the nearest nanosecond.
pub(crate) fn nanos(seconds: f64) -> u64 {
    rounded(seconds * 1e9)
}

/// To the nearest integer in 0..=i64::MAX: the cast saturates and makes zero of NaN, and by way of the signed
/// integer it takes half the instructions.
#[inline]
pub(crate) fn rounded(nanos: f64) -> u64 {
    ((nanos + 0.5) as i64).max(0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_and_never_wrap() {
        assert_eq!(SimTime::from_secs_f64(0.06).as_nanos(), 60_000_000);
        assert_eq!(SimTime::from_secs_f64(1e-9).as_nanos(), 1);
        assert_eq!(SimTime::from_secs_f64(-1.0), SimTime::ZERO);
        assert_eq!(SimTime::from_secs_f64(1e12), SimTime::END);
        assert_eq!(SimTime::MAX.after(1), SimTime::MAX);
        assert_eq!(SimTime::from_nanos(1_500_000_000).to_string(), "1.500000000 s");
    }
}
