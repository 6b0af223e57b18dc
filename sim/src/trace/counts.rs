//! Arrivals a bin.

use std::collections::BTreeMap;

use super::notes::Notes;
use super::rows::Rows;
use super::timeline::{Step, Timeline};
use super::{Later, Place, TraceError, empty, short};

/// How many requests arrived in each of a row of equal bins.
#[derive(Debug, Clone, PartialEq)]
pub struct Counts {
    /// Width of a bin \[ns\].
    pub bin_ns: u64,
    /// Arrivals in each bin, the first beginning at time zero.
    pub counts: Vec<u32>,
    /// What was read.
    pub notes: Notes,
}

/// A row as read.
struct Row {
    line: u64,
    step: Step,
    count: u32,
}

/// More bins than any trace has: a slip in a date must not fill the memory with zeros.
const MOST_BINS: u64 = 1 << 24;

impl Counts {
    /// Reads a CSV of two columns, the time of a bin and its count. A bin is as wide as the most frequent
    /// step between rows, the smallest of equally frequent; a bin without a row had no arrivals.
    ///
    /// # Errors
    /// Fewer than two rows, times as in [`super::Stamps::from_csv`], a time that comes twice or lies between
    /// bins, a count that is no whole number from 0 to 4294967295, no arrival at all, more than 16777216 bins.
    pub fn from_csv(file: &str, text: &str) -> Result<Self, TraceError> {
        let mut rows = Rows::new(file, text)?;
        let (time, value) = (rows.name(0, "time stamp"), rows.name(1, "count"));
        let (mut timeline, mut read) = (Timeline::default(), Vec::new());
        while rows.step()? {
            let place = rows.place(&time);
            let step = timeline.add_later(place, rows.cell(0, &time)?)?;
            read.push(Row {
                line: place.line,
                step,
                count: whole(rows.place(&value), rows.cell(1, &value)?)?,
            });
        }
        let Some(last) = read.last() else { return Err(empty(file, &time)) };
        let end = Place { file, line: last.line, field: &time };
        let bin_ns = most_frequent(read.iter().filter_map(|row| row.step.gap_ns))
            .ok_or_else(|| end.error("one row does not say how wide a bin is; give at least two"))?;
        let (bins, width_s) = (last.step.offset_ns / bin_ns + 1, bin_ns as f64 / 1e9);
        if bins > MOST_BINS {
            return Err(end.error(format!("{bins} bins of {width_s} s are too many; mend the times")));
        }
        let mut counts = vec![0; bins as usize];
        for Row { line, step, count } in &read {
            if step.offset_ns % bin_ns != 0 {
                let problem = format!("not a whole number of bins of {width_s} s after the first; mend it");
                return Err(Place { line: *line, ..end }.error(problem));
            }
            counts[(step.offset_ns / bin_ns) as usize] = *count;
        }
        if counts.iter().all(|count| *count == 0) {
            return Err(Place { field: &value, ..end }.error("no bin has a request; give a trace with some"));
        }
        let notes = Notes { filled: bins - read.len() as u64, ..timeline.notes("bins", bins * bin_ns) };
        Ok(Counts { bin_ns, counts, notes })
    }
}

/// The smallest of equally frequent values.
fn most_frequent(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut times: BTreeMap<u64, u64> = BTreeMap::new();
    values.for_each(|value| *times.entry(value).or_default() += 1);
    // Of equals, the last is the maximum.
    times.into_iter().rev().max_by_key(|(_, times)| *times).map(|(value, _)| value)
}

/// A whole number, also when written `94.0`.
fn whole(place: Place<'_>, cell: &str) -> Result<u32, TraceError> {
    match cell.parse() {
        Ok(number) if f64::fract(number) == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number) => {
            Ok(number as u32)
        }
        _ => {
            let problem = "is no whole number from 0 to 4294967295; a bin counts requests";
            Err(place.error(format!("`{}` {problem}", short(cell))))
        }
    }
}

impl Later for Counts {
    /// To a whole bin.
    fn later(mut self, from_ns: u64) -> Option<Self> {
        let bins = usize::try_from(from_ns / self.bin_ns).ok()?;
        self.counts.drain(..bins.min(self.counts.len()));
        self.counts.iter().any(|&count| count > 0).then_some(self)
    }
}
