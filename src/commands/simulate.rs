//! `splitscale simulate`: an experiment, or a calibrated pipeline.

mod calibrated;
mod diff;
mod row;
mod single;
mod sweep;
mod terminal;
mod trace;

use std::path::Path;

use anyhow::{Result, bail};
use splitscale_sim::{Experiment, Plan};

use crate::cli::Simulate;
use crate::files;

pub use calibrated::calibrated;
pub use sweep::join;

/// Simulates what the file is.
pub fn run(args: &Simulate) -> Result<()> {
    let (bursts, flags) = (&args.bursts, &args.experiment);
    if args.file.extension().is_none_or(|extension| extension != "toml") {
        let single = flags.trace.is_some() || flags.records.is_some() || flags.diff.is_some();
        let swept = !flags.set.is_empty() || args.shard.shard.is_some() || flags.threads.is_some();
        if single || swept || flags.point.is_some() || flags.replication.is_some() {
            bail!(
                "{} is not an experiment (.toml); leave the flags of an experiment away",
                args.file.display()
            );
        }
        return calibrated(args).map(drop);
    }
    if bursts.table.is_some() || bursts.burst.is_some() || bursts.slots.len() + bursts.pods.len() > 0 {
        bail!(
            "{} is an experiment and says itself what is simulated; change it there or with --set",
            args.file.display()
        );
    }
    if let Some(other) = &flags.diff {
        return diff::run(args, other);
    }
    let (experiment, plan) = read(&args.file, args, &mut files::read)?;
    if flags.trace.is_some() || flags.records.is_some() {
        return single::run(args, &experiment, &plan);
    }
    if flags.point.is_some() || flags.replication.is_some() {
        bail!("--point and --replication choose one run; say with --trace, --records or --diff what of it");
    }
    sweep::run(args, &experiment, &plan)
}

/// An experiment as the flags change it, and its points. The files it names are relative to its folder; `text_of` reads them.
pub fn read(
    path: &Path,
    args: &Simulate,
    text_of: &mut dyn FnMut(&Path) -> Result<String>,
) -> Result<(Experiment, Plan)> {
    let mut experiment = Experiment::parse(&path.display().to_string(), &text_of(path)?)?;
    for (field, value) in &args.experiment.set {
        experiment.set(field, value)?;
    }
    if let Some(seed) = args.seed {
        experiment.set("seed", &seed.to_string())?;
    }
    if let Some(replications) = args.replications {
        experiment.set("replications", &replications.to_string())?;
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let plan = experiment.plan(&mut |name| text_of(&folder.join(name)))?;
    Ok((experiment, plan))
}

/// What is typed for the same points, whatever share of them: of the experiment at `file`.
pub fn words(args: &Simulate, file: &Path) -> Vec<String> {
    let mut words = vec!["simulate".to_owned(), file.display().to_string()];
    words.extend(args.experiment.set.iter().map(|(field, value)| format!("--set={field}={value}")));
    words.extend(args.seed.map(|seed| format!("--seed={seed}")));
    words.extend(args.replications.map(|replications| format!("--replications={replications}")));
    words
}
