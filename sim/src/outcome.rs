//! What came of a run.

use splitscale_spec::RequestRecord;

use crate::request::{Labels, Request};
use crate::time::SimTime;

/// A run that went to its end: every request was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The replication under it.
    pub replication: u64,
    /// Hash over (time, class, request) of every event and over every change from outside, in order.
    pub fingerprint: u64,
    /// Events handled. An answer that takes no time is part of the event of B's.
    pub events: u64,
    /// Requests sent, all of them answered.
    pub requests: u64,
    /// First request sent to last answer \[s\].
    pub makespan_s: f64,
    /// Sent to answered.
    pub latency: Latency,
    /// The A pods.
    pub a: StationSummary,
    /// The proxy. A slot is in service over the transfer and B's wait and service.
    pub proxy: StationSummary,
    /// The B pods.
    pub b: StationSummary,
    /// Every request by its number; empty unless the setup asked for records.
    pub trail: Vec<Request>,
}

/// Latency over all requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    /// Mean \[s\].
    pub mean_s: f64,
    /// Standard deviation, with n - 1 \[s\]; zero for one request.
    pub sd_s: f64,
    /// Largest \[s\].
    pub max_s: f64,
}

/// One station over a run. Means over time run from the first request sent to the last answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StationSummary {
    /// Mean wait in the queue \[s\].
    pub mean_wait_s: f64,
    /// Longest wait \[s\].
    pub max_wait_s: f64,
    /// Mean time with a server \[s\].
    pub mean_service_s: f64,
    /// Mean number waiting.
    pub mean_waiting: f64,
    /// Mean number of servers busy.
    pub mean_busy: f64,
}

/// Running sums over the answered, in constant memory.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answers {
    pub(crate) count: u64,
    first_sent: Option<SimTime>,
    pub(crate) last_done: SimTime,
    sum_ns: u128,
    max_ns: u64,
    /// Sum of squared distances from the first latency, which keeps the digits that raw squares would lose
    /// and needs no division an answer \[ns^2\].
    first_ns: u64,
    squares_ns2: f64,
}

// === impl Outcome ===

impl Outcome {
    /// The requests in the columns of measured ones.
    pub fn records<'a>(&'a self, labels: &'a Labels) -> impl Iterator<Item = RequestRecord> + 'a {
        self.trail.iter().map(|request| request.record(labels))
    }
}

// === impl Answers ===

impl Answers {
    /// Notes the first request sent.
    #[inline]
    pub(crate) fn sent(&mut self, now: SimTime) {
        self.first_sent.get_or_insert(now);
    }

    /// Adds an answer that is there now.
    #[inline]
    pub(crate) fn add(&mut self, now: SimTime, latency_ns: u64) {
        self.count += 1;
        self.last_done = now;
        self.sum_ns += u128::from(latency_ns);
        self.max_ns = self.max_ns.max(latency_ns);
        if self.count == 1 {
            self.first_ns = latency_ns;
        }
        let distance_ns = latency_ns as f64 - self.first_ns as f64;
        self.squares_ns2 += distance_ns * distance_ns;
    }

    pub(crate) fn latency(&self) -> Latency {
        let count = self.count.max(1) as f64;
        let mean_ns = self.sum_ns as f64 / count;
        let distance_ns = mean_ns - self.first_ns as f64;
        let deviations_ns2 = self.squares_ns2 - count * distance_ns * distance_ns;
        Latency {
            mean_s: mean_ns * 1e-9,
            sd_s: (deviations_ns2.max(0.0) / (count - 1.0).max(1.0)).sqrt() * 1e-9,
            max_s: self.max_ns as f64 * 1e-9,
        }
    }

    /// First request sent to last answer \[ns\].
    pub(crate) fn span_ns(&self) -> u64 {
        self.first_sent.map_or(0, |first| self.last_done.since(first))
    }
}
