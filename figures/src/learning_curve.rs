//! How a training run went: return and regret against episodes.

use std::path::{Path, PathBuf};

use plotters::prelude::{Color, RGBColor};
use polars::prelude::{Column, SortMultipleOptions};

use crate::axis::{Axis, Panel, label};
use crate::canvas::{BLUE, INK, SKY, VERMILLION};
use crate::figure::Figure;
use crate::page::{MARGIN, Page, Words, counted, runs};
use crate::{Error, Frame};

/// Draws `learning_curve`: above, the mean return of each row and its moving mean over a fortieth of the
/// rows (of several seeds the interquartile mean and its interval as a band, in the columns `return_low` and
/// `return_high`), with the optimum's return as a dashed line where the table has a column `optimum_return`; below,
/// the regret of the greedy policy on an axis that is logarithmic down to its smallest decade and linear
/// from there to zero, with the optimum dashed at zero.
///
/// # Errors
/// As [`crate::fit`], where the files cannot be written.
pub fn learning_curve(learning: &Frame, out: &Path) -> Result<Vec<PathBuf>, Error> {
    let learning = learning.map(|rows| rows.sort(["episode"], SortMultipleOptions::new()))?;
    let episodes = learning.all_numbers("episode")?;
    let returns = learning.numbers("mean_return")?;
    let regrets = learning.numbers("regret")?;
    let optimum = learning.numbers("optimum_return")?.into_iter().flatten().next_back();
    let seeds = learning.numbers("seeds")?.into_iter().flatten().next_back().unwrap_or(1.0);
    let band = |what: &str| -> Result<Band, Error> {
        Ok((learning.numbers(&format!("{what}_low"))?, learning.numbers(&format!("{what}_high"))?))
    };
    let (return_band, regret_band) = (band("return")?, band("regret")?);
    // What is a mean over seeds already is drawn as it is.
    let window = if seeds > 1.0 { 1 } else { (episodes.len() / 40).max(1) };
    let means = moving_mean(&returns, window);
    let scale = Symlog::of(&[&regrets[..], &regret_band.0, &regret_band.1].concat());

    let caption = caption(&episodes, (window, seeds), &scale);
    let words = Words { title: "Learning: return and regret", key: &[], caption: &caption };
    let mut page = Page::new(1200.0, 640.0, &words);
    let x = || Axis::tight("episode", episodes.iter().copied(), 8);
    let (left, right) = (MARGIN + 62.0, page.width - 150.0);
    let values = returns.iter().chain(&return_band.0).chain(&return_band.1).flatten().copied().chain(optimum);
    let above = Panel {
        edges: (left, page.top + 36.0, right, page.top + 290.0),
        x: x(),
        y: Axis::enclosing("mean return of an episode", values, 5),
    };
    let below = Panel {
        edges: (left, page.top + 346.0, right, page.top + 580.0),
        x: x(),
        y: scale.axis("regret of the greedy policy"),
    };
    above.draw_axes(&mut page.canvas, false);
    below.draw_axes(&mut page.canvas, true);

    shade(&mut page, &above, (&episodes, &return_band), BLUE);
    let (low, high) = &regret_band;
    let placed = |values: &[Option<f64>]| -> Vec<Option<f64>> {
        values.iter().map(|regret| regret.map(|value| scale.place(value))).collect()
    };
    shade(&mut page, &below, (&episodes, &(placed(low), placed(high))), VERMILLION);
    let mut lines = Vec::new();
    if window > 1 {
        lines.push(Line { rows: thinned(&episodes, &returns), color: SKY, width: 1.0, label: "each row" });
    }
    let label = match (window, seeds > 1.0) {
        (_, true) => "IQM of the return",
        (1, false) => "mean return",
        _ => "moving mean",
    };
    lines.push(Line { rows: thinned(&episodes, &means), color: BLUE, width: 2.5, label });
    draw(&mut page, &above, &lines, optimum);
    let rows = thinned(&episodes, &placed(&regrets));
    draw(&mut page, &below, &[Line { rows, color: VERMILLION, width: 2.5, label: "regret" }], Some(0.0));

    let plotted = vec![
        Column::new("episode".into(), &episodes),
        Column::new("mean_return".into(), &returns),
        Column::new("moving_mean_return".into(), &means),
        Column::new("optimum_return".into(), vec![optimum; episodes.len()]),
        Column::new("regret".into(), &regrets),
        Column::new("return_low".into(), &return_band.0),
        Column::new("return_high".into(), &return_band.1),
        Column::new("regret_low".into(), &regret_band.0),
        Column::new("regret_high".into(), &regret_band.1),
    ];
    Figure { name: "learning_curve", canvas: page.canvas, plotted, sources: &[&learning] }.write(out)
}

