//! All seeds of a training, on all threads, each with its checkpoint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, available_parallelism};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, ensure};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use splitscale_rl::{
    BeginError, Beginning, Environment, Found, Learning, LearningPoint, QTable, TrainConfig,
};
use tokio_util::sync::CancellationToken;

use super::whole::shard_name;
use crate::cli::Train;
use crate::interrupt::Interrupted;
use crate::shard::Part;
use crate::{files, progress};

/// Between two checkpoints of a run that goes on.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);

/// What came of a seed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Learnt<V> {
    /// The seed.
    pub seed: u64,
    /// Its learning curve.
    pub curve: Vec<LearningPoint>,
    /// What it knew at the end.
    pub last: Option<V>,
    /// What it knew when it knew best, and when that was.
    pub best: Option<V>,
    /// When that was \[episodes\].
    pub best_episode: u64,
    /// Why it ended early, if it did.
    pub diverged: Option<String>,
}

/// `checkpoints/seed-N.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkpoint {
    schema: u32,
    /// Of the configuration and of everything that it reads.
    hash: String,
    seed: u64,
    run: Box<RawValue>,
}

/// A training that is under way.
pub struct Work<'a> {
    args: &'a Train,
    stop: &'a CancellationToken,
    config: &'a TrainConfig,
    hash: &'a str,
    /// Which of the seeds are trained; absent where all are.
    part: Option<Part>,
    /// What is gone on with, by seed.
    begun: BTreeMap<u64, Checkpoint>,
}

impl<'a> Work<'a> {
    /// Refuses a folder with another training in it, before anything is trained.
    pub fn begin(
        (args, stop): (&'a Train, &'a CancellationToken),
        config: &'a TrainConfig,
        hash: &'a str,
    ) -> Result<Self> {
        let part = args.shard.part().map_err(Error::msg)?;
        let mut work = Work { args, stop, config, hash, part, begun: BTreeMap::new() };
        let done = part.map_or("training.json".to_owned(), shard_name);
        let told = args.out.join(done).exists();
        for seed in work.seeds() {
            let path = checkpoint_of(&args.out, seed);
            if !path.exists() {
                continue;
            }
            ensure!(
                args.resume,
                "{} is there already: go on with it by --resume, or name a new folder with --out",
                path.display()
            );
            let checkpoint: Checkpoint = files::read_json(&path, 1)?;
            ensure!(
                checkpoint.hash == hash && checkpoint.seed == seed,
                "{} is of another training ({}, seed {}; this is {hash}): give it the same file and flags, or name a new folder",
                path.display(),
                checkpoint.hash,
                checkpoint.seed
            );
            work.begun.insert(seed, checkpoint);
        }
        ensure!(
            !told || args.resume,
            "{} holds a training already; name a new folder with --out",
            args.out.display()
        );
        Ok(work)
    }

