//! How far the simulator is from the servers, cell by cell.

use std::path::{Path, PathBuf};

use plotters::prelude::RGBColor;

use crate::axis::{Axis, Panel};
use crate::canvas::{BLUE, Font, GREEN, GREY, INK, Mark, ORANGE, PURPLE, VERMILLION};
use crate::figure::Figure;
use crate::page::{MARGIN, Page, Words, counted};
use crate::{Error, Frame};

/// The figures of a cell that have a panel each.
const FIGURES: [(&str, &str); 2] = [("mean", "mean latency"), ("p99", "99th percentile")];
/// Loads by the beginning of their names, each of one colour.
const LOADS: [(&str, RGBColor, &str); 5] = [
    ("burst", GREEN, "bursts"),
    ("closed", PURPLE, "closed loop"),
    ("poisson", BLUE, "Poisson"),
    ("gamma", VERMILLION, "gamma gaps"),
    ("trace", ORANGE, "recorded"),
];

/// Draws `fidelity`: the signed error of each held-out cell's mean latency, and of its 99th percentile, against the
/// measured utilisation of the busiest station, with 95 % intervals.
///
/// # Errors
/// Where no cell has either figure, and as [`crate::fit`].
pub fn fidelity(cells: &Frame, out: &Path) -> Result<Vec<PathBuf>, Error> {
    let (names, figures) = (cells.texts("cell")?, cells.texts("figure")?);
    let [utilisation, error, low, high] =
        ["utilisation", "error", "low", "high"].map(|column| cells.all_numbers(column));
    let (utilisation, error, low, high) = (utilisation?, error?, low?, high?);
    let rows =
        |figure: &'static str| (0..names.len()).filter(|&row| figures[row] == figure).collect::<Vec<_>>();
    let shown: Vec<_> = FIGURES
        .iter()
        .map(|&(figure, title)| (title, rows(figure)))
        .filter(|(_, rows)| !rows.is_empty())
        .collect();
    let Some((_, first)) = shown.first() else {
        return Err(cells.nothing("no row has the figure mean or p99"));
    };
    let mean = |rows: &[usize]| 100.0 * rows.iter().map(|&r| error[r].abs()).sum::<f64>() / rows.len() as f64;
    let errors: Vec<String> =
        shown.iter().map(|(title, rows)| format!("{title} {:.1} %", mean(rows))).collect();
    let caption = format!(
        "n = {} held out of the fit. Error: simulated / measured − 1; mean of |error|: {}. Bars: 95 % intervals.",
        counted(first.len() as f64, "cell"),
        errors.join(", ")
    );
    let load = |name: &str| LOADS.iter().find(|load| name.starts_with(load.0));
    let key: Vec<_> = LOADS
        .iter()
        .filter(|(begin, ..)| names.iter().any(|name| name.starts_with(begin)))
        .map(|&(_, color, words)| (Mark::Dot, color, words))
        .collect();
    let words = Words { title: "Simulator against servers", key: &key, caption: &caption };
    let mut page = Page::new(1200.0, 480.0, &words);
    let width = (page.width - 2.0 * MARGIN) / shown.len() as f64;
    for (at, (title, rows)) in shown.iter().enumerate() {
        let (left, top) = (MARGIN + width * at as f64, page.top);
        let errors = rows.iter().flat_map(|&row| [low[row], high[row], error[row]]).map(|part| 100.0 * part);
        let panel = Panel {
            edges: (left + 52.0, top + 62.0, left + width - 20.0, top + 420.0),
            x: Axis::from_zero(
                "utilisation of the busiest station",
                utilisation.iter().copied().chain([1.0]),
                6,
            ),
            y: Axis::from_zero("error [%]", errors, 8),
        };
        panel.draw_axes(&mut page.canvas, true);
        page.canvas.text((left + 52.0, top + 18.0), *title, Font::left(16.0, INK));
        page.canvas.line(
            vec![panel.at(panel.x.range.start, 0.0), panel.at(panel.x.range.end, 0.0)],
            GREY,
            1.5,
        );
        for &row in rows {
            let color = load(&names[row]).map_or(INK, |load| load.1);
            let x = utilisation[row];
            page.canvas.line([low[row], high[row]].map(|end| panel.at(x, 100.0 * end)).to_vec(), color, 1.25);
            page.canvas.mark(Mark::Dot, panel.at(x, 100.0 * error[row]), color);
        }
    }
    let plotted = cells.data().columns().to_vec();
    Figure { name: "fidelity", canvas: page.canvas, plotted, sources: &[cells] }.write(out)
}
