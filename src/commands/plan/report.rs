//! The plan as files: `plan.json`, `candidates.csv`, `pipeline.toml`.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;
use splitscale_spec::{
    Balancer, Bandwidth, CostConfig, CutConfig, Encoding, LinkConfig, PipelineConfig, Replicas, SloConfig,
    StageConfig,
};

use super::candidate::{Candidate, Spread, Verdict};
use super::headroom::Headroom;
use super::variant::{Variant, name_of};

/// `plan.json`.
#[derive(Debug, Serialize)]
pub struct Plan<'a> {
    /// Schema number, [`Plan::SCHEMA`].
    pub schema: u32,
    /// Version and commit of what planned.
    pub splitscale: String,
    /// What was asked.
    pub inputs: Inputs,
    /// The cheapest that keeps the promise; absent where none does.
    pub answer: Option<Choice<'a>>,
    /// What to take in its place.
    pub runner_up: Option<Choice<'a>>,
    /// What the answer is the cheapest of.
    pub cheapest_of: Option<String>,
    /// Every cut and encoding.
    pub variants: Vec<Looked>,
    /// Every candidate that was simulated, the cheapest first.
    pub candidates: Vec<Row<'a>>,
}

/// What was asked.
#[derive(Debug, Serialize)]
pub struct Inputs {
    /// The calibrations.
    pub calibrations: Vec<Document>,
    /// The load in words.
    pub load: String,
    /// A recorded load's file.
    pub load_file: Option<PathBuf>,
    /// FNV-1a hash of its bytes.
    pub load_hash: Option<String>,
    /// Arrivals a second, on average \[1/s\].
    pub mean_per_s: f64,
    /// The same over the busiest minute \[1/s\].
    pub peak_per_s: f64,
    /// Coefficient of variation of the gaps between them; absent where they are recorded.
    pub cv: Option<f64>,
    /// Requests of a replication.
    pub requests: u32,
    /// Transfer slots.
    pub slots: u32,
    /// Bandwidth of a slot \[Mbit/s\]; absent where the link is as measured, or shared.
    pub slot_mbit_s: Option<f64>,
    /// Bandwidth of the one link of all slots \[Mbit/s\]; absent where the link is as measured, or a slot has its own.
    pub link_mbit_s: Option<f64>,
    /// What comes on top of each transfer \[s\].
    pub rtt_s: f64,
    /// What activations may travel as; empty: as each was measured.
    pub encodings: Vec<Encoding>,
    /// The promise.
    pub slo: SloConfig,
    /// Most pods of each stage.
    pub pods_max: u32,
    /// Replications of each candidate.
    pub seeds: u32,
    /// Seed of them.
    pub seed: u64,
}

/// A calibration that was read.
#[derive(Debug, Serialize)]
pub struct Document {
    /// What the plan calls it.
    pub name: String,
    /// Where it cuts.
    pub cut: String,
    /// What its activations travelled as.
    pub encoding: Encoding,
    /// The file.
    pub file: PathBuf,
    /// FNV-1a hash of its bytes.
    pub hash: String,
    /// Machine on which it was measured; absent where nobody wrote it down.
    pub host: Option<String>,
    /// When the measurement began, in UTC.
    pub date: Option<String>,
}

/// What came of one cut and encoding.
#[derive(Debug, Serialize)]
pub struct Looked {
    /// Name of the calibration.
    pub name: String,
    /// What activations travel as.
    pub encoding: Encoding,
    /// Whether that was measured; else transfers are carried over by their bytes.
    pub measured: bool,
    /// Size of an activation \[bytes\].
    pub bytes: u64,
    /// Mean time of a transfer that has the link to itself \[s\].
    pub transfer_s: f64,
    /// Mean time of a request that meets nobody \[s\].
    pub alone_s: f64,
    /// The most that the link carries, by the throughput law \[1/s\].
    pub link_per_s: f64,
    /// The fewest pods that carry the mean and the peak of the load, by the throughput law; absent where none do.
    pub law_mean: Option<Replicas>,
    /// The same of the busiest minute.
    pub law_peak: Option<Replicas>,
    /// The fewest of each stage that do not fail beside the most of the other; absent where the most do not keep it.
    pub least: Option<Replicas>,
    /// The most of each stage that were looked at; absent alike.
    pub most: Option<Replicas>,
    /// The cheapest of them that keep the promise; absent alike.
    pub pods: Option<Replicas>,
    /// What stands in the way.
    pub why: Option<String>,
    /// What would clear it.
    pub remedies: Vec<String>,
}