    /// Trains every seed. What diverges ends alone.
    pub fn all<E, V>(
        &self,
        environment: &E,
        begin: impl Fn(Beginning<'_>) -> Result<Box<dyn Learning<E, V>>, BeginError> + Sync,
        judge: impl Fn(&V) -> Option<f64> + Sync,
    ) -> Result<Vec<Learnt<V>>>
    where
        E: Environment + Sync,
        V: Clone + Send,
    {
        let length = self.config.length;
        let points = self.seeds().len() as u64 * length.episodes.div_ceil(length.record_every);
        let bar = progress::bar("training", points, "points");
        let learnt = self.each(|seed| self.one(seed, environment, (&begin, &judge), &bar))?;
        bar.finish_and_clear();
        Ok(learnt)
    }

    /// Calls `of` with every seed, on all threads; absent where it was interrupted. The first error, by the order of the
    /// seeds, ends all.
    pub fn each<V: Send>(
        &self,
        of: impl Fn(u64) -> Result<Option<Learnt<V>>> + Sync,
    ) -> Result<Vec<Learnt<V>>> {
        let seeds = self.seeds();
        let threads = self.args.threads.map(|threads| threads as usize);
        let threads = threads.unwrap_or_else(|| available_parallelism().map_or(1, usize::from));
        let (next, failed, done) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for _ in 0..threads.min(seeds.len()) {
                scope.spawn(|| {
                    while !self.stop.is_cancelled() && !failed.load(Ordering::Relaxed) {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(&seed) = seeds.get(at) else { return };
                        let learnt = of(seed).with_context(|| format!("seed {seed}"));
                        failed.fetch_or(learnt.is_err(), Ordering::Relaxed);
                        if let Ok(mut done) = done.lock() {
                            done.push((at, learnt));
                        }
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_default();
        done.sort_by_key(|(at, _)| *at);
        let mut all = Vec::new();
        for (_, learnt) in done {
            all.extend(learnt?);
        }
        if all.len() < seeds.len() {
            let kept = self.args.out.join("checkpoints");
            let words = format!("what was learnt so far is in {}; --resume goes on", kept.display());
            return Err(Interrupted(words).into());
        }
        Ok(all)
    }

    /// Whether nobody has told it to stop.
    pub fn goes_on(&self) -> bool {
        !self.stop.is_cancelled()
    }

    /// Those that are trained here.
    fn seeds(&self) -> Vec<u64> {
        let ours = |(item, _): &(usize, u64)| self.part.is_none_or(|part| part.has(*item));
        self.config.each_seed().enumerate().filter(ours).map(|(_, seed)| seed).collect()
    }

    /// One seed to its end; absent where it was interrupted.
    fn one<E, V>(
        &self,
        seed: u64,
        environment: &E,
        (begin, judge): (
            &impl Fn(Beginning<'_>) -> Result<Box<dyn Learning<E, V>>, BeginError>,
            &impl Fn(&V) -> Option<f64>,
        ),
        bar: &ProgressBar,
    ) -> Result<Option<Learnt<V>>>
    where
        E: Environment,
        V: Clone,
    {
        let path = checkpoint_of(&self.args.out, seed);
        let checkpoint = self.begun.get(&seed);
        let of = Beginning {
            algorithm: &self.config.algorithm,
            settings: &self.config.settings,
            length: self.config.length,
            seed,
            checkpoint: checkpoint.map(|checkpoint| checkpoint.run.get()),
        };
        let mut run = begin(of).with_context(|| match checkpoint {
            Some(_) => path.display().to_string(),
            None => self.args.file.display().to_string(),
        })?;
        bar.inc(run.curve().len() as u64);
        let mut environment = environment.clone();
        let mut written = Instant::now();
        let diverged = loop {
            match run.go_on(&mut environment, judge) {
                Ok(Some(point)) => {
                    bar.inc(1);
                    bar.set_message(told(seed, &point));
                }
                Ok(None) => break None,
                Err(diverged) => {
                    bar.suspend(|| eprintln!("{diverged}"));
                    break Some(diverged.to_string());
                }
            }
            if self.stop.is_cancelled() {
                self.keep(seed, &*run)?;
                return Ok(None);
            }
            if written.elapsed() >= CHECKPOINT_EVERY {
                self.keep(seed, &*run)?;
                written = Instant::now();
            }
        };
        match diverged {
            None => self.keep(seed, &*run)?,
            // What has left the numbers behind would not go on; another time it diverges again.
            Some(_) => drop(std::fs::remove_file(&path)),
        }
        let best = run.best();
        Ok(Some(Learnt {
            seed,
            curve: run.curve().to_vec(),
            last: diverged.is_none().then(|| run.values().clone()),
            best: best.map(|best| best.values.clone()),
            best_episode: best.map_or(0, |best| best.episode),
            diverged,
        }))
    }

    fn keep<E, V>(&self, seed: u64, run: &dyn Learning<E, V>) -> Result<()> {
        let run = RawValue::from_string(run.checkpoint()?)?;
        let checkpoint = Checkpoint { schema: 1, hash: self.hash.to_string(), seed, run };
        files::write_json(&checkpoint_of(&self.args.out, seed), &checkpoint)
    }
}

/// Where a seed is kept, in the folder of a training.
pub fn checkpoint_of(out: &Path, seed: u64) -> PathBuf {
    out.join(format!("checkpoints/seed-{seed}.json"))
}

impl<V> Learnt<V> {
    /// With what was learnt as something else.
    pub fn map<W>(&self, of: impl Fn(&V) -> Option<W>) -> Learnt<W> {
        Learnt {
            seed: self.seed,
            curve: self.curve.clone(),
            last: self.last.as_ref().and_then(&of),
            best: self.best.as_ref().and_then(&of),
            best_episode: self.best_episode,
            diverged: self.diverged.clone(),
        }
    }
}

impl Learnt<QTable> {
    /// What a bandit found: a curve of one point.
    pub fn found(seed: u64, found: Found, regret: f64) -> Self {
        let Found { means, pulls, total, .. } = found;
        let (mean_return, regret) = (total / pulls as f64, Some(regret));
        Learnt {
            seed,
            curve: vec![LearningPoint {
                episode: pulls,
                steps: pulls,
                mean_return,
                regret,
                greedy_return: None,
            }],
            last: Some(means.clone()),
            best: Some(means),
            best_episode: pulls,
            diverged: None,
        }
    }

    /// A bandit that could not go on.
    pub fn lost(seed: u64, why: String) -> Self {
        Learnt { seed, curve: Vec::new(), last: None, best: None, best_episode: 0, diverged: Some(why) }
    }
}

fn told(seed: u64, point: &LearningPoint) -> String {
    let regret = point.regret.map_or(String::new(), |regret| format!(", regret {:.3} %", 100.0 * regret));
    format!("seed {seed}: return {:.3}{regret}", point.mean_return)
}
