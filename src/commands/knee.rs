//! `splitscale knee`: the useful-replica cap, in closed form, beside the knee that the simulator has.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::{self, available_parallelism};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;
use splitscale_sim::{Arrivals, Bandwidth, KneeSearch, Payload, Setup, Transfer};
use splitscale_spec::{Calibration, Capacity, Laws, Replicas, ServiceLaw, throughput, useful};
use tokio_util::sync::CancellationToken;

use crate::cli::{CutName, Knee, ServiceName};
use crate::files;
use crate::interrupt::{self, Interrupted};
use crate::progress;

/// Clients of the closed loop: many more than slots (64 at most) and pods (51, beyond which one adds less than 2 % of
/// itself).
const CLIENTS: u32 = 512;

/// Where a network is cut: its laws, and a link yet without a bandwidth.
struct Cut {
    name: &'static str,
    laws: Laws,
    link: Capacity,
}

/// One place of the table.
struct Cell<'a> {
    cut: &'a Cut,
    service: ServiceName,
    mbit_s: f64,
    slots: u32,
}

/// What is said of it. The law's throughput is that of its own pods.
#[derive(Debug, Serialize)]
struct Row {
    service: String,
    cut: &'static str,
    mbit_s: f64,
    slots: u32,
    law_a: u32,
    law_b: u32,
    law_per_s: f64,
    knee_a: u32,
    knee_b: u32,
    knee_per_s: f64,
    difference_a: i64,
    difference_b: i64,
    settled: bool,
}

/// Works the table out, prints it and says how far law and simulator are apart.
pub fn run(args: &Knee) -> Result<()> {
    let cuts = match &args.calibration {
        Some(path) => vec![
            Cut::calibrated(&files::read_json(path, Calibration::SCHEMA)?)
                .with_context(|| format!("{} cannot be used", path.display()))?,
        ],
        None => args.cut.iter().map(|&cut| Cut::resnet50(cut, args)).collect(),
    };
    let services = match (args.service.as_slice(), &args.calibration) {
        ([], None) => &[ServiceName::Constant, ServiceName::Lognormal],
        ([], Some(_)) => &[ServiceName::Constant, ServiceName::Measured],
        (asked, None) if asked.contains(&ServiceName::Measured) => {
            bail!("--service measured needs --calibration FILE")
        }
        (asked, _) => asked,
    };
    let mut cells = Vec::new();
    for &service in services {
        for cut in &cuts {
            for &mbit_s in &args.bandwidth {
                cells.extend(args.slots.iter().map(|&slots| Cell { cut, service, mbit_s, slots }));
            }
        }
    }
    let rows = interrupt::run(async |stop| tokio::task::block_in_place(|| rows(&cells, args, &stop)))?;
    if rows.is_empty() {
        return Err(Interrupted(format!("none of {} cells was worked out", cells.len())).into());
    }
    print(&rows, services);
    if let Some(path) = &args.out {
        files::write_csv(path, &rows)?;
    }
    if rows.len() < cells.len() {
        let (done, all) = (rows.len(), cells.len());
        let kept = args.out.as_ref().map_or(String::new(), |path| format!(", and in {}", path.display()));
        return Err(
            Interrupted(format!("{done} of {all} cells were worked out; they stand above{kept}")).into()
        );
    }
    Ok(())
}

