//! Measured against simulated requests: the same arrivals through the servers and through the simulator.
//!
//! Every error is (simulated - measured) / measured, a duration below a millisecond counting as one, as waits are often
//! zero. Its interval is the bootstrap's over blocks of neighbouring requests, drawn from both sides alike (Künsch, *The
//! jackknife and the bootstrap for general stationary observations*, The Annals of Statistics 17(3), 1989): request i met
//! the same queue before it on both sides. Requests that were due at one instant are served in any order; they pair by
//! the rank of their latencies. Where the utilisation is 1 or more the difference of both sides drifts over longer times
//! than a block, and the intervals are too narrow.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use splitscale_spec::{RequestRecord, Status};

use crate::CalibrationError;
use crate::laws::quantile;

/// Requests in a block of the bootstrap.
const BLOCK: usize = 50;
const RESAMPLES: usize = 399;
/// An error is not of less than this \[s\].
const SMALLEST_S: f64 = 1e-3;

/// A figure on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// Of the servers \[s\].
    pub measured_s: f64,
    /// Of the simulator \[s\].
    pub simulated_s: f64,
    /// (simulated - measured) / measured.
    pub error: f64,
    /// Lower end of the error's 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// A duration of all answered requests, on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Mean.
    pub mean: Compared,
    /// Median.
    pub p50: Compared,
    /// 90th percentile.
    pub p90: Compared,
    /// 99th percentile.
    pub p99: Compared,
    /// Largest distance between the two distribution functions (Kolmogorov and Smirnov).
    pub ks: f64,
}

/// One part of a request's way, on both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Which: a wait, a station, or what is outside of them.
    pub part: String,
    /// How long it took.
    pub figures: Figures,
    /// How much of the error of the mean latency it makes: (simulated - measured) / measured mean latency.
    pub of_latency: f64,
}

/// How well the simulator says what a cell's requests took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fidelity {
    /// Requests that were sent.
    pub requests: u32,
    /// Answered by the servers.
    pub answered: u32,
    /// Latency: sent to answered.
    pub latency: Figures,
    /// Promised latency \[s\].
    pub slo_s: f64,
    /// Share of all requests that the servers answered within it.
    pub attainment_measured: f64,
    /// Share that the simulator did.
    pub attainment_simulated: f64,
    /// The parts of the way, in their order; they sum up to the latency.
    pub parts: Vec<Part>,
}

/// A duration of a record.
type Of = fn(&RequestRecord) -> f64;

/// The parts of a request's way.
const PARTS: [(&str, Of); 7] = [
    ("wait for A", |r| r.queue_a_s),
    ("A", RequestRecord::service_a_s),
    ("wait for a slot", |r| r.queue_proxy_s),
    ("transfer", |r| r.transfer_s),
    ("wait for B", |r| r.queue_b_s),
    ("B", RequestRecord::service_b_s),
    ("outside", |r| r.back_s),
];

/// Compares the records of the servers with those of the simulator, of one replication or several.
///
/// # Errors
/// A replication with other requests than were measured; a side on which nothing was answered; a promise that is no
/// duration.
pub fn fidelity(
    measured: &[RequestRecord],
    simulated: &[Vec<RequestRecord>],
    slo_s: f64,
    seed: u64,
) -> Result<Fidelity, CalibrationError> {
    splitscale_spec::positive("slo_s", slo_s)?;
    let measured = by_number(measured);
    let simulated: Vec<Vec<&RequestRecord>> = simulated.iter().map(|records| by_number(records)).collect();
    let numbers = |records: &[&RequestRecord]| records.iter().map(|r| r.request_id).collect::<Vec<_>>();
    for (replication, records) in simulated.iter().enumerate() {
        if numbers(records) != numbers(&measured) {
            return Err(CalibrationError::NotPaired {
                replication,
                simulated: records.len(),
                measured: measured.len(),
            });
        }
    }
    let due_ns: Vec<u64> = measured.iter().map(|record| record.scheduled_ns).collect();
    let measured = by_rank(&due_ns, measured);
    let simulated: Vec<Vec<&RequestRecord>> =
        simulated.into_iter().map(|records| by_rank(&due_ns, records)).collect();
    let answered = |records: &[&RequestRecord]| records.iter().any(|r| r.status == Status::Answered);
    if !answered(&measured) || !simulated.iter().any(|records| answered(records)) {
        return Err(CalibrationError::NothingAnswered { requests: measured.len() });
    }
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let n = measured.len();
    let resample = |_| {
        let starts = (0..n.div_ceil(BLOCK)).map(|_| (chance.next_u64() % n as u64) as usize);
        starts.flat_map(|start| (start..start + BLOCK).map(|i| i % n)).take(n).collect()
    };
    let sides = Sides {
        measured: &measured,
        simulated: &simulated,
        resamples: (0..RESAMPLES).map(resample).collect(),
    };
    let latency = sides.figures(RequestRecord::latency_s);
    let parts = PARTS.map(|(part, of)| {
        let figures = sides.figures(of);
        let of_latency = (figures.mean.simulated_s - figures.mean.measured_s) / latency.mean.measured_s;
        Part { part: part.into(), figures, of_latency }
    });
    let within = |records: &[&RequestRecord]| {
        records.iter().filter(|r| r.status == Status::Answered && r.latency_s() <= slo_s).count() as f64
    };
    Ok(Fidelity {
        requests: n as u32,
        answered: measured.iter().filter(|r| r.status == Status::Answered).count() as u32,
        latency,
        slo_s,
        attainment_measured: within(&measured) / n as f64,
        attainment_simulated: simulated.iter().map(|records| within(records)).sum::<f64>()
            / (n * simulated.len()) as f64,
        parts: parts.into(),
    })
}

