//! One point as a row of CSV: what was asked, what came out with its interval, and what it was made by.

use anyhow::{Context, Result};
use splitscale_policy::document_hash;
use splitscale_sim::analysis::Interval;
use splitscale_sim::{Experiment, Model, Outcome, Plan, Point};

/// What one replication said, in the order of [`NAMES`]; absent where it said nothing.
#[derive(Debug, Clone)]
pub struct Sample {
    pub values: [Option<f64>; NAMES.len()],
    pub fingerprint: u64,
}

/// A point after all its replications.
#[derive(Debug)]
pub struct Row<'a> {
    pub point: &'a Point,
    pub samples: Vec<Sample>,
}

/// Each becomes two columns: the mean over the replications, and the half-width of its 95 % interval.
pub const NAMES: [&str; 25] = [
    "makespan_s",
    "latency_mean_s",
    "latency_p50_s",
    "latency_p95_s",
    "latency_p99_s",
    "throughput_per_s",
    "wait_a_s",
    "wait_proxy_s",
    "wait_b_s",
    "waiting_a",
    "waiting_proxy",
    "waiting_b",
    "busy_a",
    "busy_slots",
    "busy_b",
    "utilisation_a",
    "utilisation_slots",
    "utilisation_b",
    "pod_seconds",
    "sent",
    "refused",
    "failed",
    "lost",
    "unfinished",
    "attainment",
];

// === impl Sample ===

impl Sample {
    /// Of one run.
    pub fn of(outcome: &Outcome, point: &Point) -> Self {
        let quantile = |p: f64| outcome.latency.histogram.quantile_s(p);
        let answered = outcome.latency.answered as f64;
        let setup = &point.setup;
        // Where the number of servers changes there is no one number to divide by.
        let pods_stay = point.pods_change.is_empty();
        let [stay_a, stay_b] = [&setup.a, &setup.b].map(|stage| pods_stay && stage.failure.is_none());
        let share = |stays: bool, busy: f64, servers: u32| stays.then(|| busy / f64::from(servers));
        let (a, proxy, b) = (&outcome.a, &outcome.proxy, &outcome.b);
        let positive = |value: f64| (value > 0.0).then_some(value);
        let values = [
            Some(outcome.makespan_s),
            positive(answered).map(|_| outcome.latency.mean_s),
            quantile(0.5),
            quantile(0.95),
            quantile(0.99),
            positive(outcome.span_s).map(|span_s| answered / span_s),
            positive(answered).map(|_| a.mean_wait_s),
            positive(answered).map(|_| proxy.mean_wait_s),
            positive(answered).map(|_| b.mean_wait_s),
            Some(a.mean_waiting),
            Some(proxy.mean_waiting),
            Some(b.mean_waiting),
            Some(a.mean_busy),
            Some(proxy.mean_busy),
            Some(b.mean_busy),
            share(stay_a, a.mean_busy, setup.a.pods),
            share(setup.link.slots_change.is_none(), proxy.mean_busy, setup.link.slots),
            share(stay_b, b.mean_busy, setup.b.pods),
            Some(outcome.pods_a.pod_seconds + outcome.pods_b.pod_seconds),
            Some(outcome.requests as f64),
            Some(outcome.refused as f64),
            Some(outcome.failed as f64),
            Some(outcome.lost as f64),
            Some(outcome.unfinished as f64),
            // Whoever has no answer at the end has missed.
            outcome
                .within_slo
                .zip(positive(outcome.requests as f64))
                .map(|(within, sent)| within as f64 / sent),
        ];
        Sample { values, fingerprint: outcome.fingerprint }
    }
}

/// The columns of an experiment.
pub fn header(plan: &Plan) -> Result<Vec<u8>> {
    let mut columns: Vec<String> = ["experiment", "point", "points"].map(String::from).to_vec();
    columns.extend(plan.axes.iter().cloned());
    columns.extend(["seed", "replications"].map(String::from));
    for name in NAMES {
        columns.push(name.into());
        columns.push(format!("{name}_half_width"));
    }
    columns.extend(["fingerprint", "commit", "hash"].map(String::from));
    line(&columns)
}

// === impl Row ===

impl Row<'_> {
    /// Mean over the replications that said something, and half-width of its interval, which takes two.
    pub fn mean(&self, name: &str) -> (Option<f64>, Option<f64>) {
        let Some(index) = NAMES.iter().position(|of| *of == name) else { return (None, None) };
        let values: Vec<f64> = self.samples.iter().filter_map(|sample| sample.values[index]).collect();
        match (Interval::of(&values, 0.95), values.as_slice()) {
            (Ok(interval), _) => (Some(interval.mean), Some(interval.half_width)),
            (Err(_), [only]) => (Some(*only), None),
            (Err(_), _) => (None, None),
        }
    }

    /// As a line of CSV.
    pub fn csv(&self, experiment: &Experiment, plan: &Plan) -> Result<Vec<u8>> {
        let mut cells =
            vec![experiment.name.clone(), self.point.index.to_string(), plan.points.len().to_string()];
        cells.extend(self.point.labels.iter().map(|(_, value)| value.clone()));
        cells.extend([self.point.seed.to_string(), self.samples.len().to_string()]);
        let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        for name in NAMES {
            let (mean, half_width) = self.mean(name);
            cells.extend([number(mean), number(half_width)]);
        }
        let fingerprints: Vec<u64> = self.samples.iter().map(|sample| sample.fingerprint).collect();
        cells.extend([
            document_hash(&fingerprints),
            env!("SPLITSCALE_COMMIT").to_string(),
            plan.hash.clone(),
        ]);
        line(&cells)
    }

    /// Requests without an answer when their runs stopped, over all replications.
    pub fn unfinished(&self) -> f64 {
        let index = NAMES.iter().position(|name| *name == "unfinished");
        index.map_or(0.0, |index| self.samples.iter().filter_map(|sample| sample.values[index]).sum())
    }
}

/// What a point is called: its place on each axis.
pub fn name(point: &Point) -> String {
    let places: Vec<String> = point.labels.iter().map(|(axis, value)| format!("{axis} = {value}")).collect();
    if places.is_empty() { format!("point {}", point.index) } else { places.join(", ") }
}

/// Its model, an error naming the point.
pub fn model(point: &Point) -> Result<Model> {
    point.model().with_context(|| name(point))
}

fn line(cells: &[String]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(cells)?;
    writer.into_inner().context("could not write a row")
}
