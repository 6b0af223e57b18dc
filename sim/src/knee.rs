//! The knee of a pipeline: the pods beyond which one more hardly adds to what it carries, found by simulating each number.
//!
//! ```text
//!  B   slots always wanted (A takes no time), k_B = 1, 2, ...   until  X(k_B + 1) < (1 + gain) X(k_B)
//!  A   B at its knee, A always wanted,        k_A = 1, 2, ...   until  X(k_A + 1) < (1 + gain) X(k_A)
//! ```
//!
//! This is what the closed form `useful` of splitscale-spec is held against. It takes nothing from that form: each number
//! of pods is run, from one on, all under the same demands, request by request.

use splitscale_spec::{Invalid, Replicas, ServiceLaw, at_least_one, positive};

use crate::analysis::Interval;
use crate::arrivals::Arrivals;
use crate::error::SimError;
use crate::model::Model;
use crate::setup::{MAX_SERVERS, Setup};
use crate::simulation::Simulation;

/// How a knee is looked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KneeSearch {
    /// One more pod is useful if it adds this share of the throughput, above zero.
    pub gain: f64,
    /// Seed of all runs.
    pub seed: u64,
    /// Runs of each number of pods. One is enough where nothing is drawn.
    pub replications: u32,
    /// Answers that are counted in each run, after a quarter as many that are not.
    pub answers: u32,
    /// Clients that send their next request when they have an answer: many more than pods and slots, so that a station
    /// that can be at work nearly always is.
    pub clients: u32,
}

/// Where it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Knee {
    /// The pods.
    pub pods: Replicas,
    /// What they carry, mean over the replications \[1/s\].
    pub per_s: f64,
    /// Of both stages the last step that is useful and the first that is not gain more and less than asked for by more
    /// than their 95 % intervals, paired by replication. Otherwise more answers might move the knee.
    pub settled: bool,
}

/// The end of a climb: pods, throughputs of the replications, settled.
type Top = (u32, Vec<f64>, bool);

impl KneeSearch {
    /// The knee of a setup, whose own pods and load do not matter.
    ///
    /// # Errors
    /// The first field of the search or of the setup that is out of range.
    pub fn of(&self, setup: &Setup) -> Result<Knee, SimError> {
        self.validate()?;
        let counted = self.answers.saturating_add(self.answers / 4);
        let arrivals = Arrivals::ClosedLoop {
            clients: self.clients,
            requests: counted.saturating_add(self.clients),
            think: ServiceLaw::default(),
        };
        let mut setup = Setup { arrivals, horizon_s: None, warm_up_s: 0.0, ..setup.clone() };
        let service_a = std::mem::take(&mut setup.a.service);
        setup.a.pods = 1;
        let (b, _, settled_b) = self.climb(|pods| {
            setup.b.pods = pods;
            self.run(&setup)
        })?;
        (setup.a.service, setup.b.pods) = (service_a, b);
        let (a, per_s, settled_a) = self.climb(|pods| {
            setup.a.pods = pods;
            self.run(&setup)
        })?;
        let per_s = per_s.iter().sum::<f64>() / per_s.len() as f64;
        Ok(Knee { pods: Replicas { a, b }, per_s, settled: settled_a && settled_b })
    }

    fn validate(&self) -> Result<(), Invalid> {
        positive("gain", self.gain)?;
        at_least_one("replications", self.replications)?;
        at_least_one("answers", self.answers)?;
        at_least_one("clients", self.clients)
    }

    /// From one pod on up, as long as one more is useful.
    fn climb(&self, mut run: impl FnMut(u32) -> Result<Vec<f64>, SimError>) -> Result<Top, SimError> {
        let (mut pods, mut here, mut settled) = (1, run(1)?, true);
        while pods < MAX_SERVERS {
            let next = run(pods + 1)?;
            let gains: Vec<f64> = next.iter().zip(&here).map(|(next, here)| next / here - 1.0).collect();
            let gain = gains.iter().sum::<f64>() / gains.len() as f64;
            // One run has no interval: then what it says is taken.
            let clear = Interval::of(&gains, 0.95).map_or(true, |interval| !interval.contains(self.gain));
            // Where nothing takes time the gain is no number, and no pod is useful.
            if gain.is_nan() || gain < self.gain {
                return Ok((pods, here, settled && clear));
            }
            (pods, here, settled) = (pods + 1, next, clear);
        }
        Ok((pods, here, false))
    }

    /// Answers a second of each replication.
    fn run(&self, setup: &Setup) -> Result<Vec<f64>, SimError> {
        let model = Model::of(setup)?;
        let per_s = |replication| {
            let mut simulation = Simulation::of(&model, self.seed, replication);
            let mut time_of = |answers: u64| {
                while simulation.answered() < answers && simulation.step().is_some() {}
                simulation.now().as_secs_f64()
            };
            let before = u64::from(self.answers / 4);
            let from_s = time_of(before);
            f64::from(self.answers) / (time_of(before + u64::from(self.answers)) - from_s)
        };
        Ok((0..u64::from(self.replications)).map(per_s).collect())
    }
}
