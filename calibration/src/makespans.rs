//! Measured against simulated makespans, cell by cell.

use std::collections::{BTreeMap, BTreeSet};

use crate::{BurstRow, CalibrationError};
use serde::Serialize;

/// One cell of the table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CellComparison {
    /// Transfer slots.
    pub slots: u32,
    /// Pods of each stage.
    pub pods: u32,
    /// Mean of the measured makespans \[s\].
    pub measured_s: f64,
    /// Shortest of them \[s\].
    pub measured_min_s: f64,
    /// Longest of them \[s\].
    pub measured_max_s: f64,
    /// Simulated makespan \[s\].
    pub simulated_s: f64,
    /// (simulated - measured) / measured.
    pub error: f64,
    /// The simulator's laws were fitted on other cells.
    pub held_out: bool,
}

/// All cells, and how good the simulator is where it has not seen the answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Makespans {
    /// Every measured cell, by rising slots, then pods.
    pub cells: Vec<CellComparison>,
    /// Mean of |error| over the held-out cells; absent where none is held out.
    pub mean_absolute_error: Option<f64>,
    /// The held-out cell of the largest |error|; absent where none is held out.
    pub worst: Option<CellComparison>,
}

/// Compares every measured cell with its `simulated` makespan \[s\], both by (slots, pods of each stage).
///
/// `fitted_on` are the cells the simulator's laws come from; the summary is of all others.
///
/// # Errors
/// A measured cell that was not simulated.
pub fn makespans(
    measured: &[BurstRow],
    simulated: &BTreeMap<(u32, u32), f64>,
    fitted_on: &[(u32, u32)],
) -> Result<Makespans, CalibrationError> {
    let mut makespans: BTreeMap<(u32, u32), Vec<f64>> = BTreeMap::new();
    for row in measured {
        makespans.entry((row.bandwidth, row.num_pod_a)).or_default().push(row.end_time);
    }
    let fitted_on: BTreeSet<_> = fitted_on.iter().collect();
    let compare = |(&cell, times): (&(u32, u32), &Vec<f64>)| {
        let (slots, pods) = cell;
        let &simulated_s = simulated.get(&cell).ok_or(CalibrationError::NotSimulated { slots, pods })?;
        let measured_s = times.iter().sum::<f64>() / times.len() as f64;
        Ok(CellComparison {
            slots,
            pods,
            measured_s,
            measured_min_s: times.iter().copied().fold(f64::INFINITY, f64::min),
            measured_max_s: times.iter().copied().fold(0.0, f64::max),
            simulated_s,
            error: (simulated_s - measured_s) / measured_s,
            held_out: !fitted_on.contains(&cell),
        })
    };
    let cells: Vec<CellComparison> =
        makespans.iter().map(compare).collect::<Result<_, CalibrationError>>()?;
    let held_out = || cells.iter().filter(|cell| cell.held_out);
    let count = held_out().count();
    Ok(Makespans {
        mean_absolute_error: (count > 0)
            .then(|| held_out().map(|cell| cell.error.abs()).sum::<f64>() / count as f64),
        worst: held_out().max_by(|a, b| a.error.abs().total_cmp(&b.error.abs())).copied(),
        cells,
    })
}
