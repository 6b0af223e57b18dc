//! `splitscale collect`: bursts over slots x pods, each on disk before the next is fired.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use splitscale_calibration::BurstRow;
use splitscale_serving::client::{Endpoints, PipelineClient};
use splitscale_serving::collect::{Plan, collect};
use splitscale_spec::{Replicas, Status};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::cli::{Collect, Grid, Servers};
use crate::files::{self, Log};
use crate::images::{self, Image};
use crate::interrupt::{self, Interrupted};
use crate::progress;

/// Longest that a burst may take before what is missing counts as lost.
const BURST_LIMIT: Duration = Duration::from_secs(300);
/// Longest that the pods of a measurement that ended early may take to be freed.
const FREE_LIMIT: Duration = Duration::from_secs(1);
/// Longest that the pipeline may take to be ready.
const READY_LIMIT: Duration = Duration::from_secs(120);

/// Measures into a new folder.
pub fn run(args: &Collect) -> Result<()> {
    let images = images::load(args.images.as_deref())?;
    files::empty_folder(&args.out)?;
    interrupt::run(async |stop| {
        let client = client(&args.servers)?;
        let waiting = progress::spinner("waiting for the pipeline");
        tokio::select! {
            ready = client.wait_ready(READY_LIMIT) => ready?,
            () = stop.cancelled() => return Err(Interrupted("nothing was measured".into()).into()),
        }
        waiting.finish_and_clear();
        measure(&client, &args.grid, &images, (args.seed, &args.out), &stop).await?;
        println!("{}", args.out.display());
        Ok(())
    })
}

/// A client of the servers that were named.
pub fn client(servers: &Servers) -> Result<PipelineClient> {
    let Servers { a, proxy, b } = servers.clone();
    Ok(PipelineClient::new(Endpoints { a, proxy, b })?)
}

/// Measures every cell of the grid; `table.csv` and `records.csv` in `out` grow with each burst.
pub async fn measure(
    client: &PipelineClient,
    grid: &Grid,
    images: &[Image],
    (seed, out): (u64, &Path),
    stop: &CancellationToken,
) -> Result<()> {
    let plan = Plan {
        slots: grid.slots.clone(),
        pods: grid.pods.clone(),
        images_per_burst: grid.burst,
        repeats: grid.repeats,
        warm_up: 1,
        seed,
        burst_timeout: BURST_LIMIT,
    };
    let (mut table, mut log) = (Log::create(&out.join("table.csv"))?, Log::create(&out.join("records.csv"))?);
    let bar = progress::bar("measuring", plan.order().len() as u64, "bursts");
    let mut unanswered = 0;
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
