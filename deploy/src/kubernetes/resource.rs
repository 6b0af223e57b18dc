//! `SplitPipeline`: a pipeline of two Deployments and how it is to be scaled. Its doc comments are what `kubectl explain` tells.

// Columns repeat `type_` and `json_path`, each its own.
#![allow(clippy::duplicated_attributes)]

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use splitscale_policy::{Bounds, Mode, ShellConfig};
use splitscale_spec::Replicas;

use super::shell::Shell;
use super::signals::Signals;
use super::status::SplitPipelineStatus;

/// How a pipeline is to be scaled.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "splitscale.io",
    version = "v1alpha1",
    kind = "SplitPipeline",
    namespaced,
    shortname = "sp",
    status = "SplitPipelineStatus",
    derive = "PartialEq",
    doc = "A network that is cut in two and served by two Deployments, which splitscale scales together by what the link between them can carry.",
    printcolumn(name = "Mode", type_ = "string", json_path = ".status.mode"),
    printcolumn(name = "A", type_ = "integer", json_path = ".status.replicas.a"),
    printcolumn(name = "B", type_ = "integer", json_path = ".status.replicas.b"),
    printcolumn(name = "Bottleneck", type_ = "string", json_path = ".status.bottleneck"),
    printcolumn(name = "Useful", type_ = "string", json_path = ".status.usefulPods"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        priority = 1
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = (
        "!has(self.budget) || self.budget >= self.stages.a.minReplicas + self.stages.b.minReplicas",
        "budget is below the fewest pods of both stages together"
    ),
    validation = ("self.windowSeconds >= self.intervalSeconds", "windowSeconds is shorter than intervalSeconds"),
    validation = ("!has(self.shadow) || has(self.calibration)", "shadow is scored by a calibration: name one"),
    validation = ("!has(self.calibration) || has(self.slo)", "a calibration needs slo, the latency that is promised"),
    validation = (
        "self.shell.reversalsPerHour != 1",
        "shell.reversalsPerHour: a turn down must leave one to turn up again, at least 2, or 0 for no limit"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct SplitPipelineSpec {
    /// The two Deployments and how many pods each may have.
    pub stages: Stages,
    /// Most pods of both stages together. Without it only maxReplicas counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2))]
    pub budget: Option<u32>,
    /// Seconds between two decisions.
    #[serde(default = "one")]
    #[schemars(range(min = 0.1, max = 3600.0))]
    pub interval_seconds: f64,
    /// Seconds that a decision looks back: rates, means and quantiles are over this window.
    #[serde(default = "five")]
    #[schemars(range(min = 0.1, max = 3600.0))]
    pub window_seconds: f64,
    /// What is done with a decision. Recommend, the default, only tells it; Auto carries it out; Paused decides nothing;
    /// Emergency sets both stages to the most pods they may have, whatever is seen.
    #[serde(default)]
    pub mode: ModeName,
    /// The policy that decides: a JSON document as `splitscale train` exports it, or one of the rules.
    pub policy: Document,
    /// The policy that decides where that one is not to be trusted. Without it the HPA as Kubernetes sets it up, which needs CPU
    /// requests on the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Document>,
    /// What was measured of this pipeline (`splitscale calibrate`): from it come the cap of useful pods, the shadow's score and
    /// the condition CalibrationStale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Document>,
    /// The policy that is scored beside the one that decides, by the calibration's law. Without it the HPA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Document>,
    /// What is promised to whoever sends requests. Needed with a calibration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slo: Option<Slo>,
    /// What holds every policy back: windows, rates, turns, the age of signals.
    #[serde(default)]
    pub shell: Shell,
    /// Where each signal comes from. Without it: the metrics of splitscale's own servers, the proxy found by the Service
    /// `splitscale-proxy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signals: Option<Signals>,
}

/// The two stages.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = (
    "self.a.deployment != self.b.deployment",
    "both stages name one Deployment: they are scaled apart"
))]
pub struct Stages {
    /// The first stage, which takes requests.
    pub a: Stage,
    /// The second stage, behind the link.
    pub b: Stage,
}

/// One stage.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = ("self.minReplicas <= self.maxReplicas", "minReplicas is above maxReplicas"))]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// Name of the Deployment, in the namespace of this object. It cannot be changed: make another SplitPipeline.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = ("self == oldSelf", "the Deployment of a stage cannot be changed: make another SplitPipeline"))]
    pub deployment: String,
    /// Fewest pods, at least 1.
    #[serde(default = "least")]
    #[schemars(range(min = 1, max = 10000))]
    pub min_replicas: u32,
    /// Most pods.
    #[schemars(range(min = 1, max = 10000))]
    pub max_replicas: u32,
}

