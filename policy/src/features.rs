//! An observation as numbers, for policies that compute with it.

use splitscale_spec::{Observation, QueueLevel, Signal, StagePods};

/// What is read of an observation, by name; absent where it is missing.
type Reader = (&'static str, fn(&Observation) -> Option<f64>);

const READERS: [Reader; 24] = [
    ("arrivals_per_s", |o| o.arrivals_per_s.map(value)),
    ("answers_per_s", |o| o.answers_per_s.map(value)),
    ("queue_a", |o| o.queue_a.map(last)),
    ("queue_proxy", |o| o.queue_proxy.map(last)),
    ("queue_b", |o| o.queue_b.map(last)),
    ("busy_a", |o| o.busy_a.map(value)),
    ("busy_slots", |o| o.busy_slots.map(value)),
    ("busy_b", |o| o.busy_b.map(value)),
    ("slots", |o| o.slots.map(|slots| f64::from(slots.value))),
    ("latency_p50_s", |o| o.latency_p50_s.map(value)),
    ("latency_p95_s", |o| o.latency_p95_s.map(value)),
    ("link_mbit_s", |o| o.link.map(|link| link.mbit_s)),
    ("link_confidence", |o| o.link.map(|link| link.confidence)),
    ("link_age_s", |o| o.link.map(|link| link.age_s)),
    ("desired_a", |o| of(&o.a, |stage| stage.desired)),
    ("ready_a", |o| of(&o.a, |stage| stage.ready)),
    ("starting_a", |o| of(&o.a, |stage| stage.starting)),
    ("draining_a", |o| of(&o.a, |stage| stage.draining)),
    ("change_age_a_s", |o| o.a.as_ref()?.last_change_age_s),
    ("desired_b", |o| of(&o.b, |stage| stage.desired)),
    ("ready_b", |o| of(&o.b, |stage| stage.ready)),
    ("starting_b", |o| of(&o.b, |stage| stage.starting)),
    ("draining_b", |o| of(&o.b, |stage| stage.draining)),
    ("change_age_b_s", |o| o.b.as_ref()?.last_change_age_s),
];

/// How many features there are: every signal, and of every signal whether it is missing.
pub const FEATURES: usize = 2 * READERS.len();

/// Names of the features, in their order; `no_x` is 1 where x is missing, and x is 0 there.
pub fn feature_names() -> [String; FEATURES] {
    std::array::from_fn(|at| match READERS.get(at) {
        Some((name, _)) => (*name).to_string(),
        None => format!("no_{}", READERS[at - READERS.len()].0),
    })
}

/// Where a feature stands among the others; absent where there is none of this name.
pub fn position(name: &str) -> Option<usize> {
    let of = |name: &str| READERS.iter().position(|reader| reader.0 == name);
    match name.strip_prefix("no_") {
        Some(of_what) => of(of_what).map(|at| at + READERS.len()),
        None => of(name),
    }
}

/// The features of an observation. What is missing, or no finite number, is zero and said to be missing: an agent can tell
/// it from a zero that was seen.
pub fn features(observation: &Observation) -> [f64; FEATURES] {
    let mut features = [0.0; FEATURES];
    for (at, (_, read)) in READERS.iter().enumerate() {
        match read(observation).filter(|value| value.is_finite()) {
            Some(value) => features[at] = value,
            None => features[READERS.len() + at] = 1.0,
        }
    }
    features
}

/// One feature by its name; absent where what it is read from is missing or no finite number.
pub(crate) fn read(name: &str, observation: &Observation) -> Option<f64> {
    let at = position(name)?;
    let value = |at: usize| READERS[at].1(observation).filter(|value| value.is_finite());
    match at.checked_sub(READERS.len()) {
        None => value(at),
        Some(of_what) => Some(f64::from(u8::from(value(of_what).is_none()))),
    }
}

fn value(signal: Signal<f64>) -> f64 {
    signal.value
}

fn last(queue: Signal<QueueLevel>) -> f64 {
    queue.value.last
}

fn of(stage: &Option<StagePods>, read: fn(&StagePods) -> u32) -> Option<f64> {
    stage.as_ref().map(|stage| f64::from(read(stage)))
}
