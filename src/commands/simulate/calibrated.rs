//! Bursts through a calibrated pipeline, beside the measured ones where there are any.

use std::collections::BTreeMap;
use std::thread::available_parallelism;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use splitscale_calibration::{BadRows, BurstRow, Makespans, makespans, read_bursts};
use splitscale_sim::{Arrivals, Outcome, Setup, replicate};
use splitscale_spec::{Calibration, Laws, Replicas};

use crate::cli::Simulate;
use crate::files;

/// A cell that was only simulated.
#[derive(Debug, Serialize)]
struct SimulatedCell {
    slots: u32,
    pods: u32,
    simulated_s: f64,
    half_width_s: f64,
    fingerprint: String,
}

/// Simulates every cell, prints and writes it. With a table, returns the comparison.
pub fn calibrated(args: &Simulate) -> Result<Option<Makespans>> {
    let calibration: Calibration = files::read_json(&args.file, Calibration::SCHEMA)?;
    calibration.validate().with_context(|| format!("{} cannot be used", args.file.display()))?;
    let Some(laws) = calibration.laws else {
        bail!("{} has no laws; calibrate with --records", args.file.display());
    };
    let burst = match (args.bursts.burst, calibration.burst) {
        (Some(asked), Some(measured)) if asked != measured && args.bursts.table.is_some() => {
            bail!("--burst {asked} cannot stand beside a table of bursts of {measured}; leave --burst away")
        }
        (asked, measured) => asked.or(measured).unwrap_or(20),
    };
    let mut args = args.clone();
    args.bursts.burst = Some(burst);
    let args = &args;
    match &args.bursts.table {
        Some(path) => {
            let name = path.display().to_string();
            let measured = read_bursts(&name, &files::read(path)?, BadRows::Refuse)?.rows;
            compare(args, &laws, &measured).map(Some)
        }
        None => explore(args, &laws).map(|()| None),
    }
}

fn compare(args: &Simulate, laws: &Laws, measured: &[BurstRow]) -> Result<Makespans> {
    let cells: BTreeMap<(u32, u32), ()> = measured.iter().map(|r| ((r.bandwidth, r.num_pod_a), ())).collect();
    let mut simulated = BTreeMap::new();
    for (slots, pods) in cells.into_keys() {
        simulated.insert((slots, pods), mean(&cell(args, laws, slots, pods)?));
    }
    let compared = makespans(measured, &simulated, &laws.fitted_on)?;
    if let Some(path) = &args.out {
        files::write_csv(path, &compared.cells)?;
    }
    print(&compared);
    Ok(compared)
}

fn explore(args: &Simulate, laws: &Laws) -> Result<()> {
    let mut cells = Vec::new();
    println!(
        "{:>6} {:>5} {:>12} {:>12}  fingerprint of replication 0",
        "slots", "pods", "makespan [s]", "+- 95 % [s]"
    );
    let or = |asked: &[u32], usual: [u32; 4]| if asked.is_empty() { usual.to_vec() } else { asked.to_vec() };
    let (all_slots, all_pods) = (or(&args.bursts.slots, [1, 2, 4, 8]), or(&args.bursts.pods, [2, 4, 6, 8]));
    for &slots in &all_slots {
        for &pods in &all_pods {
            let outcomes = cell(args, laws, slots, pods)?;
            let (simulated_s, half_width_s) = (mean(&outcomes), half_width(&outcomes));
            let fingerprint = format!("{:016x}", outcomes[0].fingerprint);
            println!("{slots:>6} {pods:>5} {simulated_s:>12.4} {half_width_s:>12.4}  {fingerprint}");
            cells.push(SimulatedCell { slots, pods, simulated_s, half_width_s, fingerprint });
        }
    }
    args.out.as_ref().map_or(Ok(()), |path| files::write_csv(path, &cells))
}

/// All replications of one cell.
fn cell(args: &Simulate, laws: &Laws, slots: u32, pods: u32) -> Result<Vec<Outcome>> {
    let arrivals = Arrivals::Burst(args.bursts.burst.unwrap_or(20));
    let setup = Setup::new(Replicas { a: pods, b: pods }, slots, laws, arrivals);
    let threads = available_parallelism().map_or(1, usize::from);
    Ok(replicate(&setup, args.seed.unwrap_or(1), args.replications.unwrap_or(200), threads)?)
}

fn mean(outcomes: &[Outcome]) -> f64 {
    outcomes.iter().map(|outcome| outcome.makespan_s).sum::<f64>() / outcomes.len() as f64
}

/// Normal 95 % half-width of the mean.
fn half_width(outcomes: &[Outcome]) -> f64 {
    let (mean, n) = (mean(outcomes), outcomes.len() as f64);
    let squares: f64 = outcomes.iter().map(|outcome| (outcome.makespan_s - mean).powi(2)).sum();
    1.96 * (squares / (n - 1.0).max(1.0) / n).sqrt()
}

fn print(compared: &Makespans) {
    println!("{:>6} {:>5} {:>11} {:>10} {:>8}", "slots", "pods", "measured", "simulated", "error");
    for cell in &compared.cells {
        let mark = if cell.held_out { "" } else { "  corner: fitted on" };
        println!(
            "{:>6} {:>5} {:>9.3} s {:>8.3} s {:>+7.1}%{mark}",
            cell.slots,
            cell.pods,
            cell.measured_s,
            cell.simulated_s,
            cell.error * 100.0
        );
    }
    if let (Some(error), Some(worst)) = (compared.mean_absolute_error, &compared.worst) {
        println!(
            "held-out cells: mean |error| {:.1} %, worst {:+.1} % at slots {}, pods {}",
            error * 100.0,
            worst.error * 100.0,
            worst.slots,
            worst.pods
        );
    }
}