/// A plan: pods of a cut and an encoding, and what is to be expected of them.
#[derive(Debug, Serialize)]
pub struct Choice<'a> {
    /// Name of the calibration.
    pub name: &'a str,
    /// Where the network is cut.
    pub cut: &'a str,
    /// What activations travel as.
    pub encoding: Encoding,
    /// Size of one \[bytes\].
    pub bytes: u64,
    /// Pods.
    pub pods: Replicas,
    /// Share of the requests answered within the promise.
    pub attainment: Spread,
    /// Latency that half of the answers keep \[s\].
    pub p50_s: Spread,
    /// That 99 % keep \[s\].
    pub p99_s: Spread,
    /// That the promised share keeps \[s\].
    pub kept_s: Spread,
    /// Busy share of A's pods.
    pub busy_a: Spread,
    /// Of the slots.
    pub busy_slots: Spread,
    /// Of B's pods.
    pub busy_b: Spread,
    /// How much denser the load may get.
    pub headroom: Headroom,
    /// Hash over the fingerprints of its replications.
    pub fingerprint: &'a str,
}

/// A row of `candidates.csv`.
#[derive(Debug, Clone, Serialize)]
pub struct Row<'a> {
    /// Name of the calibration.
    pub name: &'a str,
    /// What activations travel as.
    pub encoding: &'static str,
    /// Pods of A.
    pub pods_a: u32,
    /// Pods of B.
    pub pods_b: u32,
    /// Both.
    pub pods: u32,
    /// Whether the promise is kept.
    pub verdict: Verdict,
    /// `answer`, `runner-up` or nothing.
    pub role: &'static str,
    /// No other has as few pods and as low a latency.
    pub front: bool,
    /// Share of the requests answered within the promise, and the ends of its interval.
    pub attainment: f64,
    /// Lower end.
    pub attainment_low: f64,
    /// Upper end.
    pub attainment_high: f64,
    /// Latency that half of the answers keep \[s\].
    pub p50_s: f64,
    /// Lower end.
    pub p50_low_s: f64,
    /// Upper end.
    pub p50_high_s: f64,
    /// That 99 % keep \[s\].
    pub p99_s: f64,
    /// Lower end.
    pub p99_low_s: f64,
    /// Upper end.
    pub p99_high_s: f64,
    /// That the promised share keeps \[s\].
    pub kept_s: f64,
    /// Lower end.
    pub kept_low_s: f64,
    /// Upper end.
    pub kept_high_s: f64,
    /// Busy share of A's pods.
    pub busy_a: f64,
    /// Of the slots.
    pub busy_slots: f64,
    /// Of B's pods.
    pub busy_b: f64,
    /// Replications that were looked at.
    pub seeds: u32,
    /// Hash over their fingerprints.
    pub fingerprint: String,
    /// The promise \[s\].
    pub slo_s: f64,
    /// The share that it is kept to.
    pub target: f64,
}

impl Plan<'_> {
    /// The schema this build writes.
    pub const SCHEMA: u32 = 1;
}

impl<'a> Choice<'a> {
    /// Of a candidate of this variant.
    pub fn of(candidate: &'a Candidate, variant: &'a Variant, headroom: Headroom) -> Self {
        let [busy_a, busy_slots, busy_b] = candidate.busy;
        Choice {
            name: &variant.name,
            cut: &variant.cut,
            encoding: variant.encoding,
            bytes: variant.bytes,
            pods: candidate.pods,
            attainment: candidate.attainment,
            p50_s: candidate.p50_s,
            p99_s: candidate.p99_s,
            kept_s: candidate.kept_s,
            busy_a,
            busy_slots,
            busy_b,
            headroom,
            fingerprint: &candidate.fingerprint,
        }
    }
}

