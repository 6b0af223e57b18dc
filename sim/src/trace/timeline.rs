//! The times of a trace, one after another.

use super::notes::Notes;
use super::stamp::{self, Kind};
use super::{Place, TraceError, short};

/// Makes stamps relative to the first and watches their order.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    first: Option<(Kind, i128, u64)>,
    last_ns: u64,
    last_line: u64,
    rows: u64,
    repeated: u64,
    longest_gap_ns: u64,
}

/// A stamp against those before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// Since the first stamp \[ns\].
    pub(super) offset_ns: u64,
    /// Since the stamp before \[ns\]; absent at the first.
    pub(super) gap_ns: Option<u64>,
}

impl Timeline {
    /// Takes the next stamp, a number of seconds or a date.
    pub(super) fn add(&mut self, place: Place<'_>, text: &str) -> Result<Step, TraceError> {
        let Some((kind, at_ns)) = stamp::parse(text) else {
            let problem = "is no time; write seconds or YYYY-MM-DD HH:MM:SS[.fraction][Z or +hh:mm]";
            return Err(place.error(format!("`{}` {problem}", short(text))));
        };
        let (first_kind, first_ns, first_line) = *self.first.get_or_insert((kind, at_ns, place.line));
        if kind != first_kind {
            let (this, that) = (name(kind), name(first_kind));
            let problem = format!("{this}, but line {first_line} has {that}; write all times alike");
            return Err(place.error(problem));
        }
        if at_ns < first_ns + i128::from(self.last_ns) {
            let problem = format!("before the time of line {}; sort the rows by time", self.last_line);
            return Err(place.error(problem));
        }
        let offset_ns = i64::try_from(at_ns - first_ns).map_err(|_| {
            place.error(format!("more than 292 years after line {first_line}; write times in seconds"))
        })? as u64;
        let gap_ns = offset_ns - self.last_ns;
        let later = self.rows > 0;
        self.repeated += u64::from(later && gap_ns == 0);
        self.longest_gap_ns = self.longest_gap_ns.max(gap_ns);
        (self.last_ns, self.last_line, self.rows) = (offset_ns, place.line, self.rows + 1);
        Ok(Step { offset_ns, gap_ns: later.then_some(gap_ns) })
    }

    /// As [`Timeline::add`], where a time may not come twice.
    pub(super) fn add_later(&mut self, place: Place<'_>, text: &str) -> Result<Step, TraceError> {
        let before = self.last_line;
        let step = self.add(place, text)?;
        if step.gap_ns == Some(0) {
            return Err(place.error(format!("the time of line {before} again; make one row of the two")));
        }
        Ok(step)
    }

    /// Of a trace that covers `span_ns`.
    pub(super) fn notes(&self, what: &'static str, span_ns: u64) -> Notes {
        Notes {
            what,
            read: self.rows,
            repeated: self.repeated,
            filled: 0,
            longest_gap_s: self.longest_gap_ns as f64 / 1e9,
            span_s: span_ns as f64 / 1e9,
        }
    }

    /// Where the last row stands.
    pub(super) fn last_place<'a>(&self, file: &'a str, field: &'a str) -> Place<'a> {
        Place { file, line: self.last_line, field }
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Seconds => "a number of seconds",
        Kind::Local => "a date without an offset",
        Kind::Zoned => "a date with an offset",
    }
}
