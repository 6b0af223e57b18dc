//! The report: JSON and CSV for programs, Markdown for people.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use splitscale_calibration::{Compared, Fidelity, Figures, fidelity};
use splitscale_spec::{Laws, RequestRecord};

use super::Session;
use super::cell::ComparedCell;
use super::plan::{Accuracy, Cell};
use crate::files;

/// Everything that was found.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: u32,
    session: &'a Session,
    summary: Summary,
    /// One cell measured twice: the second time in the place of the simulator.
    floor: Option<Floor>,
    cells: &'a [ComparedCell],
}

/// The held-out cells together.
#[derive(Debug, Clone, Serialize)]
struct Summary {
    cells: usize,
    /// Mean |error| of the mean latency.
    mean: f64,
    /// Mean |error| of the 99th percentile.
    p99: f64,
    /// Largest |error| of a mean latency, and where.
    worst: f64,
    worst_cell: String,
    /// Mean |difference| of SLO attainment.
    attainment: f64,
    /// Largest of them, and where.
    attainment_worst: f64,
    attainment_worst_cell: String,
    /// Requests without an answer.
    unanswered: u32,
    /// Wall time of the servers over that of a simulation, all cells together.
    speedup: f64,
}

/// A cell against itself.
#[derive(Debug, Clone, Serialize)]
pub struct Floor {
    cell: String,
    fidelity: Fidelity,
}

/// A row of `fidelity.csv`, or of `stations.csv`.
#[derive(Debug, Serialize)]
struct Row<'a> {
    cell: &'a str,
    load: String,
    slots: u32,
    pods: u32,
    utilisation: f64,
    part: &'a str,
    figure: &'static str,
    measured_s: f64,
    simulated_s: f64,
    error: f64,
    low: f64,
    high: f64,
}

/// A row of `latency.csv`.
#[derive(Debug, Serialize)]
struct LatencyRow<'a> {
    cell: &'a str,
    percent: u32,
    measured_s: f64,
    simulated_s: f64,
}

/// Compares the cell that was measured twice with itself, if there is one.
pub fn floor(
    cells: &[Cell],
    slo_s: f64,
    read: impl Fn(&Cell) -> Result<Vec<RequestRecord>>,
) -> Result<Option<Floor>> {
    let twice = cells.iter().find_map(|again| {
        let name = again.name.strip_suffix("-again")?;
        Some((cells.iter().find(|cell| cell.name == name)?, again))
    });
    let Some((first, again)) = twice else { return Ok(None) };
    let compared = fidelity(&read(first)?, &[read(again)?], slo_s, 0)?;
    Ok(Some(Floor { cell: first.name.clone(), fidelity: compared }))
}

/// Writes `fidelity.json`, `.csv`, `.md`, `stations.csv` and `latency.csv`, and prints the Markdown.
pub fn write(
    out: &Path,
    session: &Session,
    laws: &Laws,
    (cells, floor): (Vec<ComparedCell>, Option<Floor>),
) -> Result<()> {
    let summary = Summary::of(&cells);
    let text = markdown(session, laws, &cells, (&summary, floor.as_ref()));
    files::write_csv(&out.join("fidelity.csv"), cells.iter().flat_map(rows))?;
    files::write_csv(&out.join("stations.csv"), cells.iter().flat_map(station_rows))?;
    files::write_csv(&out.join("latency.csv"), cells.iter().flat_map(latency_rows))?;
    files::write_json(
        &out.join("fidelity.json"),
        &Report { schema: 1, session, summary, floor, cells: &cells },
    )?;
    files::write(&out.join("fidelity.md"), text.as_bytes())?;
    print!("{text}");
    println!("{}", out.display());
    Ok(())
}

fn rows(cell: &ComparedCell) -> Vec<Row<'_>> {
    rows_of(cell, "latency", &cell.fidelity.latency)
}

fn station_rows(cell: &ComparedCell) -> Vec<Row<'_>> {
    cell.fidelity.parts.iter().flat_map(|part| rows_of(cell, &part.part, &part.figures)).collect()
}

fn rows_of<'a>(cell: &'a ComparedCell, part: &'a str, of: &Figures) -> Vec<Row<'a>> {
    let figures = [("mean", of.mean), ("p50", of.p50), ("p90", of.p90), ("p99", of.p99)];
    let row = |(figure, compared): (&'static str, Compared)| Row {
        cell: &cell.name,
        load: cell.load.into(),
        slots: cell.place.slots,
        pods: cell.place.pods,
        utilisation: cell.utilisation,
        part,
        figure,
        measured_s: compared.measured_s,
        simulated_s: compared.simulated_s,
        error: compared.error,
        low: compared.low,
        high: compared.high,
    };
    figures.map(row).into()
}

