//! The simulator beside its peers: two models, each written for every engine, to be timed in one run.
//!
//! | model | law | exact |
//! |---|---|---|
//! | M/M/1 | Poisson arrivals, exponential service, first come first served, all served | mean wait 4 s |
//! | split burst | A, then a slot held over transfer and B, all jobs there at time zero | mean makespan 2.371167 s |
//!
//! The mean wait is rho / (mu - lambda) at lambda = 0.8, mu = 1 and rho = lambda / mu. The mean makespan is
//! the absorption time of the burst's Markov chain.
//!
//! Every peer is written as its own documentation writes models, with its own generator, and in the way that
//! is kindest to it: no more events than the model has (two a customer, three a job), no statistics but the
//! one that is returned.

mod bare_loop;
mod nexosim;
mod simcore;
mod splitscale;

pub use splitscale::mm1_of;

/// Customers of a run of M/M/1.
pub const CUSTOMERS: u32 = 100_000;
/// Jobs of a burst.
pub const JOBS: u32 = 100;
/// Exact mean wait in M/M/1, in equilibrium \[s\].
pub const MEAN_WAIT_S: f64 = 4.0;
/// Exact mean makespan of a burst \[s\].
pub const MEAN_MAKESPAN_S: f64 = 2.371167;

/// Mean time between arrivals \[s\].
const GAP_S: f64 = 1.25;
/// Mean service of a customer \[s\].
const SERVICE_S: f64 = 1.0;

const PODS_A: usize = 4;
const SLOTS: usize = 4;
const PODS_B: usize = 3;
/// Mean service at A \[s\].
const A_S: f64 = 0.05;
/// Mean transfer \[s\].
const TRANSFER_S: f64 = 0.06;
/// Mean service at B \[s\].
const B_S: f64 = 0.03;

/// Both models, run by one engine.
#[derive(Debug)]
pub struct Engine {
    /// Its name, in lower case.
    pub name: &'static str,
    /// M/M/1 under a seed: the mean wait \[s\].
    pub mm1: fn(u64) -> f64,
    /// A burst under a seed, in a new simulator: the makespan \[s\].
    pub burst: fn(u64) -> f64,
}

/// Ours, the peers, and the limit.
pub const ENGINES: [Engine; 4] = [
    Engine { name: "splitscale", mm1: splitscale::mm1, burst: splitscale::burst },
    Engine { name: "simcore", mm1: simcore::mm1, burst: simcore::burst },
    Engine { name: "nexosim", mm1: nexosim::mm1, burst: nexosim::burst },
    Engine { name: "bare_loop", mm1: bare_loop::mm1, burst: bare_loop::burst },
];
