//! A live run: what the link did, what was decided, and what the clients felt, on one time axis.

use std::path::{Path, PathBuf};

use plotters::prelude::{Color, RGBColor};
use polars::prelude::{Column, SortMultipleOptions};

use crate::axis::{Axis, Panel};
use crate::canvas::{BLUE, Canvas, GREEN, GREY, INK, ORANGE, PURPLE, Point, VERMILLION};
use crate::figure::Figure;
use crate::page::{MARGIN, Page, Words, counted, runs};
use crate::{Error, Frame};

/// Draws `timeline`: transfer slots, desired and ready pods of A and B, throughput and latency, stacked over
/// one time axis. Thin vertical lines are scale decisions, that is changes of desired pods; the fewer the
/// transfer slots, the darker the background. Missing values are gaps.
///
/// # Errors
/// As [`crate::fit`], where the files cannot be written.
pub fn timeline(looks: &Frame, out: &Path) -> Result<Vec<PathBuf>, Error> {
    let by_time = SortMultipleOptions::new().with_maintain_order(true);
    let looks = looks.map(|rows| rows.sort(["time_s"], by_time))?;
    let times = looks.all_numbers("time_s")?;
    let backgrounds = backgrounds(&times, &looks.numbers("slots")?);
    let decisions = changes(&[looks.numbers("desired_a")?, looks.numbers("desired_b")?]);

    let caption = format!(
        "n = {}{}. Thin vertical lines: {} (changes of desired pods). Background: the darker, the \
         fewer transfer slots. Where a value was not known at a look, its line has a gap.",
        counted(times.len() as f64, "look"),
        interval(&times),
        counted(decisions.len() as f64, "scale decision"),
    );
    let words = Words { title: "Live run: slots, pods, throughput, latency", key: &[], caption: &caption };
    let body = STRIPS.iter().map(|strip| GAP + strip.height).sum::<f64>() + 52.0;
    let mut page = Page::new(1200.0, body, &words);
    let (left, right) = (MARGIN + 52.0, page.width - 104.0);
    let mut top = page.top;
    for (at, strip) in STRIPS.iter().enumerate() {
        top += GAP;
        let series =
            strip.series.iter().map(|series| looks.numbers(series.column)).collect::<Result<Vec<_>, _>>()?;
        let present: Vec<f64> = series.iter().flatten().flatten().copied().collect();
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
        for &decision in &decisions {
            let x = panel.at(times[decision], 0.0).0;
            page.canvas.line(vec![(x, panel.edges.1), (x, panel.edges.3)], GREY, 0.75);
        }
        let mut labels = Vec::new();
        for (series, values) in strip.series.iter().zip(&series) {
            let rows: Vec<_> = times.iter().copied().zip(values.iter().copied()).collect();
            for run in runs(&rows) {
                let run: Vec<_> = if strip.steps { steps(&run) } else { run };
                series.draw(&mut page.canvas, run.into_iter().map(|(x, y)| panel.at(x, y)).collect());
            }
            let last = values.iter().flatten().next_back();
            labels.extend(last.map(|&value| (panel.at(0.0, value).1, series.color, series.label)));
        }
        if labels.is_empty() {
            panel.say_empty(&mut page.canvas);
        }
        page.labels_beside(&panel, labels);
    }

    let mut plotted = looks.data().columns().to_vec();
    let decided: Vec<bool> = (0..times.len()).map(|look| decisions.contains(&look)).collect();
    plotted.push(Column::new("decision".into(), decided));
    Figure { name: "timeline", canvas: page.canvas, plotted, sources: &[&looks] }.write(out)
}

/// Room above a strip, for its title [pixels].
const GAP: f64 = 38.0;

struct Strip {
    title: &'static str,
    /// [pixels]
    height: f64,
    /// Whether a value holds until the next look.
    steps: bool,
    series: &'static [Series],
}

struct Series {
    column: &'static str,
    label: &'static str,
    color: RGBColor,
    dashed: bool,
}