/// Mean of the present values among the last `window` rows; absent where the row's own value is.
fn moving_mean(values: &[Option<f64>], window: usize) -> Vec<Option<f64>> {
    let mean = |at: usize| {
        let seen: Vec<f64> = values[(at + 1).saturating_sub(window)..=at].iter().flatten().copied().collect();
        values[at].map(|_| seen.iter().sum::<f64>() / seen.len() as f64)
    };
    (0..values.len()).map(mean).collect()
}

type Row = (f64, Option<f64>);

/// Lower and upper ends, row by row.
type Band = (Vec<Option<f64>>, Vec<Option<f64>>);

/// Shades a band where it has both ends.
fn shade(page: &mut Page, panel: &Panel, (x, (low, high)): (&[f64], &Band), color: RGBColor) {
    let both = |(&x, (low, high)): (&f64, (&Option<f64>, &Option<f64>))| Some((x, (*low)?, (*high)?));
    let rows: Vec<(f64, f64, f64)> = x.iter().zip(low.iter().zip(high)).filter_map(both).collect();
    if rows.iter().all(|(_, low, high)| low == high) {
        return;
    }
    let lower = rows.iter().map(|&(x, low, _)| panel.at(x, low));
    let upper = rows.iter().rev().map(|&(x, _, high)| panel.at(x, high));
    page.canvas.area(lower.chain(upper).collect(), color.mix(0.2));
}

fn paired(x: &[f64], y: &[Option<f64>]) -> Vec<Row> {
    x.iter().copied().zip(y.iter().copied()).collect()
}

/// No more rows than the picture can show: of each group of rows the least and the greatest, so that the
/// extent of the noise stays.
fn thinned(x: &[f64], y: &[Option<f64>]) -> Vec<Row> {
    const SHOWN: usize = 1500;
    let rows = paired(x, y);
    let size = (2 * rows.len()).div_ceil(SHOWN);
    if size <= 2 {
        return rows;
    }
    let ends = |group: &[Row]| {
        let by_value =
            |one: &&Row, other: &&Row| one.1.partial_cmp(&other.1).unwrap_or(std::cmp::Ordering::Equal);
        let mut ends: Vec<Row> = [group.iter().min_by(by_value), group.iter().max_by(by_value)]
            .into_iter()
            .flatten()
            .copied()
            .collect();
        ends.sort_by(|one, other| one.0.total_cmp(&other.0));
        ends
    };
    rows.chunks(size).flat_map(ends).collect()
}

struct Line {
    rows: Vec<Row>,
    color: RGBColor,
    width: f64,
    label: &'static str,
}

/// Draws lines with their names beside their ends, and the optimum dashed over them.
fn draw(page: &mut Page, panel: &Panel, lines: &[Line], optimum: Option<f64>) {
    let mut labels = Vec::new();
    for line in lines {
        for run in runs(&line.rows) {
            let points = run.into_iter().map(|(x, y)| panel.at(x, y)).collect();
            page.canvas.run(points, line.color, line.width);
        }
        let last = line.rows.iter().filter_map(|row| row.1).next_back();
        labels.extend(last.map(|value| (panel.at(0.0, value).1, line.color, line.label)));
    }
    if labels.is_empty() {
        panel.say_empty(&mut page.canvas);
    }
    if let Some(optimum) = optimum {
        let (left, _, right, _) = panel.edges;
        let y = panel.at(0.0, optimum).1;
        page.canvas.dashes(vec![(left, y), (right, y)], INK, 1.5);
        labels.push((y, INK, "optimum"));
    }
    page.labels_beside(panel, labels);
}

