//! What a `SplitPipeline` tells: its status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use splitscale_spec::Replicas;

use super::resource::ModeName;

/// How a pipeline is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SplitPipelineStatus {
    /// The generation of the spec that this status is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The mode that decisions are taken in: the spec's, or Paused while no policy could be loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<ModeName>,
    /// Pods that both Deployments are told to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<PodCounts>,
    /// More pods than these would be useless; absent while the link is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub useful: Option<PodCounts>,
    /// The same in a word, as A/B.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub useful_pods: Option<String>,
    /// What holds the pipeline back: network, a, b, load, none or unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bottleneck: Option<String>,
    /// The last decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<LastDecision>,
    /// What it came to since the object was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// What is well and what is not, each with a remedy in its message.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Pods of both stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PodCounts {
    /// Of A.
    pub a: u32,
    /// Of B.
    pub b: u32,
}

/// A decision, in short: all of it is on the page and in the decisions file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LastDecision {
    /// Changes of the leader so far, and the number of the decision.
    pub id: String,
    /// Number of the decision alone.
    pub number: u64,
    /// When it was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// The mode it was taken in.
    pub mode: ModeName,
    /// What was seen. What is missing was not.
    pub observed: Observed,
    /// What held the pipeline back.
    pub bottleneck: String,
    /// Pods that both stages were told to have before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PodCounts>,
    /// What the policy wants, before anything holds it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<PodCounts>,
    /// More pods than these would be useless.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub useful_cap: Option<PodCounts>,
    /// What is to be; absent where the pods are left as they are.
    #[serde(rename = "final", skip_serializing_if = "Option::is_none")]
    pub to: Option<PodCounts>,
    /// What made a difference between raw and final, in its order.
    pub limited_by: Vec<String>,
    /// In words, in the order in which it happened.
    pub why: Vec<String>,
    /// SHA-256 of the policy's document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_sha256: Option<String>,
    /// Age in seconds of the oldest signal that was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_signal_seconds: Option<f64>,
    /// Whether it changes the pods: it is written here before it does.
    pub acts: bool,
    /// What came of it, where it acts: done, half, finished, rolled_back, given_up; absent while that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// What was remembered before it, for whoever leads next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// When it was taken on the clock of that memory, in seconds.
    pub clock_seconds: f64,
}

/// Signals at a decision. What is absent is not known; it is never zero.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Observed {
    /// Requests that arrive in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrivals_per_second: Option<f64>,
    /// Requests that are answered in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers_per_second: Option<f64>,
    /// Requests that wait for a pod of A.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_a: Option<f64>,
    /// Activations that wait for a slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_proxy: Option<f64>,
    /// Activations that wait for a pod of B.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_b: Option<f64>,
    /// Share of A's pods at work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy_a: Option<f64>,
    /// Share of slots held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy_slots: Option<f64>,
    /// Share of B's pods at work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy_b: Option<f64>,
    /// Transfer slots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// Median latency in seconds.
    #[serde(rename = "latencyP50Seconds", skip_serializing_if = "Option::is_none")]
    pub latency_p50_seconds: Option<f64>,
    /// 95th percentile of the latency in seconds.
    #[serde(rename = "latencyP95Seconds", skip_serializing_if = "Option::is_none")]
    pub latency_p95_seconds: Option<f64>,
    /// Bandwidth of one transfer in Mbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_mbit_per_second: Option<f64>,
    /// How sure that is, below 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_confidence: Option<f64>,
    /// Ready pods of A.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_a: Option<u32>,
    /// Ready pods of B.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_b: Option<u32>,
}

/// What a pipeline came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Cost {
    /// Pod-seconds of A that were seen.
    pub pod_seconds_a: f64,
    /// Pod-seconds of B that were seen.
    pub pod_seconds_b: f64,
    /// By the calibration's law, pod-seconds since the loop began; absent without a calibration, as are the next four.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub law_pod_seconds: Option<f64>,
    /// Those that the shadow policy would have had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow_pod_seconds: Option<f64>,
    /// By the law, share of the requests that were answered in time since the loop began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_in_time: Option<f64>,
    /// The share that the shadow policy would have come to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow_answered_in_time: Option<f64>,
}

impl From<Replicas> for PodCounts {
    fn from(Replicas { a, b }: Replicas) -> PodCounts {
        PodCounts { a, b }
    }
}

impl From<PodCounts> for Replicas {
    fn from(PodCounts { a, b }: PodCounts) -> Replicas {
        Replicas { a, b }
    }
}
