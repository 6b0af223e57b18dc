//! The link between the stages, where transfers share it or its bandwidth changes.

use crate::shared::Shared;
use crate::time::SimTime;

/// Bandwidth over time, the same in every run.
#[derive(Debug)]
pub(crate) struct Rates {
    /// From \[ns\], bits a nanosecond.
    steps: Vec<(u64, f64)>,
    period_ns: u64,
    /// The bandwidth is of all transfers together.
    whole: bool,
}

/// Transfers in progress.
#[derive(Debug, Clone, Default)]
pub(crate) struct Link {
    pub(crate) bits: Shared,
    /// Bandwidth now \[bit/ns\], and until when.
    rate: f64,
    until: SimTime,
}

impl Rates {
    /// `steps`: from \[ns\], Mbit/s.
    pub(crate) fn new(steps: Vec<(u64, f64)>, period_ns: u64, whole: bool) -> Self {
        Rates { steps: steps.into_iter().map(|(at, mbit_s)| (at, mbit_s * 1e-3)).collect(), period_ns, whole }
    }

    /// The least that so many bits can take \[ns\], at the highest bandwidth there ever is.
    pub(crate) fn least_ns(&self, bits: u64) -> u64 {
        let peak = self.steps.iter().map(|step| step.1).fold(0.0, f64::max);
        // A rate is rounded up, by less than this.
        (bits as f64 / (peak + 1e-11)) as u64
    }

    /// Bandwidth at `now` and until when it lasts.
    fn at(&self, now: SimTime) -> (f64, SimTime) {
        let (turn, phase) = (now.as_nanos() / self.period_ns, now.as_nanos() % self.period_ns);
        let after = self.steps.partition_point(|&(at, _)| at <= phase);
        let rate = self.steps.get(after.saturating_sub(1)).map_or(0.0, |step| step.1);
        let end = self.steps.get(after).map_or(self.period_ns, |step| step.0);
        (rate, SimTime::from_nanos((turn * self.period_ns).saturating_add(end)))
    }
}

impl Link {
    /// Brings it up to `now`. While anything is in progress there is an event at every change of bandwidth, so
    /// that the rate was the same since the last call.
    pub(crate) fn advance(&mut self, rates: &Rates, now: SimTime) {
        self.bits.advance(now);
        if now >= self.until {
            (self.rate, self.until) = rates.at(now);
        }
    }

    /// Shares the bandwidth among those in progress now, and says when something happens next.
    pub(crate) fn share(&mut self, rates: &Rates) -> Option<SimTime> {
        let sharing = if rates.whole { self.bits.len().max(1) as f64 } else { 1.0 };
        self.bits.set_rate(self.rate / sharing);
        if self.bits.len() == 0 {
            return None;
        }
        Some(self.bits.next().map_or(self.until, |next| next.min(self.until)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_held_and_wraps() {
        let rates = Rates::new(vec![(0, 1000.0), (10, 0.0), (30, 3000.0)], 50, false);
        let at = |ns| rates.at(SimTime::from_nanos(ns));
        assert_eq!(at(0), (1.0, SimTime::from_nanos(10)));
        assert_eq!(at(29), (0.0, SimTime::from_nanos(30)));
        assert_eq!(at(49), (3.0, SimTime::from_nanos(50)));
        assert_eq!(at(50), (1.0, SimTime::from_nanos(60)));
        assert_eq!(at(125), (0.0, SimTime::from_nanos(130)));
    }
}
