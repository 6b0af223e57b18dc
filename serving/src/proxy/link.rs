//! The emulated link: one bandwidth that all transfers share, beside the bandwidth of a slot.
//!
//! ```text
//! each of n transfers under way carries  min(slot, link(t) / n)  [Mbit/s]
//! ```
//!
//! That is a token bucket in pieces as small as can be: the tokens flow in at the bandwidth of the link, are
//! handed round among those that transfer, and none is kept for later. All carry alike, so one count of the
//! bits that each has carried is enough: who began at count `c` with `b` bits is through when it says `c + b`.
//! A change of bandwidth acts at once on what is under way. Pure; the time is an argument, and the ends of
//! transfers are exact however late they are asked for.

use std::time::{Duration, Instant};

use splitscale_spec::Invalid;

/// A bandwidth over time, held from each step to the next and repeated for ever.
#[derive(Debug, Clone, PartialEq)]
pub struct BandwidthSteps {
    /// From when, and the bandwidth from there on \[Mbit/s\]; zero stops the link until the next step. The
    /// first begins at zero, and times rise.
    pub steps: Vec<(Duration, f64)>,
    /// After which it begins again.
    pub period: Duration,
}

/// Transfers under way, each with what waits for its end.
#[derive(Debug)]
pub(super) struct Link<T> {
    /// Bandwidth of one slot \[Mbit/s\]; none: without bound.
    slot_mbit_s: Option<f64>,
    /// Bandwidth of all together, and when its steps began; none: without bound.
    shared: Option<(BandwidthSteps, Instant)>,
    /// Up to when the count is right.
    now: Instant,
    /// Bits that each has carried since the link was last idle.
    carried: f64,
    /// The count at which each is through.
    under_way: Vec<(f64, T)>,
}

// === impl BandwidthSteps ===

impl BandwidthSteps {
    /// The same bandwidth for ever.
    pub fn constant(mbit_s: f64) -> Self {
        BandwidthSteps { steps: vec![(Duration::ZERO, mbit_s)], period: Duration::from_secs(1) }
    }

    pub(super) fn validate(&self) -> Result<(), Invalid> {
        let bad = |problem: String| Err(Invalid::new("link_bandwidth", problem));
        if self.steps.first().is_none_or(|(from, _)| !from.is_zero()) {
            return bad("its first step is not at 0 s".into());
        }
        let ends = self.steps.iter().skip(1).map(|step| step.0).chain([self.period]);
        if let Some((step, _)) = self.steps.iter().zip(ends).find(|((from, _), end)| from >= end) {
            return bad(format!("the step at {:?} does not end after it begins", step.0));
        }
        if let Some((_, mbit_s)) =
            self.steps.iter().find(|(_, mbit_s)| !(mbit_s.is_finite() && *mbit_s >= 0.0))
        {
            return bad(format!("{mbit_s} is not a finite number, zero or above"));
        }
        if self.steps.iter().all(|(_, mbit_s)| *mbit_s == 0.0) {
            return bad("zero throughout; nothing would ever arrive".into());
        }
        Ok(())
    }

    /// The bandwidth so long after it began \[Mbit/s\], and for how much longer.
    fn at(&self, since: Duration) -> (f64, Duration) {
        let period_ns = self.period.as_nanos();
        // Below the period, which is 584 years at most.
        let phase = Duration::from_nanos((since.as_nanos() % period_ns.max(1)) as u64);
        let after = self.steps.partition_point(|(from, _)| *from <= phase);
        let mbit_s = self.steps.get(after.saturating_sub(1)).map_or(0.0, |step| step.1);
        let end = self.steps.get(after).map_or(self.period, |step| step.0);
        (mbit_s, end - phase)
    }
}

// === impl Link ===

impl<T> Link<T> {
    pub(super) fn new(now: Instant, slot_mbit_s: Option<f64>, shared: Option<BandwidthSteps>) -> Self {
        let shared = shared.map(|steps| (steps, now));
        Link { slot_mbit_s, shared, now, carried: 0.0, under_way: Vec::new() }
    }

    pub(super) fn slot_mbit_s(&self) -> Option<f64> {
        self.slot_mbit_s
    }

    /// Bandwidth of all together at `now` \[Mbit/s\].
    pub(super) fn shared_mbit_s(&self, now: Instant) -> Option<f64> {
        let (steps, began) = self.shared.as_ref()?;
        Some(steps.at(now.saturating_duration_since(*began)).0)
    }

