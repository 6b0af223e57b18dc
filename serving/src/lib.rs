//! The servers of the pipeline, what they compute with, and the clients that load and measure them.
//!
//! ```text
//!  load, collect ─▶ A: queue ─▶ pods ─▶ proxy: queue ─▶ slots ─▶ B: queue ─▶ pods
//!       ▲            stage, pool, pod       proxy, slots            │
//!       └────────────── answers, /events (events) ◀─────────────────┘
//! ```
//!
//! Every queue is FIFO and central: the next free pod, or slot, takes the one that has waited longest.
//! The engines compute on their pods' threads; nothing blocks the reactor.

pub mod activation;
mod admission;
mod bodies;
pub mod client;
pub mod collect;
mod events;
pub mod load;
mod metrics;
mod openapi;
mod pod;
mod pool;
pub mod proxy;
pub mod saved;
mod serve;
mod slots;
pub mod stage;
pub mod wire;

pub use admission::QueueBound;
pub use serve::{Ending, ServeError};

pub mod engine;
pub mod image;
