//! A deterministic discrete-event simulation of the split pipeline.
//!
//! ```text
//!            A                     proxy                          B
//!  arrive ─▶ queue ─▶ pods ──────▶ queue ─▶ slots: transfer ────▶ queue ─▶ pods ─▶ overhead ─▶ answer
//!                                           └──── one slot is held over all of this ───┘
//! ```
//!
//! Each station has one queue, first come first served; the lowest-numbered free pod or slot takes the next
//! request. [`Setup`] says what is simulated, [`Simulation`] runs it, [`Outcome`] is what came of it, and
//! [`replicate()`] runs it many times on several threads.
//!
//! # Order of events
//! Simulated time is whole nanoseconds ([`SimTime`]). Events are handled in the order of the triple
//! (time, class, sequence). The classes, first to last:
//!
//! | class | event |
//! |---|---|
//! | 0 | an answer is with its client |
//! | 1 | a B pod is done |
//! | 2 | a transfer is done |
//! | 3 | an A pod is done |
//! | 4 | a request arrives |
//!
//! so at one instant what leaves makes room before anything enters. (An answer without overhead would come next
//! in any case, and is part of the event of B's.) The sequence is the number of the
//! request, counted from 0 in the order of creation: of two equal events the older request's goes first.
//! A request waits for one event at a time, so no two events are equal in all three. Changes from outside
//! ([`Simulation::set_slots`], [`Simulation::set_pods`]) come after every event of their instant that was
//! advanced to.
//!
//! # Chance
//! A replication is one ChaCha8 stream: the key is the seed, the stream number the replication. Request *i*
//! owns the 64-byte block *i* of it and draws all it will ever need at its creation. So two configurations
//! under one seed face the same demands and the same gaps between arrivals, request by request (common
//! random numbers), and a clone meets the same future as its original.
//!
//! # Guarantees
//! - The same setup, seed and replication give the same bytes on every platform: integer time, no hash maps,
//!   logarithms from a table of our own. [`Outcome::fingerprint`] sums up every event in 64 bits.
//! - Little's law and the conservation of requests are checked at the end of every run, as identities.
//! - Memory does not grow with the number of requests, unless [`Setup::records`] asks for them.

pub mod analysis;
mod arrivals;
mod chain;
mod chance;
mod control;
mod error;
mod event;
pub mod exact;
mod fingerprint;
mod histogram;
mod law;
mod link;
mod ln;
mod mix;
mod model;
mod node;
mod observe;
mod outcome;
mod pods;
mod recorded;
mod replicate;
mod request;
mod servers;
mod setup;
mod shared;
mod simulation;
mod source;
mod station;
mod time;
pub mod trace;
mod way;

pub use arrivals::{Arrivals, Scale};
pub use chain::ChainState;
pub use error::SimError;
pub use event::{Event, Kind, MAX_REQUESTS};
pub use histogram::Histogram;
pub use model::Model;
pub use outcome::{Latency, Outcome, PodsSummary, StationSummary};
pub use recorded::{Recorded, TextOf};
pub use replicate::replicate;
pub use request::{Labels, Request};
pub use setup::{
    Bandwidth, Failure, LinkSetup, Payload, ScrapeSetup, Setup, SlotsChange, SlotsStep, StageSetup, Transfer,
};
pub use simulation::Simulation;
pub use time::SimTime;
