//! Measured makespans and the curves fitted to them, one panel a traffic level.

use std::path::{Path, PathBuf};

use plotters::prelude::Color;
use polars::prelude::{Column, DataType, LazyFrame, SortMultipleOptions, col, len, lit};

use crate::axis::{Axis, Panel};
use crate::canvas::{Font, INK, Mark, PALE, VERMILLION, ordered};
use crate::figure::Figure;
use crate::page::{MARGIN, Page, Words, counted};
use crate::{Error, Frame};

/// Draws `fit`: each measured burst a dot, the fitted curve through them, and the simulated makespans where
/// `cells` has them, apart for the cells that the simulator was fitted on and those held out.
///
/// A level with a, b and c has the smooth curve a*exp(-b*(pods - pods_min)) + c, any other straight lines
/// between its fitted values; the band of the values is shaded. The curves of the other levels stay in pale grey behind each panel.
///
/// # Errors
/// Where a burst ran with different numbers of A and B pods, where there are over 32 levels, where the files
/// cannot be written, and where `fit.csv` in `out` is the table the figure is drawn from.
pub fn fit(
    measured: &Frame,
    fitted: &Frame,
    cells: Option<&Frame>,
    out: &Path,
) -> Result<Vec<PathBuf>, Error> {
    let measured = measured.map(|rows| sorted(rows, ["BANDWIDTH", "NUM_POD_A"]))?;
    let levels = levels(&measured, &fitted.map(|rows| sorted(rows, ["slots", "pods"]))?, cells)?;
    if levels.len() > MOST_LEVELS {
        let problem =
            format!("{} numbers of slots, and this figure has room for {MOST_LEVELS}", levels.len());
        return Err(measured.nothing(problem));
    }
    let simulated = levels.iter().any(|level| !level.corners.is_empty() || !level.held_out.is_empty());
    let mut key =
        vec![(Mark::Dot, INK, "one measured burst"), (Mark::Line, INK, "fitted curve, its 95 % band shaded")];
    if simulated {
        key.push((Mark::Diamond, VERMILLION, "simulated, held out"));
        key.push((Mark::Square, VERMILLION, "simulated, corner it is fitted on"));
    }
    let columns = match levels.len() {
        count @ 1..=4 => count,
        5 | 6 | 9 => 3,
        _ => 4,
    };
    let rows = levels.len().div_ceil(columns);
    let row_height = if rows == 1 { 470.0 } else { 340.0 };
    let words = Words { title: "Burst makespan against pods", key: &key, caption: &caption(&measured)? };
    let mut page = Page::new(1200.0, rows as f64 * row_height, &words);

    let points = || levels.iter().flat_map(Level::points);
    let width = (page.width - 2.0 * MARGIN) / columns as f64;
    for (at, level) in levels.iter().enumerate() {
        let (left, top) =
            (MARGIN + width * (at % columns) as f64, page.top + row_height * (at / columns) as f64);
        let panel = Panel {
            edges: (left + 48.0, top + 62.0, left + width - 12.0, top + row_height - 60.0),
            x: Axis::whole("pods of each stage", points().map(|point| point.0), 8),
            y: Axis::from_zero(
                if at % columns == 0 { "makespan [s]" } else { "" },
                points().map(|point| point.1),
                6,
            ),
        };
        panel.draw_axes(&mut page.canvas, true);
        let color = ordered(at, levels.len());
        let name = format!("{} · {}", counted(level.slots, "slot"), level.status);
        page.canvas.text((left + 48.0, top + 18.0), name, Font::left(16.0, INK));
        let curve = |level: &Level| level.curve.iter().map(|&(x, y)| panel.at(x, y)).collect::<Vec<_>>();
        for other in levels.iter().filter(|other| other.slots != level.slots) {
            page.canvas.line(curve(other), PALE, 1.0);
        }
        let band: Vec<_> = level.band.iter().map(|&(x, y)| panel.at(x, y)).collect();
        if band.len() > 3 {
            page.canvas.area(band, color.mix(0.15));
        }
        page.canvas.line(curve(level), color, 2.5);
        for (marks, mark, color) in [
            (&level.measured, Mark::Dot, color),
            (&level.held_out, Mark::Diamond, VERMILLION),
            (&level.corners, Mark::Square, VERMILLION),
        ] {
            for &(x, y) in marks {
                page.canvas.mark(mark, panel.at(x, y), color);
            }
        }
    }
    let sources: Vec<&Frame> = [&measured, fitted].into_iter().chain(cells).collect();
    Figure { name: "fit", canvas: page.canvas, plotted: plotted(&levels), sources: &sources }.write(out)
}

