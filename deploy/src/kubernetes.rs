//! The live loop on Kubernetes: the same brain, another backend.
//!
//! ```text
//!  SplitPipelines ──▶ Operator ──▶ a loop each, while it leads (lease.rs) ─────────────────────────────┐
//!                                                                                                      ▼
//!  pods, Deployments, addresses (cluster.rs) ─▶ /metrics of every pod ─▶ Merge ─▶ Round ─▶ Observer ─▶ Controller
//!  Prometheus (prometheus.rs) ────────────────────────────────────────────────▲                        │
//!                     status first (ledger.rs), then the scale of both Deployments (backend.rs) ◀──────┘
//! ```
//!
//! Beside the loop: a Deployment for whoever measures (workload.rs), and a Job for whoever wants its logs (job.rs).
//!
//! What is written is the scale of two Deployments, the status of a SplitPipeline, a lease and events, and SplitPipelines that a
//! ConfigMap declares (declared.rs), and nothing else. Replicas that somebody else owns are not written (owners.rs).

mod backend;
mod board;
mod census;
mod client;
mod cluster;
mod deciders;
mod declared;
mod documents;
mod findings;
mod job;
mod journal;
mod lease;
mod ledger;
mod operator;
mod owners;
mod pipeline;
mod prometheus;
mod readings;
mod report;
#[allow(unreachable_pub)] // the derive of the schema makes a second struct of each
mod resource;
mod scale;
mod shell;
#[allow(unreachable_pub)] // as above
mod signals;
mod site;
mod status;
mod workload;

pub use backend::{KubernetesBackend, Surroundings};
pub use board::Board;
pub use client::{CallError, Clients, ConnectError};
pub use cluster::Cluster;
pub use documents::{Documents, Library, Unloaded};
pub use findings::{Findings, Found};
pub use job::{Index, IndexedJob, JobError};
pub use journal::Journals;
pub use lease::{Election, Leader};
pub use ledger::{Begun, Ledger, resumed};
pub use operator::Operator;
pub use owners::Owner;
pub use prometheus::Asking;
pub use readings::Plan;
pub use report::{Policy, Report};
pub use resource::{
    ConfigMapKey, Document, ModeName, Slo, SplitPipeline, SplitPipelineSpec, Stage, Stages, crd_yaml,
    definition,
};
pub use shell::{PodRate, Shell};
pub use signals::{Endpoint, Latency, Link, Pods, Prometheus, ProxyPods, Signals, Source};
pub use status::{Cost, LastDecision, Observed, PodCounts, SplitPipelineStatus};
pub use workload::{Scaled, Standing, Workload};
