//! Pods of a variant, simulated: what came of them, with intervals over the seeds.

use anyhow::{Context, Result};
use serde::Serialize;
use splitscale_policy::document_hash;
use splitscale_sim::analysis::Interval;
use splitscale_sim::{Histogram, Model, Outcome, Simulation};
use splitscale_spec::Replicas;

use super::pool::Pool;
use super::share::{self, BEYOND_DOUBT, USUAL};
use super::traffic::Traffic;
use super::variant::Variant;

/// What is asked of a candidate, and how long it is looked at.
#[derive(Clone, Copy)]
pub struct Trial<'a> {
    /// The load.
    pub traffic: &'a Traffic,
    /// The promise \[s\].
    pub slo_s: f64,
    /// Share of the requests that it is kept to.
    pub target: f64,
    /// Seed of the replications, and how many.
    pub seed: u64,
    /// Replications.
    pub seeds: u32,
    /// Who simulates.
    pub pool: Pool<'a>,
}

/// What all seeds come to and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// A mean over the seeds; of shares and latencies, that of all their requests together.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// What the seeds say about the promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The interval of the attainment lies at the target or above.
    Holds,
    /// It lies below.
    Fails,
    /// It holds the target: so many seeds do not tell.
    Open,
}

/// Pods that were simulated.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Which of the variants.
    pub variant: usize,
    /// Its pods.
    pub pods: Replicas,
    /// Replications that were looked at: fewer where the first told already that it fails, more where all left it open.
    pub seeds: u32,
    /// Whether it keeps the promise.
    pub verdict: Verdict,
    /// Share of the requests answered within the promise.
    pub attainment: Spread,
    /// Latency that half of the answers keep \[s\].
    pub p50_s: Spread,
    /// That 99 % keep \[s\].
    pub p99_s: Spread,
    /// That the promised share keeps \[s\].
    pub kept_s: Spread,
    /// Busy share of A's pods, of the slots, of B's pods.
    pub busy: [Spread; 3],
    /// Hash over the fingerprints of all replications.
    pub fingerprint: String,
}

/// Told to stop.
#[derive(Debug, thiserror::Error)]
#[error("stopped")]
pub struct Stopped;

/// Replications after which a candidate that fails beyond doubt is given up.
const FIRST: u64 = 4;
const SECOND: u64 = 8;
/// What the seeds that were asked for leave open is looked at once more, with so many times as many.
pub const AGAIN: u64 = 4;

// === impl Trial ===

