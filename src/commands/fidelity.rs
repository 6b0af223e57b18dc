//! `splitscale fidelity`: the same arrivals through real servers and through the simulator.
//!
//! ```text
//!  plan ─▶ pilot ─▶ rates ─▶ arrivals/CELL.csv ─┬─▶ servers ───▶ cells/CELL.csv ──┬─▶ compare ─▶ fidelity.md, .json, .csv
//!                      fitting cells ─▶ servers ─▶ calibration.json ─▶ simulator ─┘
//! ```
//!
//! Fitting and held-out cells are measured in one random order, so that a machine that drifts touches both alike. The
//! rates come from a pilot burst that nothing is fitted on.

mod cell;
mod plan;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use splitscale_calibration::{BadRows, DistributionOptions, Options, fit_laws, read_records, times_of};
use splitscale_serving::client::PipelineClient;
use splitscale_sim::trace::Stamps;
use splitscale_spec::{Balancer, Calibration, Capacity, Replicas, RequestRecord, Status, throughput};
use tokio_util::sync::CancellationToken;

use super::calibrate::law_rows;
use super::collect;
use super::summary::Machine;
use crate::cli::{Fidelity, Servers};
use crate::images::{self, Image};
use crate::interrupt::{self, Interrupted};
use crate::servers::{self, Local, Server};
use crate::{files, measurement, progress};

use cell::{Arrivals, measure};
use plan::{Cell, Place, Plan};

/// Requests of the pilot, a pod.
const PILOT: u32 = 6;

/// What a request of the pilot took without its waits: means.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pilot {
    service_a_s: f64,
    transfer_s: f64,
    service_b_s: f64,
    outside_s: f64,
}

/// `session.json`: what the measurement was begun with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Session {
    schema: u32,
    /// When it began, in UTC.
    date: String,
    host: String,
    splitscale: String,
    /// Seed of the order, the arrivals and the simulations.
    seed: u64,
    plan: Plan,
    trace: Option<TraceName>,
    pipeline: Pipeline,
    pilot: Pilot,
}

/// Recorded arrivals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TraceName {
    file: String,
    /// The last arrival after the first \[ns\], and how many there are: another trace has others.
    span_ns: u64,
    arrivals: usize,
}

/// The servers, as they said themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pipeline {
    /// Engines of A and of B.
    engine: [String; 2],
    /// Where the network is cut.
    cut: String,
    /// Shares of a core that pods of A and of B compute with.
    cpu_share: [f64; 2],
    /// CPU time \[s\] that requests are rated at there, if they are.
    rated_cpu_s: [Option<f64>; 2],
    /// Emulated bandwidth of a slot \[Mbit/s\].
    slot_mbit_s: Option<f64>,
}

/// Measures, fits, simulates, compares.
pub fn run(args: &Fidelity) -> Result<()> {
    let mut plan = match &args.plan {
        Some(path) => Plan::parse(&path.display().to_string(), &files::read(path)?)?,
        None => Plan::parse("the built-in plan", Plan::BUILT_IN)?,
    };
    plan.held_out.requests = args.requests.unwrap_or(plan.held_out.requests);
    let (there, on_cluster) = (args.a.is_some(), args.in_cluster.namespace.is_some());
    ensure!(
        !there || on_cluster || args.b.is_some(),
        "--a and --proxy name a running pipeline; name its stage B with --b too"
    );
    ensure!(
        there || !on_cluster,
        "--namespace says where the pods are; say with --a and --proxy how they are reached"
    );
    ensure!(
        there || plan.servers.balancer == Balancer::CentralQueue,
        "servers.balancer: servers that are started here have one queue a stage; leave it out, or name a pipeline with --a and --proxy"
    );
    if on_cluster && plan.servers.balancer == Balancer::CentralQueue {
        eprintln!(
            "warning: pods behind Services are picked at random; a plan with servers.balancer = \"random\" simulates that"
        );
    }
    let images = images::load(args.images.as_deref())?;
    let trace = args.trace.as_deref().map(|path| stamps(path, plan.held_out.requests)).transpose()?;
    let out = &args.out;
    let path = out.join("session.json");
    if args.resume {
        ensure!(path.exists(), "{} is not there; leave --resume away to begin", path.display());
    } else {
        files::empty_folder(out)?;
    }
    let work = Work { args, plan: &plan, images: &images, trace: trace.as_ref() };
    let cells = plan.cells(trace.is_some());
    let session = if path.exists() && cells.iter().all(|cell| cell_file(out, cell).exists()) {
        // All is measured; it is only told once more.
        work.begun(&path, None)?
    } else {
        interrupt::run(async |stop| {
            let mut started = Vec::new();
            let worked = work.measured(&mut started, &stop).await;
            let stopped = servers::stop_all(started).await;
            worked.and_then(|session| stopped.map(|()| session))
        })?
    };
    conclude(args, &session, &cells)
}