impl<'a> Row<'a> {
    /// Of a candidate of this variant, under a promise \[s\] and its share.
    pub fn of(candidate: &Candidate, variant: &'a Variant, (slo_s, target): (f64, f64)) -> Self {
        let Candidate { pods, attainment, p50_s, p99_s, kept_s, busy, .. } = candidate;
        Row {
            name: &variant.name,
            encoding: name_of(variant.encoding),
            pods_a: pods.a,
            pods_b: pods.b,
            pods: candidate.cost(),
            verdict: candidate.verdict,
            role: "",
            front: false,
            attainment: attainment.value,
            attainment_low: attainment.low,
            attainment_high: attainment.high,
            p50_s: p50_s.value,
            p50_low_s: p50_s.low,
            p50_high_s: p50_s.high,
            p99_s: p99_s.value,
            p99_low_s: p99_s.low,
            p99_high_s: p99_s.high,
            kept_s: kept_s.value,
            kept_low_s: kept_s.low,
            kept_high_s: kept_s.high,
            busy_a: busy[0].value,
            busy_slots: busy[1].value,
            busy_b: busy[2].value,
            seeds: candidate.seeds,
            fingerprint: candidate.fingerprint.clone(),
            slo_s,
            target,
        }
    }
}

/// Marks the rows that no other undercuts in pods and latency: by rising pods, each lower than all before.
pub fn mark_front(rows: &mut [Row<'_>]) {
    let mut lowest_s = f64::INFINITY;
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|&i, &j| {
        (rows[i].pods, rows[i].kept_s)
            .partial_cmp(&(rows[j].pods, rows[j].kept_s))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    for index in order {
        if rows[index].kept_s < lowest_s {
            lowest_s = rows[index].kept_s;
            rows[index].front = true;
        }
    }
}

/// The answer as a pipeline: a scaler may go down from it to one pod, and not above.
///
/// # Errors
/// What `toml` says; a field that [`PipelineConfig::validate`] refuses.
pub fn pipeline(pods: Replicas, variant: &Variant, (load, slo): (&str, &SloConfig)) -> Result<String> {
    let stage = |pods: u32| StageConfig { pods_min: 1, pods_max: pods, cpu_share: 1.0, cores: pods };
    let of_a_slot = variant.mbit_s / variant.whole_mbit_s.map_or(1.0, |_| f64::from(variant.slots));
    let config = PipelineConfig {
        schema: PipelineConfig::SCHEMA,
        a: stage(pods.a),
        b: stage(pods.b),
        cut: CutConfig { name: variant.cut.clone(), payload_bytes: variant.bytes },
        link: LinkConfig {
            slots: variant.slots,
            bandwidth: Bandwidth::PerSlot(of_a_slot),
            rtt_s: variant.fixed_s,
        },
        balancer: Balancer::CentralQueue,
        slo: slo.clone(),
        cost: CostConfig { miss_weight: 10.0, churn_weight: 1.0 },
    };
    config.clone().validate()?;
    let share = match variant.whole_mbit_s {
        Some(mbit_s) => {
            format!("# The slots share one link of {mbit_s} Mbit/s; here stands the even share of each.\n")
        }
        None => String::new(),
    };
    Ok(format!(
        "# Planned by splitscale for {load}: {} of A and {} of B keep the promise.\n\
         # A scaler has from one pod to these. cpu_share and cores say a core a pod, of the speed that was calibrated; mend\n\
         # them where pods have less. rtt_s is all that a transfer takes besides its bytes. Weigh cost for yourself.\n{share}{}",
        pods.a,
        pods.b,
        toml::to_string(&config)?
    ))
}