impl Trial<'_> {
    /// Simulates the pods.
    ///
    /// # Errors
    /// [`Stopped`]; as [`Simulation::run_while`].
    pub fn judge(&self, (index, variant): (usize, &Variant), pods: Replicas) -> Result<Candidate> {
        let name = || format!("{}, {} pods of A and {} of B", variant.words(), pods.a, pods.b);
        let model = self.model(variant, pods, 1.0).with_context(name)?;
        let run = |replication| {
            let outcome = Simulation::of(&model, self.seed, replication).run_while(self.pool.go_on);
            outcome.with_context(name)
        };
        let seeds = u64::from(self.seeds);
        let mut outcomes = Vec::new();
        for end in [FIRST, SECOND.min(seeds), seeds, AGAIN * seeds] {
            let done = outcomes.len() as u64;
            if end > done {
                outcomes.extend(self.pool.each(done..end, run)?.ok_or(Stopped)?);
            }
            let counts: Vec<(u64, u64)> = outcomes.iter().map(in_time).collect();
            let lost = share::spread(&counts, BEYOND_DOUBT)?.high < self.target;
            let told =
                end >= seeds && Verdict::of(share::spread(&counts, USUAL)?, self.target) != Verdict::Open;
            if lost || told {
                break;
            }
        }
        self.of((index, variant.slots), pods, &outcomes)
    }

    /// Whether one replication keeps the promise where the load is `factor` times as dense; absent where it was stopped.
    ///
    /// # Errors
    /// As [`Simulation::run_while`].
    pub fn keeps(
        &self,
        (variant, pods): (&Variant, Replicas),
        factor: f64,
        replication: u64,
    ) -> Result<Option<bool>> {
        let model = self.model(variant, pods, factor)?;
        let outcome = Simulation::of(&model, self.seed, replication).run_while(self.pool.go_on)?;
        Ok(outcome.as_ref().map(in_time).map(|(hits, all)| hits as f64 >= self.target * all as f64))
    }

    fn model(&self, variant: &Variant, pods: Replicas, factor: f64) -> Result<Model> {
        let (arrivals, warm_up_s) = self.traffic.times(factor);
        let mut setup = variant.setup(pods, arrivals);
        (setup.slo_s, setup.warm_up_s) = (Some(self.slo_s), warm_up_s);
        Ok(Model::of(&setup)?)
    }

    fn of(&self, (variant, slots): (usize, u32), pods: Replicas, outcomes: &[Outcome]) -> Result<Candidate> {
        let spread = |of: &dyn Fn(&Outcome) -> f64| Spread::of(&outcomes.iter().map(of).collect::<Vec<_>>());
        // Nothing here has a deadline or a bounded queue, so that every request is answered in the end.
        let mut all = Histogram::default();
        outcomes.iter().for_each(|outcome| all.merge(&outcome.latency.histogram));
        // Of all seeds together, as the attainment is: a mean of quantiles, one a seed, is no quantile of anything, and near
        // saturation lies above the promise where more than the target are in time.
        let latency = |p: f64| -> Result<Spread> {
            let value = all.quantile_s(p).unwrap_or(0.0);
            // Woodruff (1952): the ends are the quantiles of the ends of the share that does not exceed the value.
            let below = |of: &Histogram| (of.count_to_s(value).round() as u64, of.total());
            let counts: Vec<_> = outcomes.iter().map(|outcome| below(&outcome.latency.histogram)).collect();
            let share = share::spread(&counts, USUAL)?;
            let end = |p: f64| all.quantile_s(p).unwrap_or(value);
            Ok(Spread { value, low: end(share.low).min(value), high: end(share.high).max(value) })
        };
        let attainment = share::spread(&outcomes.iter().map(in_time).collect::<Vec<_>>(), USUAL)?;
        let [a, slots, b] = [pods.a, slots, pods.b].map(f64::from);
        Ok(Candidate {
            variant,
            pods,
            seeds: outcomes.len() as u32,
            verdict: Verdict::of(attainment, self.target),
            attainment,
            p50_s: latency(0.5)?,
            p99_s: latency(0.99)?,
            kept_s: latency(self.target)?,
            busy: [
                spread(&|outcome| outcome.a.mean_busy / a)?,
                spread(&|outcome| outcome.proxy.mean_busy / slots)?,
                spread(&|outcome| outcome.b.mean_busy / b)?,
            ],
            fingerprint: document_hash(
                &outcomes.iter().map(|outcome| outcome.fingerprint).collect::<Vec<_>>(),
            ),
        })
    }
}

/// Answered within the promise, and all that were sent after the warm-up.
fn in_time(outcome: &Outcome) -> (u64, u64) {
    (outcome.within_slo.unwrap_or(0), outcome.requests)
}

// === impl Verdict ===

impl Verdict {
    fn of(attainment: Spread, target: f64) -> Self {
        match attainment {
            Spread { low, .. } if low >= target => Verdict::Holds,
            Spread { high, .. } if high < target => Verdict::Fails,
            _ => Verdict::Open,
        }
    }
}

// === impl Spread ===

impl Spread {
    /// Student's interval of one value a seed.
    ///
    /// # Errors
    /// As [`Interval::of`].
    pub fn of(values: &[f64]) -> Result<Self> {
        let interval = Interval::of(values, 0.95)?;
        Ok(Spread { value: interval.mean, low: interval.low(), high: interval.high() })
    }
}

// === impl Candidate ===

impl Candidate {
    /// What it costs: pods of both stages.
    pub fn cost(&self) -> u32 {
        self.pods.a + self.pods.b
    }

    /// Whether it keeps the promise.
    pub fn holds(&self) -> bool {
        self.verdict == Verdict::Holds
    }
}
