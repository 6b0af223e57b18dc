//! `splitscale collect`: bursts over slots x pods, each on disk before the next is fired.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use splitscale_calibration::{BadRows, BurstRow, StartRow, read_records};
use splitscale_serving::client::{ClientError, Endpoints, PipelineClient, PipelineState};
use splitscale_serving::collect::{Plan, collect, pod_changes};
use splitscale_spec::{Replicas, RequestRecord, Stage, Status};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::cli::{Collect, Grid, InCluster, Servers};
use crate::cluster::Cluster;
use crate::files::{self, Log};
use crate::images::{self, Image};
use crate::interrupt::{self, Interrupted};
use crate::measurement::Measurement;
use crate::progress;

/// Longest that a burst may take before what is missing counts as lost.
const BURST_LIMIT: Duration = Duration::from_secs(300);
/// Longest that the pods of a measurement that ended early may take to be freed.
const FREE_LIMIT: Duration = Duration::from_secs(1);
/// Longest that giving slots and pods back may take.
const GIVE_BACK_LIMIT: Duration = Duration::from_secs(5);
/// From then on it is said what is waited for.
const TELL_AFTER: Duration = Duration::from_secs(3);
/// Longest that the pipeline may take to be ready.
pub const READY_LIMIT: Duration = Duration::from_secs(120);

/// Measures into a new folder, or goes on in an old one.
pub fn run(args: &Collect) -> Result<()> {
    let images = images::load(args.images.as_deref())?;
    if args.resume {
        let run = args.out.join("run.json");
        anyhow::ensure!(run.exists(), "{} is not there; leave --resume away to begin", run.display());
    } else {
        files::empty_folder(&args.out)?;
    }
    interrupt::run(async |stop| {
        let client = client_of(&args.servers, &args.in_cluster).await?;
        let waiting = progress::spinner("waiting for the pipeline");
        let wait = client.wait_ready(READY_LIMIT);
        tokio::select! {
            ready = told_if_long(&client, wait) => ready?,
            () = stop.cancelled() => return Err(Interrupted("nothing was measured".into()).into()),
        }
        waiting.finish_and_clear();
        let before = client.state().await?;
        let measured = bursts_and_starts(&client, args, &images, &stop).await;
        give_back(&client, &before).await;
        measured?;
        println!("{}", args.out.display());
        Ok(())
    })
}

/// What is measured.
async fn bursts_and_starts(
    client: &PipelineClient,
    args: &Collect,
    images: &[Image],
    stop: &CancellationToken,
) -> Result<()> {
    measure(client, &args.grid, images, (args.seed, &args.out), stop).await?;
    if args.starts == 0 {
        return Ok(());
    }
    tokio::select! {
        done = starts(client, args) => done,
        () = stop.cancelled() => {
            let words = format!("the bursts are measured; the starts so far are in {}", args.out.display());
            Err(Interrupted(words).into())
        }
    }
}

/// Waits, and says what for when that takes longer than a start does.
async fn told_if_long<T>(client: &PipelineClient, wait: impl Future<Output = T>) -> T {
    let mut wait = std::pin::pin!(wait);
    tokio::select! {
        done = &mut wait => return done,
        () = tokio::time::sleep(TELL_AFTER) => {}
    }
    let telling = async {
        let seen = client.state().await;
        let seen = seen.map_or_else(|error| error.to_string(), |_| "not all pods are ready".to_owned());
        tracing::info!("waiting for the pipeline, for {} s at most: {seen}", READY_LIMIT.as_secs());
    };
    tokio::join!(wait, telling).0
}

/// Gives slots and pods back as they were, or says that it could not. What has to drain for that is not waited for.
pub async fn give_back(client: &PipelineClient, before: &PipelineState) {
    let PipelineState { a, proxy, b } = before;
    let back = async {
        let pods = client.ask_pods(Replicas { a: a.desired, b: b.desired });
        let (slots, pods) = tokio::join!(client.set_threads(proxy.slots), pods);
        slots.and(pods)?;
        // Some of the ready ones were not used.
        if (a.in_use, b.in_use) != (a.ready, b.ready) {
            client.use_pods(Replicas { a: a.in_use, b: b.in_use }).await?;
        }
        Ok(())
    };
    let late = |_| ClientError::TimedOut {
        what: "not all of it was given back".to_owned(),
        after: GIVE_BACK_LIMIT,
        seen: "no answer".to_owned(),
    };
    if let Err(error) = timeout(GIVE_BACK_LIMIT, back).await.map_err(late).flatten() {
        tracing::warn!("slots and pods are not as they were before: {error}");
    }
}

/// Pods that come and go, a row each.
async fn starts(client: &PipelineClient, args: &Collect) -> Result<()> {
    let most = args.grid.pods.iter().copied().max().unwrap_or(1);
    anyhow::ensure!(most > 1, "--starts takes a pod away and gives it back: --pods of 2 or more");
    let path = args.out.join("starts.csv");
    // A measurement that goes on has some already; these are more of the same.
    let mut log = Log::resume(&path)?;
    let bar = progress::bar("starting pods", u64::from(args.starts) * 4, "changes");
    pod_changes(client, most, args.starts, READY_LIMIT, |change| {
        let stage = if change.stage == Stage::A { "a" } else { "b" };
        let event = if change.started { "start" } else { "drain" };
        let seconds = change.took.as_secs_f64();
        log.csv([StartRow { stage: stage.into(), event: event.into(), pods: change.pods, seconds }])?;
        bar.inc(1);
        Ok(())
    })
    .await?;
    bar.finish_and_clear();
    Ok(())
}

