//! A simulation beside the exact answer of its model.
//!
//! [`exact()`] finds every answer that theory has for a [`Setup`], [`verify`] runs it and says how far off it is.
//! A station that takes no time is no part of the model.
//!
//! | setup | model | quantities |
//! |---|---|---|
//! | one station, Poisson, exponential | M/M/c | W, Wq, L, Lq, p95 and p99 of the sojourn |
//! | with a queue limit; any law where the limit is 0 | M/M/c/K, M/G/c/c | share refused, X, W, L, Wq, Lq |
//! | with a deadline | M/M/c+D | share lost |
//! | one server, or random balancing, any law | M/G/1 | W, Wq, L, Lq |
//! | constant services | M/D/c | W, Wq, L, Lq |
//! | renewal arrivals (constant, Erlang, gamma), one exponential server | GI/M/1 | W, Wq, L, Lq |
//! | round robin, join the shortest queue, exponential | E_k/M/1, chain | W, Wq, L, Lq |
//! | one core shared by the pods at work | M/G/1-PS | W, L |
//! | stations in a row, exponential, slots free after the transfer | Jackson | L, W, Wq of each |
//! | the same as a closed loop, any think time | product form | X, W, L |
//! | slots held, Poisson, exponential | QBD chain | L, W, Wq of each |
//! | slots held, clients without end | chain | X, W |
//! | a burst, all exponential or all constant | absorbing chain, recursion | makespan, its sd, completion |
//!
//! With [`Setup::records`] the share that waits and the p95 of the wait come in addition where they are known:
//! they take every request.
//!
//! The answers but those of bursts hold in the long run: the setup needs a `warm_up_s` and a `horizon_s` far
//! behind it. (A load that ends after so many requests runs dry, which shows in L and X of many servers.)

mod cases;
mod matching;
mod obstacles;
mod quantity;
mod solver_only;
mod station;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serde::Serialize;
use splitscale_spec::{Bottleneck, Invalid};

use crate::analysis::Interval;
use crate::error::SimError;
use crate::model::Model;
use crate::setup::Setup;
use crate::simulation::Simulation;

pub use cases::CASES;
pub use quantity::{Place, Quantity};
pub use solver_only::solver_only;

/// What theory says of a setup.
#[derive(Debug, Clone, PartialEq)]
pub struct Exact {
    /// The model that the setup is, such as `M/M/4`.
    pub model: String,
    /// Which quantity.
    pub quantity: Quantity,
    /// Its exact value, in the unit of the quantity.
    pub value: f64,
}

/// A quantity, exact and simulated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The model and the quantity with its unit.
    pub name: String,
    /// The exact value.
    pub exact: f64,
    /// The mean of the replications; absent where the simulator does not have the model.
    pub simulated: Option<f64>,
    /// Half of the width of its 95 % interval; zero where there is no chance in it, infinite where it never
    /// happened.
    pub half_width: Option<f64>,
    /// (simulated - exact) / standard error. Where there is no chance it is zero, or infinite.
    pub z: Option<f64>,
}

/// What is to be run.
#[derive(Clone, Copy)]
pub struct Runs<'a> {
    /// The seed.
    pub seed: u64,
    /// Replications, at least 20.
    pub replications: u32,
    /// Threads; the numbers do not depend on them.
    pub threads: usize,
    /// Called after each replication, on any thread; a break stops the work.
    pub after_each: &'a (dyn Fn() -> ControlFlow<()> + Sync),
}

/// Why a setup was not verified.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum VerifyError {
    /// Theory has no answer to it that this crate knows; each feature that stands in the way.
    #[error("no exact answer is known: {}", told(.0))]
    NoAnswer(Vec<Invalid>),
    /// The setup is out of range or grows for ever, or a run failed.
    #[error(transparent)]
    Sim(#[from] SimError),
    /// [`Runs::after_each`] said so.
    #[error("stopped before every replication was done")]
    Stopped,
}

/// Every exact answer to a setup.
///
/// # Errors
/// A field out of range, a station that more comes to than it can serve, and what stands in the way of an
/// answer.
pub fn exact(setup: &Setup) -> Result<Vec<Exact>, VerifyError> {
    let model = Model::of(setup)?;
    if let Some((bottleneck, load)) = model.overload() {
        let station = match bottleneck {
            Bottleneck::A => "a",
            Bottleneck::B => "b",
            _ => "link.slots",
        };
        return Err(overloaded(station, load).into());
    }
    let mut answers = matching::answers(setup)?;
    // What never happens has no relative error.
    answers.retain(|answer| answer.value != 0.0);
    Ok(answers)
}

