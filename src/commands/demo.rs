//! `splitscale demo`: every command, one after the other, on real servers on this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use splitscale_policy::ShellConfig;
use splitscale_serving::client::PipelineClient;
use splitscale_serving::load::{ClosedSpec, Halt, Patience, closed_loop};
use splitscale_spec::{
    Balancer, Bandwidth, CostConfig, CutConfig, LinkConfig, PipelineConfig, Replicas, SloConfig, StageConfig,
};
use tokio_util::sync::CancellationToken;

use super::summary::{Cell, Machine, Requests, Summary};
use super::{calibrate, collect, figures, scale, simulate, train};
use crate::cli::{
    Backend, Bursts, Calibrate, Demo, ExperimentFlags, Figures, Grid, Kept, Scale, ScaleMode, Servers,
    ShardFlags, Simulate, Train,
};
use crate::images::{self, Image};
use crate::interrupt::{self, Interrupted};
use crate::page::{self, Page};
use crate::servers::{self, Local, Server};
use crate::{files, progress};

/// The setting: worked out so that on two cores the link is the bottleneck at one slot and the pods are at
/// eight. A pod of A takes about 0.66 s, a transfer 0.13 s, a pod of B about 0.23 s.
const CPU_SHARE: f64 = 0.10;
const SLOT_MBIT_S: f64 = 50.0;
const MODEL_VERSION: u8 = 1;
const PAYLOAD_BYTES: u64 = 802_816;
/// Clients of the live phase.
const CLIENTS: u32 = 12;
/// Traffic of the live phase: light, heavy, light.
const LIVE_SLOTS: [u32; 3] = [8, 1, 8];

/// How much is done.
struct Extent {
    grid: Grid,
    /// Length of each live phase.
    phase: Duration,
}

/// What the live phase showed.
#[derive(Default)]
struct Live {
    scale_downs: u32,
    scale_ups: u32,
    requests: Requests,
}

/// Wall time by step.
struct Steps {
    begun: Instant,
    seconds: BTreeMap<&'static str, f64>,
}

/// Runs the demo; the folder of results is named on the last line.
pub fn run(args: &Demo) -> Result<()> {
    let images = images::load(args.images.as_deref())?;
    let out = args.out.clone().map_or_else(free_folder, Ok)?;
    files::empty_folder(&out)?;
    let logs = out.join("logs");
    std::fs::create_dir_all(&logs)
        .with_context(|| format!("could not make the folder {}", logs.display()))?;
    let extent = Extent::of(args);
    let most = extent.grid.pods.iter().copied().max().unwrap_or(1);
    files::write(&out.join("pipeline.toml"), toml::to_string(&pipeline(most))?.as_bytes())?;

    let mut steps = Steps { begun: Instant::now(), seconds: BTreeMap::new() };
    let work = interrupt::run(async |stop| {
        heading(1, "serve: ResNet-50 cut after layer3, as processes of this program");
        let mut servers = Vec::new();
        let worked = tokio::select! {
            worked = work(args, &extent, (&images, &out), &mut servers, &mut steps) => worked,
            () = stop.cancelled() => Err(Interrupted(format!("what was measured is in {}", out.display())).into()),
        };
        let stopped = servers::stop_all(servers).await;
        worked.and_then(|work| stopped.map(|()| work))
    });
    let (fidelity, learnt, live) = work?;

    heading(7, "show: figures and summary");
    figures::run(&Figures { folder: out.clone(), out: None })?;
    steps.done("figures");
    let pods = |actions: &[usize]| {
        let times = learnt.curves.times();
        times.slots().iter().copied().zip(actions.iter().map(|&a| times.pods()[a])).collect()
    };
    let summary = Summary {
        cells: fidelity
            .cells
            .iter()
            .map(|c| Cell {
                slots: c.slots,
                pods: c.pods,
                measured_s: c.measured_s,
                simulated_s: c.simulated_s,
                held_out: c.held_out,
            })
            .collect(),
        policy: pods(&learnt.greedy),
        optimum: pods(&learnt.optimum.actions()),
        regret: learnt.optimum.regret(&learnt.greedy),
        scale_downs: live.scale_downs,
        scale_ups: live.scale_ups,
        requests: live.requests,
        seed: args.seed,
        machine: Machine::here(),
        versions: BTreeMap::from([
            ("splitscale", env!("CARGO_PKG_VERSION").to_string()),
            ("commit", env!("SPLITSCALE_COMMIT").to_string()),
            ("libtorch", splitscale_serving::engine::LIBTORCH.to_string()),
        ]),
        seconds: steps.seconds,
    };
    files::write_json(&out.join("summary.json"), &summary)?;
    print(&summary);
    println!("{}", out.display());
    Ok(())
}

