//! What a training writes: all of it, from the seeds that were trained here or from the shards of others; or one shard.

use std::path::Path;

use anyhow::{Context, Error, Result, ensure};
use serde::{Deserialize, Serialize};
use splitscale_policy::Policy;
use splitscale_rl::{EnvironmentConfig, TrainConfig};

use super::report;
use super::seeds::{Learnt, checkpoint_of};
use crate::cli::Train;
use crate::shard::{self, Head, Kind, Part};
use crate::{files, measurement};

/// What is the same for all seeds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whole {
    /// As the flags change it.
    pub config: TrainConfig,
    /// Of the configuration and of everything that it reads.
    pub hash: String,
    /// Return of the optimum, where it is known.
    pub optimum_return: Option<f64>,
}

/// A seed in a shard.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    learnt: Learnt<Policy>,
    /// The text of its checkpoint; bandits have none, nor has what diverged.
    checkpoint: Option<String>,
}

/// `training.json`: what was trained, and what came of every seed.
#[derive(Serialize)]
struct Training<'a> {
    schema: u32,
    splitscale: String,
    hash: &'a str,
    config: &'a TrainConfig,
    /// Return of the optimum, where it is known.
    optimum_return: Option<f64>,
    seeds: Vec<report::Seed>,
}

impl Whole {
    /// Writes what was learnt, as policies where it is such: all that a training leaves, or the shard that was asked for. Whether it
    /// was all.
    pub fn finish(&self, args: &Train, learnt: Vec<Learnt<Policy>>) -> Result<bool> {
        match args.shard.part().map_err(Error::msg)? {
            Some(part) => self.shard(args, part, learnt).map(|()| false),
            None => self.write(&args.out, &learnt).map(|()| true),
        }
    }

    fn shard(&self, args: &Train, part: Part, learnt: Vec<Learnt<Policy>>) -> Result<()> {
        let mut items = Vec::new();
        for learnt in learnt {
            let path = checkpoint_of(&args.out, learnt.seed);
            let checkpoint = path.exists().then(|| files::read(&path)).transpose()?;
            items.push((learnt.seed.wrapping_sub(self.config.seed) as usize, Item { learnt, checkpoint }));
        }
        let count = self.config.seeds as usize;
        let head = Head::new(Kind::Train, &words(args, &args.file), part, (count, &self.hash));
        let path = args.out.join(shard_name(part));
        shard::write(&path, args.shard.print_shard, &head, (self, items))?;
        println!("{}", path.display());
        Ok(())
    }

    /// Curves, seeds and policies, and the best of these.
    fn write(&self, out: &Path, learnt: &[Learnt<Policy>]) -> Result<()> {
        let Whole { config, hash, optimum_return } = self;
        files::write_csv(&out.join("seeds.csv"), learnt.iter().flat_map(report::rows))?;
        files::write_csv(&out.join("learning.csv"), report::curve(learnt, *optimum_return))?;
        let training = Training {
            schema: 1,
            splitscale: measurement::version(),
            hash,
            config,
            optimum_return: *optimum_return,
            seeds: learnt.iter().map(report::Seed::of).collect(),
        };
        files::write_json(&out.join("training.json"), &training)?;
        for seed in learnt {
            for (which, policy) in [("last", &seed.last), ("best", &seed.best)] {
                let Some(policy) = policy else { continue };
                files::write_json(&out.join(format!("policies/seed-{}-{which}.json", seed.seed)), policy)?;
            }
        }
        let best = report::best(learnt)?;
        report::summary(config, learnt, *optimum_return);
        if matches!(config.environment, EnvironmentConfig::Classic(_)) {
            println!("{}", out.display());
            return Ok(());
        }
        let policy = out.join("policy.json");
        files::write_json(&policy, best.best.as_ref().context("no seed learnt anything")?)?;
        println!("{}, from seed {} after {} episodes", policy.display(), best.seed, best.best_episode);
        Ok(())
    }
}

/// Writes what one training of all seeds leaves.
pub fn join(shards: &shard::Whole, out: &Path) -> Result<()> {
    let (whole, items): (Whole, Vec<Item>) = shards.results()?;
    ensure!(files::empty_folder(out).is_ok(), "{} is no new or empty folder; name one", out.display());
    let mut learnt = Vec::new();
    for Item { learnt: seed, checkpoint } in items {
        if let Some(kept) = checkpoint {
            files::write(&checkpoint_of(out, seed.seed), kept.as_bytes())?;
        }
        learnt.push(seed);
    }
    whole.write(out, &learnt)
}

/// What a shard is called, in the folder of a training.
pub fn shard_name(Part { shard, of }: Part) -> String {
    format!("{shard}-of-{of}.shard")
}

/// What is typed for the same seeds, whatever share of them: of the training at `file`.
pub fn words(args: &Train, file: &Path) -> Vec<String> {
    let mut words = vec!["train".to_owned(), file.display().to_string()];
    words.extend(args.seed.map(|seed| format!("--seed={seed}")));
    words.extend(args.seeds.map(|seeds| format!("--seeds={seeds}")));
    words.extend(args.episodes.map(|episodes| format!("--episodes={episodes}")));
    words
}
