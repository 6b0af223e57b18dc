//! Tables of measurements: which layouts are known, and what becomes of a bad cell.
//!
//! | columns | one row is |
//! |---|---|
//! | `inference_time_a, inference_time_b, total_time, end_time, NUM_POD_A, NUM_POD_B, BANDWIDTH` | a burst; y is `end_time`, pods are `NUM_POD_A` = `NUM_POD_B`, slots are `BANDWIDTH` |
//! | `[bandwidth,] pods, [rep,] y` (or `y_seconds`) | one time; without `bandwidth` the table has a single level |
//! | the fields of [`RequestRecord`] | a request |
//!
//! Columns come in any order. A column that no layout knows is refused: a misspelt `bandwidth` would
//! otherwise melt all levels into one. Lines that begin with `#` and empty lines are skipped.

use csv::StringRecord;
use splitscale_spec::RequestRecord;

use crate::layout::{BURSTS, RECORDS, TIMES};
use crate::{BadCell, BurstRow, CalibrationError};

/// The rows of a file, and what was left out of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Table<R> {
    /// Name of the file, as the caller gave it.
    pub file: String,
    /// FNV-1a 64-bit hash of its bytes, 16 hexadecimal digits.
    pub hash: String,
    /// The rows that hold measurements, in the order of the file.
    pub rows: Vec<R>,
    /// The first bad cell of each row that was dropped.
    pub dropped: Vec<BadCell>,
}

/// What becomes of a row with an empty, non-numeric, infinite, zero or negative cell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BadRows {
    /// The first one is an error.
    #[default]
    Refuse,
    /// They are left out and listed in [`Table::dropped`].
    Skip,
}

/// One measured time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeRow {
    /// Transfer slots; absent in a table that knows only pods.
    pub slots: Option<u32>,
    /// Pods of each stage.
    pub pods: u32,
    /// Time \[s\].
    pub y_s: f64,
}

/// Reads times: the original's table of bursts, or `[bandwidth,] pods, [rep,] y`.
///
/// # Errors
/// An unknown layout; a bad cell, unless `bad_rows` skips it; no row left.
pub fn read_times(file: &str, text: &str, bad_rows: BadRows) -> Result<Table<TimeRow>, CalibrationError> {
    let header = header(text);
    if BURSTS.shared(&header) > TIMES.shared(&header) {
        let bursts = read_bursts(file, text, bad_rows)?;
        let time =
            |row: &BurstRow| TimeRow { slots: Some(row.bandwidth), pods: row.num_pod_a, y_s: row.end_time };
        let rows = bursts.rows.iter().map(time).collect();
        return Ok(Table { rows, file: bursts.file, hash: bursts.hash, dropped: bursts.dropped });
    }
    TIMES.check(file, &header, &format!("{BURSTS}, or {TIMES}"))?;
    let has = |name: &str| header.iter().any(|column| column == name);
    let (leveled, repeated) = (has("bandwidth"), has("rep"));
    rows(file, text, bad_rows, |cells| {
        if repeated {
            cells.parse::<u32>("rep", "a number of 0 or more")?;
        }
        Ok(TimeRow {
            slots: if leveled { Some(cells.count("bandwidth")?) } else { None },
            pods: cells.count("pods")?,
            y_s: cells.seconds("y")?,
        })
    })
}

/// Reads the original's table, one row a burst.
///
/// # Errors
/// An unknown layout; a bad cell, unless `bad_rows` skips it; no row left.
pub fn read_bursts(file: &str, text: &str, bad_rows: BadRows) -> Result<Table<BurstRow>, CalibrationError> {
    BURSTS.check(file, &header(text), &BURSTS.to_string())?;
    rows(file, text, bad_rows, |cells| {
        let row = BurstRow {
            inference_time_a: cells.seconds("inference_time_a")?,
            inference_time_b: cells.seconds("inference_time_b")?,
            total_time: cells.seconds("total_time")?,
            end_time: cells.seconds("end_time")?,
            num_pod_a: cells.count("NUM_POD_A")?,
            num_pod_b: cells.count("NUM_POD_B")?,
            bandwidth: cells.count("BANDWIDTH")?,
        };
        if row.num_pod_a != row.num_pod_b {
            let why = format!(
                "{} pods of B beside {} of A; a curve over pods needs as many of both",
                row.num_pod_b, row.num_pod_a
            );
            return Err(cells.bad("NUM_POD_B", why));
        }
        Ok(row)
    })
}