fn latency_rows(cell: &ComparedCell) -> impl Iterator<Item = LatencyRow<'_>> {
    cell.quantiles_s.iter().zip(1..).map(|(&(measured_s, simulated_s), percent)| LatencyRow {
        cell: &cell.name,
        percent,
        measured_s,
        simulated_s,
    })
}

fn markdown(
    session: &Session,
    laws: &Laws,
    cells: &[ComparedCell],
    (summary, floor): (&Summary, Option<&Floor>),
) -> String {
    let mut text = String::new();
    let mut line = |words: String| writeln!(text, "{words}").expect("a string grows");
    let Session { date, host, splitscale, seed, plan, trace, pipeline, pilot, .. } = session;
    line(format!("# Fidelity, {}\n", &date[..10]));
    line(format!("- begun {date}, on {host}"));
    let bandwidth = pipeline
        .slot_mbit_s
        .map_or("no emulated bandwidth".into(), |mbit_s| format!("slots of {mbit_s} Mbit/s"));
    let rated = match pipeline.rated_cpu_s {
        [Some(a), Some(b)] => format!(", requests rated at {a} and {b} CPU s"),
        _ => String::new(),
    };
    line(format!(
        "- splitscale {splitscale}, engines of A and B {:?}, cut {}, pods of {:?} cores{rated}, {bandwidth}, seed {seed}",
        pipeline.engine, pipeline.cut, pipeline.cpu_share
    ));
    if let Some(trace) = trace {
        line(format!(
            "- trace: the first {} of the {} arrivals of {}",
            plan.held_out.requests, trace.arrivals, trace.file
        ));
    }
    line(format!(
        "- a request of the pilot, without its waits: A {:.3} s, transfer {:.3} s, B {:.3} s, outside {:.4} s; promised (SLO): {:.2} s",
        pilot.service_a_s,
        pilot.transfer_s,
        pilot.service_b_s,
        pilot.outside_s,
        plan.held_out.slo_times_pilot * pilot.latency_s()
    ));
    line(format!(
        "- laws fitted on bursts of {} at (slots, pods) {:?}: A {:.3} s, transfer {:.3} s, B {:.3} s, outside {:.4} s (means)\n",
        plan.fitting.burst,
        laws.fitted_on,
        laws.service_a.mean_s(),
        laws.transfer.mean_s(),
        laws.service_b.mean_s(),
        laws.overhead.mean_s()
    ));
    let asked = &plan.accuracy;
    line(format!(
        "Asked for before anything was measured, and found on {} held-out cells of {} requests:\n",
        summary.cells, plan.held_out.requests
    ));
    line("| | found | asked | |".into());
    line("|---|---:|---:|---|".into());
    for (what, found, most, place) in summary.against(asked) {
        let verdict = if found <= most { "met" } else { "MISSED" };
        line(format!("| {what} | {:.1} % | {:.1} % | {verdict}{place} |", 100.0 * found, 100.0 * most));
    }
    if let Some(Floor { cell, fidelity }) = floor {
        let of = &fidelity.latency;
        line(format!(
            "\nThe floor, {cell} measured twice with the same arrivals: mean {}, p50 {}, p99 {}, KS {:.3}, attainment {:.1} and {:.1} %.",
            error(&of.mean),
            error(&of.p50),
            error(&of.p99),
            of.ks,
            100.0 * fidelity.attainment_measured,
            100.0 * fidelity.attainment_simulated
        ));
    }
    let telling = |c: &&ComparedCell| {
        [c.fidelity.attainment_measured, c.fidelity.attainment_simulated]
            .iter()
            .any(|part| (0.001..0.999).contains(part))
    };
    line(format!(
        "\n{} requests without an answer; the latest was sent {:.1} ms after it was due. A simulation ran {:.0} times as fast as the servers. On {} cells attainment is neither 0 nor 100 %. Errors are (simulated - measured) / measured, with 95 % intervals by blocks of 50 requests, too narrow at utilisations of about 1.\n",
        summary.unanswered,
        1e3 * cells.iter().map(|cell| cell.late_s).fold(0.0, f64::max),
        summary.speedup,
        cells.iter().filter(telling).count()
    ));
    line("| cell | util. | mean [s] | mean | p50 | p90 | p99 | KS | SLO measured, simulated | servers [s] | simulation [ms] |".into());
    line("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|".into());
    for cell in cells {
        let of = &cell.fidelity.latency;
        line(format!(
            "| {} | {:.2} | {:.3} | {} | {} | {} | {} | {:.3} | {:.1} %, {:.1} % | {:.0} | {:.2} |",
            cell.name,
            cell.utilisation,
            of.mean.measured_s,
            error(&of.mean),
            error(&of.p50),
            error(&of.p90),
            error(&of.p99),
            of.ks,
            100.0 * cell.fidelity.attainment_measured,
            100.0 * cell.fidelity.attainment_simulated,
            cell.measured_wall_s,
            1e3 * cell.simulated_wall_s
        ));
    }
    let Some(first) = cells.first() else { return text };
    line("\nEach part of the way, mean of |error| over the cells (of a duration below 1 ms, as if it were one); stations.csv has each cell's, with intervals:\n".into());
    line("| part | mean | p50 | p90 | p99 | KS |".into());
    line("|---|---:|---:|---:|---:|---:|".into());
    for (at, part) in first.fidelity.parts.iter().enumerate() {
        let over = |of: &dyn Fn(&Figures) -> f64| {
            let all = cells.iter().map(|cell| of(&cell.fidelity.parts[at].figures).abs());
            all.sum::<f64>() / cells.len() as f64
        };
        let [mean, p50, p90, p99] =
            [over(&|f| f.mean.error), over(&|f| f.p50.error), over(&|f| f.p90.error), over(&|f| f.p99.error)]
                .map(|e| 100.0 * e);
        let ks = over(&|f| f.ks);
        line(format!("| {} | {mean:.1} % | {p50:.1} % | {p90:.1} % | {p99:.1} % | {ks:.3} |", part.part));
    }
    line("\nWhere the error of the mean comes from, in points of the mean latency:\n".into());
    let names: Vec<&str> = first.fidelity.parts.iter().map(|part| part.part.as_str()).collect();
    line(format!("| cell | {} |", names.join(" | ")));
    line(format!("|---|{}", "---:|".repeat(names.len())));
    for cell in cells {
        let parts: Vec<String> =
            cell.fidelity.parts.iter().map(|part| format!("{:+.1}", 100.0 * part.of_latency)).collect();
        line(format!("| {} | {} |", cell.name, parts.join(" | ")));
    }
    text
}

