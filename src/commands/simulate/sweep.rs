//! All points of an experiment, or those of a shard, each on disk before the next begins.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, available_parallelism};

use anyhow::{Context, Error, Result, bail};
use indicatif::ProgressBar;
use splitscale_sim::{Experiment, Model, Plan, Point, Replications, SimError};
use tokio_util::sync::CancellationToken;

use super::row::{self, Row, Sample};
use super::terminal::Terminal;
use super::words;
use crate::cli::Simulate;
use crate::files::{self, Log};
use crate::interrupt::{self, Interrupted};
use crate::progress;
use crate::shard::{self, Head, Kind, Part, Whole};

/// What the replications of a point need.
struct Runner<'a> {
    experiment: &'a Experiment,
    threads: usize,
    stop: &'a CancellationToken,
    bar: &'a ProgressBar,
}

/// Replications that are begun together where it is not known how many it takes: the same for any number of
/// threads.
const BATCH: u64 = 32;

/// Runs them, prints and writes them.
pub fn run(args: &Simulate, experiment: &Experiment, plan: &Plan) -> Result<()> {
    let part = args.shard.part().map_err(Error::msg)?;
    let ours = |point: &&Point| part.is_none_or(|part| part.has(point.index));
    let points: Vec<Point> = plan.points.iter().filter(ours).cloned().map(without_records).collect();
    let models = points.iter().map(row::model).collect::<Result<Vec<Model>>>()?;
    println!("{}: {} ({} points)", experiment.name, experiment.title, points.len());
    notes(&points);
    overload(experiment, &points, &models)?;

    let out = args.out.clone().unwrap_or_else(|| default_out(experiment, part));
    let mut log = Log::beside(&out)?;
    let header = row::header(plan)?;
    log.append(&header)?;
    let threads = args.experiment.threads.map(|threads| threads as usize);
    let threads = threads.unwrap_or_else(|| available_parallelism().map_or(1, usize::from));
    let most = match experiment.replications {
        Replications::Fixed(replications) => replications,
        Replications::Until(stop) => stop.maximum,
    };
    let bar = progress::bar("simulating", points.len() as u64 * u64::from(most), "runs");
    let terminal = Terminal::new(experiment, plan);
    bar.suspend(|| terminal.header());
    let (mut unfinished, mut rows) = (0.0, Vec::new());
    interrupt::run(async |stop| {
        let runner = Runner { experiment, threads, stop: &stop, bar: &bar };
        for (done, (point, model)) in points.iter().zip(&models).enumerate() {
            let kept = || format!("{done} of {} points are in {}", points.len(), log.path().display());
            let samples =
                runner.samples(point, model).with_context(|| format!("{}; {}", row::name(point), kept()))?;
            let Some(samples) = samples else { return Err(Interrupted(kept()).into()) };
            let row = Row { point, samples };
            let line = row.csv(experiment, plan)?;
            log.append(&line)?;
            rows.push((point.index, String::from_utf8(line)?));
            bar.set_position((done as u64 + 1) * u64::from(most));
            bar.suspend(|| terminal.row(&row));
            unfinished += row.unfinished();
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    match part {
        // In the place of the rows that stand beside it.
        Some(part) => {
            let head =
                Head::new(Kind::Simulate, &words(args, &args.file), part, (plan.points.len(), &plan.hash));
            shard::write(&out, args.shard.print_shard, &head, (&String::from_utf8(header)?, rows))?;
        }
        None => log.finish(&out)?,
    }
    if unfinished > 0.0 {
        println!(
            "{unfinished} requests were not finished when their runs stopped; see the column unfinished"
        );
    }
    println!("{}", out.display());
    Ok(())
}

/// Writes the rows of all shards as one run writes them.
pub fn join(whole: &Whole, out: &Path) -> Result<()> {
    let (header, rows): (String, Vec<String>) = whole.results()?;
    files::write(out, (header + &rows.concat()).as_bytes())?;
    println!("{}: {} points", out.display(), rows.len());
    Ok(())
}

/// No request is looked at here, and to keep them would only take memory.
fn without_records(mut point: Point) -> Point {
    point.setup.records = false;
    point
}

fn default_out(experiment: &Experiment, part: Option<Part>) -> PathBuf {
    let end = part.map_or("csv".to_owned(), |Part { shard, of }| format!("{shard}-of-{of}.shard"));
    PathBuf::from("out").join(format!("{}.{end}", experiment.name))
}

/// What is replayed and how it was scaled.
fn notes(points: &[Point]) {
    let mut told: Vec<String> = Vec::new();
    for note in points.iter().filter_map(|point| point.setup.arrivals.notes()) {
        if !told.contains(&note) {
            println!("{note}");
            told.push(note);
        }
    }
}

/// Names the points that more comes to than they carry, and refuses them where the statistics are to settle.
fn overload(experiment: &Experiment, points: &[Point], models: &[Model]) -> Result<()> {
    const TOLD: usize = 8;
    let mut over = 0;
    for (point, model) in points.iter().zip(models) {
        let Some((bottleneck, utilisation)) = model.overload() else { continue };
        let what = format!(
            "{}: overload, {bottleneck:?} would be busy {:.0} % of the time; its queue and the waits grow as long as \
             the load goes on",
            row::name(point),
            utilisation * 100.0
        );
        let settles =
            point.setup.warm_up_s > 0.0 || matches!(experiment.replications, Replications::Until(_));
        // A load that ends is worked off in the end, and pods that are asked for later may carry it.
        if settles && point.setup.arrivals.endless() && point.pods_change.is_empty() {
            bail!(
                "{what}, so that a run cannot settle; lower the rate, add pods or slots, bound a queue, or leave \
                 warm_up_s and stop away"
            );
        }
        over += 1;
        if over <= TOLD {
            println!("{what}");
        }
    }
    if over > TOLD {
        println!("... and {} points more", over - TOLD);
    }
    Ok(())
}

impl Runner<'_> {
    /// All replications of a point, in their order; absent where it was interrupted.
    fn samples(&self, point: &Point, model: &Model) -> Result<Option<Vec<Sample>>> {
        let stop = match self.experiment.replications {
            Replications::Fixed(replications) => {
                return Ok(self.batch(point, model, (0, replications.into()))?);
            }
            Replications::Until(stop) => stop,
        };
        let (mut rule, mut samples) = (stop.rule()?, Vec::new());
        let most = u64::from(stop.maximum);
        while (samples.len() as u64) < most {
            let first = samples.len() as u64;
            let Some(batch) = self.batch(point, model, (first, most.min(first + BATCH)))? else {
                return Ok(None);
            };
            for sample in batch {
                let Some(latency_s) = sample.values[1] else {
                    bail!("no request was answered; the mean latency, which stop waits for, is unknown")
                };
                samples.push(sample);
                if rule.add(latency_s)? {
                    return Ok(Some(samples));
                }
            }
        }
        Ok(Some(samples))
    }

    /// Replications `first` to `end - 1`, on all threads.
    fn batch(
        &self,
        point: &Point,
        model: &Model,
        (first, end): (u64, u64),
    ) -> Result<Option<Vec<Sample>>, SimError> {
        let next = AtomicU64::new(first);
        let results: Mutex<Vec<(u64, Result<Sample, SimError>)>> = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..self.threads.min((end - first) as usize) {
                scope.spawn(|| {
                    loop {
                        let replication = next.fetch_add(1, Ordering::Relaxed);
                        if replication >= end || self.stop.is_cancelled() {
                            return;
                        }
                        let outcome = point.run_while(model, replication, &|| !self.stop.is_cancelled());
                        let Some(outcome) = outcome.transpose() else { return };
                        let sample = outcome.map(|outcome| Sample::of(&outcome, point));
                        self.bar.inc(1);
                        if let Ok(mut results) = results.lock() {
                            results.push((replication, sample));
                        }
                    }
                });
            }
        });
        let mut results = results.into_inner().unwrap_or_default();
        if results.len() as u64 != end - first {
            return Ok(None);
        }
        results.sort_by_key(|(replication, _)| *replication);
        results.into_iter().map(|(_, sample)| sample).collect::<Result<Vec<_>, _>>().map(Some)
    }
}
