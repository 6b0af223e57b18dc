//! `splitscale calibrate`: a table of times in, curves and a law out; with records, the laws of the simulator too.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use splitscale_calibration::regression::nist::{Agreement, Problem};
use splitscale_calibration::{
    BadCell, BadRows, FitMethod, FitReport, Options, OtherFit, Tier, burst_size, corner_cells, fit_laws,
    read_records, read_times,
};
use splitscale_spec::{Calibration, Level, LevelStatus, Surface};

use crate::cli::Calibrate;
use crate::files;

/// A row of `fit.csv`; a, b and c only where the rate is identified.
#[derive(Debug, Serialize)]
struct FitRow {
    slots: Option<u32>,
    pods: u32,
    fitted_s: f64,
    low_s: Option<f64>,
    high_s: Option<f64>,
    status: LevelStatus,
    a: Option<f64>,
    b: Option<f64>,
    c: Option<f64>,
}

/// Fits, prints a line a level, writes the calibration; or solves NIST's problems.
pub fn run(args: &Calibrate) -> Result<()> {
    if let Some(folder) = &args.nist {
        return nist(folder, args.json);
    }
    let path = args.table.as_deref().context("no table")?;
    let bad_rows = if args.skip_bad_rows { BadRows::Skip } else { BadRows::Refuse };
    let table = read_times(&path.display().to_string(), &files::read(path)?, bad_rows)?;
    report(&table.dropped);
    let options = Options { robust: args.robust, monotone: args.monotone, ..Options::default() };
    let (mut calibration, fits) = splitscale_calibration::calibrate(&table, &options)?;
    if let Some(path) = &args.records {
        let records = read_records(&path.display().to_string(), &files::read(path)?, bad_rows)?;
        report(&records.dropped);
        calibration.burst = burst_size(&records.rows);
        calibration.laws = Some(fit_laws(&records.rows, &corner_cells(&records.rows))?);
    }
    if calibration.surface.is_none() && !args.predict.is_empty() {
        bail!("{}: no law to predict by; it takes two levels, two pod counts and six cells", path.display());
    }
    files::write_json(&args.out, &calibration)?;
    if let Some(path) = &args.fit {
        files::write_csv(path, calibration.levels.iter().flat_map(fit_rows))?;
    }
    if let Some(path) = &args.report {
        files::write_json(path, &fits)?;
    }
    print(&calibration, &fits, args);
    Ok(())
}

/// Every problem of the folder from both of its starts.
fn nist(folder: &Path, json: bool) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths: Vec<_> = entries.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "dat"));
    paths.sort();
    if paths.is_empty() {
        bail!("{}: no file ends in .dat; it takes NIST's nonlinear problems", folder.display());
    }
    let mut rows: Vec<Agreement> = Vec::new();
    for path in &paths {
        rows.extend(Problem::parse(&path.display().to_string(), &files::read(path)?)?.solve());
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    println!("problem    start  digits of parameters  of standard errors");
    for row in &rows {
        let (parameters, errors) = (row.parameter_digits, row.standard_error_digits);
        println!("{:<10} {:>5}  {parameters:>20.1}  {errors:>18.1}", row.problem, row.start);
    }
    let solved = rows.iter().filter(|r| r.parameter_digits >= 6.0 && r.standard_error_digits >= 4.0).count();
    println!("{solved} of {} to 6 digits of the parameters and 4 of their standard errors", rows.len());
    Ok(())
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
        low_s: point.low_s,
        high_s: point.high_s,
        status: level.status,
        a: level.a,
        b: level.b,
        c: level.c,
    })
}

