//! Durations as they were measured, beside what stands for them: cumulative distributions, one panel a kind.

use std::path::{Path, PathBuf};

use polars::prelude::Column;

use crate::axis::{Axis, Panel};
use crate::canvas::{Font, GREY, INK, Mark, VERMILLION, text_width};
use crate::figure::Figure;
use crate::page::{MARGIN, Page, Words, counted};
use crate::{Error, Frame};

/// More panels would make a picture that nobody can look at.
const MOST_PANELS: usize = 40;
const ROW: f64 = 300.0;

/// Draws `laws`: what was measured of each duration, and the law that the simulator draws it from.
///
/// # Errors
/// Where there are over 40 laws, and as [`crate::fit`].
pub fn laws(laws: &Frame, out: &Path) -> Result<Vec<PathBuf>, Error> {
    let (names, families) = (laws.texts("law")?, laws.texts("family")?);
    let titles: Vec<String> =
        names.iter().zip(&families).map(|(name, family)| format!("{name} · {family}")).collect();
    let panels = panels(laws, &titles, "law_s")?;
    let caption = format!(
        "n = {}, their quantiles at 1 to 99 percent. empirical: no family was found that the data do not refuse.",
        counted(panels.len() as f64, "law")
    );
    let page = draw(laws, &panels, ("Durations and their laws", "law", &caption))?;
    write("laws", page, (&titles, "law_s"), laws, out)
}

/// Draws `latency`: the latency of each cell's requests, from the servers and from the simulator.
///
/// # Errors
/// Where there are over 40 cells, and as [`crate::fit`].
pub fn latency(cells: &Frame, out: &Path) -> Result<Vec<PathBuf>, Error> {
    let titles = cells.texts("cell")?;
    let panels = panels(cells, &titles, "simulated_s")?;
    let caption = format!(
        "n = {}, their quantiles at 1 to 99 percent. No cell was used to fit the simulator's laws.",
        counted(panels.len() as f64, "cell")
    );
    let page = draw(cells, &panels, ("Latency of held-out cells", "simulated", &caption))?;
    write("latency", page, (&titles, "simulated_s"), cells, out)
}

/// One panel: its title, and both durations by percent.
struct Kind {
    title: String,
    measured: Vec<(f64, f64)>,
    other: Vec<(f64, f64)>,
}

/// The kinds in the order in which the table has them.
fn panels(frame: &Frame, titles: &[String], other: &str) -> Result<Vec<Kind>, Error> {
    let (percent, measured) = (frame.all_numbers("percent")?, frame.all_numbers("measured_s")?);
    let other = frame.all_numbers(other)?;
    let mut kinds: Vec<Kind> = Vec::new();
    for (row, title) in titles.iter().enumerate() {
        if kinds.last().is_none_or(|kind| kind.title != *title) {
            kinds.push(Kind { title: title.clone(), measured: Vec::new(), other: Vec::new() });
        }
        if let Some(kind) = kinds.last_mut() {
            kind.measured.push((measured[row], percent[row]));
            kind.other.push((other[row], percent[row]));
        }
    }
    Ok(kinds)
}

fn draw(frame: &Frame, kinds: &[Kind], (title, other, caption): (&str, &str, &str)) -> Result<Page, Error> {
    if kinds.len() > MOST_PANELS {
        let problem = format!("{} kinds, and this figure has room for {MOST_PANELS}", kinds.len());
        return Err(frame.nothing(problem));
    }
    let columns = if kinds.len() <= 4 { 2 } else { 4 };
    let rows = kinds.len().div_ceil(columns);
    let key = [(Mark::Dot, INK, "measured"), (Mark::Line, VERMILLION, other)];
    let mut page = Page::new(1200.0, rows as f64 * ROW, &Words { title, key: &key, caption });
    let width = (page.width - 2.0 * MARGIN) / columns as f64;
    for (at, kind) in kinds.iter().enumerate() {
        let (left, top) = (MARGIN + width * (at % columns) as f64, page.top + ROW * (at / columns) as f64);
        let both = || kind.measured.iter().chain(&kind.other).map(|point| point.0);
        let first = at % columns == 0;
        let panel = Panel {
            edges: (left + 42.0, top + 58.0, left + width - 18.0, top + ROW - 54.0),
            x: Axis::enclosing("duration [s]", both(), 4),
            y: Axis::from_zero(if first { "no longer [%]" } else { "" }, [100.0], 5),
        };
        panel.draw_axes(&mut page.canvas, true);
        let size = (15.0 * (width - 60.0) / text_width(&kind.title, 15.0)).min(15.0);
        page.canvas.text((left + 42.0, top + 16.0), &kind.title, Font::left(size, INK));
        let points = |points: &[(f64, f64)]| points.iter().map(|&(x, y)| panel.at(x, y)).collect::<Vec<_>>();
        page.canvas.line(points(&kind.other), VERMILLION, 2.0);
        for (x, y) in points(&kind.measured).into_iter().step_by(3) {
            page.canvas.line(vec![(x - 2.0, y), (x + 2.0, y)], INK, 4.0);
        }
        page.canvas.line(points(&kind.measured), GREY, 0.75);
    }
    Ok(page)
}

fn write(
    name: &str,
    page: Page,
    (titles, other): (&[String], &str),
    frame: &Frame,
    out: &Path,
) -> Result<Vec<PathBuf>, Error> {
    let plotted = vec![
        Column::new("panel".into(), titles.to_vec()),
        Column::new("percent".into(), frame.all_numbers("percent")?),
        Column::new("measured_s".into(), frame.all_numbers("measured_s")?),
        Column::new(other.into(), frame.all_numbers(other)?),
    ];
    Figure { name, canvas: page.canvas, plotted, sources: &[frame] }.write(out)
}
