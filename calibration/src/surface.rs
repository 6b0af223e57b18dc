//! Time over pods **and** slots: three ways to say it, the one that predicts best, and the law for traffic that was
//! never measured.
//!
//! | tier | parameters | what it says |
//! |---|---|---|
//! | per level | 3 a level | each level its own curve |
//! | shared rate | 1 + 2 a level | one b for all levels, each its own ends |
//! | law | 3 | fixed + max(transfer / slots, compute / pods), the form of `splitscale_spec::Makespan` |
//!
//! The choice is by **leave one cell out**: each inner cell (neither the fewest nor the most pods of its level, where a
//! curve would have to guess) is left out in turn and predicted; the mean relative error decides. A level that was
//! never measured is the law's alone, and what its error would be is measured by leaving out whole levels.

use std::collections::BTreeMap;

use argmin::solver::brent::BrentOpt;
use splitscale_spec::{Makespan, Surface};

use crate::exponential::{Exponential, Group, TOLERANCE, grid, solve};
use crate::report::{FitReport, HeldOutLevel, Tier, TierError};

/// The mean time of a cell.
#[derive(Debug, Clone, Copy)]
struct Cell {
    slots: u32,
    pods: u32,
    y_s: f64,
    repeats: f64,
}

/// Points of the scan over compute / transfer, and how far it goes beyond the ratios of the table.
const SCAN_POINTS: u32 = 200;
const SCAN_MARGIN: f64 = 2.0;

/// What the cells have in common, by (slots, pods) their times \[s\]; absent where there are fewer than two levels or two
/// pod counts, or fewer than six cells.
pub(crate) fn surface(cells: &BTreeMap<(Option<u32>, u32), Vec<f64>>) -> (Option<Surface>, FitReport) {
    let none = FitReport { others: vec![], tiers: vec![], shared_rate: None, held_out: vec![], laws: vec![] };
    let cell = |(&(slots, pods), times): (&(Option<u32>, u32), &Vec<f64>)| {
        let y_s = times.iter().sum::<f64>() / times.len() as f64;
        Some(Cell { slots: slots?, pods, y_s, repeats: times.len() as f64 })
    };
    let Some(cells) = cells.iter().map(cell).collect::<Option<Vec<Cell>>>() else { return (None, none) };
    let (slots, pods) = (distinct(&cells, |c| c.slots), distinct(&cells, |c| c.pods));
    if slots.len() < 2 || pods.len() < 2 || cells.len() < 6 {
        return (None, none);
    }
    let inner: Vec<usize> = (0..cells.len())
        .filter(|&at| {
            let level = || cells.iter().filter(|c| c.slots == cells[at].slots).map(|c| c.pods);
            level().min() < Some(cells[at].pods) && Some(cells[at].pods) < level().max()
        })
        .collect();
    let error = |tier| {
        let errors: Vec<f64> = inner
            .iter()
            .map(|&at| predict(tier, &without(&cells, |i, _| i != at), cells[at]))
            .zip(&inner)
            .map(|(y_s, &at)| Some((y_s? / cells[at].y_s - 1.0).abs()))
            .collect::<Option<_>>()?;
        (!errors.is_empty()).then(|| errors.iter().sum::<f64>() / errors.len() as f64)
    };
    let mut tiers: Vec<TierError> = [Tier::PerLevel, Tier::SharedRate, Tier::Law]
        .into_iter()
        .filter_map(|tier| Some(TierError { tier, mean_error: error(tier)? }))
        .collect();
    tiers.sort_by(|a, b| a.mean_error.total_cmp(&b.mean_error));
    let held_out: Vec<HeldOutLevel> =
        slots.iter().map(|&slots| hold_out(&cells, slots)).collect::<Option<_>>().unwrap_or_default();
    let inner = held_out.get(1..held_out.len().saturating_sub(1)).unwrap_or_default();
    let mean = inner.iter().map(|level| level.mean_error).sum::<f64>() / inner.len() as f64;
    let surface = Surface {
        law: law(&cells),
        mean_error: (inner.len() > 1).then_some(mean),
        largest_error: held_out.iter().map(|level| level.largest_error).reduce(f64::max),
    };
    let shared_rate = shared_rate(&cells).map(|(rate, _)| rate);
    (Some(surface), FitReport { tiers, shared_rate, held_out, ..none })
}

fn distinct(cells: &[Cell], of: impl Fn(&Cell) -> u32) -> Vec<u32> {
    let mut values: Vec<u32> = cells.iter().map(of).collect();
    values.sort_unstable();
    values.dedup();
    values
}

fn without(cells: &[Cell], keep: impl Fn(usize, &Cell) -> bool) -> Vec<Cell> {
    cells.iter().enumerate().filter(|(i, cell)| keep(*i, cell)).map(|(_, cell)| *cell).collect()
}

/// What a tier, fitted to `cells`, says of a place; absent where it cannot be fitted.
fn predict(tier: Tier, cells: &[Cell], at: Cell) -> Option<f64> {
    match tier {
        Tier::Law => Some(law(cells).at(at.slots, at.pods)),
        Tier::PerLevel => {
            let level = Span::of(&without(cells, |_, c| c.slots == at.slots))?;
            (level.groups.len() > 2).then(|| level.value(Exponential::fit(&level.groups), at.pods))
        }
        Tier::SharedRate => {
            let (rate, _) = shared_rate(cells)?;
            let level = Span::of(&without(cells, |_, c| c.slots == at.slots))?;
            let beta = rate * level.range;
            (level.groups.len() > 1).then(|| level.value(Exponential::at(beta, &level.groups), at.pods))
        }
    }
}

