//! A deterministic discrete-event simulation of the split pipeline, and the exact answers beside it.
//!
//! ```text
//!            A                     proxy                          B
//!  arrive ─▶ queue ─▶ pods ──────▶ queue ─▶ slots: transfer ────▶ queue ─▶ pods ─▶ overhead ─▶ answer
//!                     │ cores               │ link                         │ cores
//!                     └── shared            └── one slot is held over all of this (or the transfer alone)
//! ```
//!
//! [`Setup`] says what is simulated; [`Model`] is one that was checked; [`Simulation`] runs it, may be cloned,
//! changed ([`apply`](Simulation::apply)) and observed ([`observe`](Simulation::observe)) at any time;
//! [`Outcome`] is what came of it; [`replicate()`] runs it many times on several threads. [`analysis`] says how
//! sure the numbers are, [`exact`] has those that are known without simulating.
//!
//! # Order of events
//! Simulated time is whole nanoseconds ([`SimTime`]). Events are handled in the order of the triple
//! (time, class, sequence). The classes, first to last ([`Kind`]):
//!
//! | class | event | sequence |
//! |---|---|---|
//! | 0 | an answer is with its client | request |
//! | 1 | a request is done on cores that several share | how often the node was rescheduled |
//! | 2 | a B pod is done | request |
//! | 3 | a payload has crossed a link that several share, or its bandwidth changes | how often it was rescheduled |
//! | 4 | a transfer is done | request |
//! | 5 | an A pod is done | request |
//! | 6 | a pod is ready | how often the pod started |
//! | 7 | a pod crashes | how often the pod started |
//! | 8 | the number of slots changes by itself | - |
//! | 9 | a client gives up | request |
//! | 10 | a request arrives | request |
//!
//! so at one instant what leaves makes room before anything enters. The sequence of a request is its number,
//! counted from 0 in the order of creation: of two equal events the older request's goes first. A request waits
//! for one event of a class at a time, so no two events are equal in all three (of pods, the number of the pod
//! decides). Several that are done at one instant on shared cores or a shared link are taken in the order of
//! their exact ends, equal ones by their numbers.
//! What takes no time at an idle server is part of the event before it, and so is an answer without overhead.
//! Changes from outside ([`Simulation::set_slots`], [`Simulation::apply`]) come after every event of their
//! instant that was advanced to.
//!
//! # Chance
//! A replication has one ChaCha8 stream a purpose: the key is the seed and the purpose, the stream number the
//! replication. In the stream of requests, request *i* (of a load that is thinned: candidate *i*) owns the
//! 64-byte block *i* and draws all it will ever need at its creation: word 0 service at A, 1 the transfer, 2
//! service at B, 3 the overhead, 4 the gap or think time, 5 the choice of pods, 6 the thinning. So two
//! configurations under one seed face the same demands and the same arrivals, request by request (common random
//! numbers), and a clone meets the same future as its original, whatever policy it is continued under. Pods of
//! A and of B, their periods where they are limited, the chain of slots and the chain of arrivals have streams of
//! their own, a block a pod start, a pod or a state.
//!
//! # Guarantees
//! - The same setup, seed and replication give the same bytes on every platform: integer time, no hash maps,
//!   logarithms from a table of our own, everything else from the `libm` crate. [`Outcome::fingerprint`] sums up
//!   every event in 64 bits. (Observations go through the link estimator, which uses the platform's `exp`.)
//! - Little's law and the conservation of requests are checked at the end of every run, as identities, with what
//!   is unfinished.
//! - Memory does not grow with the number of requests, unless [`Setup::records`] asks for them.

pub mod analysis;
mod arrivals;
mod chain;
mod chance;
mod control;
mod demand;
mod error;
mod event;
pub mod exact;
mod experiment;
mod fingerprint;
mod histogram;
mod knee;
mod law;
mod link;
mod ln;
mod mix;
mod model;
mod node;
mod observe;
mod outcome;
mod pods;
mod quota;
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
pub mod verify;
mod way;

pub use arrivals::{Arrivals, Scale};
pub use chain::ChainState;
pub use demand::Demand;
pub use error::SimError;
pub use event::{Event, Kind, MAX_REQUESTS};
pub use experiment::{Experiment, ExperimentError, Plan, PodsStep, Point, Replications, Steps, Stop};
pub use histogram::Histogram;
pub use knee::{Knee, KneeSearch};
pub use law::Durations;
pub use model::Model;
pub use outcome::{Latency, Outcome, PodsSummary, StationSummary, Totals};
pub use quota::CpuLimit;
pub use recorded::{Recorded, TextOf};
pub use replicate::replicate;
pub use request::{Labels, Request};
pub use setup::{
    Bandwidth, Failure, LinkSetup, Payload, ScrapeSetup, Setup, SlotsChange, SlotsStep, StageSetup, Transfer,
};
pub use simulation::Simulation;
pub use source::ArrivalTimes;
pub use time::SimTime;
