//! From measurements to what the simulator and the learners stand on.
//!
//! ```text
//!  table of times ──▶ Table<TimeRow> ──▶ calibrate ──▶ Calibration { levels }
//!  RequestRecord rows ──▶ Table<RequestRecord> ──▶ fit_laws ──▶ Laws ──▶ Calibration { laws }
//!  BurstRow rows + simulated makespans ──▶ fidelity ──▶ Fidelity { cells, worst, ... }
//! ```
//!
//! The crate reads text and returns documents: it opens no file and runs no simulator.

mod error;
mod exponential;
mod fidelity;
mod laws;
mod layout;
mod level;
mod table;

pub use error::{BadCell, CalibrationError};
pub use fidelity::{CellComparison, Fidelity, fidelity};
pub use laws::{burst_size, corner_cells, fit_laws};
pub use level::{Options, calibrate, fit_level};
pub use table::{BadRows, Table, TimeRow, read_bursts, read_records, read_times};