/// Runs a setup and puts what comes out beside every exact answer to it.
///
/// # Errors
/// As [`exact()`]; fewer than 20 replications; what a run says, of several the one of the lowest replication.
pub fn verify(setup: &Setup, runs: &Runs) -> Result<Vec<Row>, VerifyError> {
    let answers = exact(setup)?;
    if runs.replications < LEAST_REPLICATIONS {
        let problem = format!("{}; a verification takes at least {LEAST_REPLICATIONS}", runs.replications);
        return Err(Invalid::new("replications", problem).into());
    }
    let values = values(setup, &answers, runs)?;
    let row = |(index, answer): (usize, &Exact)| {
        let values: Vec<f64> = values.iter().map(|replication| replication[index]).collect();
        answer.beside(&values)
    };
    Ok(answers.iter().enumerate().map(row).collect::<Result<_, Invalid>>()?)
}

const LEAST_REPLICATIONS: u32 = 20;

/// Largest |z| that chance explains: once in 16 000.
const MOST_Z: f64 = 4.0;

/// Largest half-width, as a share of the exact value, that tells right from wrong.
const MOST_HALF_WIDTH: f64 = 0.01;

impl Row {
    /// The interval is at most 1 % of the exact value wide to each side. Otherwise it does not say much.
    pub fn is_powered(&self) -> bool {
        self.half_width.is_none_or(|half_width| half_width <= MOST_HALF_WIDTH * self.exact.abs())
    }

    /// |z| is at most 4.
    pub fn agrees(&self) -> bool {
        self.z.is_none_or(|z| z.abs() <= MOST_Z)
    }
}

impl Exact {
    /// The model and the quantity.
    pub fn name(&self) -> String {
        format!("{}: {}", self.model, self.quantity)
    }

    fn beside(&self, values: &[f64]) -> Result<Row, Invalid> {
        let chance = values.iter().any(|value| value.to_bits() != values[0].to_bits());
        let pseudo_values = (self.quantity == Quantity::MakespanSd).then(|| jackknife(values));
        let values = pseudo_values.as_deref().unwrap_or(values);
        let Interval { mean, half_width, .. } = Interval::of(values, 0.95)?;
        let off = mean - self.value;
        let (half_width, z) = match chance {
            true => (half_width, off / standard_error(values, mean)),
            // It never happened, which says nothing of how rare it is.
            false if mean == 0.0 => (f64::INFINITY, 0.0),
            // Nothing but rounding may be between the two.
            false if off.abs() <= 1e-12 * self.value.abs() => (0.0, 0.0),
            false => (0.0, f64::INFINITY.copysign(off)),
        };
        let (simulated, half_width, z) = (Some(mean), Some(half_width), Some(z));
        Ok(Row { name: self.name(), exact: self.value, simulated, half_width, z })
    }
}

impl From<Invalid> for VerifyError {
    fn from(invalid: Invalid) -> Self {
        VerifyError::Sim(invalid.into())
    }
}

/// A feature that no known answer has.
fn unknown(field: impl Into<String>, problem: impl Into<String>) -> VerifyError {
    VerifyError::NoAnswer(vec![Invalid::new(field, problem)])
}

fn overloaded(station: &str, load: f64) -> Invalid {
    let problem =
        format!("utilisation {load:.4}: more comes than it can serve, and its queue grows for ever");
    Invalid::new(station, problem)
}

fn told(obstacles: &[Invalid]) -> String {
    obstacles.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// One value of each quantity from each replication, by its number. Each thread takes the next replication
/// that nobody has, so that all are busy to the end.
fn values(setup: &Setup, answers: &[Exact], runs: &Runs) -> Result<Vec<Vec<f64>>, VerifyError> {
    let model = Model::of(setup)?;
    let (next, last) = (AtomicU64::new(0), u64::from(runs.replications));
    let stopped = AtomicBool::new(false);
    let work = || {
        let mut done = Vec::new();
        loop {
            let replication = next.fetch_add(1, Ordering::Relaxed);
            if replication >= last || stopped.load(Ordering::Relaxed) {
                return done;
            }
            let outcome = Simulation::of(&model, runs.seed, replication).run_to_end();
            let values = outcome.map(|outcome| {
                answers.iter().map(|answer| answer.quantity.of(&outcome, setup)).collect::<Vec<f64>>()
            });
            let stop = values.is_err() || (runs.after_each)().is_break();
            stopped.fetch_or(stop, Ordering::Relaxed);
            done.push((replication, values));
        }
    };
    let mut done: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..runs.threads.max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a replication does not panic")).collect()
    });
    done.sort_by_key(|(replication, _)| *replication);
    let all = done.into_iter().map(|(_, values)| values).collect::<Result<Vec<_>, SimError>>()?;
    if all.len() < last as usize { Err(VerifyError::Stopped) } else { Ok(all) }
}

fn standard_error(values: &[f64], mean: f64) -> f64 {
    let n = values.len() as f64;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt()
}

/// Values whose mean is the standard deviation s of the given ones, each as independent of the others: n s
/// less n - 1 times the s of all but one (Tukey 1958).
fn jackknife(values: &[f64]) -> Vec<f64> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let s = (squares / (n - 1.0)).sqrt();
    let without =
        |value: &f64| ((squares - n / (n - 1.0) * (value - mean).powi(2)).max(0.0) / (n - 2.0)).sqrt();
    values.iter().map(|value| n * s - (n - 1.0) * without(value)).collect()
}
