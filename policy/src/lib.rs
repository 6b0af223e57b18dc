//! How documents become decisions. Pure: the time is an argument, and nothing is read or written.
//!
//! ```text
//!                      ┌────────────────────── Controller ──────────────────────┐
//!  Setup, Memory ──────▶│ believed ─▶ policy, or baseline ─▶ shell ─▶ pods       │
//!                       │ fresh? a    what it wants, or     useful, bounds,      │─▶ Decision ─▶ explain
//!  Observation, now ───▶│ number?     why it wants nothing  budget, windows,     │   (raw, cap,  again
//!                       │                                   turns, rates         │    final, why)
//!                       └────────────────────────────────────────────────────────┘
//!  Observation ────────▶ Shadow: another policy in a fluid of the throughput law ─▶ Score
//!  Observation ────────▶ Residuals: what is seen beside what was calibrated ─▶ Agreement
//! ```

mod actions;
mod bottleneck;
mod bounds;
mod buckets;
mod controller;
mod decision;
mod document;
mod explain;
mod features;
mod freshness;
mod greedy;
mod hash;
pub mod hpa;
pub mod keda;
pub mod kpa;
mod log;
mod memory;
mod mlp;
pub mod numaflow;
mod proposer;
mod residuals;
mod rule;
mod setup;
mod shadow;
mod shell;
mod stages;
mod tiles;
mod useful;

pub use actions::{ActionKind, Actions};
pub use bottleneck::bottleneck;
pub use bounds::Bounds;
pub use controller::{Controller, start};
pub use decision::{Decision, Limit, Limiter, Mode, Waits};
pub use document::{Bin, Policy, PolicyKind, Region, Training};
pub use features::{FEATURES, feature_names, features, position};
pub use freshness::Freshness;
pub use greedy::{ActionValues, Greedy, Input, Network};
pub use hash::document_hash;
pub use hpa::{HpaConfig, HpaMemory};
pub use keda::{KedaConfig, KedaMemory};
pub use kpa::{KpaConfig, KpaMemory};
pub use log::{End, Line, Outcome};
pub use memory::{Memory, RuleMemory};
pub use mlp::{Mlp, Room};
pub use numaflow::{NumaflowConfig, NumaflowMemory};
pub use proposer::Silence;
pub use residuals::{Agreement, Quantity, Residual, Residuals};
pub use setup::Setup;
pub use shadow::{Score, Shadow, ShadowConfig, Tally};
pub use shell::{Rate, ShellConfig, ShellMemory};
pub use tiles::{ActiveTiles, Axis, Tiles};
pub use useful::UsefulConfig;
