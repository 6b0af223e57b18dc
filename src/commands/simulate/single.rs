//! One run of an experiment, every request of it: as a trace, as records.

use anyhow::{Context, Result, bail};
use splitscale_sim::{Bandwidth, Experiment, Labels, Payload, Plan, Point, Transfer};
use splitscale_spec::Encoding;

use super::{row, trace};
use crate::cli::Simulate;
use crate::files;

/// Makes the run and writes what was asked for.
pub fn run(args: &Simulate, experiment: &Experiment, plan: &Plan) -> Result<()> {
    let flags = &args.experiment;
    let mut point = point(plan, flags.point)?.clone();
    point.setup.records = true;
    let replication = flags.replication.unwrap_or(0);
    let outcome = point.run(&row::model(&point)?, replication).with_context(|| row::name(&point))?;
    println!(
        "{}, {}, replication {replication}: {} requests, {} of them without an answer; fingerprint {:016x}",
        experiment.name,
        row::name(&point),
        outcome.requests,
        outcome.requests - outcome.latency.answered.min(outcome.requests),
        outcome.fingerprint
    );
    if outcome.unfinished > 0 {
        println!("{} were not finished when the run stopped; they are in no file", outcome.unfinished);
    }
    if let Some(path) = &flags.trace {
        files::write(path, &trace::json(&outcome, &point, &format!("{} {}", experiment.name, plan.hash))?)?;
        println!("{}", path.display());
    }
    if let Some(path) = &flags.records {
        let labels = labels(experiment, &point, replication);
        files::write_csv(path, outcome.records(&labels))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// The point that was asked for.
pub fn point(plan: &Plan, asked: Option<usize>) -> Result<&Point> {
    let index = asked.unwrap_or(0);
    let last = plan.points.len() - 1;
    match plan.points.get(index) {
        Some(point) => Ok(point),
        None => bail!("--point {index} is not there; the experiment has points 0 to {last}"),
    }
}

/// The cut is the point's place on an axis of that name; without one, the experiment's.
fn labels(experiment: &Experiment, point: &Point, replication: u64) -> Labels {
    let link = &point.setup.link;
    let cut = point.labels.iter().find(|(axis, _)| axis == "cut").map(|(_, value)| value);
    Labels {
        run_id: u32::try_from(replication).unwrap_or(u32::MAX),
        cut: cut.unwrap_or(&experiment.name).clone(),
        encoding: match link.payload {
            Some(Payload::Activation { encoding, .. }) => encoding,
            _ => Encoding::default(),
        },
        bytes: link.payload.map_or(0, Payload::bytes),
        bandwidth_mbit_s: match &link.transfer {
            Transfer::Bytes { bandwidth: Bandwidth::PerSlotMbitS(mbit_s), .. } => Some(*mbit_s),
            _ => None,
        },
    }
}