/// What a measurement takes.
struct Work<'a> {
    args: &'a Fidelity,
    plan: &'a Plan,
    images: &'a [Image],
    trace: Option<&'a (TraceName, Arc<Stamps>)>,
}

impl Work<'_> {
    /// Everything that needs servers. Slots and pods are given back, however it ends.
    async fn measured(&self, started: &mut Vec<Server>, stop: &CancellationToken) -> Result<Session> {
        let interrupted = || {
            let cells = self.args.out.join("cells");
            let any = std::fs::read_dir(&cells).is_ok_and(|mut cells| cells.next().is_some());
            let words = match any {
                true => format!(
                    "the cells so far are in {}; --resume measures the rest, the one under way anew",
                    cells.display()
                ),
                false => "no cell was measured yet".to_owned(),
            };
            anyhow::Error::from(Interrupted(words))
        };
        let starting = async {
            let urls = match &self.args.servers() {
                Some(urls) => urls.clone(),
                None => servers::start(&self.local()?, &self.folder("logs")?, started).await?,
            };
            let client = collect::client_of(&urls, &self.args.in_cluster).await?;
            client.wait_ready(collect::READY_LIMIT).await?;
            let before = client.state().await?;
            anyhow::Ok((client, before))
        };
        let (client, before) = tokio::select! {
            client = starting => client?,
            () = stop.cancelled() => return Err(interrupted()),
        };
        let session = tokio::select! {
            session = self.measure_all(&client) => session,
            ended = servers::watch(started) => Err(ended),
            () = stop.cancelled() => Err(interrupted()),
        };
        // Servers that were started here end anyway.
        if self.args.servers().is_some() {
            collect::give_back(&client, &before).await;
        }
        session
    }

    /// A folder in that of the measurement, made where there is none.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.args.out.join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
        Ok(folder)
    }

    async fn measure_all(&self, client: &PipelineClient) -> Result<Session> {
        self.folder("cells")?;
        let arrivals_of = self.folder("arrivals")?;
        let (path, plan) = (self.args.out.join("session.json"), self.plan);
        if self.args.in_cluster.namespace.is_some() {
            let most = plan.servers.pods;
            client.set_pods(Replicas { a: most, b: most }, collect::READY_LIMIT).await?;
        }
        let state = client.state().await?;
        for (stage, ready) in [("A", state.a.ready), ("B", state.b.ready)] {
            let most = plan.servers.pods;
            ensure!(
                ready >= most,
                "stage {stage} has {ready} pods, and the plan uses {most}; start it with --pods {most}"
            );
        }
        let pipeline = Pipeline {
            engine: [state.a.engine.clone(), state.b.engine.clone()],
            cut: state.a.cut.clone(),
            cpu_share: [state.a.cpu_share, state.b.cpu_share],
            rated_cpu_s: [state.a.rated_cpu_s, state.b.rated_cpu_s],
            slot_mbit_s: state.proxy.bandwidth_mbit_s,
        };
        let session = if path.exists() {
            self.begun(&path, Some(&pipeline))?
        } else {
            let session = Session {
                schema: 1,
                date: measurement::now(),
                host: Machine::here().to_string(),
                splitscale: measurement::version(),
                seed: self.args.seed,
                plan: plan.clone(),
                trace: self.trace.map(|(name, _)| name.clone()),
                pipeline,
                pilot: pilot(plan, client, self.images).await?,
            };
            files::write_json(&path, &session)?;
            session
        };
        let mut order: Vec<(u32, Cell)> = (0..).zip(plan.cells(self.trace.is_some())).collect();
        let mut chance = ChaCha8Rng::seed_from_u64(self.args.seed);
        for last in (1..order.len()).rev() {
            order.swap(last, (chance.next_u64() % (last as u64 + 1)) as usize);
        }
        let bar = progress::bar("measuring", order.len() as u64, "cells");
        for (number, cell) in &order {
            let rows = cell_file(&self.args.out, cell);
            if !rows.exists() {
                let (capacity, seed) =
                    (session.pilot.capacity(cell.place), self.args.seed.wrapping_add(cell.stream));
                let arrivals = Arrivals::of(cell, capacity, seed, self.trace.map(|(_, stamps)| stamps))?;
                arrivals.write(&arrivals_of.join(format!("{}.csv", cell.name)))?;
                let records = measure(client, self.images, (cell, *number), &arrivals).await?;
                let answered = records.iter().filter(|r| r.status == Status::Answered).count();
                files::write_csv(&rows, &records)?;
                bar.suspend(|| println!("{:<28} {answered} of {} answered", cell.name, records.len()));
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(session)
    }

    /// The session that was begun, if this goes on with it.
    fn begun(&self, path: &Path, pipeline: Option<&Pipeline>) -> Result<Session> {
        let begun: Session = files::read_json(path, 1)?;
        let trace = self.trace.map(|(name, _)| name);
        for (what, same) in [
            ("plan", begun.plan == *self.plan),
            ("seed", begun.seed == self.args.seed),
            ("trace", begun.trace.as_ref() == trace),
            ("pipeline", pipeline.is_none_or(|pipeline| begun.pipeline == *pipeline)),
        ] {
            ensure!(
                same,
                "{} was begun with another {what}; give it the same, or name a new folder",
                path.display()
            );
        }
        Ok(begun)
    }

    /// The words of the servers that are started here.
    fn local(&self) -> Result<Local> {
        let (args, plan) = (self.args, &self.plan.servers);
        let queue = ["--queue", "4096", "--queue-mb", "4096"];
        let mut stage: Vec<String> = queue.map(String::from).into();
        for (flag, value) in [
            ("--model-version", plan.model_version.to_string()),
            ("--pods", plan.pods.to_string()),
            ("--cpu-share", plan.cpu_share.to_string()),
        ] {
            stage.extend([flag.to_string(), value]);
        }
        for (flag, path) in [("--weights", &args.weights), ("--calibration", &args.emulated)] {
            stage.extend(path.iter().flat_map(|path| [flag.to_string(), path.display().to_string()]));
        }
        match (&args.engine, &args.emulated) {
            (Some(engine), None) => stage.extend(["--engine".to_string(), engine.clone()]),
            (None, Some(_)) => stage.extend(["--engine".to_string(), "emulated".to_string()]),
            (None, None) => {}
            (Some(_), Some(_)) => bail!("--emulated is an engine itself; leave --engine away"),
        }
        let mut proxy: Vec<String> = queue.map(String::from).into();
        proxy.extend(["--slot-bandwidth".to_string(), plan.slot_mbit_s.to_string()]);
        // Waits that are drawn are what they are.
        let rated = plan.rated_cpu_s.filter(|_| args.emulated.is_none());
        let [a, b] = [0, 1].map(|at| {
            let rated = rated.map(|s| ["--rated-cpu".to_string(), s[at].to_string()]);
            stage.iter().cloned().chain(rated.into_iter().flatten()).collect()
        });
        Ok(Local { a, proxy, b })
    }
}

/// Two bursts through most slots and pods; the second counts.
async fn pilot(plan: &Plan, client: &PipelineClient, images: &[Image]) -> Result<Pilot> {
    let slots = plan.held_out.places.iter().map(|place| place.slots).max().unwrap_or(1);
    let pods = plan.servers.pods;
    let cell = Cell {
        name: "pilot".into(),
        place: Place { slots, pods },
        load: plan::Load::Burst(PILOT * pods),
        requests: PILOT * pods,
        fitting: false,
        again: false,
        stream: 0,
    };
    let arrivals = Arrivals::At(vec![std::time::Duration::ZERO; cell.requests as usize]);
    measure(client, images, (&cell, 0), &arrivals).await?;
    let records = measure(client, images, (&cell, 0), &arrivals).await?;
    let answered: Vec<&RequestRecord> = records.iter().filter(|r| r.status == Status::Answered).collect();
    ensure!(!answered.is_empty(), "no request of the pilot was answered; see the logs of the servers");
    let mean =
        |of: fn(&RequestRecord) -> f64| answered.iter().map(|r| of(r)).sum::<f64>() / answered.len() as f64;
    Ok(Pilot {
        service_a_s: mean(RequestRecord::service_a_s),
        transfer_s: mean(|r| r.transfer_s),
        service_b_s: mean(RequestRecord::service_b_s),
        outside_s: mean(|r| r.back_s),
    })
}

/// Fits, simulates, compares and writes; nothing is measured any more.
fn conclude(args: &Fidelity, session: &Session, cells: &[Cell]) -> Result<()> {
    let text_of = |cell: &Cell| files::read(&cell_file(&args.out, cell));
    let read = |cell: &Cell| -> Result<Vec<RequestRecord>> {
        let path = cell_file(&args.out, cell);
        let rows = read_records(&path.display().to_string(), &text_of(cell)?, BadRows::Refuse);
        Ok(rows.with_context(|| format!("delete {} and --resume to measure it again", path.display()))?.rows)
    };
    let mut fitting = String::new();
    for cell in cells.iter().filter(|cell| cell.fitting) {
        let text = text_of(cell)?;
        let rows =
            if fitting.is_empty() { &text } else { text.split_once('\n').map_or("", |(_, rows)| rows) };
        fitting.push_str(rows);
    }
    let path = args.out.join("fitting.csv");
    files::write(&path, fitting.as_bytes())?;
    let table = read_records(&path.display().to_string(), &fitting, BadRows::Refuse)?;
    let (mut calibration, _) = splitscale_calibration::calibrate(&times_of(&table)?, &Options::default())?;
    let (laws, found) =
        fit_laws(&table.rows, &session.plan.fitted_on(), &[], &DistributionOptions::default())?;
    let of = &mut calibration.provenance;
    let engine = session.pipeline.engine.join(" and ");
    (of.host, of.engine, of.date) = (Some(session.host.clone()), Some(engine), Some(session.date.clone()));
    (calibration.laws, calibration.burst) = (Some(laws), Some(session.plan.fitting.burst));
    let path = args.out.join("calibration.json");
    files::write_json(&path, &calibration)?;
    files::write_csv(&args.out.join("laws.csv"), found.iter().flat_map(law_rows))?;
    // The simulator runs from that file alone.
    let laws =
        files::read_json::<Calibration>(&path, Calibration::SCHEMA)?.laws.context("laws were written")?;

    // What was measured twice counts once.
    let held_out: Vec<&Cell> = cells.iter().filter(|cell| !cell.fitting && !cell.again).collect();
    let bar = progress::bar("simulating", held_out.len() as u64, "cells");
    let slo_s = session.plan.held_out.slo_times_pilot * session.pilot.latency_s();
    let mut compared = Vec::new();
    for cell in held_out {
        let arrivals = args.out.join("arrivals").join(format!("{}.csv", cell.name));
        let arrivals = Arrivals::read(cell, &arrivals)?;
        let seed = session.seed.wrapping_add(cell.stream);
        compared.push(cell::compare(
            (cell, &read(cell)?),
            &arrivals,
            (&laws, session.plan.servers.balancer),
            (slo_s, seed, args.replications),
        )?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let floor = report::floor(cells, slo_s, read)?;
    report::write(&args.out, session, &laws, (compared, floor))
}

/// Arrivals as they were recorded: as many as a cell needs, or more.
fn stamps(path: &Path, requests: u32) -> Result<(TraceName, Arc<Stamps>)> {
    let name = path.display().to_string();
    let text = files::read(path)?;
    let stamps = match path.extension().is_some_and(|extension| extension == "jsonl") {
        true => Stamps::from_jsonl(&name, &text, "timestamp")?,
        false => Stamps::from_csv(&name, &text, None)?,
    };
    let arrivals = stamps.offsets_ns.len();
    match stamps.offsets_ns.get(requests as usize - 1) {
        None => {
            bail!("{name} has {arrivals} arrivals, and a cell takes {requests}; take fewer with --requests")
        }
        Some(0) => bail!("{name}: the first {requests} arrivals are at one instant, which has no rate"),
        Some(_) => {}
    }
    let file = path.file_name().unwrap_or_default().to_string_lossy().into();
    let span_ns = stamps.offsets_ns.last().copied().unwrap_or(0);
    Ok((TraceName { file, span_ns, arrivals }, Arc::new(stamps)))
}

fn cell_file(out: &Path, cell: &Cell) -> PathBuf {
    out.join("cells").join(format!("{}.csv", cell.name))
}

// === impl Pilot ===

impl Pilot {
    /// What a place carries \[1/s\].
    fn capacity(&self, place: Place) -> f64 {
        // The transfer was measured as a whole: it stands where the law has the round trip.
        let capacity = Capacity {
            service_a_s: self.service_a_s,
            service_b_s: self.service_b_s,
            payload_bytes: 0,
            mbit_s: 1.0,
            rtt_s: self.transfer_s,
            shared: false,
            held_until_answer: true,
        };
        throughput(&capacity, Replicas { a: place.pods, b: place.pods }, place.slots).0
    }

    /// From sent to answered.
    fn latency_s(&self) -> f64 {
        self.service_a_s + self.transfer_s + self.service_b_s + self.outside_s
    }
}

impl Fidelity {
    /// A running pipeline, if one was named.
    fn servers(&self) -> Option<Servers> {
        let (a, proxy) = (self.a.clone()?, self.proxy.clone()?);
        // On Kubernetes B is asked by its name there.
        Some(Servers { b: self.b.clone().unwrap_or_else(|| proxy.clone()), a, proxy })
    }
}
