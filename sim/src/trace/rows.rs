//! The rows of a CSV.

use csv::{ReaderBuilder, StringRecord, Trim};

use super::{Place, TraceError, bare};

/// Reads row by row and knows the line of each.
pub(super) struct Rows<'a> {
    file: &'a str,
    text: &'a str,
    reader: csv::Reader<&'a [u8]>,
    record: StringRecord,
    /// The line of the record, and up to which byte lines are counted.
    line: u64,
    counted: usize,
    /// The names of the columns, if the file has any.
    header: Option<StringRecord>,
    /// The first row is in the record and was not given yet.
    pending: bool,
}

impl<'a> Rows<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Result<Self, TraceError> {
        let text = bare(text);
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(Trim::All)
            .from_reader(text.as_bytes());
        let record = StringRecord::new();
        let mut rows = Rows { file, text, reader, record, line: 1, counted: 0, header: None, pending: false };
        rows.pending = rows.advance()?;
        if rows.pending && is_header(&rows.record) {
            rows.header = Some(rows.record.clone());
            rows.pending = false;
        }
        Ok(rows)
    }

    /// The number of the column `name`; of the first column without one.
    pub(super) fn column(&self, name: Option<&str>) -> Result<usize, TraceError> {
        let Some(name) = name else { return Ok(0) };
        let place = Place { file: self.file, line: self.line, field: name };
        let Some(header) = &self.header else {
            return Err(place.error("the first row is no header to find the column in; leave its name out"));
        };
        header.iter().position(|column| column == name).ok_or_else(|| {
            let columns: Vec<&str> = header.iter().collect();
            place.error(format!("no such column; the file has {}", columns.join(", ")))
        })
    }

    /// What a column is called: in the file, or else `otherwise`.
    pub(super) fn name(&self, column: usize, otherwise: &str) -> String {
        let name = self.header.as_ref().and_then(|header| header.get(column));
        name.filter(|name| !name.is_empty()).unwrap_or(otherwise).to_owned()
    }

    /// Steps to the next row; false at the end.
    pub(super) fn step(&mut self) -> Result<bool, TraceError> {
        if std::mem::take(&mut self.pending) {
            return Ok(true);
        }
        self.advance()
    }

    /// Where a value of this row stands.
    pub(super) fn place<'b>(&'b self, field: &'b str) -> Place<'b> {
        Place { file: self.file, line: self.line, field }
    }

    /// A cell of this row.
    pub(super) fn cell(&self, column: usize, field: &str) -> Result<&str, TraceError> {
        self.record.get(column).filter(|cell| !cell.is_empty()).ok_or_else(|| {
            self.place(field).error(format!("no value in column {}; give one or drop the row", column + 1))
        })
    }

    /// A cell that may be empty.
    pub(super) fn optional(&self, column: usize) -> &str {
        self.record.get(column).unwrap_or_default()
    }

    fn advance(&mut self) -> Result<bool, TraceError> {
        let start = self.reader.position().byte() as usize;
        let more = self.reader.read_record(&mut self.record);
        // The reader begins a record at what it skips, the rest of a CRLF and blank lines: count past those.
        let skipped = self.text[start..].bytes().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let end = start + skipped;
        let breaks = self.text[self.counted..end].bytes().filter(|byte| *byte == b'\n').count();
        (self.line, self.counted) = (self.line + breaks as u64, end);
        more.map_err(|error| {
            self.place("row").error(format!("{error}; write the file as CSV, separated by commas"))
        })
    }
}

fn is_header(record: &StringRecord) -> bool {
    let cell = record.get(0).unwrap_or_default();
    let named = cell.starts_with(|first: char| first.is_alphabetic() || first == '_' || first == '#');
    named && cell.parse::<f64>().is_err()
}
