//! Two runs side by side: the first event in which they differ.

use std::path::Path;

use anyhow::{Result, bail};
use splitscale_sim::{Event, Kind, Plan, Steps};

use super::{read, row, single};
use crate::cli::Simulate;
use crate::files;

/// Steps both until their events differ.
pub fn run(args: &Simulate, other: &Path) -> Result<()> {
    let (_, plan_a) = read(&args.file, args, &mut files::read)?;
    let (_, plan_b) = read(other, args, &mut files::read)?;
    let (mut a, mut b) = (steps(args, &plan_a)?, steps(args, &plan_b)?);
    let names = [args.file.display().to_string(), other.display().to_string()];
    for number in 0u64.. {
        let before = [a.fingerprint(), b.fingerprint()];
        let events = [a.next(), b.next()];
        match events {
            [None, None] if before[0] == before[1] => {
                println!("identical: {number} events, fingerprint {:016x}", before[0]);
                return Ok(());
            }
            [None, None] => {
                tell(number, &names, before, events);
                bail!("the runs have the same {number} events, but not the same changes of pods or slots");
            }
            [left, right] if left != right => {
                tell(number, &names, before, events);
                bail!("the runs differ from event {number} on");
            }
            _ => {}
        }
    }
    Ok(())
}

/// The run that was asked for.
fn steps(args: &Simulate, plan: &Plan) -> Result<Steps> {
    let mut point = single::point(plan, args.experiment.point)?.clone();
    // Where a request is kept depends on it, and it makes no difference to what happens.
    point.setup.records = false;
    Ok(point.steps(&row::model(&point)?, args.experiment.replication.unwrap_or(0)))
}

fn tell(number: u64, names: &[String; 2], before: [u64; 2], events: [Option<Event>; 2]) {
    println!("event {number}, counted from 0:");
    for ((name, before), event) in names.iter().zip(before).zip(events) {
        let what = match event {
            Some(event) => match (event.pod(), event.kind) {
                (Some((stage, pod)), kind) => format!("{}  {kind:?}  pod {pod} of {stage:?}", event.time),
                (None, kind @ (Kind::Cores | Kind::Link | Kind::Slots)) => {
                    format!("{}  {kind:?}", event.time)
                }
                (None, kind) => format!("{}  {kind:?}  request {}", event.time, event.request),
            },
            None => "no more events".into(),
        };
        println!("  {name}: {what}; fingerprint before {before:016x}");
    }
}