/// The cells of one level as a curve takes them, in units of their largest time; relative errors count, as for the law.
struct Span {
    groups: Vec<Group>,
    first: u32,
    range: f64,
    scale: f64,
}

impl Span {
    fn of(level: &[Cell]) -> Option<Span> {
        let first = level.iter().map(|c| c.pods).min()?;
        let range = f64::from(level.iter().map(|c| c.pods).max()? - first).max(1.0);
        let scale = level.iter().map(|c| c.y_s).fold(0.0, f64::max);
        let group = |c: &Cell| Group {
            x: f64::from(c.pods - first) / range,
            y: c.y_s / scale,
            weight: c.repeats * (scale / c.y_s).powi(2),
        };
        Some(Span { groups: level.iter().map(group).collect(), first, range, scale })
    }

    fn value(&self, curve: Exponential, pods: u32) -> f64 {
        curve.value((f64::from(pods) - f64::from(self.first)) / self.range) * self.scale
    }
}

/// The rate [1/pod] that serves all levels best, relative to their times, and its sum of squares.
fn shared_rate(cells: &[Cell]) -> Option<(f64, f64)> {
    let spans: Vec<Span> = distinct(cells, |c| c.slots)
        .into_iter()
        .filter_map(|slots| Span::of(&without(cells, |_, c| c.slots == slots)))
        .filter(|span| span.groups.len() > 2)
        .collect();
    let widest = spans.iter().map(|span| span.range).fold(0.0, f64::max);
    if spans.len() < 2 {
        return None;
    }
    let sse = |beta: f64| -> f64 {
        spans.iter().map(|span| Exponential::at(beta / widest * span.range, &span.groups).sse).sum()
    };
    let (beta, least) = minimum(&grid(), sse);
    Some((beta / widest, least))
}

/// The least of a function on a rising grid, refined between the neighbours of the best point.
fn minimum(grid: &[f64], of: impl Fn(f64) -> f64) -> (f64, f64) {
    let costs: Vec<f64> = grid.iter().map(|&at| of(at)).collect();
    let best = (0..grid.len()).min_by(|&i, &j| costs[i].total_cmp(&costs[j])).unwrap_or_default();
    let (left, right) = (grid[best.saturating_sub(1)], grid[(best + 1).min(grid.len() - 1)]);
    let brent = BrentOpt::new(left, right).set_tolerance(f64::EPSILON.sqrt(), TOLERANCE);
    let refined = solve(&of, brent).map(|at| (at, of(at))).filter(|refined| refined.1 <= costs[best]);
    refined.unwrap_or((grid[best], costs[best]))
}

/// The law of least squares of the relative errors. For a ratio r = compute / transfer it is a straight line in
/// max(1 / slots, r / pods), so the ratio is scanned.
fn law(cells: &[Cell]) -> Makespan {
    let ratios = || cells.iter().map(|c| f64::from(c.pods) / f64::from(c.slots));
    let (low, high) = (ratios().fold(f64::INFINITY, f64::min), ratios().fold(0.0, f64::max));
    let (from, to) = ((low / SCAN_MARGIN).ln(), (high * SCAN_MARGIN).ln());
    let scan: Vec<f64> = (0..=SCAN_POINTS)
        .map(|i| (from + (to - from) * f64::from(i) / f64::from(SCAN_POINTS)).exp())
        .collect();
    let (ratio, _) = minimum(&scan, |ratio| law_at(cells, ratio).1);
    law_at(cells, ratio).0
}

/// The law of this ratio, none of its seconds below zero, and its sum of squares.
fn law_at(cells: &[Cell], ratio: f64) -> (Makespan, f64) {
    let term = |c: &Cell| (1.0 / f64::from(c.slots)).max(ratio / f64::from(c.pods));
    let sum =
        |of: &dyn Fn(&Cell) -> f64| cells.iter().map(|c| c.repeats * of(c) / (c.y_s * c.y_s)).sum::<f64>();
    let (one, x, y) = (sum(&|_| 1.0), sum(&term), sum(&|c| c.y_s));
    let (xx, xy) = (sum(&|c| term(c).powi(2)), sum(&|c| term(c) * c.y_s));
    let slope = (one * xy - x * y) / (one * xx - x * x);
    let (fixed_s, transfer_s) = match (y - slope * x) / one {
        fixed if slope > 0.0 && fixed >= 0.0 => (fixed, slope),
        _ if slope > 0.0 => (0.0, xy / xx),
        // No trend, or one term for all cells.
        _ => (y / one, 0.0),
    };
    let law = Makespan { fixed_s, transfer_s, compute_s: ratio * transfer_s };
    let sse = cells.iter().map(|c| c.repeats * (law.at(c.slots, c.pods) / c.y_s - 1.0).powi(2)).sum();
    (law, sse)
}

/// How well the law of all other levels predicts this one.
fn hold_out(cells: &[Cell], slots: u32) -> Option<HeldOutLevel> {
    let others = without(cells, |_, c| c.slots != slots);
    if distinct(&others, |c| c.slots).len() < 2 {
        return None;
    }
    let law = law(&others);
    let errors: Vec<f64> = cells
        .iter()
        .filter(|c| c.slots == slots)
        .map(|c| (law.at(c.slots, c.pods) / c.y_s - 1.0).abs())
        .collect();
    let mean_error = errors.iter().sum::<f64>() / errors.len() as f64;
    Some(HeldOutLevel { slots, mean_error, largest_error: errors.iter().copied().fold(0.0, f64::max) })
}