fn error(of: &Compared) -> String {
    format!("{:+.1} % ({:+.1} .. {:+.1})", 100.0 * of.error, 100.0 * of.low, 100.0 * of.high)
}

// === impl Summary ===

impl Summary {
    fn of(cells: &[ComparedCell]) -> Self {
        let n = cells.len().max(1) as f64;
        let mean =
            |of: &dyn Fn(&ComparedCell) -> f64| cells.iter().map(|cell| of(cell).abs()).sum::<f64>() / n;
        let worst = |of: &dyn Fn(&ComparedCell) -> f64| {
            let worst = cells.iter().max_by(|a, b| of(a).abs().total_cmp(&of(b).abs()));
            worst.map_or((0.0, String::new()), |cell| (of(cell).abs(), cell.name.clone()))
        };
        let mean_error = |cell: &ComparedCell| cell.fidelity.latency.mean.error;
        let attainment =
            |cell: &ComparedCell| cell.fidelity.attainment_simulated - cell.fidelity.attainment_measured;
        let ((worst_mean, worst_cell), (attainment_worst, attainment_worst_cell)) =
            (worst(&mean_error), worst(&attainment));
        Summary {
            cells: cells.len(),
            mean: mean(&mean_error),
            p99: mean(&|cell| cell.fidelity.latency.p99.error),
            worst: worst_mean,
            worst_cell,
            attainment: mean(&attainment),
            attainment_worst,
            attainment_worst_cell,
            unanswered: cells.iter().map(|cell| cell.fidelity.requests - cell.fidelity.answered).sum(),
            speedup: cells.iter().map(|cell| cell.measured_wall_s).sum::<f64>()
                / cells.iter().map(|cell| cell.simulated_wall_s).sum::<f64>().max(1e-9),
        }
    }

    /// What was found beside what was asked for, and where it was worst.
    fn against(&self, asked: &Accuracy) -> [(&'static str, f64, f64, String); 4] {
        let at = |cell: &str| format!(" ({cell})");
        let points =
            format!(" (at worst {:.1}, {})", 100.0 * self.attainment_worst, self.attainment_worst_cell);
        [
            ("error of the mean latency", self.mean, asked.mean, String::new()),
            ("error of the 99th percentile", self.p99, asked.p99, String::new()),
            ("error of the mean of the worst cell", self.worst, asked.worst, at(&self.worst_cell)),
            ("difference of SLO attainment, in points", self.attainment, asked.attainment, points),
        ]
    }
}
