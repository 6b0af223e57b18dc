//! What `fidelity` takes.

use std::path::PathBuf;

use clap::Args;

use super::InCluster;

/// `fidelity`
#[derive(Debug, Args)]
pub struct Fidelity {
    /// What is measured and what accuracy is asked for (TOML); without it the built-in one (src/commands/fidelity/plan.toml)
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    /// Base URL of stage A of a running pipeline; with --proxy, and --b or --namespace. Without it, servers are started here
    #[arg(long, value_name = "URL", requires = "proxy", conflicts_with_all = ["engine", "emulated", "weights"])]
    pub a: Option<String>,
    /// Base URL of its proxy
    #[arg(long, value_name = "URL", requires = "a")]
    pub proxy: Option<String>,
    /// Base URL of its stage B
    #[arg(long, value_name = "URL", requires = "a")]
    pub b: Option<String>,
    #[command(flatten)]
    pub in_cluster: InCluster,
    /// Engine of the servers that are started: auto, reference, f32 or bf16
    #[arg(long, value_name = "ENGINE", value_parser = ["auto", "reference", "f32", "bf16"])]
    pub engine: Option<String>,
    /// Start servers that compute nothing and wait as the laws of this calibration say
    #[arg(long, value_name = "CALIBRATION", conflicts_with = "engine")]
    pub emulated: Option<PathBuf>,
    /// A torchvision ResNet-50 checkpoint for the servers that are started
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Recorded arrival times for the plan's trace loads (.csv, .jsonl); without it they are left out
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Requests of a held-out cell, in place of the plan's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub requests: Option<u32>,
    /// Replications that each cell is simulated
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub replications: u32,
    /// Folder of JPEG and PNG files to send, or a file that lists some, one a line; without it a few that the
    /// program draws itself
    #[arg(long, value_name = "PATH")]
    pub images: Option<PathBuf>,
    /// Seed of the order, the arrivals and the simulations
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Folder for the rows, the calibration and the report, new or empty
    #[arg(long, default_value = "out/fidelity", value_name = "DIR")]
    pub out: PathBuf,
    /// Go on with the measurement in that folder, which was cut off; the cells it has stay
    #[arg(long)]
    pub resume: bool,
}