/// A client of the servers that were named.
pub fn client(servers: &Servers) -> Result<PipelineClient> {
    let Servers { a, proxy, b } = servers.clone();
    Ok(PipelineClient::new(Endpoints { a, proxy, b })?)
}

/// The same, where the stages may be Deployments: then each request is a connection of its own, for that is what a Service balances.
pub async fn client_of(servers: &Servers, in_cluster: &InCluster) -> Result<PipelineClient> {
    let client = client(servers)?;
    let Some(namespace) = &in_cluster.namespace else { return Ok(client) };
    let [a, b] = in_cluster.deployments.as_slice() else { bail!("--deployments takes two names: A,B") };
    let cluster = Cluster::to_measure(namespace, [a, b]).await?;
    Ok(client.with_stages(Arc::new(cluster)).with_fresh_connections()?)
}

/// Measures every cell of the grid; `table.csv` and `records.csv` in `out` grow with each burst.
pub async fn measure(
    client: &PipelineClient,
    grid: &Grid,
    images: &[Image],
    (seed, out): (u64, &Path),
    stop: &CancellationToken,
) -> Result<()> {
    let begun = begin(&Measurement::begin(&client.state().await?, grid, seed), out)?;
    let plan = Plan {
        slots: grid.slots.clone(),
        pods: grid.pods.clone(),
        images_per_burst: grid.burst,
        repeats: grid.repeats,
        warm_up: 1,
        seed,
        burst_timeout: BURST_LIMIT,
        done: begun.done,
    };
    let (mut table, mut log) = (Log::resume(&out.join("table.csv"))?, Log::resume(&out.join("records.csv"))?);
    let bar = progress::bar("measuring", plan.order().len() as u64, "bursts");
    bar.set_position(u64::from(begun.done));
    let mut unanswered = begun.unanswered;
    let measured = collect(&plan, client, images, |cell, records| {
        log.csv(records)?;
        unanswered += records.iter().filter(|r| r.status != Status::Answered).count();
        // A burst that lost requests was shorter than the others: its makespan says nothing.
        if let Some(row) =
            BurstRow::of(records).filter(|_| records.iter().all(|r| r.status == Status::Answered))
        {
            table.csv([row])?;
            let (slots, pods, repeat, seconds) = (cell.slots, cell.pods, cell.repeat + 1, row.end_time);
            bar.suspend(|| println!("slots {slots:>2} pods {pods:>2} repeat {repeat}: {seconds:6.2} s"));
        }
        bar.inc(1);
        Ok(())
    });
    let outcome = tokio::select! {
        measured = measured => Some(measured),
        () = stop.cancelled() => None,
    };
    // The last cell's limit on the balancer must not outlive the measurement.
    let most = plan.pods.iter().copied().max().unwrap_or(1);
    let freeing = client.use_pods(Replicas { a: most, b: most });
    let freed = match &outcome {
        Some(Ok(())) => freeing.await,
        // A server that is gone is not waited for once more.
        _ => timeout(FREE_LIMIT, freeing).await.unwrap_or(Ok(())),
    };
    let so_far = || {
        let (done, all) = (bar.position(), plan.order().len());
        format!("{done} of {all} bursts measured; they are in {}", out.display())
    };
    match outcome {
        Some(measured) => measured.with_context(so_far)?,
        None => return Err(Interrupted(so_far()).into()),
    }
    freed?;
    bar.finish_and_clear();
    if unanswered > 0 {
        bail!(
            "{unanswered} requests got no answer and their bursts are left out of {}; records.csv tells which",
            out.join("table.csv").display()
        );
    }
    Ok(())
}

/// How far a measurement in a folder has come.
#[derive(Default)]
struct Begun {
    /// Bursts that are whole.
    done: u32,
    /// Requests of theirs without an answer.
    unanswered: usize,
}

/// Begins a measurement in `out`, or goes on with the one that is there: bursts that are not whole are measured again.
fn begin(measurement: &Measurement, out: &Path) -> Result<Begun> {
    let (run, records) = (out.join("run.json"), out.join("records.csv"));
    if !run.exists() {
        files::write_json(&run, measurement)?;
        return Ok(Begun::default());
    }
    let earlier: Measurement = files::read_json(&run, Measurement::SCHEMA)?;
    earlier.same(measurement).with_context(|| run.display().to_string())?;
    if !records.exists() {
        return Ok(Begun::default());
    }
    let text = files::read(&records)?;
    // A line without its end was being written.
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    if whole.lines().count() < 2 {
        files::write(&records, b"")?;
        return Ok(Begun::default());
    }
    let rows = read_records(&records.display().to_string(), whole, BadRows::Refuse)?.rows;
    let size = measurement.grid.burst as usize;
    let bursts = || rows.chunk_by(|a, b| a.run_id == b.run_id);
    let whole =
        bursts().zip(0..).take_while(|(burst, run)| burst.len() == size && burst[0].run_id == *run).count();
    // The last without one answer met servers that were not there, or others.
    let silent = rows[..whole * size]
        .chunks(size)
        .rev()
        .take_while(|burst| burst.iter().all(|record| record.status != Status::Answered))
        .count();
    let done = whole - silent;
    let kept = &rows[..done * size];
    let answered = |burst: &&[RequestRecord]| burst.iter().all(|record| record.status == Status::Answered);
    files::write_csv(&records, kept)?;
    files::write_csv(&out.join("table.csv"), kept.chunks(size).filter(answered).filter_map(BurstRow::of))?;
    let unanswered = kept.iter().filter(|record| record.status != Status::Answered).count();
    println!(
        "{done} bursts are there already; {} rows of what was cut off, or got no answer at all, are measured again",
        rows.len() - kept.len()
    );
    Ok(Begun { done: done as u32, unanswered })
}