fn print(calibration: &Calibration, fits: &FitReport, args: &Calibrate) {
    for level in &calibration.levels {
        print_level(level, fits.others.iter().filter(|other| other.slots == level.slots));
        if args.monotone && level.status == LevelStatus::Rising {
            let slots = level.slots.map_or("this table".into(), |slots| format!("slots {slots}"));
            eprintln!("warning: the times of {slots} rise with pods; their mean is used (--monotone)");
        }
    }
    if let Some(surface) = &calibration.surface {
        print_surface(surface, fits);
        let points = calibration.levels.iter().flat_map(|level| &level.points);
        let pods: BTreeSet<u32> = points.map(|point| point.pods).collect();
        for &slots in &args.predict {
            println!("{}", predicted(surface, slots, &pods));
        }
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

/// A line of what the level is, and one for each other way to fit it.
fn print_level<'a>(level: &Level, others: impl Iterator<Item = &'a OtherFit>) {
    let slots = level.slots.map_or("all".into(), |slots| format!("slots {slots}"));
    println!("{slots:>8}  {:<19}  {}", words(level.status), curve(level));
    for other in others {
        let name = match other.method {
            FitMethod::Plain => "plain",
            FitMethod::Unweighted => "unweighted",
            FitMethod::Robust => "robust",
        };
        println!("{name:>10}: {:<17}  {}", words(other.status), beside(other, level.pods_min));
    }
}

fn curve(level: &Level) -> String {
    let rate = |end: Option<f64>| end.map_or("no bound".into(), |rate| format!("{rate:.3}"));
    let (low, high) = (rate(level.b_low), rate(level.b_high));
    match (level.a, level.b, level.c) {
        (Some(a), Some(b), Some(c)) => {
            format!("{}, b in {low} .. {high}", formula(a, b, c, level.pods_min))
        }
        _ => {
            let points = level.points.iter().map(|p| format!("{} pods {:.3} s", p.pods, p.fitted_s));
            let points = points.collect::<Vec<_>>().join(", ");
            match level.status {
                LevelStatus::Step | LevelStatus::RateNotIdentified => {
                    format!("{points}; b in {low} .. {high}")
                }
                _ => points,
            }
        }
    }
}

fn formula(a: f64, b: f64, c: f64, pods_min: u32) -> String {
    format!("y = {a:.3} * exp(-{b:.3} * (pods - {pods_min})) + {c:.3} s")
}

fn beside(other: &OtherFit, pods_min: u32) -> String {
    let said = match (other.a, other.b, other.c) {
        (Some(a), Some(b), Some(c)) => formula(a, b, c, pods_min),
        _ => other.fitted_s.iter().map(|y| format!("{y:.3}")).collect::<Vec<_>>().join(", ") + " s",
    };
    let aside =
        other.set_aside.iter().map(|m| format!("{:.3} s at {} pods (weight {:.2})", m.y_s, m.pods, m.weight));
    match other.set_aside.len() {
        0 => said,
        _ => format!("{said}; set aside: {}", aside.collect::<Vec<_>>().join(", ")),
    }
}

/// Which way to say time over pods and slots predicts best, by how much, and what the law says.
fn print_surface(surface: &Surface, fits: &FitReport) {
    let name = |tier| match tier {
        Tier::PerLevel => "a curve a level",
        Tier::SharedRate => "one rate for all levels",
        Tier::Law => "the law",
    };
    let said = fits.tiers.iter().map(|t| format!("{} {:.2} %", name(t.tier), 100.0 * t.mean_error));
    println!("error of a cell left out: {}", said.collect::<Vec<_>>().join(", "));
    if let [best, second, ..] = &fits.tiers[..] {
        let margin = 100.0 * (second.mean_error - best.mean_error);
        println!("chosen: {}, by {margin:.2} points", name(best.tier));
    }
    let law = &surface.law;
    println!(
        "law: y = {:.3} + max({:.3} / slots, {:.3} / pods) s",
        law.fixed_s, law.transfer_s, law.compute_s
    );
    let worst = fits.held_out.iter().max_by(|a, b| a.mean_error.total_cmp(&b.mean_error));
    if let (Some(mean), Some(worst)) = (surface.mean_error, worst) {
        println!(
            "its error on a level left out: {:.2} % on average (the first and the last not counted), {:.2} % at worst (slots {})",
            100.0 * mean,
            100.0 * worst.mean_error,
            worst.slots
        );
    }
}

/// What the law says of a level, with the largest error that it has made on a level left out.
fn predicted(surface: &Surface, slots: u32, pods: &BTreeSet<u32>) -> String {
    let said = pods.iter().map(|&pods| format!("{pods} pods {:.3} s", surface.law.at(slots, pods)));
    let said = said.collect::<Vec<_>>().join(", ");
    match surface.largest_error {
        Some(error) => format!("slots {slots} by the law: {said} (each +- {:.1} %)", 100.0 * error),
        None => format!("slots {slots} by the law: {said} (too few levels to tell its error)"),
    }
}

fn words(status: LevelStatus) -> &'static str {
    match status {
        LevelStatus::Exp => "EXP",
        LevelStatus::Line => "LINE",
        LevelStatus::Flat => "FLAT",
        LevelStatus::Step => "STEP",
        LevelStatus::Rising => "RISING",
        LevelStatus::RateNotIdentified => "RATE_NOT_IDENTIFIED",
        LevelStatus::Insufficient => "INSUFFICIENT",
    }
}