/// More panels would make a picture that nobody can look at, or hold in memory.
const MOST_LEVELS: usize = 32;

/// What is drawn of one number of transfer slots: pairs of pods and seconds.
struct Level {
    slots: f64,
    status: String,
    measured: Vec<(f64, f64)>,
    curve: Vec<(f64, f64)>,
    /// Once around: the lower ends of the band by rising pods, then the upper ones back.
    band: Vec<(f64, f64)>,
    corners: Vec<(f64, f64)>,
    held_out: Vec<(f64, f64)>,
}

impl Level {
    fn points(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        [&self.measured, &self.curve, &self.band, &self.corners, &self.held_out]
            .into_iter()
            .flatten()
            .copied()
    }
}

/// Slots, pods and seconds.
type Row = (f64, f64, f64);

fn sorted(rows: LazyFrame, by: [&str; 2]) -> LazyFrame {
    rows.sort(by, SortMultipleOptions::new().with_maintain_order(true))
}

fn levels(measured: &Frame, fitted: &Frame, cells: Option<&Frame>) -> Result<Vec<Level>, Error> {
    let pods_a = measured.all_numbers("NUM_POD_A")?;
    let pods_b = measured.all_numbers("NUM_POD_B")?;
    if let Some(at) = (0..pods_a.len()).find(|&at| pods_a[at] != pods_b[at]) {
        let problem = format!(
            "a burst ran with {} pods of A and {} of B; this figure has one axis for both",
            pods_a[at], pods_b[at]
        );
        return Err(measured.nothing(problem));
    }
    let bursts = zipped(measured.all_numbers("BANDWIDTH")?, &pods_a, &measured.all_numbers("end_time")?);
    let pods = fitted.all_numbers("pods")?;
    let fits = zipped(fitted.all_numbers("slots")?, &pods, &fitted.all_numbers("fitted_s")?);
    let ends = [fitted.numbers("low_s")?, fitted.numbers("high_s")?];
    let status = fitted.texts("status")?;
    let coefficients = [fitted.numbers("a")?, fitted.numbers("b")?, fitted.numbers("c")?];
    let corners = simulated(cells, false)?;
    let held_out = simulated(cells, true)?;

    let mut slots: Vec<f64> = bursts.iter().chain(&fits).map(|row| row.0).collect();
    slots.sort_by(f64::total_cmp);
    slots.dedup();
    let level = |slots: f64| {
        let of_level = |rows: &[Row]| -> Vec<(f64, f64)> {
            rows.iter().filter(|row| row.0 == slots).map(|row| (row.1, row.2)).collect()
        };
        let first = fits.iter().position(|row| row.0 == slots);
        let values = of_level(&fits);
        let curve = match first.map(|row| coefficients.each_ref().map(|column| column[row])) {
            Some([Some(a), Some(b), Some(c)]) => exponential(&values, |pods| a * (-b * pods).exp() + c),
            _ if values.len() == 1 => {
                vec![(values[0].0 - 0.1, values[0].1), (values[0].0 + 0.1, values[0].1)]
            }
            _ => values,
        };
        let edge = |end: &[Option<f64>]| -> Vec<(f64, f64)> {
            let rows = fits.iter().zip(end).filter(|(row, _)| row.0 == slots);
            rows.filter_map(|(row, end)| Some((row.1, (*end)?))).collect()
        };
        let band = edge(&ends[0]).into_iter().chain(edge(&ends[1]).into_iter().rev()).collect();
        Level {
            slots,
            band,
            status: first.map_or_else(|| "no fit".to_owned(), |row| status[row].replace('_', " ")),
            measured: of_level(&bursts),
            curve,
            corners: of_level(&corners),
            held_out: of_level(&held_out),
        }
    };
    Ok(slots.into_iter().map(level).collect())
}

