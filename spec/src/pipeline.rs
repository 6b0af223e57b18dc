//! The pipeline as a document: two stages, the cut between them, the link, what is promised and what it costs.

use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::invalid::{at_least_one, check_schema, ensure, not_negative, positive};

/// One of the two stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Takes images, sends activations.
    A,
    /// Takes activations, answers.
    B,
}

/// Pods of both stages: what a controller chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replicas {
    /// Pods of stage A.
    pub a: u32,
    /// Pods of stage B.
    pub b: u32,
}

/// A pipeline as it is written down. [`PipelineConfig::validate`] turns it into a [`Pipeline`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineConfig {
    /// Schema number, [`PipelineConfig::SCHEMA`].
    pub schema: u32,
    /// First stage.
    pub a: StageConfig,
    /// Second stage.
    pub b: StageConfig,
    /// What crosses the link.
    pub cut: CutConfig,
    /// The link between the stages.
    pub link: LinkConfig,
    /// How requests find a pod.
    #[serde(default)]
    pub balancer: Balancer,
    /// The promise on latency.
    pub slo: SloConfig,
    /// The price of missing it and of moving.
    pub cost: CostConfig,
}

/// The pods of one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageConfig {
    /// Fewest pods.
    pub pods_min: u32,
    /// Most pods.
    pub pods_max: u32,
    /// Share of one core a pod computes with, in (0, 1].
    pub cpu_share: f64,
    /// Cores of the stage's node.
    pub cores: u32,
}

/// Where the network is cut, and what one activation weighs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutConfig {
    /// Name of the cut, such as `layer3`.
    pub name: String,
    /// Payload of one transfer \[bytes\].
    pub payload_bytes: u64,
}

/// The link: how many transfers at once, how fast each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkConfig {
    /// Transfer slots ("threads" of the original). A slot is held over the transfer and until B has answered.
    pub slots: u32,
    /// Bandwidth.
    pub bandwidth: Bandwidth,
    /// Round-trip time added to each transfer \[s\].
    #[serde(default)]
    pub rtt_s: f64,
}

/// What the bandwidth belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Bandwidth {
    /// Each slot has this much of its own \[Mbit/s\].
    #[serde(rename = "per_slot_mbit_s")]
    PerSlot(f64),
}

/// How a request finds its pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balancer {
    /// One queue a stage; the next free pod takes the next request.
    #[default]
    CentralQueue,
    /// A queue a pod; each request goes to a pod chosen at random (a Kubernetes Service).
    Random,
    /// A queue a pod; the pods take turns.
    RoundRobin,
    /// A queue a pod; each request goes to the pod with the fewest in it, ties at random.
    ShortestQueue,
}

/// SLO attainment = answered within `latency_s` / sent; refused, failed and lost requests are misses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SloConfig {
    /// Promised latency \[s\].
    pub latency_s: f64,
    /// Promised attainment, in (0, 1].
    pub target: f64,
}

/// Cost J = pod-seconds of A + pod-seconds of B + `miss_weight` * misses + `churn_weight` * changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostConfig {
    /// Pod-seconds that one missed request is worth.
    pub miss_weight: f64,
    /// Pod-seconds that one change of a pod is worth.
    pub churn_weight: f64,
}

/// A pipeline that was checked; nothing but [`PipelineConfig::validate`] makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline(PipelineConfig);

// === impl PipelineConfig ===

impl PipelineConfig {
    /// The schema this build reads and writes.
    pub const SCHEMA: u32 = 1;

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range, by its path.
    pub fn validate(self) -> Result<Pipeline, Invalid> {
        check_schema("pipeline", self.schema, Self::SCHEMA)?;
        self.a.validate("a")?;
        self.b.validate("b")?;
        let bytes = self.cut.payload_bytes;
        ensure(bytes > 0, "cut.payload_bytes", "zero; an activation has at least 1 byte")?;
        at_least_one("link.slots", self.link.slots)?;
        let Bandwidth::PerSlot(mbit_s) = self.link.bandwidth;
        positive("link.bandwidth.per_slot_mbit_s", mbit_s)?;
        not_negative("link.rtt_s", self.link.rtt_s)?;
        positive("slo.latency_s", self.slo.latency_s)?;
        share("slo.target", self.slo.target)?;
        not_negative("cost.miss_weight", self.cost.miss_weight)?;
        not_negative("cost.churn_weight", self.cost.churn_weight)?;
        Ok(Pipeline(self))
    }
}

impl StageConfig {
    fn validate(&self, stage: &str) -> Result<(), Invalid> {
        at_least_one(&format!("{stage}.pods_min"), self.pods_min)?;
        let problem = format!("{} is below pods_min {}", self.pods_max, self.pods_min);
        ensure(self.pods_max >= self.pods_min, format!("{stage}.pods_max"), problem)?;
        share(&format!("{stage}.cpu_share"), self.cpu_share)?;
        at_least_one(&format!("{stage}.cores"), self.cores)
    }
}

fn share(field: &str, value: f64) -> Result<(), Invalid> {
    ensure(value > 0.0 && value <= 1.0, field, format!("{value} is not in (0, 1]"))
}

// === impl Pipeline ===

impl Pipeline {
    /// Seconds one payload needs on a link that carries nothing else: bytes * 8 / bandwidth + RTT.
    pub fn transfer_s(&self) -> f64 {
        let Bandwidth::PerSlot(mbit_s) = self.0.link.bandwidth;
        self.0.cut.payload_bytes as f64 * 8e-6 / mbit_s + self.0.link.rtt_s
    }

    /// Forces a choice of pods into both stages' bounds.
    pub fn clamp(&self, pods: Replicas) -> Replicas {
        Replicas {
            a: pods.a.clamp(self.0.a.pods_min, self.0.a.pods_max),
            b: pods.b.clamp(self.0.b.pods_min, self.0.b.pods_max),
        }
    }
}

impl std::ops::Deref for Pipeline {
    type Target = PipelineConfig;

    fn deref(&self) -> &PipelineConfig {
        &self.0
    }
}
