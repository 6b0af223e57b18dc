//! How far the simulator is from what was measured.

use std::path::{Path, PathBuf};

use polars::prelude::col;

use crate::axis::{Axis, Panel};
use crate::canvas::{Font, GREY, INK, Mark, SHADE, ordered, text_width};
use crate::figure::Figure;
use crate::page::{MARGIN, Page, Words, counted};
use crate::{Error, Frame};

/// Half the width of the band around equality: what a held-out cell may miss by before it is looked into.
const BAND: f64 = 0.15;

/// Draws `comparison`: the simulated makespan of each cell against the measured one, with the line of
/// equality and a band of 15 % around it; cells held out of the fit filled, the others hollow. The worst
/// held-out cell is named (the worst of all where none is held out). Horizontal bars reach from the
/// smallest to the largest measurement.
///
/// # Errors
/// Where no cell has both makespans, and as [`crate::fit`].
pub fn comparison(cells: &Frame, out: &Path) -> Result<Vec<PathBuf>, Error> {
    let error = (col("simulated_s") - col("measured_s")) / col("measured_s");
    let known = col("measured_s").gt(0.0).and(col("simulated_s").gt_eq(0.0));
    let compared = cells.map(|rows| rows.filter(known).with_columns([error.alias("error")]))?;
    let cells = Cell::all(&compared)?;
    if cells.is_empty() {
        return Err(compared.nothing("no cell has both a measured and a simulated makespan"));
    }
    let caption = caption(&cells);
    let key = [
        (Mark::Dot, INK, "cell held out of the fit"),
        (Mark::Ring, INK, "corner cell, fitted on"),
        (Mark::Band, SHADE, "within 15 %"),
    ];
    let words = Words { title: "Simulated against measured makespan", key: &key, caption: &caption };
    let mut page = Page::new(1000.0, 740.0, &words);
    let side = 630.0;
    let (left, top) = (MARGIN + 62.0, page.top + 44.0);
    let seconds = |title| {
        let measured =
            cells.iter().flat_map(|cell| [cell.measured, cell.simulated].into_iter().chain(cell.spread));
        Axis::from_zero(title, measured, 8)
    };
    let panel = Panel {
        edges: (left, top, left + side, top + side),
        x: seconds("measured burst makespan [s]"),
        y: seconds("simulated burst makespan [s]"),
    };
    draw_equality(&mut page, &panel);

    let mut levels: Vec<f64> = cells.iter().map(|cell| cell.slots).collect();
    levels.sort_by(f64::total_cmp);
    levels.dedup();
    let color = |slots: f64| {
        ordered(levels.iter().position(|level| *level == slots).unwrap_or_default(), levels.len())
    };
    for cell in &cells {
        let (at, color) = (panel.at(cell.measured, cell.simulated), color(cell.slots));
        let ends = cell.spread.map(|end| panel.at(end, cell.simulated));
        page.canvas.line(ends.to_vec(), color, 1.0);
        page.canvas.mark(if cell.held_out { Mark::Dot } else { Mark::Ring }, at, color);
    }
    name_worst(&mut page, &panel, worst(&cells));

    // The key of the ordered colours, squeezed where there are many.
    let x = left + side + 120.0;
    page.canvas.text((x - 6.0, top + 4.0), "transfer slots", Font::left(15.0, INK));
    let line = (side / levels.len() as f64).min(25.0);
    for (at, &slots) in levels.iter().enumerate() {
        let y = top + 32.0 + line * at as f64;
        page.canvas.mark(Mark::Dot, (x, y), color(slots));
        page.canvas.text((x + 14.0, y), slots.to_string(), Font::left(14.0_f64.min(0.9 * line), INK));
    }
    let plotted = compared.data().columns().to_vec();
    Figure { name: "comparison", canvas: page.canvas, plotted, sources: &[&compared] }.write(out)
}

struct Cell {
    slots: f64,
    pods: f64,
    measured: f64,
    /// The smallest and the largest measurement; the mean where they are not known.
    spread: [f64; 2],
    simulated: f64,
    error: f64,
    held_out: bool,
}

impl Cell {
    fn all(cells: &Frame) -> Result<Vec<Cell>, Error> {
        let [slots, pods, measured, simulated, error] =
            ["slots", "pods", "measured_s", "simulated_s", "error"].map(|column| cells.all_numbers(column));
        let (slots, pods, measured, simulated, error) = (slots?, pods?, measured?, simulated?, error?);
        let (least, most) = (cells.numbers("measured_min_s")?, cells.numbers("measured_max_s")?);
        let held_out = cells.flags("held_out")?;
        let cell = |at: usize| Cell {
            slots: slots[at],
            pods: pods[at],
            measured: measured[at],
            spread: [least[at].unwrap_or(measured[at]), most[at].unwrap_or(measured[at])],
            simulated: simulated[at],
            error: error[at],
            held_out: held_out[at],
        };
        Ok((0..slots.len()).map(cell).collect())
    }
}

