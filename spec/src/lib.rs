//! The documents that the parts of splitscale share, and the two pure pieces they all use.
//!
//! ```text
//!  PipelineConfig ─▶ serving ─▶ RequestRecord rows ─▶ calibration ─▶ Calibration ─▶ sim, rl
//!                                                         Observation ─▶ Controller ─▶ Decision (policy)
//!  rl ─▶ Policy ─────────────────────────────────────────────────────────▲
//! ```
//!
//! Durations are seconds (`_s`), sizes bytes (`_bytes`), bandwidths Mbit/s (`_mbit_s`), and every name
//! says so. A document carries a schema number and refuses keys it does not know. `validate` checks what
//! the types cannot, and names the field.
//!
//! The crate depends on serde and thiserror alone: it knows no file format, no clock and no I/O.

mod calibration;
mod invalid;
mod law;
mod link;
mod observation;
mod pipeline;
mod record;
mod useful;

pub use calibration::{
    Calibration, FittedPoint, Interval, Laws, Level, LevelStatus, Provenance, ServiceLaw, SlotLaw, Surface,
};
pub use invalid::{Invalid, at_least_one, check_schema, not_negative, positive};
pub use law::{Bottleneck, Capacity, Makespan, throughput};
pub use link::{LinkEstimate, LinkEstimator};
pub use observation::{Observation, PodPhase, PodSample, QueueLevel, Signal, StagePods};
pub use pipeline::{
    Balancer, Bandwidth, CostConfig, CutConfig, LinkConfig, Pipeline, PipelineConfig, Replicas, SloConfig,
    Stage, StageConfig,
};
pub use record::{Encoding, PHASES, RequestRecord, Status};
pub use useful::{useful, useful_a};
