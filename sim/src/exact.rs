//! Exact answers of queueing theory: what a simulation of the same model has to come to.
//!
//! | model | solver | method, source |
//! |---|---|---|
//! | M/M/c/c, M/M/c | [`erlang_b`], [`erlang_c`], [`Mmc`] | Erlang 1917 |
//! | M/M/c/K | [`mmck`] | birth and death |
//! | M/M/c from empty | [`number_at`] | uniformisation, Jensen 1953 |
//! | M/M/c with a deadline until service begins, until it ends | [`deadline_loss`], [`deadline_miss`] | Barrer 1957 |
//! | M/M/1 shared by all in it; with a set-up after each idle time | [`processor_sharing`], [`set_up`] | Kleinrock 1967; Welch 1964 |
//! | M/G/1 | [`pollaczek_khinchine`] | Pollaczek 1930 |
//! | M/D/c | [`mdc`] | Crommelin 1932 |
//! | GI/M/1 | [`gim1`] | Kendall 1953 |
//! | replicas behind a balancer, exponential | [`random`], [`round_robin`], [`join_shortest_queue`] | GI/M/1; Adan, van Houtum and van der Wal 1994 |
//! | open network | [`jackson`] | Jackson 1957 |
//! | closed network, the repairman | [`closed`] | Buzen 1973 |
//! | the split pipeline | [`Pipeline`] | Markov chains; Latouche and Ramaswami 1993 |
//!
//! The symbols in the formulas are the field's: arrivals lambda \[1/s\], services mu \[1/s\], servers c, load
//! rho = lambda / (c mu), erlangs a = lambda / mu. Times go in and out in seconds, rates per second. Interarrival
//! and service times are independent, and queues are first come first served, unless it says otherwise.
//!
//! # Errors
//! Every solver refuses a field that is not a number in its range, and a queue that would grow for ever, with
//! the field's name and the ratio by which it is too much.

mod balanced;
mod burst;
mod erlang;
mod general;
mod levels;
mod matrix;
mod mmc;
mod network;
mod open;
mod pipeline;

use splitscale_spec::Invalid;

pub use balanced::{join_shortest_queue, random, round_robin};
pub use burst::Burst;
pub use erlang::{Finite, erlang_b, erlang_c, mmck};
pub use general::{
    allen_cunneen, deterministic_gap, gamma_gap, gim1, hyperexponential_gap, mdc, pollaczek_khinchine,
    sakasegawa,
};
pub use mmc::{Mmc, deadline_loss, deadline_miss, number_at, processor_sharing, set_up};
pub use network::{Closed, ClosedStation, Jackson, closed, jackson};
pub use open::Open;
pub use pipeline::Pipeline;

/// A station and what arrives at it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Station {
    /// Arrivals \[1/s\].
    pub rate_per_s: f64,
    /// Mean service time \[s\].
    pub service_s: f64,
    /// Servers.
    pub servers: u32,
}

/// Means of a station in its steady state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Steady {
    /// Requests served \[1/s\]: lambda, or X where some are refused.
    pub rate_per_s: f64,
    /// Requests at the station: L.
    pub number: f64,
    /// Requests that wait: Lq.
    pub waiting: f64,
    /// Time at the station \[s\]: W.
    pub sojourn_s: f64,
    /// Time before service \[s\]: Wq.
    pub wait_s: f64,
}

impl Station {
    /// Mean number of busy servers: erlangs.
    fn offered(&self) -> f64 {
        self.rate_per_s * self.service_s
    }

    /// Services of all servers \[1/s\].
    fn capacity_per_s(&self) -> f64 {
        f64::from(self.servers) / self.service_s
    }

    /// rho.
    fn load(&self) -> f64 {
        self.rate_per_s / self.capacity_per_s()
    }

    fn validate(&self) -> Result<(), Invalid> {
        positive("rate_per_s", self.rate_per_s)?;
        positive("service_s", self.service_s)?;
        at_least_one("servers", self.servers)
    }

    fn validate_stable(&self) -> Result<(), Invalid> {
        self.validate()?;
        below_capacity("rate_per_s", self.rate_per_s, self.capacity_per_s())
    }
}

impl Steady {
    /// The rest follows by Little's law.
    fn of_wait(rate_per_s: f64, service_s: f64, wait_s: f64) -> Self {
        let sojourn_s = wait_s + service_s;
        Steady { rate_per_s, number: rate_per_s * sojourn_s, waiting: rate_per_s * wait_s, sojourn_s, wait_s }
    }
}

fn positive(field: &str, value: f64) -> Result<(), Invalid> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(Invalid::new(field, format!("{value} is not a finite number above zero")))
}

fn not_negative(field: &str, value: f64) -> Result<(), Invalid> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Invalid::new(field, format!("{value} is not a finite number of zero or more")))
}

fn at_least_one(field: &str, value: u32) -> Result<(), Invalid> {
    if value > 0 {
        return Ok(());
    }
    Err(Invalid::new(field, "zero; it takes at least 1"))
}

fn below_capacity(field: &str, rate_per_s: f64, capacity_per_s: f64) -> Result<(), Invalid> {
    if rate_per_s < capacity_per_s {
        return Ok(());
    }
    let ratio = rate_per_s / capacity_per_s;
    let problem = format!(
        "{rate_per_s} a second is {ratio:.4} times the {capacity_per_s:.6} that can be served, and the queue \
         grows for ever; bring the ratio below 1"
    );
    Err(Invalid::new(field, problem))
}

/// The stationary probabilities of a chain on 0..=top that moves by one: `up(n)` from n to n + 1, `down(n)`
/// from n to n - 1.
fn birth_death(top: usize, up: impl Fn(usize) -> f64, down: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut weights = vec![1.0];
    for n in 0..top {
        let next = weights[n] * up(n) / down(n + 1);
        weights.push(next);
        if next > 1e200 {
            weights.iter_mut().for_each(|w| *w /= next);
        }
    }
    let total: f64 = weights.iter().sum();
    weights.iter().map(|w| w / total).collect()
}

/// The sum of `value(n)` weighted by the probability of n.
fn mean(probabilities: &[f64], value: impl Fn(usize) -> f64) -> f64 {
    probabilities.iter().enumerate().map(|(n, p)| p * value(n)).sum()
}
