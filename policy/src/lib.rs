//! How documents become decisions. Pure: the time is an argument, and nothing is read or written.
//!
//! ```text
//!                     ┌───────────────── Controller ─────────────────┐
//!  Policy, Pipeline ─▶│ gates: is what I see there, fresh, trained?  │
//!                     │   no ─▶ hold            yes ─▶ rule ─▶ clamp │─▶ Decision
//!  Observation, now ─▶│ bottleneck: what holds the pipeline back     │
//!                     └──────────────────────────────────────────────┘
//! ```

mod bottleneck;
mod controller;
mod features;
mod freshness;
mod hash;
mod rule;

pub use bottleneck::bottleneck;
pub use controller::{Controller, start};
pub use features::{FEATURES, feature_names, features};
pub use freshness::Freshness;
pub use hash::document_hash;
