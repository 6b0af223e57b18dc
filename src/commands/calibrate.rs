//! `splitscale calibrate`: a table of times in, curves out; with records, the laws of the simulator too.

use anyhow::Result;
use serde::Serialize;
use splitscale_calibration::{
    BadCell, BadRows, Options, burst_size, corner_cells, fit_laws, read_records, read_times,
};
use splitscale_spec::{Calibration, Level, LevelStatus};

use crate::cli::Calibrate;
use crate::files;

/// A row of `fit.csv`; a, b and c only where the rate is identified.
#[derive(Debug, Serialize)]
struct FitRow {
    slots: Option<u32>,
    pods: u32,
    fitted_s: f64,
    status: LevelStatus,
    a: Option<f64>,
    b: Option<f64>,
    c: Option<f64>,
}

/// Fits, prints a line a level, writes the calibration.
pub fn run(args: &Calibrate) -> Result<Calibration> {
    let bad_rows = if args.skip_bad_rows { BadRows::Skip } else { BadRows::Refuse };
    let table = read_times(&args.table.display().to_string(), &files::read(&args.table)?, bad_rows)?;
    report(&table.dropped);
    let options = Options { noise: args.noise, ..Options::default() };
    let mut calibration = splitscale_calibration::calibrate(&table, &options)?;
    if let Some(path) = &args.records {
        let records = read_records(&path.display().to_string(), &files::read(path)?, bad_rows)?;
        report(&records.dropped);
        calibration.burst = burst_size(&records.rows);
        calibration.laws = Some(fit_laws(&records.rows, &corner_cells(&records.rows))?);
    }
    files::write_json(&args.out, &calibration)?;
    if let Some(path) = &args.fit {
        files::write_csv(path, calibration.levels.iter().flat_map(fit_rows))?;
    }
    print(&calibration);
    Ok(calibration)
}

fn report(dropped: &[BadCell]) {
    for cell in dropped {
        eprintln!("left out: {cell}");
    }
}

fn fit_rows(level: &Level) -> impl Iterator<Item = FitRow> {
    level.points.iter().map(|point| FitRow {
        slots: level.slots,
        pods: point.pods,
        fitted_s: point.fitted_s,
        status: level.status,
        a: level.a,
        b: level.b,
        c: level.c,
    })
}

fn print(calibration: &Calibration) {
    for level in &calibration.levels {
        let slots = level.slots.map_or("all".into(), |slots| format!("slots {slots}"));
        let points = level.points.iter().map(|p| format!("{} pods {:.3} s", p.pods, p.fitted_s));
        let curve = match (level.a, level.b, level.c) {
            (Some(a), Some(b), Some(c)) => {
                format!("y = {a:.3} * exp(-{b:.3} * (pods - {})) + {c:.3} s", level.pods_min)
            }
            _ => points.collect::<Vec<_>>().join(", "),
        };
        println!("{slots:>8}  {:<19}  {curve}", words(level.status));
    }
    if let Some(laws) = &calibration.laws {
        println!(
            "laws from {} corner cells: A {:.3} s, transfer {:.3} s, B {:.3} s, elsewhere {:.3} s (means)",
            laws.fitted_on.len(),
            laws.service_a.mean_s(),
            laws.transfer.mean_s(),
            laws.service_b.mean_s(),
            laws.overhead.mean_s()
        );
    }
}

fn words(status: LevelStatus) -> &'static str {
    match status {
        LevelStatus::Exp => "EXP",
        LevelStatus::Flat => "FLAT",
        LevelStatus::RateNotIdentified => "RATE_NOT_IDENTIFIED",
        LevelStatus::Insufficient => "INSUFFICIENT",
    }
}
