//! `splitscale merge`: shards, from files or from the pods of a Job, become what one run would have written.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use splitscale_deploy::kubernetes::{Clients, Index, IndexedJob};

use super::{simulate, train};
use crate::cli::Merge;
use crate::shard::{Kind, Shard, Whole};
use crate::{files, interrupt};

/// Reads every shard and writes the whole.
pub fn run(args: &Merge) -> Result<()> {
    let mut shards = Vec::new();
    for path in &args.parts {
        shards.push(Shard::read(&path.display().to_string(), &files::read(path)?)?);
    }
    let absent = match &args.job {
        Some(job) => interrupt::run(async |stop| {
            tokio::select! {
                done = of_job(args, job, &mut shards) => done,
                () = stop.cancelled() => Err(interrupt::Interrupted("nothing was written".into()).into()),
            }
        })?,
        None => BTreeMap::new(),
    };
    let whole = Whole::of(shards, &absent)?;
    match whole.kind() {
        Kind::Simulate => simulate::join(&whole, &args.out),
        Kind::Train => train::join(&whole, &args.out),
    }
}

/// Adds the shards that a Job has done; why others are missing, by shard.
async fn of_job(args: &Merge, name: &str, shards: &mut Vec<Shard>) -> Result<BTreeMap<usize, String>> {
    let job = IndexedJob::new(&Clients::infer().await?, &args.namespace, name);
    let indexes =
        job.indexes().await.with_context(|| format!("Job {name} in namespace {}", args.namespace))?;
    let mut absent = BTreeMap::new();
    for (index, standing) in indexes.into_iter().enumerate() {
        let shard = index + 1;
        let pod = match standing {
            Index::Done { pod } => pod,
            Index::Missing(why) => {
                absent.insert(shard, format!("index {index} of Job {name} {why}"));
                continue;
            }
        };
        match job.log(&pod).await {
            Ok(log) => match Shard::read(&format!("the log of pod {pod}"), &log) {
                Ok(read) => shards.push(read),
                // Whoever has run it by hand names its file.
                Err(error) => {
                    absent.insert(shard, format!("index {index} of Job {name}: {error:#}"));
                }
            },
            Err(error) => {
                absent.insert(shard, format!("index {index} of Job {name} is done, but the log of pod {pod} is not to be had: {error}"));
            }
        }
    }
    Ok(absent)
}
