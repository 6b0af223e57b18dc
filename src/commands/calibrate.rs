//! `splitscale calibrate`: a table of times in, curves and a law out; with records, the laws of the simulator too.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use splitscale_calibration::regression::nist::{Agreement, Problem};
use splitscale_calibration::{
    BadCell, BadRows, DistributionOptions, FitMethod, FitReport, LawFit, Options, OtherFit, Tier,
    are_records, burst_size, corner_cells, fit_laws, one_measurement, read_records, read_starts, read_times,
    times_of,
};
use splitscale_spec::{Calibration, Laws, Level, LevelStatus, Surface};

use crate::cli::Calibrate;
use crate::files;
use crate::measurement::Measurement;

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
    let sources = Sources::of(args)?;
    let bad_rows = if args.skip_bad_rows { BadRows::Skip } else { BadRows::Refuse };
    let records = sources.records.as_deref().map(|path| {
        let records = read_records(&path.display().to_string(), &files::read(path)?, bad_rows)?;
        report(&records.dropped);
        anyhow::Ok(records)
    });
    let records = records.transpose()?;
    let table = match (&sources.table, &records) {
        (Some(path), _) => {
            let table = read_times(&path.display().to_string(), &files::read(path)?, bad_rows)?;
            report(&table.dropped);
            table
        }
        (None, Some(records)) => times_of(records)?,
        (None, None) => bail!("neither a table nor records; name one of them"),
    };
    let options = Options { robust: args.robust, monotone: args.monotone, ..Options::default() };
    let (mut calibration, mut fits) = splitscale_calibration::calibrate(&table, &options)?;
    if let Some(records) = &records {
        one_measurement(&table, records)?;
        calibration.burst = burst_size(&records.rows);
        let cells = corner_cells(&records.rows);
        let starts = sources.starts.as_deref().map(|path| {
            let starts = read_starts(&path.display().to_string(), &files::read(path)?, bad_rows)?;
            report(&starts.dropped);
            anyhow::Ok(starts.rows)
        });
        let starts = starts.transpose()?.unwrap_or_default();
        let (laws, found) = fit_laws(&records.rows, &cells, &starts, &DistributionOptions::default())?;
        (calibration.laws, fits.laws) = (Some(laws), found);
    } else if args.laws.is_some() || sources.starts.is_some() {
        bail!("--laws and --starts need the records of the requests; name them with --records");
    }
    if let Some(path) = &sources.run {
        let run: Measurement = files::read_json(path, Measurement::SCHEMA)?;
        let of = &mut calibration.provenance;
        (of.host, of.engine, of.date) = (Some(run.host), Some(run.engine), Some(run.date));
    }
    if calibration.surface.is_none() && !args.predict.is_empty() {
        bail!("{}: no law to predict by; it takes two levels, two pod counts and six cells", table.file);
    }
    files::write_json(&args.out, &calibration)?;
    if let Some(path) = &args.fit {
        files::write_csv(path, calibration.levels.iter().flat_map(fit_rows))?;
    }
    if let Some(path) = &args.laws {
        files::write_csv(path, fits.laws.iter().flat_map(law_rows))?;
    }
    if let Some(path) = &args.report {
        files::write_json(path, &fits)?;
    }
    print(&calibration, &fits, args);
    Ok(())
}

/// The files of a measurement.
struct Sources {
    table: Option<PathBuf>,
    records: Option<PathBuf>,
    starts: Option<PathBuf>,
    run: Option<PathBuf>,
}