fn caption(episodes: &[f64], (window, seeds): (usize, f64), scale: &Symlog) -> String {
    let rows = episodes.len();
    let span = episodes[rows - 1] - episodes[0];
    let runs = if seeds > 1.0 { format!("{seeds} seeds") } else { "one training run".into() };
    let mut text = format!("n = {} of {runs}", counted(rows as f64, "row"));
    if rows > 1 {
        text += &format!(", about {} apart", counted((span / (rows - 1) as f64).round(), "episode"));
    }
    if window > 1 {
        text += &format!(". Moving mean: the last {window} rows");
    }
    if seeds > 1.0 {
        text += ". Interquartile means; bands are 95 % bootstrap intervals over the seeds";
    }
    text += ". Returns are with exploration, regret is without";
    if let Some(threshold) = scale.threshold {
        text += &format!(
            "; its axis is logarithmic above {} and linear below",
            label(threshold, threshold, threshold)
        );
    }
    text + "."
}

/// A scale that is logarithmic beyond a threshold on both sides of zero, and linear between.
///
/// place(v) = v / t for |v| < t, else sign(v) * (1 + log10(|v| / t)), t the threshold.
struct Symlog {
    /// The smallest decade; absent where every value is zero or there is none.
    threshold: Option<f64>,
    low: f64,
    high: f64,
}

impl Symlog {
    fn of(values: &[Option<f64>]) -> Symlog {
        let present = || values.iter().flatten().copied();
        let sizes = || present().map(f64::abs).filter(|size| *size > 0.0);
        let largest = sizes().fold(0.0, f64::max);
        // Rounding errors are no decades: what is a millionth of the largest is as good as zero.
        let smallest = sizes().fold(f64::INFINITY, f64::min).max(1e-6 * largest);
        let threshold = (largest > 0.0).then(|| 10f64.powf(smallest.log10().floor()));
        Symlog { threshold, low: present().fold(0.0, f64::min), high: present().fold(0.0, f64::max) }
    }

    fn place(&self, value: f64) -> f64 {
        let Some(threshold) = self.threshold else { return value };
        let size = value.abs() / threshold;
        if size < 1.0 { value / threshold } else { value.signum() * (1.0 + size.log10()) }
    }

    fn axis(&self, title: &str) -> Axis {
        let zero = (0.0, "0".to_owned());
        let Some(threshold) = self.threshold else { return Axis::with_ticks(title, -0.3..1.0, vec![zero]) };
        let (low, high) = (self.place(self.low), self.place(self.high));
        let stride = ((high - low) / 7.0).ceil().max(1.0) as usize;
        let decades = |end: f64| (1..=(end - 1e-9).ceil().max(0.0) as i32).step_by(stride);
        let size = |decade: i32| {
            let size = threshold * 10f64.powi(decade - 1);
            label(size, size, size)
        };
        let mut ticks = vec![zero];
        ticks.extend(decades(-low).map(|decade| (-f64::from(decade), format!("−{}", size(decade)))));
        ticks.extend(decades(high).map(|decade| (f64::from(decade), size(decade))));
        // Whole decades, and a little room so that a line along the end of the axis can be seen.
        let room = 0.05 * (high - low);
        Axis::with_ticks(title, (low + 1e-9).floor().min(0.0) - room..(high - 1e-9).ceil() + room, ticks)
    }
}

#[cfg(test)]
mod tests {
    use super::Symlog;

    #[test]
    fn zero_lies_a_decade_below_the_smallest_one_and_signs_mirror() {
        let scale = Symlog::of(&[Some(0.0), Some(0.02), None, Some(3.0)]);
        assert_eq!(scale.threshold, Some(0.01));
        let places = [0.0, 0.005, 0.01, 0.1, 1.0].map(|value| scale.place(value));
        for (place, expected) in places.into_iter().zip([0.0, 0.5, 1.0, 2.0, 3.0]) {
            assert!((place - expected).abs() < 1e-12, "{places:?}");
        }
        assert_eq!(scale.place(-0.1), -scale.place(0.1));
    }

    #[test]
    fn rounding_errors_are_no_decades_of_their_own() {
        let scale = Symlog::of(&[Some(1.0), Some(1e-17)]);
        assert!(scale.threshold.is_some_and(|threshold| (1e-7..1e-5).contains(&threshold)));
    }
}
