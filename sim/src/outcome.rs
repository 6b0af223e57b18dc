//! What came of a run.

use splitscale_spec::RequestRecord;

use crate::histogram::Histogram;
use crate::request::{Labels, Request};

/// What came of a run: of all of it, or of what came after the warm-up.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The replication under it.
    pub replication: u64,
    /// Hash over (time, class, request) of every event and over every change from outside, in order.
    pub fingerprint: u64,
    /// Events handled. What takes no time is part of the event before.
    pub events: u64,
    /// Requests sent: the answered, the refused, the failed, the lost and the unfinished together.
    pub requests: u64,
    /// Turned away by a full queue.
    pub refused: u64,
    /// Ended by the crash of a pod.
    pub failed: u64,
    /// Given up at their deadline.
    pub lost: u64,
    /// Still on their way when the run stopped.
    pub unfinished: u64,
    /// Answered within `slo_s`, of those sent after the warm-up; absent where nothing is promised. Over
    /// `requests` it is the attainment: who has no answer when the run stops has missed it.
    pub within_slo: Option<u64>,
    /// First request sent to last answer, or to the horizon \[s\].
    pub makespan_s: f64,
    /// How long the statistics cover \[s\].
    pub span_s: f64,
    /// Sent to answered.
    pub latency: Latency,
    /// The A pods.
    pub a: StationSummary,
    /// The proxy. A slot is in service over the transfer and B's wait and service.
    pub proxy: StationSummary,
    /// The B pods.
    pub b: StationSummary,
    /// The pods of A as they come and go, over the whole run.
    pub pods_a: PodsSummary,
    /// Those of B.
    pub pods_b: PodsSummary,
    /// Every request that ended, by its number; empty unless the setup asked for records.
    pub trail: Vec<Request>,
}

/// Latency over all answered requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    /// How many were answered.
    pub answered: u64,
    /// Mean \[s\].
    pub mean_s: f64,
    /// Standard deviation, with n - 1 \[s\]; zero for one request.
    pub sd_s: f64,
    /// Largest \[s\].
    pub max_s: f64,
    /// For quantiles, to 1/128 of their value.
    pub histogram: Histogram,
}

/// One station over a run. Means over time run from the first request sent to the last answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StationSummary {
    /// Mean wait in the queue, of those that were served \[s\].
    pub mean_wait_s: f64,
    /// Longest wait of those \[s\].
    pub max_wait_s: f64,
    /// Mean time with a server \[s\].
    pub mean_service_s: f64,
    /// Mean number waiting.
    pub mean_waiting: f64,
    /// Mean number of servers busy.
    pub mean_busy: f64,
    /// Turned away here.
    pub refused: u64,
}

/// The pods of a stage over a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PodsSummary {
    /// From the request to start each until it is gone \[pod s\].
    pub pod_seconds: f64,
    /// Pods asked for and given up after the start, together.
    pub changes: u64,
    /// Crashes.
    pub crashes: u64,
}

/// What was counted from the start of a run up to now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Totals {
    /// Requests sent.
    pub sent: u64,
    /// Requests answered.
    pub answered: u64,
    /// Of those, within `slo_s`; zero where nothing is promised.
    pub within_slo: u64,
    /// Requests refused, failed or lost.
    pub unanswered: u64,
    /// Sum of the answers' latencies \[s\].
    pub latency_s: f64,
    /// From the request to start each pod until it is gone, both stages \[pod s\].
    pub pod_seconds: f64,
    /// Pods asked for and given up, both stages.
    pub changes: u64,
}

/// Running sums over the answered, in constant memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers {
    count: u64,
    histogram: Histogram,
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
    /// Adds an answer.
    #[inline]
    pub(crate) fn add(&mut self, latency_ns: u64) {
        self.count += 1;
        self.histogram.add(latency_ns);
        self.sum_ns += u128::from(latency_ns);
        self.max_ns = self.max_ns.max(latency_ns);
        if self.count == 1 {
            self.first_ns = latency_ns;
        }
        let distance_ns = latency_ns as f64 - self.first_ns as f64;
        self.squares_ns2 += distance_ns * distance_ns;
    }

    /// All latencies.
    pub(crate) fn histogram(&self) -> &Histogram {
        &self.histogram
    }

    /// Sum of all latencies \[s\].
    pub(crate) fn sum_s(&self) -> f64 {
        self.sum_ns as f64 * 1e-9
    }

    pub(crate) fn latency(self) -> Latency {
        let count = self.count.max(1) as f64;
        let mean_ns = self.sum_ns as f64 / count;
        let distance_ns = mean_ns - self.first_ns as f64;
        let deviations_ns2 = self.squares_ns2 - count * distance_ns * distance_ns;
        Latency {
            answered: self.count,
            mean_s: mean_ns * 1e-9,
            sd_s: (deviations_ns2.max(0.0) / (count - 1.0).max(1.0)).sqrt() * 1e-9,
            max_s: self.max_ns as f64 * 1e-9,
            histogram: self.histogram,
        }
    }
}
