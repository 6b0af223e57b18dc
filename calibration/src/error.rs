//! What can be wrong with measurements: always the file, the line and the field, or the cell.

use splitscale_spec::Invalid;

/// A cell of a table that holds no measurement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {field}: {why}")]
pub struct BadCell {
    /// Name of the file, as the caller gave it.
    pub file: String,
    /// Line in the file, from 1; comments and empty lines count.
    pub line: u64,
    /// Column.
    pub field: String,
    /// What is wrong, lower case.
    pub why: String,
}

/// Measurements that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CalibrationError {
    /// The header is none that is known.
    #[error("{file}: {problem}; columns found: {found}; columns expected: {expected}")]
    Layout {
        /// Name of the file.
        file: String,
        /// What is missing from, or unknown to, the layout that comes closest.
        problem: String,
        /// The columns of the file.
        found: String,
        /// The layouts that are known.
        expected: String,
    },
    /// A cell holds no measurement, and bad rows are refused.
    #[error("{0}; correct the cell, or skip bad rows")]
    BadCell(#[from] BadCell),
    /// There is a header but no row that can be used.
    #[error("{file}: no row with a measurement ({dropped} dropped)")]
    NoRows {
        /// Name of the file.
        file: String,
        /// Rows that were dropped.
        dropped: usize,
    },
    /// A cell on which the laws were to be fitted has no answered request.
    #[error(
        "the cell of {slots} slots and {pods} pods has no answered request ({requests} sent); measure it again, or fit the laws on other cells"
    )]
    NoAnswer {
        /// Transfer slots of the cell.
        slots: u32,
        /// Pods of each stage.
        pods: u32,
        /// Requests sent there.
        requests: usize,
    },
    /// A measured cell was not simulated.
    #[error(
        "the measured cell of {slots} slots and {pods} pods was not simulated; simulate every measured cell"
    )]
    NotSimulated {
        /// Transfer slots of the cell.
        slots: u32,
        /// Pods of each stage.
        pods: u32,
    },
    /// Two sides of a comparison that are not the same requests.
    #[error(
        "replication {replication} has {simulated} requests where {measured} were measured, or other numbers; simulate the arrivals that were measured"
    )]
    NotPaired {
        /// Which replication.
        replication: usize,
        /// Its requests.
        simulated: usize,
        /// Requests measured.
        measured: usize,
    },
    /// A comparison without an answer on one side.
    #[error(
        "of {requests} requests none was answered, by the servers or by the simulator; there is nothing to compare"
    )]
    NothingAnswered {
        /// Requests sent.
        requests: usize,
    },
    /// A table beside records of other bursts.
    #[error("{table}: {problem}; name the table and the records of one measurement")]
    OtherPipeline {
        /// Name of the table.
        table: String,
        /// How they differ.
        problem: String,
    },
    /// A file that is not one of NIST's problems.
    #[error("{file}:{line}: {why}")]
    Nist {
        /// Name of the file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// An option or the finished document is out of range.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}