/// The requests of the servers and of each replication, in one order, and which of them each resample has.
struct Sides<'a> {
    measured: &'a [&'a RequestRecord],
    simulated: &'a [Vec<&'a RequestRecord>],
    resamples: Vec<Vec<usize>>,
}

impl Sides<'_> {
    fn figures(&self, of: Of) -> Figures {
        let values = |records: &[&RequestRecord]| -> Vec<Option<f64>> {
            records.iter().map(|r| (r.status == Status::Answered).then(|| of(r))).collect()
        };
        let real = values(self.measured);
        let model: Vec<Vec<Option<f64>>> = self.simulated.iter().map(|records| values(records)).collect();
        let numbers = |chosen: &mut dyn Iterator<Item = usize>| {
            let chosen: Vec<usize> = chosen.collect();
            let a: Vec<f64> = chosen.iter().filter_map(|&i| real[i]).collect();
            let b = model.iter().flat_map(|values| chosen.iter().filter_map(|&i| values[i])).collect();
            Some((numbers(a)?, numbers(b)?))
        };
        // Some request was answered on both sides.
        let (a, b) = numbers(&mut (0..real.len())).unwrap_or(([0.0; 4], [0.0; 4]));
        let error = |a: f64, b: f64| (b - a) / a.max(SMALLEST_S);
        let mut errors: [Vec<f64>; 4] = Default::default();
        for chosen in &self.resamples {
            if let Some((a, b)) = numbers(&mut chosen.iter().copied()) {
                (0..4).for_each(|figure| errors[figure].push(error(a[figure], b[figure])));
            }
        }
        let compared = |figure: usize| {
            let mut errors = errors[figure].clone();
            errors.sort_by(f64::total_cmp);
            let found = error(a[figure], b[figure]);
            // So few were answered that no resample has one.
            let end = |part: f64| if errors.is_empty() { found } else { quantile(&errors, part) };
            let (low, high) = (end(0.025), end(0.975));
            Compared { measured_s: a[figure], simulated_s: b[figure], error: found, low, high }
        };
        let sorted = |values: &mut dyn Iterator<Item = &Option<f64>>| {
            let mut values: Vec<f64> = values.copied().flatten().collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let ks = ks(&sorted(&mut real.iter()), &sorted(&mut model.iter().flatten()));
        Figures { mean: compared(0), p50: compared(1), p90: compared(2), p99: compared(3), ks }
    }
}

/// Mean, p50, p90 and p99; absent of nothing.
fn numbers(mut values: Vec<f64>) -> Option<[f64; 4]> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let mut at = |p: f64| {
        let place = p * (values.len() as f64 - 1.0);
        let (index, part) = (place.floor() as usize, place.fract());
        let (_, &mut found, above) = values.select_nth_unstable_by(index, f64::total_cmp);
        let next = above.iter().copied().fold(f64::INFINITY, f64::min);
        if part > 0.0 && next.is_finite() { found + part * (next - found) } else { found }
    };
    if mean.is_nan() {
        return None;
    }
    Some([mean, at(0.5), at(0.9), at(0.99)])
}

/// Requests due at one instant by the rank of their latencies, those without an answer last.
fn by_rank<'a>(due_ns: &[u64], mut records: Vec<&'a RequestRecord>) -> Vec<&'a RequestRecord> {
    let mut from = 0;
    for group in due_ns.chunk_by(|a, b| a == b) {
        let rank = |r: &&RequestRecord| {
            if r.status == Status::Answered { r.latency_s() } else { f64::INFINITY }
        };
        records[from..from + group.len()].sort_by(|a, b| rank(a).total_cmp(&rank(b)));
        from += group.len();
    }
    records
}

fn by_number(records: &[RequestRecord]) -> Vec<&RequestRecord> {
    let mut records: Vec<&RequestRecord> = records.iter().collect();
    records.sort_by_key(|record| record.request_id);
    records
}

/// Largest distance of the two empirical distribution functions.
fn ks(a: &[f64], b: &[f64]) -> f64 {
    let below = |sorted: &[f64], x: f64| sorted.partition_point(|&y| y <= x) as f64 / sorted.len() as f64;
    a.iter().chain(b).map(|&x| (below(a, x) - below(b, x)).abs()).fold(0.0, f64::max)
}