/// Steps 1 to 6. The servers are handed out as they start, so that whoever called can stop them however
/// this ends.
async fn work(
    args: &Demo,
    extent: &Extent,
    (images, out): (&[Image], &Path),
    servers: &mut Vec<Server>,
    steps: &mut Steps,
) -> Result<(splitscale_calibration::Makespans, train::Outcome, Live)> {
    let most = extent.grid.pods.iter().copied().max().unwrap_or(1);
    let urls = servers::start(&local(args, most), &out.join("logs"), servers).await?;
    let client = collect::client(&urls)?;
    let waiting = progress::spinner("waiting for the pods");
    tokio::select! {
        ready = client.wait_ready(Duration::from_secs(180)) => ready?,
        ended = servers::watch(servers) => return Err(ended),
    }
    waiting.finish_and_clear();
    println!("A {}, proxy {}, B {}: {most} pods each, CPU share {CPU_SHARE}", urls.a, urls.proxy, urls.b);
    steps.done("serve");

    heading(2, "measure: bursts over slots x pods, in random order");
    // Whoever called drops this future on Ctrl-C: the measurement needs no token of its own.
    let never = CancellationToken::new();
    tokio::select! {
        measured = collect::measure(&client, &extent.grid, images, (args.seed, out), &never) => measured?,
        ended = servers::watch(servers) => return Err(ended),
    }
    steps.done("measure");

    heading(3, "calibrate: time against pods for each number of slots");
    let (table, calibration) = (out.join("table.csv"), out.join("calibration.json"));
    calibrate::run(&Calibrate {
        table: Some(table.clone()),
        records: Some(out.join("records.csv")),
        out: calibration.clone(),
        fit: Some(out.join("fit.csv")),
        report: Some(out.join("fits.json")),
        laws: Some(out.join("laws.csv")),
        ..Calibrate::default()
    })?;
    steps.done("calibrate");

    heading(4, "simulate: every cell, by laws fitted on the corners alone");
    let fidelity = simulate::calibrated(&Simulate {
        file: calibration.clone(),
        out: Some(out.join("cells.csv")),
        seed: Some(args.seed),
        replications: None,
        bursts: Bursts { table: Some(table), ..Bursts::default() },
        experiment: ExperimentFlags::default(),
        shard: ShardFlags::default(),
    })?
    .context("nothing was simulated")?;
    steps.done("simulate");

    heading(5, "train: Q-learning on the curves, beside the exact optimum");
    let training = Train {
        file: calibration,
        seed: Some(args.seed),
        seeds: None,
        episodes: None,
        threads: None,
        out: out.to_path_buf(),
        resume: false,
        shard: ShardFlags::default(),
    };
    let learnt = train::train(&training, &never)?.context("nothing was learnt")?;
    steps.done("train");

    heading(6, "scale live: 12 clients send while the slots move 8 -> 1 -> 8");
    let live = tokio::select! {
        live = live(&client, urls, (Replicas { a: most, b: most }, extent.phase, args.open), images, out) => live?,
        ended = servers::watch(servers) => return Err(ended),
    };
    steps.done("scale");
    Ok((fidelity, learnt, live))
}

/// The words of the demo's servers.
fn local(args: &Demo, pods: u32) -> Local {
    let flags = [
        ("--model-version", MODEL_VERSION.to_string()),
        ("--pods", pods.to_string()),
        ("--cpu-share", CPU_SHARE.to_string()),
    ];
    let mut stage: Vec<String> =
        flags.into_iter().flat_map(|(flag, value)| [flag.to_string(), value]).collect();
    if let Some(weights) = &args.weights {
        stage.extend(["--weights".to_string(), weights.display().to_string()]);
    }
    let proxy = ["--slot-bandwidth", &SLOT_MBIT_S.to_string()].map(String::from).into();
    Local { a: stage.clone(), proxy, b: stage }
}

