//! From measurements to what the simulator and the learners stand on.
//!
//! ```text
//!  table of times ──▶ Table<TimeRow> ──▶ calibrate ──▶ Calibration { levels, surface }, FitReport
//!  RequestRecord rows ──▶ Table<RequestRecord> ──▶ fit_laws ──▶ Laws ──▶ Calibration { laws }
//!  durations ──▶ fit_distribution ──▶ DistributionFit { law, candidates, intervals }
//!  BurstRow rows + simulated makespans ──▶ makespans ──▶ Makespans { cells, worst, ... }
//!  RequestRecord rows, measured + simulated ──▶ fidelity ──▶ Fidelity { mean, p99, ks, parts, ... }
//! ```
//!
//! The crate reads text and returns documents: it opens no file and runs no simulator.

mod burst;
mod calibrate;
mod data;
mod distribution;
mod error;
mod exponential;
mod fidelity;
mod laws;
mod layout;
mod level;
mod makespans;
mod noise;
mod profile;
pub mod regression;
mod report;
mod robust;
mod start;
mod stretch;
mod surface;
mod table;
mod verdict;

pub use burst::BurstRow;
pub use calibrate::calibrate;
pub use distribution::{Candidate, DistributionFit, DistributionOptions, fit_distribution};
pub use error::{BadCell, CalibrationError};
pub use fidelity::{Compared, Fidelity, Figures, Part, fidelity};
pub use laws::{LawFit, burst_size, corner_cells, fit_laws};
pub use level::{Options, fit_level};
pub use makespans::{CellComparison, Makespans, makespans};
pub use report::{FitMethod, FitReport, HeldOutLevel, OtherFit, SetAside, Tier, TierError};
pub use start::StartRow;
pub use table::{
    BadRows, Table, TimeRow, are_records, fnv1a, one_measurement, read_bursts, read_records, read_starts,
    read_times, times_of,
};