impl Sources {
    /// Those that were named; beside a named folder, or a named file of the collector's, what else it has left there.
    fn of(args: &Calibrate) -> Result<Self> {
        let path = args.table.clone().context("no table")?;
        let inside = |folder: &Path, name: &str| Some(folder.join(name)).filter(|path| path.exists());
        let sources = if path.is_dir() {
            let sources = Sources {
                table: inside(&path, "table.csv"),
                records: args.records.clone().or_else(|| inside(&path, "records.csv")),
                starts: args.starts.clone().or_else(|| inside(&path, "starts.csv")),
                run: inside(&path, "run.json"),
            };
            if sources.table.is_none() && sources.records.is_none() {
                bail!("{} holds neither table.csv nor records.csv", path.display());
            }
            sources
        } else {
            let run = path.parent().and_then(|folder| inside(folder, "run.json"));
            match (are_records(&files::read(&path)?), &args.records) {
                (true, Some(other)) => {
                    bail!("{} holds records itself; leave --records {} away", path.display(), other.display())
                }
                (true, None) => {
                    Sources { table: None, records: Some(path), starts: args.starts.clone(), run }
                }
                (false, records) => {
                    let (records, starts) = (records.clone(), args.starts.clone());
                    // A table of somewhere else has nothing to do with the run beside it.
                    let run = run.filter(|_| path.file_name().is_some_and(|name| name == "table.csv"));
                    Sources { table: Some(path), records, starts, run }
                }
            }
        };
        Ok(sources)
    }
}

/// A row of `laws.csv`: a percent of one duration.
#[derive(Debug, Serialize)]
pub struct LawRow<'a> {
    law: &'a str,
    family: &'a str,
    percent: u32,
    measured_s: f64,
    law_s: f64,
}

/// The rows of a law.
pub fn law_rows(law: &LawFit) -> impl Iterator<Item = LawRow<'_>> {
    let pairs = law.measured_s.iter().zip(&law.fit.quantiles_s).zip(1..);
    pairs.map(|((&measured_s, &law_s), percent)| LawRow {
        law: &law.law,
        family: &law.fit.name,
        percent,
        measured_s,
        law_s,
    })
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
        print_laws(laws, &fits.laws);
    }
}

/// A line a law, and what else the simulator is given.
fn print_laws(laws: &Laws, fits: &[LawFit]) {
    println!("laws, from the requests of {} corner cells (95 % intervals):", laws.fitted_on.len());
    for LawFit { law, fit, .. } in fits {
        let p = fit.candidates.iter().find(|c| c.name == fit.name).and_then(|c| c.p_value);
        let tested = match (p, fit.candidates.first()) {
            (Some(p), _) => format!(", A-D p {p:.2}"),
            (None, Some(best)) if best.p_value.is_some() => {
                format!(" (of the others {} came closest)", best.name)
            }
            _ => String::new(),
        };
        println!(
            "{law:>11}  mean {:.4} s ({:.4} .. {:.4}), cv {:.3}, p95 {:.4} s, n {}: {}{tested}",
            fit.mean_s.value,
            fit.mean_s.low,
            fit.mean_s.high,
            fit.cv.value,
            fit.p95_s.value,
            fit.count,
            fit.name
        );
    }
    for (stage, name, cores) in [("A", "cores_a", laws.cores_a), ("B", "cores_b", laws.cores_b)] {
        match (cores, laws.intervals.get(name)) {
            (Some(pods), Some(interval)) => println!(
                "pods of {stage} share: {pods:.2} of them work at full speed ({:.2} .. {:.2}), more slow each other",
                interval.low, interval.high
            ),
            _ => println!("pods of {stage} were not seen to slow each other"),
        }
    }
    let Some(slot) = &laws.slot else { return };
    let link = if slot.shared { "all slots share one link" } else { "each slot has a link of its own" };
    let held = if slot.held_until_answer { "until B has answered" } else { "over the transfer alone" };
    let cost = match (slot.seconds_per_byte, slot.fixed_s) {
        (Some(per_byte), Some(fixed_s)) => {
            format!(
                "{:.2} ns a byte ({:.1} Mbit/s) and {:.2} ms besides",
                per_byte * 1e9,
                8e-6 / per_byte,
                fixed_s * 1e3
            )
        }
        _ => "one size and no emulated bandwidth: bytes and the rest cannot be told apart".into(),
    };
    println!("slots: {link}, held {held}; {:.0} bytes: {cost}", slot.bytes);
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
