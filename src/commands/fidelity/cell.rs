//! One cell: its arrivals, through the servers and through the simulator.

use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use splitscale_calibration::{Fidelity, fidelity};
use splitscale_serving::client::PipelineClient;
use splitscale_serving::load::{ClosedSpec, Halt, OpenSpec, Patience, closed_loop, open_loop};
use splitscale_sim::trace::Stamps;
use splitscale_sim::{ArrivalTimes, Labels, Recorded, Scale, Setup, SimTime, replicate};
use splitscale_spec::{Balancer, Laws, Replicas, RequestRecord, ServiceLaw, Status};

use super::plan::{Cell, Load, Place};
use crate::files;
use crate::images::Image;

/// How long a request may take.
const PATIENCE: Patience = Patience { timeout: Duration::from_secs(900), retries: 0 };
/// How long the pipeline may take to be empty before a cell.
const IDLE: Duration = Duration::from_secs(300);
/// Time between bursts, in times that the narrowest station needs for one.
const BETWEEN_BURSTS: f64 = 1.25;

/// When requests are sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Arrivals {
    /// Then, from the first on.
    At(Vec<Duration>),
    /// By so many clients, each when it has its answer.
    Clients(u32),
}

/// A cell on both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparedCell {
    /// Its name.
    pub name: String,
    /// How requests were sent.
    pub load: Load,
    /// Slots and pods.
    pub place: Place,
    /// Measured busy share of the busiest station: A, the slots or B.
    pub utilisation: f64,
    /// How long the servers took \[s\].
    pub measured_wall_s: f64,
    /// The latest that a request was sent after it was due \[s\].
    pub late_s: f64,
    /// How long one simulation took, on one thread \[s\].
    pub simulated_wall_s: f64,
    /// Replications that were simulated.
    pub replications: u32,
    /// Latency at 1 to 99 percent, measured and simulated \[s\].
    #[serde(skip)]
    pub quantiles_s: Vec<(f64, f64)>,
    /// The comparison.
    pub fidelity: Fidelity,
}

/// A row of the file of arrivals.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    /// Since the first \[s\]; a number of nanoseconds after the point.
    time_s: String,
}

// === impl Arrivals ===

impl Arrivals {
    /// Those of a cell whose place carries `capacity` requests a second.
    pub fn of(cell: &Cell, capacity: f64, seed: u64, trace: Option<&Arc<Stamps>>) -> Result<Self> {
        let requests = cell.requests;
        let drawn = |arrivals: splitscale_sim::Arrivals| {
            let times: Vec<SimTime> = ArrivalTimes::of(&arrivals, seed)?.take(requests as usize).collect();
            let first = times.first().copied().unwrap_or(SimTime::ZERO);
            let since = |at: SimTime| Duration::from_nanos(at.since(first));
            anyhow::Ok(Arrivals::At(times.into_iter().map(since).collect()))
        };
        match cell.load {
            Load::Burst(size) => {
                let period = BETWEEN_BURSTS * f64::from(size) / capacity;
                let at = |i: u32| Duration::from_secs_f64(f64::from(i / size) * period);
                Ok(Arrivals::At((0..requests).map(at).collect()))
            }
            Load::Closed(clients) => {
                Ok(Arrivals::Clients((clients * f64::from(cell.place.pods)).ceil() as u32))
            }
            Load::Poisson(utilisation) => {
                let rate_per_s = utilisation * capacity;
                drawn(splitscale_sim::Arrivals::Poisson { rate_per_s, requests })
            }
            Load::Gamma(utilisation, cv) => {
                let gap = ServiceLaw::Gamma { mean_s: 1.0 / (utilisation * capacity), cv };
                drawn(splitscale_sim::Arrivals::Renewal { gap, requests })
            }
            Load::Trace(utilisation) => {
                // It was checked to have as many, over some time.
                let offsets = trace.map_or(&[][..], |trace| &trace.offsets_ns);
                let offsets = &offsets[..offsets.len().min(requests as usize)];
                let span_ns = offsets.last().copied().unwrap_or(1);
                let factor = f64::from(requests - 1) / (utilisation * capacity) / (span_ns as f64 * 1e-9);
                let at = |&ns: &u64| Duration::from_nanos((ns as f64 * factor).round() as u64);
                Ok(Arrivals::At(offsets.iter().map(at).collect()))
            }
        }
    }

    /// Writes the times; of clients there are none to write.
    pub fn write(&self, path: &Path) -> Result<()> {
        let Arrivals::At(times) = self else { return Ok(()) };
        let row = |at: &Duration| Row { time_s: format!("{}.{:09}", at.as_secs(), at.subsec_nanos()) };
        files::write_csv(path, times.iter().map(row))
    }

    /// Reads them back; those of clients follow from the cell.
    pub fn read(cell: &Cell, path: &Path) -> Result<Self> {
        if let Load::Closed(_) = cell.load {
            return Arrivals::of(cell, 1.0, 0, None);
        }
        let stamps = Stamps::from_csv(&path.display().to_string(), &files::read(path)?, None)?;
        Ok(Arrivals::At(stamps.offsets_ns.into_iter().map(Duration::from_nanos).collect()))
    }

