//! Recorded traces: arrivals and bandwidths, from text into plain values.
//!
//! | recorded | read by | into |
//! |---|---|---|
//! | a time stamp an arrival (CSV, JSONL) | [`Stamps::from_csv`], [`Stamps::from_jsonl`] | [`Stamps`] |
//! | arrivals a bin (CSV) | [`Counts::from_csv`] | [`Counts`] |
//! | rate, CV and family a window (CSV), or a rate from each time on (text) | [`Windows::from_csv`], [`Windows::from_text`] | [`Windows`] |
//! | bandwidth at times (text) | [`BandwidthTrace::from_text`] | [`BandwidthTrace`] |
//!
//! # Time stamps
//! Seconds (`12`, `0.25`, `1700000000.123456789`, `1e-3`) or dates (`2023-11-16 18:17:03.97996`, a `T` between,
//! at most 9 digits of a second, `Z` or an offset such as `+01:00` at the end), one kind in a file. They become
//! whole nanoseconds straight from their digits, to the nearest, relative to the first. A date without an offset
//! is taken as it stands, with days of 24 hours. Times may repeat where that has a meaning; where they go back,
//! the file is refused.
//!
//! # Files
//! Lines may end in CRLF, the last without; a byte order mark and blank lines are skipped. The first row of a
//! CSV is a header if its first cell begins with a letter, `_` or `#` and is no number.
//!
//! # Errors
//! A reader never guesses and never skips a row. The first thing that is wrong is a [`TraceError`] with file,
//! line and field. What is odd and yet has a meaning is counted in the [`Notes`].

mod bandwidth;
mod counts;
mod notes;
mod rows;
mod stamp;
mod stamps;
mod timeline;
mod windows;

pub use bandwidth::BandwidthTrace;
pub use counts::Counts;
pub use notes::Notes;
pub use stamps::Stamps;
pub use windows::{Family, Window, Windows};

/// A trace that may begin later.
pub(crate) trait Later: Sized {
    /// What comes from that time on \[ns\], which becomes zero; absent where nothing comes.
    fn later(self, from_ns: u64) -> Option<Self>;
}

/// What is wrong with a trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {field}: {problem}")]
pub struct TraceError {
    /// Name of the file, as the caller gave it.
    pub file: String,
    /// Line in the file, from 1; headers and blank lines count.
    pub line: u64,
    /// The column or the field.
    pub field: String,
    /// What is wrong and what to do, lower case.
    pub problem: String,
}

/// Where a value stands.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    file: &'a str,
    line: u64,
    field: &'a str,
}

impl Place<'_> {
    fn error(self, problem: impl Into<String>) -> TraceError {
        let (file, field) = (self.file.to_owned(), self.field.to_owned());
        TraceError { file, line: self.line, field, problem: problem.into() }
    }

    /// A number, finite and at least zero.
    fn number(self, cell: &str) -> Result<f64, TraceError> {
        match cell.parse() {
            Ok(number) if f64::is_finite(number) && number >= 0.0 => Ok(number),
            _ => Err(self.error(format!("`{}` is not a finite number, zero or above; mend it", short(cell)))),
        }
    }
}

/// A trace without a row.
fn empty(file: &str, field: &str) -> TraceError {
    Place { file, line: 1, field }.error("the trace is empty; give a file with at least one row")
}

/// Without the byte order mark.
fn bare(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// The beginning of a cell that may be a whole file behind an open quote.
fn short(cell: &str) -> &str {
    cell.char_indices().nth(40).map_or(cell, |(end, _)| &cell[..end])
}