/// A row a cell, in their order: each cell is a piece of work of its own, whoever does it. Of some, where it was told to stop.
fn rows(cells: &[Cell], args: &Knee, stop: &CancellationToken) -> Result<Vec<Row>> {
    let threads = args
        .threads
        .map_or_else(|| available_parallelism().map_or(1, usize::from), |threads| threads as usize);
    let bar = progress::bar("knee", cells.len() as u64, "cells");
    let (next, (done, all)) = (AtomicUsize::new(0), mpsc::channel());
    let mut rows: Vec<(usize, Result<Row>)> = thread::scope(|scope| {
        for _ in 0..threads.min(cells.len()) {
            let (next, done, bar) = (&next, done.clone(), &bar);
            scope.spawn(move || {
                while !stop.is_cancelled() {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(cell) = cells.get(at) else { break };
                    // Nobody stops to listen before all are done.
                    let _ = done.send((at, cell.row(args)));
                    bar.inc(1);
                }
            });
        }
        drop(done);
        all.iter().collect()
    });
    bar.finish_and_clear();
    rows.sort_by_key(|&(at, _)| at);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn print(rows: &[Row], services: &[ServiceName]) {
    println!(
        "{:<12} {:<10} {:>7} {:>5}   {:>5} {:>3} {:>8}   {:>6} {:>3} {:>8}   {:>6} {:>3}",
        "service", "cut", "Mbit/s", "slots", "law a", "b", "[1/s]", "knee a", "b", "[1/s]", "diff a", "b"
    );
    for row in rows {
        println!(
            "{:<12} {:<10} {:>7} {:>5}   {:>5} {:>3} {:>8.3}   {:>6} {:>3} {:>8.3}   {:>+6} {:>+3}{}",
            row.service,
            row.cut,
            row.mbit_s,
            row.slots,
            row.law_a,
            row.law_b,
            row.law_per_s,
            row.knee_a,
            row.knee_b,
            row.knee_per_s,
            row.difference_a,
            row.difference_b,
            if row.settled { "" } else { "  ?" }
        );
    }
    println!();
    for service in services.iter().map(|&service| name(service)) {
        let of: Vec<&Row> = rows.iter().filter(|row| row.service == service).collect();
        let worst =
            |difference: fn(&Row) -> i64| of.iter().map(|row| difference(row).abs()).max().unwrap_or(0);
        let near = of.iter().filter(|row| row.difference_a.abs() <= 1 && row.difference_b.abs() <= 1).count();
        let open = of.iter().filter(|row| !row.settled).count();
        println!(
            "{service}: {near} of {} cells within 1 pod, worst difference a {}, b {}; {open} not settled (?): more \
             --answers might move their knee",
            of.len(),
            worst(|row| row.difference_a),
            worst(|row| row.difference_b)
        );
    }
}

fn name(service: ServiceName) -> String {
    service.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

// === impl Cut ===

impl Cut {
    /// ResNet-50 on pods of a tenth of a core, as in sim/experiments/split-point.toml: 88 ms of one core shared out by
    /// the multiplications of each half, activations in f32.
    fn resnet50(cut: CutName, args: &Knee) -> Cut {
        let (name, service_a_s, service_b_s, payload_bytes) = match cut {
            CutName::Layer1 => ("layer1", 0.17, 0.71, 3_211_264),
            CutName::Layer2 => ("layer2", 0.39, 0.49, 1_605_632),
            CutName::Layer3 => ("layer3", 0.71, 0.17, 802_816),
        };
        let link = Capacity {
            service_a_s,
            service_b_s,
            payload_bytes,
            mbit_s: 0.0,
            rtt_s: args.rtt,
            shared: args.shared,
            held_until_answer: !args.release_after_transfer,
        };
        Cut { name, laws: Laws::default(), link }
    }

    fn calibrated(calibration: &Calibration) -> Result<Cut> {
        calibration.validate()?;
        let Some((laws, slot)) = calibration.laws.as_ref().and_then(|laws| Some((laws, laws.slot?))) else {
            bail!("it has no laws.slot; calibrate with --records");
        };
        let link = Capacity {
            service_a_s: laws.service_a.mean_s(),
            service_b_s: laws.service_b.mean_s(),
            payload_bytes: slot.bytes.round() as u64,
            mbit_s: 0.0,
            rtt_s: slot.fixed_s.unwrap_or(0.0),
            shared: slot.shared,
            held_until_answer: slot.held_until_answer,
        };
        Ok(Cut { name: "calibrated", laws: laws.clone(), link })
    }
}

// === impl Cell ===

impl Cell<'_> {
    fn row(&self, args: &Knee) -> Result<Row> {
        let capacity = Capacity { mbit_s: self.mbit_s, ..self.cut.link };
        let search = KneeSearch {
            gain: args.gain,
            seed: args.seed,
            replications: if self.service == ServiceName::Constant { 1 } else { args.replications },
            answers: args.answers,
            clients: CLIENTS,
        };
        let knee = search.of(&self.setup(&capacity, args.cv))?;
        let law = useful(&capacity, self.slots, args.gain);
        Ok(Row {
            service: name(self.service),
            cut: self.cut.name,
            mbit_s: self.mbit_s,
            slots: self.slots,
            law_a: law.a,
            law_b: law.b,
            law_per_s: throughput(&capacity, law, self.slots).0,
            knee_a: knee.pods.a,
            knee_b: knee.pods.b,
            knee_per_s: knee.per_s,
            difference_a: i64::from(knee.pods.a) - i64::from(law.a),
            difference_b: i64::from(knee.pods.b) - i64::from(law.b),
            settled: knee.settled,
        })
    }

    fn setup(&self, capacity: &Capacity, cv: f64) -> Setup {
        let law = |mean_s: f64, measured: &ServiceLaw| match self.service {
            ServiceName::Constant => ServiceLaw::Deterministic { value_s: mean_s },
            ServiceName::Lognormal => ServiceLaw::Lognormal { mean_s, cv },
            ServiceName::Exponential => ServiceLaw::Exponential { mean_s },
            ServiceName::Measured => measured.clone(),
        };
        let laws = Laws {
            service_a: law(capacity.service_a_s, &self.cut.laws.service_a),
            service_b: law(capacity.service_b_s, &self.cut.laws.service_b),
            ..Laws::default()
        };
        let mut setup = Setup::new(Replicas { a: 1, b: 1 }, self.slots, &laws, Arrivals::Burst(1));
        let bandwidth = if capacity.shared { Bandwidth::WholeMbitS } else { Bandwidth::PerSlotMbitS };
        setup.link.transfer =
            Transfer::Bytes { bandwidth: bandwidth(capacity.mbit_s), rtt_s: capacity.rtt_s };
        setup.link.payload = Some(Payload::Bytes(capacity.payload_bytes));
        setup.link.release_after_transfer = !capacity.held_until_answer;
        setup
    }
}
