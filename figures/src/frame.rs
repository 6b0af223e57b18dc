//! Tables with the columns that the figures need, checked once.

use std::path::{Path, PathBuf};

use polars::prelude::*;

use crate::Error;

/// The tables of an output folder that figures are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// `table.csv`: one row per measured burst, in the columns of the original work.
    Measured,
    /// `fit.csv`: one row per traffic level and pods, with the value of the fitted curve.
    Fit,
    /// `cells.csv`: one row per cell of slots and pods, measured beside simulated.
    Cells,
    /// `learning.csv`: one row per logged episode of a training, over all its seeds.
    Learning,
    /// `timeline.csv`: one row per look at the live pipeline.
    Timeline,
    /// `contest-timeline.csv`: one row per look at the pipeline of each policy.
    Contest,
    /// `laws.csv`: one row per percent of each duration, measured beside its law.
    Laws,
    /// `fidelity.csv`: one row per figure of each held-out cell, servers beside simulator.
    Fidelity,
    /// `latency.csv`: one row per percent of each held-out cell.
    Latency,
    /// `candidates.csv`: one row per candidate of a plan.
    Candidates,
}

/// A table in memory, with every column that its figure needs, each of its type.
///
/// # Guarantees
/// There is at least one row. Numbers are `f64` and finite, `held_out` is a flag, `status` and names are texts. Columns
/// that must be there hold no nulls; in the others what is missing is null, never zero.
#[derive(Debug, Clone)]
pub struct Frame {
    file: PathBuf,
    data: DataFrame,
}

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A finite number in every row.
    Number,
    /// A finite number, or nothing.
    Maybe,
    /// As [`Kind::Maybe`], and the column itself may be missing.
    Extra,
    /// `true` or `false`.
    Flag,
    /// Any text.
    Text,
}

impl Table {
    /// The file's name in an output folder.
    pub fn file_name(self) -> &'static str {
        match self {
            Table::Measured => "table.csv",
            Table::Fit => "fit.csv",
            Table::Cells => "cells.csv",
            Table::Learning => "learning.csv",
            Table::Timeline => "timeline.csv",
            Table::Contest => "contest-timeline.csv",
            Table::Laws => "laws.csv",
            Table::Fidelity => "fidelity.csv",
            Table::Latency => "latency.csv",
            Table::Candidates => "candidates.csv",
        }
    }

    fn columns(self) -> &'static [(&'static str, Kind)] {
        use Kind::{Extra, Flag, Maybe, Number, Text};
        match self {
            Table::Measured => {
                &[("end_time", Number), ("NUM_POD_A", Number), ("NUM_POD_B", Number), ("BANDWIDTH", Number)]
            }
            Table::Fit => &[
                ("slots", Number),
                ("pods", Number),
                ("fitted_s", Number),
                ("low_s", Maybe),
                ("high_s", Maybe),
                ("status", Text),
                ("a", Maybe),
                ("b", Maybe),
                ("c", Maybe),
            ],
            Table::Cells => &[
                ("slots", Number),
                ("pods", Number),
                ("measured_s", Maybe),
                ("measured_min_s", Maybe),
                ("measured_max_s", Maybe),
                ("simulated_s", Maybe),
                ("held_out", Flag),
            ],
            Table::Learning => &[
                ("episode", Number),
                ("mean_return", Maybe),
                ("regret", Maybe),
                ("optimum_return", Extra),
                ("seeds", Extra),
                ("return_low", Extra),
                ("return_high", Extra),
                ("regret_low", Extra),
                ("regret_high", Extra),
            ],
            Table::Laws => &[
                ("law", Text),
                ("family", Text),
                ("percent", Number),
                ("measured_s", Number),
                ("law_s", Number),
            ],
            Table::Fidelity => &[
                ("cell", Text),
                ("utilisation", Number),
                ("figure", Text),
                ("error", Number),
                ("low", Number),
                ("high", Number),
            ],
            Table::Latency => {
                &[("cell", Text), ("percent", Number), ("measured_s", Number), ("simulated_s", Number)]
            }
            Table::Candidates => &[
                ("name", Text),
                ("encoding", Text),
                ("pods_a", Number),
                ("pods_b", Number),
                ("verdict", Text),
                ("role", Text),
                ("front", Flag),
                ("kept_s", Number),
                ("kept_low_s", Number),
                ("kept_high_s", Number),
                ("slo_s", Number),
                ("target", Number),
            ],
            Table::Contest => &[
                ("policy", Text),
                ("time_s", Number),
                ("slots", Maybe),
                ("desired_a", Maybe),
                ("desired_b", Maybe),
                ("throughput_per_s", Maybe),
                ("latency_p95_s", Maybe),
                ("slo_s", Extra),
            ],
            Table::Timeline => &[
                ("time_s", Number),
                ("slots", Maybe),
                ("desired_a", Maybe),
                ("desired_b", Maybe),
                ("ready_a", Maybe),
                ("ready_b", Maybe),
                ("throughput_per_s", Maybe),
                ("latency_p50_s", Maybe),
                ("latency_p95_s", Maybe),
            ],
        }
    }
}

