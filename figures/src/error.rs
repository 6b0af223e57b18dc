//! What can go wrong between a table and its picture.

use std::path::PathBuf;

/// A figure that cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The table cannot be opened, or is no CSV.
    #[error("cannot read {}", file.display())]
    Read {
        /// The table.
        file: PathBuf,
        /// Why.
        #[source]
        source: csv::Error,
    },
    /// The picture or its table cannot be written.
    #[error("cannot write {}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The picture's table would take the place of a table that it is drawn from.
    #[error("{} is drawn from and would be overwritten; give another folder for the figures", file.display())]
    Overwrites {
        /// The table.
        file: PathBuf,
    },
    /// A column that the figure needs is not there.
    #[error("{}: no column `{column}`, only: {found}", file.display())]
    MissingColumn {
        /// The table.
        file: PathBuf,
        /// The column.
        column: &'static str,
        /// The columns that are there, with commas between.
        found: String,
    },
    /// A cell that cannot be used.
    #[error("{}, {place}, column `{column}`: {problem}", file.display())]
    Cell {
        /// The table.
        file: PathBuf,
        /// `line 7` of a file, `row 6` of a frame.
        place: String,
        /// The column.
        column: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A table without anything to draw.
    #[error("{}: {problem}", file.display())]
    Nothing {
        /// The table, or the folder without one.
        file: PathBuf,
        /// What is missing.
        problem: String,
    },
    /// A frame that polars cannot compute with.
    #[error("cannot compute with {}", file.display())]
    Frame {
        /// The table.
        file: PathBuf,
        /// Why.
        #[source]
        source: polars::error::PolarsError,
    },
    /// The drawing library refused.
    #[error("cannot draw {figure}: {problem}")]
    Draw {
        /// Name of the figure.
        figure: String,
        /// What it said.
        problem: String,
    },
}

/// Names the file that could not be written.
pub(crate) fn write(file: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    move |source| Error::Write { file: file.to_owned(), source }
}