    /// Whether nothing bounds a transfer.
    pub(super) fn is_free(&self) -> bool {
        self.slot_mbit_s.is_none() && self.shared.is_none()
    }

    /// Sets the bandwidth of a slot from `now` on; those that were through before are given back.
    pub(super) fn set_slot(&mut self, now: Instant, mbit_s: Option<f64>) -> Vec<T> {
        let through = self.advance(now);
        self.slot_mbit_s = mbit_s;
        through
    }

    /// Sets the bandwidth of all together from `now` on; those that were through before are given back.
    pub(super) fn set_shared(&mut self, now: Instant, mbit_s: Option<f64>) -> Vec<T> {
        let through = self.advance(now);
        self.shared = mbit_s.map(|mbit_s| (BandwidthSteps::constant(mbit_s), now));
        through
    }

    /// Begins a transfer; those that were through before are given back.
    pub(super) fn begin(&mut self, now: Instant, bytes: usize, waiting: T) -> Vec<T> {
        let through = self.advance(now);
        self.under_way.push((self.carried + bytes as f64 * 8.0, waiting));
        through
    }

    /// Takes those off the link that nobody waits for any more; those that were through before are given back.
    pub(super) fn forget(&mut self, now: Instant, given_up: impl Fn(&T) -> bool) -> Vec<T> {
        let through = self.advance(now);
        self.under_way.retain(|(_, waiting)| !given_up(waiting));
        through
    }

    /// Carries on up to `now`; those that are through are given back, the earliest first.
    pub(super) fn advance(&mut self, now: Instant) -> Vec<T> {
        let mut through = Vec::new();
        while let Some((first, count)) = self.first() {
            let (bits_s, change) = self.rate();
            match self.due(count, bits_s).filter(|due| change.is_none_or(|change| *due <= change)) {
                Some(due) if due <= now => {
                    (self.now, self.carried) = (due, count);
                    through.push(self.under_way.swap_remove(first).1);
                }
                due => {
                    let to = if due.is_some() { now } else { change.map_or(now, |change| change.min(now)) };
                    self.carried += bits_s * to.saturating_duration_since(self.now).as_secs_f64();
                    self.now = self.now.max(to);
                    if self.now >= now {
                        return through;
                    }
                }
            }
        }
        (self.now, self.carried) = (self.now.max(now), 0.0);
        through
    }

    /// When next a transfer is through or the bandwidth changes; none while nothing is under way.
    pub(super) fn next(&self) -> Option<Instant> {
        let (_, count) = self.first()?;
        let (bits_s, change) = self.rate();
        self.due(count, bits_s).into_iter().chain(change).min()
    }

    /// Which is through first, and at which count.
    fn first(&self) -> Option<(usize, f64)> {
        let counts = self.under_way.iter().map(|(count, _)| *count).enumerate();
        counts.min_by(|(_, a), (_, b)| a.total_cmp(b))
    }

    /// What each carries now \[bit/s\], and until when.
    fn rate(&self) -> (f64, Option<Instant>) {
        let slot = self.slot_mbit_s.unwrap_or(f64::INFINITY);
        let Some((steps, began)) = &self.shared else { return (slot * 1e6, None) };
        let (mbit_s, left) = steps.at(self.now.saturating_duration_since(*began));
        (slot.min(mbit_s / self.under_way.len().max(1) as f64) * 1e6, self.now.checked_add(left))
    }

