//! What `calibrate` takes.

use std::path::PathBuf;

use clap::Args;

/// `calibrate`
#[derive(Debug, Default, Args)]
pub struct Calibrate {
    /// A table of times: the collector's table.csv, its records.csv, or columns pods,y or bandwidth,pods[,rep],y; or
    /// the collector's folder
    #[arg(required_unless_present = "nist")]
    pub table: Option<PathBuf>,
    /// The collector's records.csv: the laws of the simulator are fitted on its corner cells
    #[arg(long, value_name = "FILE")]
    pub records: Option<PathBuf>,
    /// The collector's starts.csv: how long pods take to start
    #[arg(long, value_name = "FILE")]
    pub starts: Option<PathBuf>,
    /// Also write what was measured beside the laws, quantile by quantile, as CSV, for the figures
    #[arg(long, value_name = "FILE")]
    pub laws: Option<PathBuf>,
    /// Let the robust fit count, where it sets measurements aside; without it, it is shown beside
    #[arg(long)]
    pub robust: bool,
    /// More pods cannot cost time: a level that rises is given its mean, and a warning
    #[arg(long)]
    pub monotone: bool,
    /// Also print what the law says of these transfer slots, measured or not
    #[arg(long, value_name = "SLOTS", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    pub predict: Vec<u32>,
    /// Leave out rows that cannot be read, naming each, instead of stopping at the first
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// Where the calibration goes
    #[arg(long, default_value = "calibration.json", value_name = "FILE")]
    pub out: PathBuf,
    /// Also write the curves as CSV, for the figures
    #[arg(long, value_name = "FILE")]
    pub fit: Option<PathBuf>,
    /// Also write the fits that stand beside: robust, unweighted, one rate for all levels, levels left out (JSON)
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Instead, solve the problems of NIST's folder of nonlinear regressions (StRD) from both of their starts
    #[arg(long, value_name = "DIR", conflicts_with_all = ["table", "records", "starts", "laws", "robust", "monotone", "predict", "fit", "report"])]
    pub nist: Option<PathBuf>,
    /// Print NIST's problems as JSON
    #[arg(long, requires = "nist")]
    pub json: bool,
}