/// The axes over the band, and the line of equality.
fn draw_equality(page: &mut Page, panel: &Panel) {
    let (left, top, right, bottom) = panel.edges;
    // Both axes are the same and start at zero, so the band is two triangles that meet on the diagonal.
    let share = |of: f64, full: f64, zero: f64| zero + of * (full - zero);
    let over = (share(1.0 / (1.0 + BAND), right, left), top);
    let under = (right, share(1.0 - BAND, top, bottom));
    page.canvas.area(vec![(left, bottom), over, (right, top), under], SHADE);
    panel.draw_axes(&mut page.canvas, true);
    page.canvas.line(vec![(left, bottom), (right, top)], GREY, 1.25);
    page.canvas.text((over.0, top - 12.0), "+15 %", Font::center(13.0, GREY));
    page.canvas.text((right + 8.0, top), "equal", Font::left(13.0, GREY));
    page.canvas.text((right + 8.0, under.1), "−15 %", Font::left(13.0, GREY));
}

/// The held-out cell with the largest error, of all cells where none is held out.
fn worst(cells: &[Cell]) -> &Cell {
    let any_held_out = cells.iter().any(|cell| cell.held_out);
    let candidates = cells.iter().filter(|cell| cell.held_out || !any_held_out);
    let worse = |one: &&Cell, other: &&Cell| one.error.abs().total_cmp(&other.error.abs());
    candidates.max_by(worse).unwrap_or(&cells[0])
}

/// Names the worst cell on the side of the diagonal that it errs to, which is empty further out, with a line
/// to its mark.
fn name_worst(page: &mut Page, panel: &Panel, cell: &Cell) {
    const LINE: f64 = 19.0;
    let (left, top, right, bottom) = panel.edges;
    let (x, y) = panel.at(cell.measured, cell.simulated);
    let kind = if cell.held_out { "worst held-out cell" } else { "worst cell" };
    let place = format!("{}, {}", counted(cell.slots, "slot"), counted(cell.pods, "pod"));
    let error = format!("{:+.1} %", 100.0 * cell.error).replace('-', "−");
    let diagonal = |x: f64| bottom - (x - left) / (right - left) * (bottom - top);
    let lines = [kind.to_owned(), place, error];
    let width = lines.iter().map(|line| text_width(line, 14.0)).fold(0.0, f64::max);
    let over = cell.error > 0.0;
    let text_left =
        if over { (x - 40.0 - width).max(left + 16.0) } else { (x + 40.0).min(right - 16.0 - width) };
    // The first line: clear of the diagonal, and inside the panel.
    let first = if over {
        (y - 60.0).min(diagonal(text_left + width) - 80.0) - 2.0 * LINE
    } else {
        (y + 60.0).max(diagonal(text_left) + 80.0)
    };
    let first = first.clamp(top + 16.0, bottom - 2.0 * LINE - 16.0);
    // From beside the mark to the nearest edge of the text.
    let nearest = (x.clamp(text_left, text_left + width), y.clamp(first - 12.0, first + 2.0 * LINE + 12.0));
    let away = (nearest.0 - x).hypot(nearest.1 - y).max(1.0);
    let start = (x + 9.0 * (nearest.0 - x) / away, y + 9.0 * (nearest.1 - y) / away);
    page.canvas.line(vec![start, nearest], GREY, 1.0);
    for (line, text) in lines.into_iter().enumerate() {
        page.canvas.text((text_left, first + LINE * line as f64), text, Font::left(14.0, INK));
    }
}

fn caption(cells: &[Cell]) -> String {
    let held_out: Vec<&Cell> = cells.iter().filter(|cell| cell.held_out).collect();
    let mut text =
        format!("n = {}, {} held out of the fit", counted(cells.len() as f64, "cell"), held_out.len());
    if !held_out.is_empty() {
        let sizes = held_out.iter().map(|cell| cell.error.abs());
        let mean = sizes.clone().sum::<f64>() / held_out.len() as f64;
        let within = sizes.filter(|size| *size <= BAND).count();
        text += &format!(
            "; these miss by {:.1} % on average, {within} of {} are within 15 %",
            100.0 * mean,
            held_out.len(),
        );
    }
    text + ". Horizontal bars: smallest to largest measurement of a cell. Error: simulated / measured − 1."
}