/// The curve over the pods of its values, which are sorted; `height` takes pods above the fewest.
fn exponential(values: &[(f64, f64)], height: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    const STEPS: u32 = 60;
    let (first, last) = (values[0].0, values[values.len() - 1].0);
    (0..=STEPS)
        .map(|step| (last - first) * f64::from(step) / f64::from(STEPS))
        .map(|above| (first + above, height(above)))
        .filter(|point| point.1.is_finite())
        .collect()
}

/// The cells that were simulated, of the one kind or the other.
fn simulated(cells: Option<&Frame>, held_out: bool) -> Result<Vec<Row>, Error> {
    let Some(cells) = cells else { return Ok(Vec::new()) };
    let cells = cells
        .map(|rows| rows.filter(col("simulated_s").is_not_null().and(col("held_out").eq(lit(held_out)))))?;
    let seconds = cells.all_numbers("simulated_s")?;
    Ok(zipped(cells.all_numbers("slots")?, &cells.all_numbers("pods")?, &seconds))
}

fn zipped(slots: Vec<f64>, pods: &[f64], seconds: &[f64]) -> Vec<Row> {
    slots
        .into_iter()
        .zip(pods)
        .zip(seconds)
        .map(|((slots, pods), seconds)| (slots, *pods, *seconds))
        .collect()
}

fn caption(measured: &Frame) -> Result<String, Error> {
    let counts = measured.map(|rows| {
        rows.group_by([col("BANDWIDTH"), col("NUM_POD_A")])
            .agg([len().cast(DataType::Float64).alias("bursts")])
    })?;
    let counts = counts.all_numbers("bursts")?;
    let (fewest, most) = counts.iter().fold((f64::MAX, 0.0f64), |(low, high), &n| (low.min(n), high.max(n)));
    let repeats = if fewest == most { format!("{most}") } else { format!("{fewest} to {most}") };
    Ok(format!(
        "n = {}, {} in each of {}. EXP, RISING: y = a·exp(−b·(pods − fewest pods)) + c; FLAT: pods make no \
         difference, a constant; LINE: a straight line; any other status: straight lines between the fitted \
         values. Pale grey: the curves of the other levels.",
        counted(measured.data().height() as f64, "burst"),
        repeats,
        counted(counts.len() as f64, "cell"),
    ))
}

fn plotted(levels: &[Level]) -> Vec<Column> {
    let rows = || {
        levels.iter().flat_map(|level| {
            [
                ("measured", &level.measured),
                ("curve", &level.curve),
                ("band", &level.band),
                ("simulated_corner", &level.corners),
                ("simulated_held_out", &level.held_out),
            ]
            .into_iter()
            .flat_map(move |(kind, points)| points.iter().map(move |point| (kind, level, *point)))
        })
    };
    vec![
        Column::new("kind".into(), rows().map(|row| row.0).collect::<Vec<_>>()),
        Column::new("slots".into(), rows().map(|row| row.1.slots).collect::<Vec<_>>()),
        Column::new("status".into(), rows().map(|row| row.1.status.as_str()).collect::<Vec<_>>()),
        Column::new("pods".into(), rows().map(|row| row.2.0).collect::<Vec<_>>()),
        Column::new("value_s".into(), rows().map(|row| row.2.1).collect::<Vec<_>>()),
    ]
}