impl Frame {
    /// Reads a CSV file with a header line; lines that start with `#` are skipped, and so are columns that
    /// the table does not need. An empty cell or a NaN is a missing value.
    ///
    /// # Errors
    /// Names the file and, where there is one, the line and the column.
    pub fn read(file: impl Into<PathBuf>, table: Table) -> Result<Frame, Error> {
        let file = file.into();
        let failed = |source| Error::Read { file: file.clone(), source };
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .comment(Some(b'#'))
            .from_path(&file)
            .map_err(failed)?;
        let header = reader.headers().map_err(failed)?.clone();
        let mut cells = vec![Vec::new(); header.len()];
        let mut lines = Vec::new();
        for record in reader.records() {
            let record = record.map_err(failed)?;
            lines.push(record.position().map_or(0, csv::Position::line));
            for (column, cell) in cells.iter_mut().zip(&record) {
                column.push(cell.to_owned());
            }
        }
        let columns = header.iter().zip(cells).map(|(name, cells)| Column::new(name.into(), cells)).collect();
        let text = DataFrame::new(lines.len(), columns)
            .map_err(|source| Error::Frame { file: file.clone(), source })?;
        checked(file, table, &text, &|row| format!("line {}", lines[row]))
    }

    /// Takes a frame that is already in memory; `name` stands for the file in errors.
    ///
    /// # Errors
    /// As [`Frame::read`], with the row, counted from 0, instead of the line.
    pub fn new(name: impl Into<PathBuf>, table: Table, data: &DataFrame) -> Result<Frame, Error> {
        checked(name.into(), table, data, &|row| format!("row {row}"))
    }

    /// The checked columns.
    pub fn data(&self) -> &DataFrame {
        &self.data
    }

    /// Where it came from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A column of numbers.
    pub(crate) fn numbers(&self, column: &str) -> Result<Vec<Option<f64>>, Error> {
        self.fault(self.data.column(column).and_then(|c| Ok(c.f64()?.iter().collect())))
    }

    /// A column of numbers that holds one in every row.
    pub(crate) fn all_numbers(&self, column: &str) -> Result<Vec<f64>, Error> {
        Ok(self.numbers(column)?.into_iter().flatten().collect())
    }

    /// A column of texts.
    pub(crate) fn texts(&self, column: &str) -> Result<Vec<String>, Error> {
        let texts =
            |c: &Column| Ok(c.str()?.iter().map(|text| text.unwrap_or_default().to_owned()).collect());
        self.fault(self.data.column(column).and_then(texts))
    }

    /// A column of flags.
    pub(crate) fn flags(&self, column: &str) -> Result<Vec<bool>, Error> {
        self.fault(self.data.column(column).and_then(|c| Ok(c.bool()?.iter().flatten().collect())))
    }

    /// The same table after a lazy computation.
    pub(crate) fn map(&self, step: impl FnOnce(LazyFrame) -> LazyFrame) -> Result<Frame, Error> {
        let data = self.fault(step(self.data.clone().lazy()).collect())?;
        Ok(Frame { file: self.file.clone(), data })
    }