    fn simulated(&self, cell: &Cell) -> splitscale_sim::Arrivals {
        match self {
            &Arrivals::Clients(clients) => splitscale_sim::Arrivals::ClosedLoop {
                clients,
                requests: cell.requests,
                think: ServiceLaw::default(),
            },
            Arrivals::At(times) => {
                let offsets_ns = times.iter().map(|at| at.as_nanos() as u64).collect();
                let trace = Recorded::of(&cell.name, Stamps::of(offsets_ns));
                splitscale_sim::Arrivals::Stamps {
                    trace,
                    column: None,
                    scale: Scale { compress: 1.0, thin: 1.0 },
                }
            }
        }
    }
}

/// Sends a cell's requests; its records come by their numbers.
pub async fn measure(
    client: &PipelineClient,
    images: &[Image],
    (cell, run_id): (&Cell, u32),
    arrivals: &Arrivals,
) -> Result<Vec<RequestRecord>> {
    client.wait_idle(IDLE).await?;
    client.set_threads(cell.place.slots).await?;
    client.use_pods(Replicas { a: cell.place.pods, b: cell.place.pods }).await?;
    let mut records = Vec::new();
    let keep = |ended: splitscale_serving::load::Ended| records.push(ended.record);
    match arrivals {
        Arrivals::At(times) => {
            let spec = OpenSpec { run_id, under_way_max: times.len(), patience: PATIENCE };
            open_loop(client, images, (&spec, times.clone().into_iter()), Halt::default(), keep).await?;
        }
        &Arrivals::Clients(clients) => {
            let (requests, patience, origin) = (Some(cell.requests), PATIENCE, Instant::now());
            let spec = ClosedSpec { run_id, clients, requests, patience, origin };
            closed_loop(client, images, &spec, Halt::default(), keep).await?;
        }
    }
    records.sort_by_key(|record| record.request_id);
    // A server that is one of several knows of itself alone.
    let pods = cell.place.pods;
    records.iter_mut().for_each(|record| (record.pods_a, record.pods_b) = (pods, pods));
    Ok(records)
}

/// Simulates the cell and holds it against what was measured.
pub fn compare(
    (cell, measured): (&Cell, &[RequestRecord]),
    arrivals: &Arrivals,
    (laws, balancer): (&Laws, Balancer),
    (slo_s, seed, replications): (f64, u64, u32),
) -> Result<ComparedCell> {
    let pods = Replicas { a: cell.place.pods, b: cell.place.pods };
    let mut setup =
        Setup { records: true, ..Setup::new(pods, cell.place.slots, laws, arrivals.simulated(cell)) };
    (setup.a.balancer, setup.b.balancer) = (balancer, balancer);
    let begun = Instant::now();
    replicate(&setup, seed, 1, 1)?;
    let simulated_wall_s = begun.elapsed().as_secs_f64();
    let threads = available_parallelism().map_or(1, usize::from);
    let outcomes = replicate(&setup, seed, replications, threads)?;
    let labels = |run_id: usize| Labels {
        run_id: run_id as u32,
        cut: measured.first().map_or(String::new(), |r| r.cut.clone()),
        encoding: measured.first().map_or_else(Default::default, |r| r.encoding),
        bytes: measured.first().map_or(0, |r| r.bytes),
        bandwidth_mbit_s: measured.first().and_then(|r| r.bandwidth_mbit_s),
    };
    let records = |(run_id, outcome): (usize, splitscale_sim::Outcome)| -> Vec<RequestRecord> {
        outcome.trail.iter().map(|request| request.record(&labels(run_id))).collect()
    };
    let simulated: Vec<Vec<RequestRecord>> = outcomes.into_iter().enumerate().map(records).collect();
    let compared = fidelity(measured, &simulated, slo_s, seed)?;
    let first = measured.iter().map(|r| r.sent_ns).min().unwrap_or(0);
    let last = measured.iter().map(|r| r.done_ns).max().unwrap_or(0);
    let measured_wall_s = last.saturating_sub(first) as f64 * 1e-9;
    let busy = |of: fn(&RequestRecord) -> f64, servers: u32| {
        measured.iter().map(of).sum::<f64>() / (measured_wall_s * f64::from(servers))
    };
    let slot = |r: &RequestRecord| r.transfer_s + r.queue_b_s + r.service_b_s();
    let utilisation = busy(RequestRecord::service_a_s, pods.a)
        .max(busy(RequestRecord::service_b_s, pods.b))
        .max(busy(slot, cell.place.slots));
    let quantiles_s =
        quantiles(measured.iter()).into_iter().zip(quantiles(simulated.iter().flatten())).collect();
    Ok(ComparedCell {
        name: cell.name.clone(),
        load: cell.load,
        place: cell.place,
        utilisation,
        measured_wall_s,
        late_s: measured.iter().map(|r| r.sent_ns.saturating_sub(r.scheduled_ns)).max().unwrap_or(0) as f64
            * 1e-9,
        simulated_wall_s,
        replications,
        quantiles_s,
        fidelity: compared,
    })
}

/// Latency at 1 to 99 percent.
fn quantiles<'a>(records: impl Iterator<Item = &'a RequestRecord>) -> Vec<f64> {
    let answered = records.filter(|r| r.status == Status::Answered);
    let mut latencies: Vec<f64> = answered.map(RequestRecord::latency_s).collect();
    latencies.sort_by(f64::total_cmp);
    let at = |percent: usize| latencies.get(percent * latencies.len() / 100).copied();
    (1..100).filter_map(at).collect()
}
