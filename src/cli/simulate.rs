//! What the commands around the simulator take.

use std::path::PathBuf;

use clap::Args;

use super::ShardFlags;

/// `simulate`
#[derive(Debug, Clone, Args)]
pub struct Simulate {
    /// An experiment (.toml), or a calibration with laws (.json), whose bursts are simulated
    pub file: PathBuf,
    /// Where the rows go as CSV; of an experiment by default out/NAME.csv
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Seed, instead of the experiment's; of a calibration by default 1
    #[arg(long)]
    pub seed: Option<u64>,
    /// Replications of a point, instead of the experiment's; of a calibration by default 200
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub replications: Option<u32>,
    #[command(flatten)]
    pub bursts: Bursts,
    #[command(flatten)]
    pub experiment: ExperimentFlags,
    #[command(flatten)]
    pub shard: ShardFlags,
}

/// What is simulated of a calibration.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Of a calibration")]
pub struct Bursts {
    /// The measured table to simulate beside: every cell of it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["slots", "pods"])]
    pub table: Option<PathBuf>,
    /// Numbers of transfer slots, separated by commas [default: 1,2,4,8]
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    pub slots: Vec<u32>,
    /// Numbers of pods, of A and of B alike, separated by commas [default: 2,4,6,8]
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    pub pods: Vec<u32>,
    /// Images in a burst; by default as many as were measured, or 20
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub burst: Option<u32>,
}

/// What is done with an experiment.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Of an experiment")]
pub struct ExperimentFlags {
    /// Put another value into a field below setup, such as link.slots=4; may be given several times
    #[arg(long, value_name = "FIELD=VALUE", value_parser = assignment)]
    pub set: Vec<(String, String)>,
    /// Threads; the rows are the same for any number. By default as many as there are cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub threads: Option<u32>,
    /// Make one run only and write it as a trace for Perfetto or chrome://tracing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "shard"])]
    pub trace: Option<PathBuf>,
    /// Make one run only and write a row a request, in the columns of a measurement
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "shard"])]
    pub records: Option<PathBuf>,
    /// Step one run of this experiment and one of that side by side and name the first event that differs
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "shard", "trace", "records"])]
    pub diff: Option<PathBuf>,
    /// The point of that one run, counted from 0 [default: 0]
    #[arg(long, value_name = "K")]
    pub point: Option<usize>,
    /// The replication of that one run, counted from 0 [default: 0]
    #[arg(long, value_name = "R")]
    pub replication: Option<u64>,
}

/// `verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// Experiments (TOML); each point is solved and simulated
    #[arg(value_name = "CONFIG", required_unless_present = "all")]
    pub configs: Vec<PathBuf>,
    /// The experiments that come with the program, every model with an exact answer among them
    #[arg(long)]
    pub all: bool,
    /// Print a JSON array of rows {name, exact, simulated, half_width, z, verdict}
    #[arg(long)]
    pub json: bool,
    /// Threads; the rows are the same for any number. By default as many as there are cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub threads: Option<u32>,
}

pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    let (field, value) = text.split_once('=').ok_or("write FIELD=VALUE, such as link.slots=4")?;
    Ok((field.trim().into(), value.trim().into()))
}
