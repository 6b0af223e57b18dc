//! Policies side by side: what the traffic was, and what each made of it, on one time axis.

use std::path::{Path, PathBuf};

use plotters::prelude::{Color, RGBColor};
use polars::prelude::SortMultipleOptions;

use crate::axis::{Axis, Panel};
use crate::canvas::{BLUE, GREEN, INK, Mark, ORANGE, PURPLE, SKY, VERMILLION, ordered};
use crate::figure::{Figure, same_file};
use crate::page::{MARGIN, Page, Words, counted, runs};
use crate::timeline::{backgrounds, interval, steps};
use crate::{Error, Frame};

/// One for each policy; where there are more policies, they are ordered colours.
const COLORS: [RGBColor; 6] = [BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY];
/// Room above a strip, for its title [pixels].
const GAP: f64 = 38.0;

/// Draws `contest`: transfer slots, desired pods of both stages together, throughput and 95th percentile of the latency of
/// each policy's pipeline, stacked over one time axis. The fewer the transfer slots, the darker the background. Missing
/// values are gaps.
///
/// # Errors
/// As [`crate::fit`], where the files cannot be written.
pub fn contest(looks: &Frame, out: &Path) -> Result<Vec<PathBuf>, Error> {
    let scores = looks.file().with_file_name("contest.csv");
    if same_file(&scores, &out.join("contest.csv")) {
        return Err(Error::Overwrites { file: scores });
    }
    // Colours go by the order of the table, not by whose first look came first.
    let names = distinct(looks.texts("policy")?);
    let by_time = SortMultipleOptions::new().with_maintain_order(true);
    let looks = looks.map(|rows| rows.sort(["time_s"], by_time))?;
    let whose = looks.texts("policy")?;
    let times = looks.all_numbers("time_s")?;
    let rows_of = |name: &String| (0..times.len()).filter(|&row| whose[row] == *name).collect::<Vec<_>>();
    let rows: Vec<Vec<usize>> = names.iter().map(rows_of).collect();
    let slots = looks.numbers("slots")?;
    let promise = looks.numbers("slo_s")?.into_iter().flatten().next();
    let color = |at: usize| match names.len() <= COLORS.len() {
        true => COLORS[at],
        false => ordered(at, names.len()),
    };
    let first: Vec<f64> = rows[0].iter().map(|&row| times[row]).collect();
    let traffic: Vec<Option<f64>> = rows[0].iter().map(|&row| slots[row]).collect();
    let backgrounds = backgrounds(&first, &traffic);

    let caption = format!(
        "n = {} at {}{}. The same arrivals and transfer slots for all. Background: the darker, the fewer transfer \
         slots. Throughput and latency: over the window of a look, of what was answered in it; a request that was given up \
         has none. Where a value was not known, its line has a gap; lines that lie on each other differ in width.",
        counted(times.len() as f64, "look"),
        counted(names.len() as f64, "pipeline"),
        interval(&first),
    );
    let labels = shortened(&names, 1200.0 - 2.0 * MARGIN);
    let key: Vec<_> =
        labels.iter().enumerate().map(|(at, name)| (Mark::Line, color(at), name.as_str())).collect();
    let words = Words { title: "The same traffic, a pipeline a policy", key: &key, caption: &caption };
    let body = STRIPS.iter().map(|strip| GAP + strip.height).sum::<f64>() + 52.0;
    let mut page = Page::new(1200.0, body, &words);
    let (left, right) = (MARGIN + 52.0, page.width - MARGIN - 76.0);
    let mut top = page.top;
    for (at, strip) in STRIPS.iter().enumerate() {
        top += GAP;
        let values = sums(&looks, strip.columns)?;
        let promise = promise.filter(|_| strip.promised);
        let present: Vec<f64> = values.iter().flatten().copied().chain(promise).collect();
        let panel = Panel {
            edges: (left, top, right, top + strip.height),
            x: Axis::tight("time [s]", times.iter().copied(), 10),
            y: (if strip.steps { Axis::whole_from_zero } else { Axis::from_zero })(strip.title, present, 4),
        };
        top += strip.height;
        for &(start, end, shade) in &backgrounds {
            panel.shade(&mut page.canvas, start..end, INK.mix(shade));
        }
        panel.draw_axes(&mut page.canvas, at + 1 == STRIPS.len());
        if values.iter().all(Option::is_none) {
            panel.say_empty(&mut page.canvas);
        }
        if let Some(promise) = promise {
            let y = panel.at(0.0, promise).1;
            page.canvas.dashes(vec![(left, y), (right, y)], INK, 1.25);
            page.labels_beside(&panel, vec![(y, INK, "promised")]);
        }
        for (policy, rows) in rows.iter().enumerate() {
            let line: Vec<_> = rows.iter().map(|&row| (times[row], values[row])).collect();
            // The traffic is the same for all.
            let color = if strip.traffic { INK } else { color(policy) };
            for run in runs(&line) {
                let run = if strip.steps { steps(&run) } else { run };
                let points = run.into_iter().map(|(x, y)| panel.at(x, y)).collect();
                page.canvas.run(points, color, width(policy, names.len()));
            }
        }
    }
    let plotted = looks.data().columns().to_vec();
    Figure { name: "contest", canvas: page.canvas, plotted, sources: &[&looks] }.write(out)
}

struct Strip {
    title: &'static str,
    /// [pixels]
    height: f64,
    /// What is added up.
    columns: &'static [&'static str],
    /// Whether a value holds until the next look.
    steps: bool,
    /// Whether it is what all of them face.
    traffic: bool,
    /// Whether the promise stands in it.
    promised: bool,
}

const STRIPS: [Strip; 4] = [
    Strip {
        title: "transfer slots",
        height: 84.0,
        columns: &["slots"],
        steps: true,
        traffic: true,
        promised: false,
    },
    Strip {
        title: "desired pods, A and B together",
        height: 170.0,
        columns: &["desired_a", "desired_b"],
        steps: true,
        traffic: false,
        promised: false,
    },
    Strip {
        title: "throughput [1/s]",
        height: 150.0,
        columns: &["throughput_per_s"],
        steps: false,
        traffic: false,
        promised: false,
    },
    Strip {
        title: "latency, 95th percentile [s]",
        height: 170.0,
        columns: &["latency_p95_s"],
        steps: false,
        traffic: false,
        promised: true,
    },
];

/// Row by row the sum of these columns; absent where one of them is.
fn sums(looks: &Frame, columns: &[&str]) -> Result<Vec<Option<f64>>, Error> {
    let columns = columns.iter().map(|column| looks.numbers(column)).collect::<Result<Vec<_>, _>>()?;
    Ok((0..looks.data().height()).map(|row| columns.iter().map(|values| values[row]).sum()).collect())
}

/// The names in the order in which they come first.
fn distinct(names: Vec<String>) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

/// The first of several lines is the widest, so that one that lies below others is seen all the same [pixels].
fn width(at: usize, count: usize) -> f64 {
    const LEAST: f64 = 1.5;
    LEAST + 0.9 * (count - 1 - at).min(3) as f64
}

/// Names of at most so many letters that all stand in one line of `width` pixels.
fn shortened(names: &[String], width: f64) -> Vec<String> {
    const LETTER: f64 = 9.0;
    let most = ((width / names.len() as f64 - 64.0) / LETTER).max(6.0) as usize;
    let short = |name: &String| match name.chars().count() > most {
        true => name.chars().take(most - 1).chain(['…']).collect(),
        false => name.clone(),
    };
    names.iter().map(short).collect()
}
