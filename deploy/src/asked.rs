//! Signals that somebody else was asked for: they take the place of what the servers say.

use splitscale_spec::{LinkEstimate, Observation, QueueLevel, Signal};

/// A signal of an [`Observation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// Requests arriving \[1/s\].
    Arrivals,
    /// Requests answered \[1/s\].
    Answers,
    /// Requests waiting for a pod of A.
    QueueA,
    /// Activations waiting for the link.
    QueueProxy,
    /// Activations waiting for a pod of B.
    QueueB,
    /// Share of A's pods at work.
    BusyA,
    /// Share of the slots held.
    BusySlots,
    /// Share of B's pods at work.
    BusyB,
    /// Transfer slots.
    Slots,
    /// Median latency \[s\].
    LatencyP50,
    /// 95th percentile of the latency \[s\].
    LatencyP95,
    /// Bandwidth of a transfer \[Mbit/s\].
    Link,
}

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Answer {
    /// A number, and how old it is.
    Value(Signal<f64>),
    /// That there is none.
    Nothing,
    /// No answer: what was known before ages.
    Silence,
}

/// How sure a bandwidth is that was asked for: whoever is asked does not say, and it is enough to be believed.
const ASKED_CONFIDENCE: f64 = 0.9;

impl Field {
    /// Its name in an observation.
    pub fn name(self) -> &'static str {
        match self {
            Field::Arrivals => "arrivals_per_s",
            Field::Answers => "answers_per_s",
            Field::QueueA => "queue_a",
            Field::QueueProxy => "queue_proxy",
            Field::QueueB => "queue_b",
            Field::BusyA => "busy_a",
            Field::BusySlots => "busy_slots",
            Field::BusyB => "busy_b",
            Field::Slots => "slots",
            Field::LatencyP50 => "latency_p50_s",
            Field::LatencyP95 => "latency_p95_s",
            Field::Link => "link",
        }
    }

    /// The age of the signal in an observation \[s\]; absent where the signal is.
    pub fn age_s(self, seen: &Observation) -> Option<f64> {
        match self {
            Field::Arrivals => seen.arrivals_per_s.map(|signal| signal.age_s),
            Field::Answers => seen.answers_per_s.map(|signal| signal.age_s),
            Field::QueueA => seen.queue_a.map(|signal| signal.age_s),
            Field::QueueProxy => seen.queue_proxy.map(|signal| signal.age_s),
            Field::QueueB => seen.queue_b.map(|signal| signal.age_s),
            Field::BusyA => seen.busy_a.map(|signal| signal.age_s),
            Field::BusySlots => seen.busy_slots.map(|signal| signal.age_s),
            Field::BusyB => seen.busy_b.map(|signal| signal.age_s),
            Field::Slots => seen.slots.map(|signal| signal.age_s),
            Field::LatencyP50 => seen.latency_p50_s.map(|signal| signal.age_s),
            Field::LatencyP95 => seen.latency_p95_s.map(|signal| signal.age_s),
            Field::Link => seen.link.map(|link| link.age_s),
        }
    }

    /// Puts a signal, or that there is none, into an observation.
    pub(crate) fn put(self, seen: &mut Observation, signal: Option<Signal<f64>>) {
        let queue = || signal.map(|signal| signal.map(|value| QueueLevel { mean: value, last: value }));
        match self {
            Field::Arrivals => seen.arrivals_per_s = signal,
            Field::Answers => seen.answers_per_s = signal,
            Field::QueueA => seen.queue_a = queue(),
            Field::QueueProxy => seen.queue_proxy = queue(),
            Field::QueueB => seen.queue_b = queue(),
            Field::BusyA => seen.busy_a = signal,
            Field::BusySlots => seen.busy_slots = signal,
            Field::BusyB => seen.busy_b = signal,
            // What is no count of slots is none, and not the nearest.
            Field::Slots => {
                let count = signal.filter(|slots| (0.0..=f64::from(u32::MAX)).contains(&slots.value));
                seen.slots = count.map(|slots| slots.map(|value| value.round() as u32));
            }
            Field::LatencyP50 => seen.latency_p50_s = signal,
            Field::LatencyP95 => seen.latency_p95_s = signal,
            Field::Link => {
                seen.link = signal.map(|Signal { value, age_s }| LinkEstimate {
                    mbit_s: value,
                    confidence: ASKED_CONFIDENCE,
                    age_s,
                });
            }
        }
    }
}
