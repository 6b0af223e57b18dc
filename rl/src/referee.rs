//! How good a policy of [`Scaling`](crate::scaling::Scaling) is, against what was possible.
//!
//! ```text
//!  an episode (scenario, seed) ──▶ Bound           no decisions cost less             ┐
//!                              └─▶ Found::search   decisions that cost this           ├─▶ Regret of a policy,
//!  episodes ──▶ Discretised ──▶ Mdp ──▶ value iteration: values by state, a policy    ┘   in total and by state
//! ```
//!
//! [`Referee`] does the first two once for many policies and judges each.

mod bound;
mod discretised;
mod fluid;
mod guess;
mod order;
mod regret;
mod search;
mod station;

pub use bound::Bound;
pub use discretised::{Cut, Discretised, DiscretisedConfig, Errors};
pub use regret::{Episode, EpisodeRegret, Referee, Regret, StateRegret, Yardstick};
pub use search::{Found, SearchConfig};