    /// Names this table in an error of polars.
    pub(crate) fn fault<T>(&self, result: PolarsResult<T>) -> Result<T, Error> {
        result.map_err(|source| Error::Frame { file: self.file.clone(), source })
    }

    /// The error of a table that holds nothing that could be drawn.
    pub(crate) fn nothing(&self, problem: impl Into<String>) -> Error {
        Error::Nothing { file: self.file.clone(), problem: problem.into() }
    }
}

/// The CSV of a frame: numbers in the shortest form that reads back to the same bits, nulls empty.
pub(crate) fn to_csv(data: &DataFrame) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(data.columns().iter().map(|column| column.name().as_str()))?;
    for row in 0..data.height() {
        writer.write_record(data.columns().iter().map(|column| match column.get(row) {
            Ok(AnyValue::Float64(value)) => value.to_string(),
            Ok(AnyValue::Boolean(value)) => value.to_string(),
            Ok(value) => value.get_str().unwrap_or_default().to_owned(),
            Err(_) => String::new(),
        }))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

fn checked(
    file: PathBuf,
    table: Table,
    data: &DataFrame,
    place: &dyn Fn(usize) -> String,
) -> Result<Frame, Error> {
    let mut columns = Vec::new();
    for &(name, kind) in table.columns() {
        let Ok(column) = data.column(name) else {
            if kind == Kind::Extra {
                columns.push(Column::new(name.into(), vec![None::<f64>; data.height()]));
                continue;
            }
            let found = data.columns().iter().map(|c| c.name().as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::MissingColumn { file, column: name, found });
        };
        match typed(column, kind) {
            Ok(column) => columns.push(column),
            Err((row, problem)) => {
                return Err(Error::Cell { file, place: place(row), column: name, problem });
            }
        }
    }
    if data.height() == 0 {
        return Err(Error::Nothing { file, problem: "has a header but no rows".to_owned() });
    }
    let data = DataFrame::new(data.height(), columns)
        .map_err(|source| Error::Frame { file: file.clone(), source })?;
    Ok(Frame { file, data })
}

/// The column with the type of its kind, or the first row that does not fit and why.
fn typed(column: &Column, kind: Kind) -> Result<Column, (usize, String)> {
    // Cell by cell, whatever the type: the tables are small, and so one rule serves texts read from a file
    // and columns made in memory.
    let cells = || (0..column.len()).map(|row| (row, column.get(row).unwrap_or(AnyValue::Null)));
    let name = column.name().clone();
    match kind {
        Kind::Text => {
            let texts = cells().map(|(_, cell)| cell.get_str().unwrap_or_default().to_owned());
            Ok(Column::new(name, texts.collect::<Vec<_>>()))
        }
        Kind::Flag => cells()
            .map(|(row, cell)| flag(&cell).map_err(|problem| (row, problem)))
            .collect::<Result<Vec<_>, _>>()
            .map(|flags| Column::new(name, flags)),
        Kind::Number | Kind::Maybe | Kind::Extra => cells()
            .map(|(row, cell)| match number(&cell) {
                Ok(None) if kind == Kind::Number => Err((row, "no value, and it takes a number".to_owned())),
                other => other.map_err(|problem| (row, problem)),
            })
            .collect::<Result<Vec<_>, _>>()
            .map(|numbers| Column::new(name, numbers)),
    }
}

fn number(cell: &AnyValue<'_>) -> Result<Option<f64>, String> {
    let value = match cell.get_str() {
        Some("") => None,
        Some(text) => Some(text.parse().map_err(|_| format!("`{text}` is not a number"))?),
        None => cell.extract::<f64>(),
    };
    match value {
        Some(value) if value.is_infinite() => Err(format!("{value} is not a finite number")),
        value => Ok(value.filter(|value| !value.is_nan())),
    }
}

fn flag(cell: &AnyValue<'_>) -> Result<bool, String> {
    match (cell, cell.get_str()) {
        (AnyValue::Boolean(value), _) => Ok(*value),
        (_, Some("true" | "1")) => Ok(true),
        (_, Some("false" | "0")) => Ok(false),
        (_, text) => Err(format!("`{}` is neither true nor false", text.unwrap_or_default())),
    }
}