    /// When the count is reached, if nothing changes before; none where that is beyond all time.
    fn due(&self, count: f64, bits_s: f64) -> Option<Instant> {
        let left = Duration::try_from_secs_f64(((count - self.carried) / bits_s).max(0.0)).ok()?;
        self.now.checked_add(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MBIT: usize = 125_000;

    fn at(start: Instant, s: f64) -> Instant {
        start + Duration::from_secs_f64(s)
    }

    /// Runs the link to its end: each name with the time at which it was through [s].
    fn run(link: &mut Link<char>, start: Instant) -> Vec<(char, f64)> {
        let mut ends = Vec::new();
        while let Some(next) = link.next() {
            let s = next.duration_since(start).as_secs_f64();
            ends.extend(link.advance(next).into_iter().map(|name| (name, (s * 1e6).round() / 1e6)));
        }
        ends
    }

    #[test]
    fn transfers_share_the_link_and_none_is_faster_than_its_slot() {
        let start = Instant::now();
        let mut link = Link::new(start, Some(6.0), Some(BandwidthSteps::constant(10.0)));
        // Alone at 6 Mbit/s for 1 s; then two at 5 until the first is through, and the other at 6 again.
        link.begin(start, 8 * MBIT, 'a');
        assert!(link.begin(at(start, 1.0), 8 * MBIT, 'b').is_empty());
        assert_eq!(run(&mut link, start), [('a', 1.4), ('b', 2.4)]);
        let mut slots = Link::new(start, Some(2.0), None);
        for name in ['a', 'b'] {
            slots.begin(start, MBIT, name);
        }
        assert_eq!(
            run(&mut slots, start),
            [('a', 0.5), ('b', 0.5)],
            "slots alone take nothing from each other"
        );
    }

    #[test]
    fn what_is_given_up_takes_nothing_from_the_others_any_more() {
        let start = Instant::now();
        let mut link = Link::new(start, None, Some(BandwidthSteps::constant(10.0)));
        link.begin(start, 10 * MBIT, 'a');
        link.begin(start, 10 * MBIT, 'b');
        // Each has carried 5 Mbit; what is left of b has the whole link.
        assert!(link.forget(at(start, 1.0), |name| *name == 'a').is_empty());
        assert_eq!(run(&mut link, start), [('b', 1.5)]);
        link.begin(at(start, 2.0), 10 * MBIT, 'c');
        link.forget(at(start, 2.5), |_| true);
        assert_eq!(link.next(), None);
    }

    #[test]
    fn a_trace_is_followed_stops_at_zero_and_repeats() {
        let start = Instant::now();
        let seconds = Duration::from_secs;
        let steps = vec![(seconds(0), 4.0), (seconds(1), 0.0), (seconds(3), 1.0)];
        let trace = BandwidthSteps { steps, period: seconds(4) };
        trace.validate().unwrap();
        let mut link = Link::new(start, None, Some(trace));
        link.begin(at(start, 0.5), 5 * MBIT, 'a');
        // 2 Mbit until 1 s, nothing until 3 s, 1 Mbit until 4 s, 2 Mbit in half a second of the next turn.
        assert_eq!(link.shared_mbit_s(at(start, 2.0)), Some(0.0));
        assert_eq!(run(&mut link, start), [('a', 4.5)]);
        // Asked late, the next is as early as it would have been.
        link.begin(at(start, 8.0), 2 * MBIT, 'b');
        link.begin(at(start, 8.0), 3 * MBIT, 'c');
        assert_eq!(link.advance(at(start, 11.5)), ['b'], "2 Mbit each, then a stop");
        assert_eq!(run(&mut link, start), [('c', 12.0)]);
    }

    #[test]
    fn a_change_acts_on_what_is_under_way() {
        let start = Instant::now();
        let mut link = Link::new(start, Some(1.0), None);
        link.begin(start, 4 * MBIT, 'a');
        assert!(link.set_slot(at(start, 1.0), Some(3.0)).is_empty());
        assert_eq!(link.next(), Some(at(start, 2.0)));
        assert!(link.set_shared(at(start, 1.5), Some(0.5)).is_empty());
        assert_eq!(run(&mut link, start), [('a', 4.5)]);
        link.begin(at(start, 5.0), 4 * MBIT, 'b');
        link.set_shared(at(start, 5.0), None);
        link.set_slot(at(start, 5.0), None);
        assert!(link.is_free());
        assert_eq!(link.advance(at(start, 5.0)), ['b'], "nothing bounds it any more");
    }

    #[test]
    fn steps_that_cannot_be_are_named() {
        let s = Duration::from_secs;
        for (steps, period, says) in [
            (vec![], s(1), "first step"),
            (vec![(s(1), 1.0)], s(2), "first step"),
            (vec![(s(0), 1.0), (s(2), 1.0), (s(2), 3.0)], s(4), "does not end"),
            (vec![(s(0), 1.0)], s(0), "does not end"),
            (vec![(s(0), f64::NAN)], s(1), "NaN"),
            (vec![(s(0), 0.0)], s(1), "zero throughout"),
        ] {
            let error = BandwidthSteps { steps, period }.validate().unwrap_err().to_string();
            assert!(error.starts_with("link_bandwidth") && error.contains(says), "{error}");
        }
    }
}