/// The policy scales while clients send and the slots move.
async fn live(
    client: &PipelineClient,
    servers: Servers,
    (most, phase, open): (Replicas, Duration, bool),
    images: &[Image],
    out: &Path,
) -> Result<Live> {
    // Phases of a minute leave no time for a production shell's windows.
    let shell = ShellConfig { reversals_per_hour: Some(6), ..ShellConfig::bare(10.0) };
    files::write(&out.join("shell.toml"), toml::to_string(&shell)?.as_bytes())?;
    let scale_args = Scale {
        policy: out.join("policy.json"),
        baseline: None,
        shell: Some(out.join("shell.toml")),
        calibration: Some(out.join("calibration.json")),
        shadow: None,
        backend: Backend::Local,
        mode: ScaleMode::Auto,
        servers,
        pipeline: out.join("pipeline.toml"),
        interval: 1.0,
        window: 5.0,
        duration: None,
        out: out.join("decisions.jsonl"),
        resume: false,
        kept: Kept::ALL,
        timeline: Some(out.join("timeline.csv")),
        listen: None,
        token_file: None,
    };
    let page = if open { Some(Page::bind("127.0.0.1:0", None).await?) } else { None };
    if let Some(url) = page.as_ref().map(Page::url) {
        tokio::spawn(async move { page::open(&url).await });
    }
    let (stop_load, stop_scale) = (CancellationToken::new(), CancellationToken::new());
    let (mut live, mut records) = (Live::default(), files::Log::create(&out.join("live.csv"))?);
    let (mut requests, mut kept) = (Requests::default(), Ok(()));

    let bar = progress::bar("scaling", phase.as_secs() * LIVE_SLOTS.len() as u64, "s");
    client.set_pods(most, Duration::from_secs(60)).await?;
    client.set_threads(LIVE_SLOTS[0]).await?;
    let patience = Patience { timeout: Duration::from_secs(120), retries: 0 };
    let spec = ClosedSpec { run_id: 0, clients: CLIENTS, requests: None, patience, origin: Instant::now() };
    let halt = Halt { stop: stop_load.clone(), ..Halt::default() };
    let load = async {
        let sent = closed_loop(client, images, &spec, halt, |ended| {
            requests.count(&ended.record);
            if kept.is_ok() {
                kept = records.csv([ended.record]);
            }
        })
        .await;
        stop_scale.cancel();
        anyhow::Ok(sent?)
    };
    let scaling = scale::scale(&scale_args, page, stop_scale.clone(), |decision| {
        bar.set_position(decision.observed.time_s as u64);
        let Some(words) = scale::changed(decision) else { return };
        bar.suspend(|| println!("{:>7.1} s  {words}", decision.observed.time_s));
        if decision.carried_out != Some(true) {
            return;
        }
        let (Some(a), Some(b), Some(to)) = (&decision.observed.a, &decision.observed.b, decision.pods) else {
            return;
        };
        match (to.a + to.b).cmp(&(a.desired + b.desired)) {
            std::cmp::Ordering::Less => live.scale_downs += 1,
            std::cmp::Ordering::Greater => live.scale_ups += 1,
            std::cmp::Ordering::Equal => {}
        }
    });
    let traffic = async {
        for slots in LIVE_SLOTS {
            client.set_threads(slots).await?;
            bar.suspend(|| println!("         transfer slots: {slots}"));
            tokio::time::sleep(phase).await;
        }
        stop_load.cancel();
        anyhow::Ok(())
    };
    let (sent, (), ()) = tokio::try_join!(load, scaling, traffic)?;
    kept?;
    bar.finish_and_clear();
    println!(
        "{sent} requests sent: {} answered, {} refused, {} failed, {} lost",
        requests.answered, requests.refused, requests.failed, requests.lost
    );
    live.requests = requests;
    Ok(live)
}

/// What `scale` needs to know of the demo's pipeline.
fn pipeline(pods_max: u32) -> PipelineConfig {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let stage = StageConfig { pods_min: 1, pods_max, cpu_share: CPU_SHARE, cores };
    PipelineConfig {
        schema: PipelineConfig::SCHEMA,
        a: stage.clone(),
        b: stage,
        cut: CutConfig { name: "layer3".into(), payload_bytes: PAYLOAD_BYTES },
        link: LinkConfig { slots: LIVE_SLOTS[0], bandwidth: Bandwidth::PerSlot(SLOT_MBIT_S), rtt_s: 0.0 },
        balancer: Balancer::CentralQueue,
        slo: SloConfig { latency_s: 10.0, target: 0.95 },
        cost: CostConfig { miss_weight: 10.0, churn_weight: 1.0 },
    }
}

fn free_folder() -> Result<PathBuf> {
    (1..)
        .map(|n| Path::new("out").join(format!("demo-{n}")))
        .find(|path| !path.exists())
        .context("no free name")
}

fn heading(step: u32, what: &str) {
    println!("\n[{step}/7] {what}");
}

fn print(summary: &Summary) {
    println!("\npods by slots: learnt {:?}, optimum {:?}", summary.policy, summary.optimum);
    println!(
        "regret {:.4} %; scaled down {} and up {} times; {} requests, {} lost",
        summary.regret * 100.0,
        summary.scale_downs,
        summary.scale_ups,
        summary.requests.sent,
        summary.requests.lost
    );
    let steps = summary.seconds.iter().map(|(step, seconds)| format!("{step} {seconds:.0} s"));
    println!("where the time went: {}", steps.collect::<Vec<_>>().join(", "));
}

// === impl Extent ===

impl Extent {
    fn of(args: &Demo) -> Self {
        let grid = |slots: &[u32], pods: &[u32], burst, repeats| Grid {
            slots: slots.into(),
            pods: pods.into(),
            burst,
            repeats,
        };
        if args.quick {
            Extent { grid: grid(&[1, 2, 8], &[2, 4, 8], 12, 1), phase: Duration::from_secs(12) }
        } else if args.full {
            let all: Vec<u32> = (1..=8).collect();
            Extent { grid: grid(&all, &all[1..], 20, 2), phase: Duration::from_secs(30) }
        } else {
            Extent { grid: grid(&[1, 2, 4, 8], &[2, 4, 6, 8], 20, 2), phase: Duration::from_secs(20) }
        }
    }
}

// === impl Steps ===

impl Steps {
    fn done(&mut self, step: &'static str) {
        self.seconds.insert(step, self.begun.elapsed().as_secs_f64());
        self.begun = Instant::now();
    }
}
