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

use std::collections::BTreeMap;

use csv::StringRecord;
use splitscale_spec::{RequestRecord, Status};

use crate::layout::{BURSTS, RECORDS, STARTS, TIMES};
use crate::{BadCell, BurstRow, CalibrationError, StartRow};

/// How far a table's time may be from that of its records: tables are rounded.
const SAME: f64 = 0.01;

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
        if row.end_time < 0.9 * row.total_time {
            let why = format!(
                "the burst took {} s, its mean request {} s; a burst takes no less than its requests, in the same unit",
                row.end_time, row.total_time
            );
            return Err(cells.bad("end_time", why));
        }
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
        let one_or_more = |column: &str, value: f64| match value >= 1.0 {
            true => Ok(()),
            false => Err(cells.bad(column, format!("{value} of an answered request; it takes 1 or more"))),
        };
        if record.status == Status::Answered {
            one_or_more("bytes", record.bytes as f64)?;
            one_or_more("slots", record.slots.into())?;
            one_or_more("pods_a", record.pods_a.into())?;
            one_or_more("pods_b", record.pods_b.into())?;
        }
        if let Some(mbit_s) = record.bandwidth_mbit_s {
            let positive = splitscale_spec::positive("bandwidth_mbit_s", mbit_s);
            positive.map_err(|invalid| cells.bad(&invalid.field, invalid.problem))?;
        }
        let (phases_s, latency_s) = (record.phases_s().iter().sum::<f64>(), record.latency_s());
        if record.status == Status::Answered && (phases_s - latency_s).abs() > 1e-3 + 0.01 * latency_s {
            let why = format!(
                "the phases sum up to {phases_s:.3} s, but from sent_ns to done_ns it took {latency_s:.3} s; phases are seconds, instants nanoseconds"
            );
            return Err(cells.bad("done_ns", why));
        }
        Ok(record)
    })
}

/// Whether a text is a table of request records.
pub fn are_records(text: &str) -> bool {
    let header = header(text);
    RECORDS.shared(&header) > BURSTS.shared(&header).max(TIMES.shared(&header))
}

/// The makespans of bursts from the records of their requests. A burst with a request that was not answered was
/// shorter than the others, and is left out.
///
/// # Errors
/// Requests of one run that were not all due at once: a load in time has no makespan to fit; no burst left.
pub fn times_of(records: &Table<RequestRecord>) -> Result<Table<TimeRow>, CalibrationError> {
    let mut runs: BTreeMap<u32, Vec<RequestRecord>> = BTreeMap::new();
    for record in &records.rows {
        runs.entry(record.run_id).or_default().push(record.clone());
    }
    let other = |problem: String| CalibrationError::OtherPipeline { table: records.file.clone(), problem };
    let mut rows = Vec::new();
    for (run, records) in runs {
        if records.iter().any(|record| record.scheduled_ns != records[0].scheduled_ns) {
            let problem =
                format!("the requests of run {run} were not due at once, and only bursts have makespans");
            return Err(other(problem));
        }
        let answered = records.iter().all(|record| record.status == Status::Answered);
        if let Some(burst) =
            BurstRow::of(&records).filter(|burst| answered && burst.num_pod_a == burst.num_pod_b)
        {
            rows.push(TimeRow { slots: Some(burst.bandwidth), pods: burst.num_pod_a, y_s: burst.end_time });
        }
    }
    if rows.is_empty() {
        return Err(other("no burst of which every request was answered".into()));
    }
    Ok(Table {
        file: records.file.clone(),
        hash: records.hash.clone(),
        rows,
        dropped: records.dropped.clone(),
    })
}

/// Refuses a table and records of different bursts.
///
/// # Errors
/// The first row of the table whose slots, pods and time no burst of the records has.
pub fn one_measurement(
    table: &Table<TimeRow>,
    records: &Table<RequestRecord>,
) -> Result<(), CalibrationError> {
    if table.file == records.file {
        return Ok(());
    }
    let bursts = times_of(records)?.rows;
    for row in &table.rows {
        let same_cell =
            |burst: &&TimeRow| (row.slots.is_none() || burst.slots == row.slots) && burst.pods == row.pods;
        let nearest = bursts
            .iter()
            .filter(same_cell)
            .map(|burst| burst.y_s)
            .min_by(|a, b| (a - row.y_s).abs().total_cmp(&(b - row.y_s).abs()));
        let slots = row.slots.map_or(String::new(), |slots| format!("{slots} slots and "));
        let problem = match nearest {
            None => format!("{slots}{} pods are not in {}", row.pods, records.file),
            Some(y_s) if (y_s / row.y_s - 1.0).abs() > SAME => {
                let ratio = row.y_s / y_s;
                let unit = [1e3, 1e6, 1e9].iter().any(|unit| (ratio / unit - 1.0).abs() < 0.2);
                let hint = if unit { " (are they milli-, micro- or nanoseconds?)" } else { "" };
                format!("{} s at {slots}{} pods, where {} has {y_s} s{hint}", row.y_s, row.pods, records.file)
            }
            Some(_) => continue,
        };
        return Err(CalibrationError::OtherPipeline { table: table.file.clone(), problem });
    }
    Ok(())
}

/// Reads how long pods took to come and to go.
///
/// # Errors
/// An unknown layout; a bad cell, unless `bad_rows` skips it; no row left.
pub fn read_starts(file: &str, text: &str, bad_rows: BadRows) -> Result<Table<StartRow>, CalibrationError> {
    STARTS.check(file, &header(text), &STARTS.to_string())?;
    rows(file, text, bad_rows, |cells| {
        let one_of = |name: &str, allowed: [&str; 2]| {
            let word: String = cells.parse(name, "a word")?;
            let problem =
                || cells.bad(name, format!("{word:?} is neither {} nor {}", allowed[0], allowed[1]));
            if allowed.contains(&word.as_str()) { Ok(word) } else { Err(problem()) }
        };
        Ok(StartRow {
            stage: one_of("stage", ["a", "b"])?,
            event: one_of("event", ["start", "drain"])?,
            pods: cells.parse("pods", "a number of 0 or more")?,
            seconds: cells.seconds("seconds")?,
        })
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

/// FNV-1a, 64 bits (Fowler, Noll, Vo; RFC 9923), as 16 hexadecimal digits: what a table, or a document, is told by.
pub fn fnv1a(bytes: &[u8]) -> String {
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