/// What is done with a decision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ModeName {
    /// It is told and changes nothing.
    #[default]
    Recommend,
    /// It is carried out.
    Auto,
    /// Nothing is decided: the pods stay.
    Paused,
    /// As many pods as are allowed, and nothing else counts.
    Emergency,
}

/// Where a JSON document is.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = ("has(self.configMap) != has(self.url)", "name either a configMap or a url"),
    validation = ("!has(self.url) || has(self.sha256)", "a url needs the sha256 of what it gives")
)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// A key of a ConfigMap in the namespace of this object. Read again every half minute: an edit takes effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapKey>,
    /// An http or https address that answers the document, 16 MiB at most. Needs sha256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^https?://[^ ]+$"), length(max = 2048))]
    pub url: Option<String>,
    /// SHA-256 of the document in hexadecimal digits: anything else there is not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
}

/// A key of a ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigMapKey {
    /// Name of the ConfigMap. The operator's Role has to name it too.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in its data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A promise on latency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Slo {
    /// Seconds within which a request is to be answered.
    #[schemars(range(min = 0.001, max = 86400.0))]
    pub latency_seconds: f64,
    /// Share of the requests that is to be answered in time, above 0, at most 1: what status.cost.answeredInTime is held against.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub target: f64,
}

fn one() -> f64 {
    1.0
}

fn five() -> f64 {
    5.0
}

fn least() -> u32 {
    1
}

/// The CustomResourceDefinition as YAML, as it is committed in `deploy/base/crd.yaml`.
///
/// # Panics
/// Never: a definition is maps, lists, numbers and words.
pub fn crd_yaml() -> String {
    let head = "# Written by `splitscale operator --crd`; a test holds it against the program.\n";
    format!("{head}{}", serde_saphyr::to_string(&definition()).expect("it is words and numbers"))
}

/// The CustomResourceDefinition.
///
/// # Panics
/// Never: what was a definition is one less its formats.
pub fn definition() -> CustomResourceDefinition {
    let mut definition = serde_json::to_value(SplitPipeline::crd()).expect("it is words and numbers");
    without_formats(&mut definition);
    serde_json::from_value(definition).expect("it was a definition")
}

/// Takes Rust's formats of whole numbers away, which the API server does not know and warns of.
fn without_formats(schema: &mut Value) {
    if let Value::Object(fields) = schema {
        if matches!(fields.get("format"), Some(Value::String(format)) if format.starts_with("uint")) {
            fields.remove("format");
        }
        fields.values_mut().for_each(without_formats);
    } else if let Value::Array(items) = schema {
        items.iter_mut().for_each(without_formats);
    }
}

impl SplitPipelineSpec {
    /// Fewest and most pods of both stages.
    pub fn bounds(&self) -> Bounds {
        let Stages { a, b } = &self.stages;
        Bounds {
            pods_min: Replicas { a: a.min_replicas, b: b.min_replicas },
            pods_max: Replicas { a: a.max_replicas, b: b.max_replicas },
        }
    }

    /// What holds a policy back, the budget included.
    pub fn shell(&self) -> ShellConfig {
        ShellConfig { budget: self.budget, ..ShellConfig::from(&self.shell) }
    }

    /// Whether another is the same but for its mode: then a running loop only takes the mode over.
    pub fn same_but_mode(&self, other: &SplitPipelineSpec) -> bool {
        SplitPipelineSpec { mode: other.mode, ..self.clone() } == *other
    }
}

impl From<ModeName> for Mode {
    fn from(mode: ModeName) -> Mode {
        match mode {
            ModeName::Recommend => Mode::Recommend,
            ModeName::Auto => Mode::Auto,
            ModeName::Paused => Mode::Paused,
            ModeName::Emergency => Mode::Emergency,
        }
    }
}

impl From<Mode> for ModeName {
    fn from(mode: Mode) -> ModeName {
        match mode {
            Mode::Recommend => ModeName::Recommend,
            Mode::Auto => ModeName::Auto,
            Mode::Paused => ModeName::Paused,
            Mode::Emergency => ModeName::Emergency,
        }
    }
}
