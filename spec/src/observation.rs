//! One look at the world, simulated or live: the same fields.
//!
//! What is missing is absent and never zero; what was read from a server carries its age.

use serde::{Deserialize, Serialize};

use crate::LinkEstimate;

/// A value and how old it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal<T> {
    /// The value.
    pub value: T,
    /// Time since it was read at its source \[s\].
    pub age_s: f64,
}

impl<T> Signal<T> {
    /// The same age around another value.
    pub fn map<U>(self, of: impl FnOnce(T) -> U) -> Signal<U> {
        Signal { value: of(self.value), age_s: self.age_s }
    }
}

/// Requests waiting somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueLevel {
    /// Time mean over the window \[requests\].
    pub mean: f64,
    /// At the end of the window \[requests\].
    pub last: f64,
}

/// What a controller may know when it decides.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// Schema number, [`Observation::SCHEMA`].
    pub schema: u32,
    /// Time since the run began \[s\].
    pub time_s: f64,
    /// Length of the window behind it \[s\].
    pub window_s: f64,
    /// Requests arriving at A \[1/s\].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrivals_per_s: Option<Signal<f64>>,
    /// Requests answered \[1/s\].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers_per_s: Option<Signal<f64>>,
    /// Requests that A's pods served, whatever became of them behind A \[1/s\]; absent where A does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_a_per_s: Option<Signal<f64>>,
    /// Requests waiting for an A pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_a: Option<Signal<QueueLevel>>,
    /// Activations waiting for a transfer slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_proxy: Option<Signal<QueueLevel>>,
    /// Activations waiting for a B pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_b: Option<Signal<QueueLevel>>,
    /// Share of ready A pods at work, mean over the window, in [0, 1].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy_a: Option<Signal<f64>>,
    /// Share of transfer slots held, mean over the window, in [0, 1].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy_slots: Option<Signal<f64>>,
    /// Share of ready B pods at work, mean over the window, in [0, 1].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy_b: Option<Signal<f64>>,
    /// Transfer slots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<Signal<u32>>,
    /// Median of the time from arrival to answer over the window \[s\].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_p50_s: Option<Signal<f64>>,
    /// 95th percentile of it \[s\].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_p95_s: Option<Signal<f64>>,
    /// The link as estimated; absent while nothing was ever sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkEstimate>,
    /// Pods of A; absent while the stage does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub a: Option<StagePods>,
    /// Pods of B.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<StagePods>,
}

/// The pods of one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StagePods {
    /// Time since the stage told \[s\].
    pub age_s: f64,
    /// Asked for.
    pub desired: u32,
    /// Taking requests.
    pub ready: u32,
    /// Not ready yet.
    pub starting: u32,
    /// Finishing what they have, taking nothing new.
    pub draining: u32,
    /// Most pods that the stage takes; absent where it does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods_max: Option<u32>,
    /// Change of `desired` at the last change; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_change: Option<i64>,
    /// Time since the last change \[s\]; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_change_age_s: Option<f64>,
    /// Each pod.
    pub pods: Vec<PodSample>,
}

/// One pod, as far as it was sampled. The HPA's rules need every field of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodSample {
    /// Number of the pod within its stage.
    pub pod: u32,
    /// Where it is in its life.
    pub phase: PodPhase,
    /// Time at which it became ready, on the clock of `time_s` \[s\].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_since_s: Option<f64>,
    /// CPU it used, mean over the window \[cores\].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_used: Option<f64>,
    /// CPU it asks for: its share \[cores\].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_request: Option<f64>,
    /// Age of the sample \[s\].
    pub sample_age_s: f64,
}

/// Where a pod is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PodPhase {
    /// Not ready yet.
    Starting,
    /// Taking requests.
    Ready,
    /// Finishing what it has, taking nothing new.
    Draining,
}

impl Observation {
    /// The schema this build reads and writes.
    pub const SCHEMA: u32 = 1;

    /// An observation in which everything is missing.
    pub fn empty(time_s: f64, window_s: f64) -> Self {
        Observation { schema: Self::SCHEMA, time_s, window_s, ..Observation::default() }
    }
}