const STRIPS: [Strip; 5] = [
    Strip {
        title: "transfer slots",
        height: 84.0,
        steps: true,
        series: &[Series::solid("slots", "slots", INK)],
    },
    Strip {
        title: "pods of A",
        height: 100.0,
        steps: true,
        series: &[Series::solid("ready_a", "ready", BLUE), Series::dashed("desired_a", "desired", INK)],
    },
    Strip {
        title: "pods of B",
        height: 100.0,
        steps: true,
        series: &[Series::solid("ready_b", "ready", VERMILLION), Series::dashed("desired_b", "desired", INK)],
    },
    Strip {
        title: "throughput [1/s]",
        height: 120.0,
        steps: false,
        series: &[Series::solid("throughput_per_s", "answered", GREEN)],
    },
    Strip {
        title: "latency [s]",
        height: 140.0,
        steps: false,
        series: &[
            Series::solid("latency_p50_s", "p50", PURPLE),
            Series::solid("latency_p95_s", "p95", ORANGE),
        ],
    },
];

impl Series {
    const fn solid(column: &'static str, label: &'static str, color: RGBColor) -> Series {
        Series { column, label, color, dashed: false }
    }

    const fn dashed(column: &'static str, label: &'static str, color: RGBColor) -> Series {
        Series { column, label, color, dashed: true }
    }

    fn draw(&self, canvas: &mut Canvas, points: Vec<Point>) {
        if self.dashed && points.len() > 1 {
            canvas.dashes(points, self.color, 1.25);
        } else {
            canvas.run(points, self.color, 2.25);
        }
    }
}

/// The corners of a line whose values hold until the next one; it ends where its last value is known.
pub(crate) fn steps(run: &[Point]) -> Vec<Point> {
    let mut corners = vec![run[0]];
    for pair in run.windows(2) {
        corners.extend([(pair[1].0, pair[0].1), pair[1]]);
    }
    corners
}

/// The looks at which a series differs from its last known value.
fn changes(series: &[Vec<Option<f64>>]) -> Vec<usize> {
    let mut looks = Vec::new();
    for values in series {
        let known = values.iter().enumerate().filter_map(|(look, value)| Some((look, (*value)?)));
        let known: Vec<_> = known.collect();
        looks.extend(known.windows(2).filter(|pair| pair[0].1 != pair[1].1).map(|pair| pair[1].0));
    }
    looks.sort_unstable();
    looks.dedup();
    looks
}

/// From when to when slots stayed the same, and how dark that is: nothing for the most slots of the run, a
/// tenth of ink for the fewest. Unknown slots have no background.
pub(crate) fn backgrounds(times: &[f64], slots: &[Option<f64>]) -> Vec<(f64, f64, f64)> {
    let mut levels: Vec<f64> = slots.iter().flatten().copied().collect();
    levels.sort_by(|one, other| other.total_cmp(one));
    levels.dedup();
    let darkest = levels.len().saturating_sub(1).max(1) as f64;
    let shade = |slots: f64| {
        0.1 * levels.iter().position(|level| *level == slots).unwrap_or_default() as f64 / darkest
    };
    let mut stretches: Vec<(f64, f64, f64)> = Vec::new();
    for (look, pair) in times.windows(2).enumerate() {
        let Some(shade) = slots[look].map(shade) else { continue };
        match stretches.last_mut() {
            Some(last) if last.1 == pair[0] && last.2 == shade => last.1 = pair[1],
            _ => stretches.push((pair[0], pair[1], shade)),
        }
    }
    stretches.retain(|stretch| stretch.2 > 0.0);
    stretches
}

/// How often there was a look, in words; nothing for a single one.
pub(crate) fn interval(times: &[f64]) -> String {
    let mut gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_by(f64::total_cmp);
    let usual = gaps.get(gaps.len() / 2);
    usual.map_or_else(String::new, |gap| format!(", one every {} s", (1e3 * gap).round() / 1e3))
}