/// Reads request records.
///
/// # Errors
/// An unknown layout; a bad cell, unless `bad_rows` skips it; no row left.
pub fn read_records(
    file: &str,
    text: &str,
    bad_rows: BadRows,
) -> Result<Table<RequestRecord>, CalibrationError> {
    RECORDS.check(file, &header(text), &RECORDS.to_string())?;
    rows(file, text, bad_rows, |cells| {
        let record: RequestRecord = cells.record.deserialize(Some(cells.header)).map_err(|error| {
            let csv::ErrorKind::Deserialize { err, .. } = error.kind() else {
                return cells.bad("row", error.to_string());
            };
            // An unknown status or encoding comes without its column; its message names what is allowed.
            let column = err.field().and_then(|at| cells.header.get(at as usize)).unwrap_or("row");
            cells.bad(column, err.kind().to_string())
        })?;
        record.validate().map_err(|invalid| cells.bad(&invalid.field, invalid.problem))?;
        Ok(record)
    })
}

fn reader(text: &str) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes())
}

/// The columns; `y_seconds` is another name of `y`. Text in memory cannot fail to be read.
fn header(text: &str) -> StringRecord {
    let header = reader(text).headers().cloned().unwrap_or_default();
    header.iter().map(|name| if name == "y_seconds" { "y" } else { name }).collect()
}

fn rows<R>(
    file: &str,
    text: &str,
    bad_rows: BadRows,
    parse: impl Fn(&Cells<'_>) -> Result<R, BadCell>,
) -> Result<Table<R>, CalibrationError> {
    let header = header(text);
    let mut table = Table { file: file.into(), hash: fnv1a(text.as_bytes()), rows: vec![], dropped: vec![] };
    for record in reader(text).records() {
        let record = record.unwrap_or_default();
        let cells = Cells { file, text, header: &header, record: &record };
        match cells.check_length().and_then(|()| parse(&cells)) {
            Ok(row) => table.rows.push(row),
            Err(bad) if bad_rows == BadRows::Skip => table.dropped.push(bad),
            Err(bad) => return Err(bad.into()),
        }
    }
    if table.rows.is_empty() {
        return Err(CalibrationError::NoRows { file: file.into(), dropped: table.dropped.len() });
    }
    Ok(table)
}

/// One row under its header.
struct Cells<'a> {
    file: &'a str,
    text: &'a str,
    header: &'a StringRecord,
    record: &'a StringRecord,
}

impl Cells<'_> {
    fn bad(&self, field: &str, why: impl Into<String>) -> BadCell {
        BadCell { file: self.file.into(), line: self.line(), field: field.into(), why: why.into() }
    }

    /// The reader's position is the end of the row before: comments and empty lines follow there.
    fn line(&self) -> u64 {
        let Some(position) = self.record.position() else { return 0 };
        let rest = self.text.get(position.byte() as usize..).unwrap_or_default();
        let skipped = rest.lines().take_while(|line| line.is_empty() || line.starts_with('#')).count();
        position.line() + skipped as u64
    }

    fn check_length(&self) -> Result<(), BadCell> {
        if let Some(missing) = self.header.get(self.record.len()) {
            return Err(self.bad(missing, "missing; the row is shorter than the header"));
        }
        if self.record.len() > self.header.len() {
            let extra = format!("column {}", self.header.len() + 1);
            return Err(self.bad(&extra, "the row is longer than the header"));
        }
        Ok(())
    }

    fn parse<T: std::str::FromStr>(&self, name: &str, expected: &str) -> Result<T, BadCell> {
        let at = self.header.iter().position(|column| column == name);
        let cell = at.and_then(|at| self.record.get(at)).unwrap_or_default();
        if cell.is_empty() {
            return Err(self.bad(name, format!("empty; expected {expected}")));
        }
        cell.parse().map_err(|_| self.bad(name, format!("{cell:?} is not {expected}")))
    }

    fn seconds(&self, name: &str) -> Result<f64, BadCell> {
        let value: f64 = self.parse(name, "a time in seconds")?;
        if value.is_finite() && value > 0.0 {
            return Ok(value);
        }
        Err(self.bad(name, format!("{value} is not a finite time above zero")))
    }

    fn count(&self, name: &str) -> Result<u32, BadCell> {
        let expected = "a whole number of 1 or more";
        match self.parse::<u32>(name, expected)? {
            0 => Err(self.bad(name, format!("0 is not {expected}"))),
            count => Ok(count),
        }
    }
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo; RFC 9923).
fn fnv1a(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::fnv1a;

    #[test]
    fn the_hash_is_fnv1a() {
        assert_eq!(fnv1a(b""), "cbf29ce484222325");
        assert_eq!(fnv1a(b"a"), "af63dc4c8601ec8c");
        assert_eq!(fnv1a(b"foobar"), "85944171f73967e8");
    }
}
