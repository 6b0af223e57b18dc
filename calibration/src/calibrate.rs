//! A table of times to a calibration.

use std::collections::BTreeMap;

use splitscale_spec::{Calibration, Invalid, Level, Provenance};

use crate::level::{Options, fit_weighted};
use crate::noise::Noise;
use crate::report::{FitReport, OtherFit};
use crate::surface::surface;
use crate::{CalibrationError, Table, TimeRow};

/// Fits every level of a table, and what they have in common; `laws` stays absent.
///
/// # Errors
/// An option out of range, or no level at all.
pub fn calibrate(
    table: &Table<TimeRow>,
    options: &Options,
) -> Result<(Calibration, FitReport), CalibrationError> {
    if !(options.alpha > 0.0 && options.alpha < 1.0) {
        return Err(Invalid::new("alpha", format!("{} is not between 0 and 1", options.alpha)).into());
    }
    let mut times: BTreeMap<Option<u32>, Vec<(u32, f64)>> = BTreeMap::new();
    let mut cells: BTreeMap<(Option<u32>, u32), Vec<f64>> = BTreeMap::new();
    for row in &table.rows {
        times.entry(row.slots).or_default().push((row.pods, row.y_s));
        cells.entry((row.slots, row.pods)).or_default().push(row.y_s);
    }
    let noise = Noise::of(cells.values().map(Vec::as_slice));
    let (mut levels, mut others) = (Vec::new(), Vec::new());
    for (slots, times) in times {
        let (level, beside) = fit_weighted(&times, noise.as_ref(), options);
        levels.push(Level { slots, ..level });
        others.extend(beside.into_iter().map(|other| OtherFit { slots, ..other }));
    }
    let (surface, report) = surface(&cells);
    let calibration = Calibration {
        burst: None,
        schema: Calibration::SCHEMA,
        levels,
        surface,
        laws: None,
        provenance: Provenance {
            table: table.file.clone(),
            hash: table.hash.clone(),
            rows: u32::try_from(table.rows.len()).unwrap_or(u32::MAX),
            dropped: table.dropped.iter().map(ToString::to_string).collect(),
            ..Provenance::default()
        },
    };
    calibration.validate()?;
    Ok((calibration, FitReport { others, ..report }))
}
