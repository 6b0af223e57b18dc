//! `splitscale verify`: simulations beside the exact answers of their models.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::Path;
use std::thread::available_parallelism;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use splitscale_sim::verify::{CASES, Row, Runs, VerifyError, solver_only, verify};
use splitscale_sim::{Experiment, Point, Replications};
use tokio_util::sync::CancellationToken;

use crate::cli::Verify;
use crate::files;
use crate::interrupt::{self, Interrupted};
use crate::progress;

/// An experiment that is to be verified.
struct Case {
    file: String,
    name: String,
    title: String,
    replications: u32,
    points: Vec<Point>,
}

/// A row and what is to be thought of it.
#[derive(Debug, Serialize)]
struct Judged {
    #[serde(flatten)]
    row: Row,
    verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Agrees,
    Differs,
    TooWide,
    SolverOnly,
}

/// Verifies every point of every experiment and prints the rows; an error if one of them failed.
pub fn run(args: &Verify) -> Result<()> {
    let mut cases = Vec::new();
    if args.all {
        for (file, text) in CASES {
            cases.push(Case::read(file, text, Path::new(""))?);
        }
    }
    for path in &args.configs {
        let text = files::read(path)?;
        cases.push(Case::read(&path.display().to_string(), &text, path.parent().unwrap_or(Path::new("")))?);
    }
    let rows = interrupt::run(async |stop| tokio::task::block_in_place(|| rows(&cases, args, &stop)))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    }
    let failed = rows.iter().filter(|row| row.verdict.failed()).count();
    let simulated = rows.iter().filter(|row| row.verdict != Verdict::SolverOnly).count();
    if failed > 0 {
        bail!("{failed} of {simulated} simulated values differ from theory or are too wide to tell");
    }
    if !args.json {
        println!("\n{simulated} simulated values agree with theory: |z| <= 4 at half-widths of at most 1 %");
    }
    Ok(())
}

/// All rows; unless they are to be JSON, each is printed as soon as it is known.
fn rows(cases: &[Case], args: &Verify, stop: &CancellationToken) -> Result<Vec<Judged>> {
    let all: u64 = cases.iter().map(|case| case.points.len() as u64 * u64::from(case.replications)).sum();
    let bar = progress::bar("verify", all, "replications");
    let after_each = || {
        bar.inc(1);
        if stop.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let tell = |text: &str| {
        if !args.json {
            bar.suspend(|| println!("{text}"));
        }
    };
    let cores = || available_parallelism().map_or(1, usize::from);
    let threads = args.threads.map_or_else(cores, |threads| threads as usize);
    let mut judged = Vec::new();
    let header = Cell::new(true);
    for case in cases {
        tell(&format!("{}{}: {}", if header.take() { "" } else { "\n" }, case.name, case.title));
        for point in &case.points {
            let label =
                point.labels.iter().map(|(axis, value)| format!(", {axis} {value}")).collect::<String>();
            let runs =
                Runs { seed: point.seed, replications: case.replications, threads, after_each: &after_each };
            let rows = match verify(&point.setup, &runs) {
                Err(VerifyError::Stopped) => {
                    bar.finish_and_clear();
                    return Err(Interrupted("what was verified stands above".into()).into());
                }
                rows => rows.with_context(|| format!("{}{label}", case.file))?,
            };
            tell(&format!(
                "  {:<50} {:>13} {:>13} {:>9} {:>7}",
                label.trim_start_matches(", "),
                "exact",
                "simulated",
                "+- 95 %",
                "z"
            ));
            for row in rows {
                let verdict = Verdict::of(&row);
                tell(&line(&row, verdict));
                let name = format!("{}{label}: {}", case.name, row.name);
                judged.push(Judged { row: Row { name, ..row }, verdict });
            }
        }
    }
    if args.all {
        tell("\nsolver only: models that the simulator does not have");
        for row in solver_only()? {
            tell(&line(&row, Verdict::SolverOnly));
            judged.push(Judged { row, verdict: Verdict::SolverOnly });
        }
    }
    bar.finish_and_clear();
    Ok(judged)
}

fn line(row: &Row, verdict: Verdict) -> String {
    let Row { name, exact, simulated: Some(simulated), half_width: Some(half_width), z: Some(z) } = row
    else {
        return format!("    {:<48} {:>13.6}", row.name, row.exact);
    };
    let share = 100.0 * half_width / exact.abs();
    let mark = match verdict {
        Verdict::Differs => "  DIFFERS",
        Verdict::TooWide => "  TOO WIDE",
        _ => "",
    };
    format!("    {name:<48} {exact:>13.6} {simulated:>13.6} {share:>7.2} % {z:>+7.2}{mark}")
}

// === impl Case ===

impl Case {
    fn read(file: &str, text: &str, folder: &Path) -> Result<Self> {
        let experiment = Experiment::parse(file, text)?;
        let Replications::Fixed(replications) = experiment.replications else {
            bail!("{file}: stop: a verification runs a fixed number; set replications instead");
        };
        let plan = experiment.plan::<anyhow::Error>(&mut |name| files::read(&folder.join(name)))?;
        if let Some(point) = plan.points.iter().find(|point| !point.pods_change.is_empty()) {
            let at = point.labels.iter().map(|(axis, value)| format!(" (where {axis} = {value})"));
            bail!(
                "{file}: setup.pods_change{}: no exact answer is known; leave it away",
                at.collect::<String>()
            );
        }
        let (name, title) = (experiment.name, experiment.title);
        Ok(Case { file: file.into(), name, title, replications, points: plan.points })
    }
}

// === impl Verdict ===

impl Verdict {
    fn of(row: &Row) -> Self {
        match row {
            _ if !row.agrees() => Verdict::Differs,
            _ if !row.is_powered() => Verdict::TooWide,
            _ => Verdict::Agrees,
        }
    }

    fn failed(self) -> bool {
        matches!(self, Verdict::Differs | Verdict::TooWide)
    }
}
