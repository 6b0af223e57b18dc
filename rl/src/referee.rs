//! How good a policy of [`Scaling`](crate::scaling::Scaling) is, against what was possible.
//!
//! ```text
//!  an episode (scenario, seed) ──▶ Bound           no decisions cost less             ┐
//!                              └─▶ Found::search   decisions that cost this           ├─▶ Regret of a policy,
//!  episodes ──▶ Discretised ──▶ Mdp ──▶ value iteration: values by state, a policy    ┘   in total and by state
//! ```

mod bound;
mod fluid;
mod order;
mod search;
mod station;

pub use bound::Bound;
pub use search::{Found, SearchConfig};
