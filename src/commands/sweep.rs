//! `splitscale sweep`: an experiment or a training as a Job of Kubernetes that does it in shards.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, ensure};
use splitscale_deploy::manifests;
use splitscale_rl::Algorithm;

use super::{deploy, simulate, train};
use crate::cli::{Bursts, ExperimentFlags, ShardFlags, Simulate, Sweep, Swept, Train};
use crate::files;
use crate::shard::quoted;

/// What is typed for a sweep of the file at a path.
type Words = Box<dyn Fn(&Path) -> Vec<String>>;

/// What is swept, once it was read.
struct Read {
    /// Points or seeds.
    items: usize,
    torch: bool,
    words: Words,
}

/// Reads what is swept, to be told here what the pods would only tell there, and writes the Job.
pub fn run(args: &Sweep) -> Result<()> {
    let (Swept::Simulate { file, .. } | Swept::Train { file, .. }) = &args.swept;
    let here = std::env::current_dir().context("the folder that this was started in is gone")?;
    let mut inputs: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut text_of = |path: &Path| {
        ensure!(
            path == file
                || !path.is_absolute()
                || file.is_absolute() && path.starts_with(file.parent().unwrap_or(file)),
            "{} is named by a path that a pod does not have; name it relative to the file that names it",
            path.display()
        );
        let text = files::read(path)?;
        inputs.insert(plain(&here.join(path)), text.clone());
        Ok(text)
    };
    let read = read(&args.swept, &mut text_of)?;
    let shards = args.shards as usize;
    if shards > read.items {
        println!(
            "{} of {shards} shards will be empty: there are {} to share",
            shards - read.items,
            read.items
        );
    }
    // The files lie in a pod as they lie here, below the last folder that they have in common.
    let mut root = plain(&here.join(file));
    while !inputs.keys().all(|path| path.starts_with(&root) && *path != root) {
        ensure!(root.pop(), "{}: its files have no folder in common", file.display());
    }
    let below = |path: &Path| path.strip_prefix(&root).unwrap_or(path).to_path_buf();
    let sweep = manifests::Sweep {
        name: args.name.clone(),
        shards: args.shards,
        parallelism: args.parallelism.unwrap_or(args.shards).min(args.shards),
        cpus: args.cpus,
        memory_mib: args.memory,
        image: args.image.clone(),
        torch: read.torch,
        args: (read.words)(&below(&plain(&here.join(file)))),
        inputs: inputs.iter().map(|(path, text)| (below(path).display().to_string(), text.clone())).collect(),
        words: words(args, &(read.words)(file)),
    };
    let rendered = sweep.render().with_context(|| format!("{} cannot be a Job", file.display()))?;
    deploy::write(&args.render, &rendered)?;
    println!("{}", args.render.display());
    Ok(())
}

fn read(swept: &Swept, text_of: &mut dyn FnMut(&Path) -> Result<String>) -> Result<Read> {
    match swept.clone() {
        Swept::Simulate { file, set, seed, replications } => {
            let args = Simulate {
                file,
                out: None,
                seed,
                replications,
                bursts: Bursts::default(),
                experiment: ExperimentFlags { set, ..ExperimentFlags::default() },
                shard: ShardFlags::default(),
            };
            let (_, plan) = simulate::read(&args.file, &args, text_of)?;
            let words = Box::new(move |file: &Path| simulate::words(&args, file));
            Ok(Read { items: plan.points.len(), torch: false, words })
        }
        Swept::Train { file, seed, seeds, episodes } => {
            let args = Train {
                file,
                seed,
                seeds,
                episodes,
                threads: None,
                out: PathBuf::new(),
                resume: false,
                shard: ShardFlags::default(),
            };
            let config = train::check(&args, text_of)?;
            let torch = matches!(config.algorithm, Algorithm::Dqn(_));
            let words = Box::new(move |file: &Path| train::words(&args, file));
            Ok(Read { items: config.seeds as usize, torch, words })
        }
    }
}

/// The words that render the same, wherever to.
fn words(args: &Sweep, swept: &[String]) -> String {
    let mut words = format!("splitscale sweep --render DIR --name {} --shards {}", args.name, args.shards);
    let mut tell = |word: String| words = format!("{words} {word}");
    if let Some(parallelism) = args.parallelism {
        tell(format!("--parallelism {parallelism}"));
    }
    if args.cpus != 1 {
        tell(format!("--cpus {}", args.cpus));
    }
    if args.memory != 512 {
        tell(format!("--memory {}", args.memory));
    }
    if let Some(image) = &args.image {
        tell(format!("--image {image}"));
    }
    swept.iter().for_each(|word| tell(quoted(word)));
    words
}

/// A path without `.` and `..`, as it is written: links are not followed.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}
