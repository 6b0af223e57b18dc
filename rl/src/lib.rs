//! Learning how many pods to have: an environment with Gymnasium's meaning, an agent, and the exact
//! optimum beside it.
//!
//! ```text
//!  Calibration ─▶ TimeTable ─▶ FittedCurves ◀─── step ─── QLearning
//!                                 │    └── observation, reward ──▲ │
//!                                 ▼                                ▼
//!                              Optimum ───────── regret ───────▶ Trained ─▶ to_policy ─▶ spec::Policy
//! ```
//!
//! The same seed gives the same bytes: chance is ChaCha8, and the exponentials come from the `libm` crate
//! and not from the platform.

mod chance;
mod environment;
mod export;
mod fitted_curves;
mod optimum;
mod q_learning;
mod q_table;
mod time_table;

pub use environment::{Environment, Step};
pub use export::to_policy;
pub use fitted_curves::{FittedCurves, RewardConfig};
pub use optimum::{LevelOptimum, Optimum, RunnerUp};
pub use q_learning::{LearningPoint, QLearning, QLearningConfig, Trained, train};
pub use q_table::QTable;
pub use time_table::{ExpCurve, TimeTable};
