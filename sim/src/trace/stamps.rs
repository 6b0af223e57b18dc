//! A time stamp an arrival.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::notes::Notes;
use super::rows::Rows;
use super::timeline::Timeline;
use super::{Later, Place, TraceError, bare, empty};

/// When requests arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Stamps {
    /// Each arrival since the first, or since where the run begins in it; never falling, repeated where several came at
    /// once \[ns\].
    pub offsets_ns: Vec<u64>,
    /// What was read.
    pub notes: Notes,
}

impl Stamps {
    /// Reads a CSV with a stamp a row, in the column of that name, or else in the first. `file` is what
    /// errors call it.
    ///
    /// # Errors
    /// No such column, no row, a row without a stamp, a stamp that is no time, is of another kind than the
    /// first or lies before the one above.
    pub fn from_csv(file: &str, text: &str, column: Option<&str>) -> Result<Self, TraceError> {
        let mut rows = Rows::new(file, text)?;
        let index = rows.column(column)?;
        let field = rows.name(index, "time stamp");
        let (mut timeline, mut offsets_ns) = (Timeline::default(), Vec::new());
        while rows.step()? {
            let step = timeline.add(rows.place(&field), rows.cell(index, &field)?)?;
            offsets_ns.push(step.offset_ns);
        }
        Self::new(offsets_ns, &timeline).ok_or_else(|| empty(file, &field))
    }

    /// Those of arrivals since the first \[ns\], never falling.
    pub fn of(offsets_ns: Vec<u64>) -> Self {
        let gaps = || offsets_ns.windows(2).map(|pair| pair[1] - pair[0]);
        let seconds = |ns: Option<u64>| ns.unwrap_or(0) as f64 * 1e-9;
        let notes = Notes {
            what: "stamps",
            read: offsets_ns.len() as u64,
            repeated: gaps().filter(|&gap| gap == 0).count() as u64,
            filled: 0,
            longest_gap_s: seconds(gaps().max()),
            span_s: seconds(offsets_ns.last().copied()),
        };
        Stamps { offsets_ns, notes }
    }

    /// Reads a JSON object a line, with the stamp in the field of that name: a number of seconds or a string
    /// that holds one or a date.
    ///
    /// # Errors
    /// As [`Stamps::from_csv`], and for a line that is no JSON object.
    pub fn from_jsonl(file: &str, text: &str, field: &str) -> Result<Self, TraceError> {
        let (mut timeline, mut offsets_ns) = (Timeline::default(), Vec::new());
        for (line, object) in (1..).zip(bare(text).lines()) {
            if object.trim().is_empty() {
                continue;
            }
            let place = Place { file, line, field };
            let step = timeline.add(place, &stamp(place, object)?)?;
            offsets_ns.push(step.offset_ns);
        }
        Self::new(offsets_ns, &timeline).ok_or_else(|| empty(file, field))
    }

    fn new(offsets_ns: Vec<u64>, timeline: &Timeline) -> Option<Self> {
        let span_ns = *offsets_ns.last()?;
        Some(Stamps { offsets_ns, notes: timeline.notes("stamps", span_ns) })
    }
}

/// The text of the stamp in an object. A number is taken as written: a parsed one has lost nanoseconds.
fn stamp(place: Place<'_>, object: &str) -> Result<String, TraceError> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(object).map_err(|error| {
        place.error(format!("the line is no JSON object ({error}); write one object a line"))
    })?;
    let Some(value) = fields.get(place.field) else {
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        return Err(place.error(format!("no such field; the line has {}", names.join(", "))));
    };
    Ok(serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned()))
}

impl Later for Stamps {
    fn later(mut self, from_ns: u64) -> Option<Self> {
        self.offsets_ns.drain(..self.offsets_ns.partition_point(|&at_ns| at_ns < from_ns));
        self.offsets_ns.iter_mut().for_each(|at_ns| *at_ns -= from_ns);
        (!self.offsets_ns.is_empty()).then_some(self)
    }
}
