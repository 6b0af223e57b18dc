//! `scale`, `explain` and `replay`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use splitscale_policy::Mode;

use super::Servers;
use super::value::{interval, seconds};

/// `scale`
#[derive(Debug, Clone, Args)]
pub struct Scale {
    /// The policy that decides
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    /// The policy that decides where that one is not to be trusted; by default the HPA as Kubernetes sets it up
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// What holds it back (TOML): stabilisation, rates, budget, reversals, age of signals; everything may be left out
    #[arg(long, value_name = "FILE")]
    pub shell: Option<PathBuf>,
    /// A calibration (JSON): the pods that are useful become the cap, and another policy is scored beside by its law; without it a
    /// policy `useful` caps what decides in its place
    #[arg(long, value_name = "FILE")]
    pub calibration: Option<PathBuf>,
    /// The policy that is scored beside, with a calibration; by default the HPA as Kubernetes sets it up
    #[arg(long, value_name = "FILE", requires = "calibration")]
    pub shadow: Option<PathBuf>,
    /// Where the pods are
    #[arg(long, value_enum, default_value_t = Backend::Local)]
    pub backend: Backend,
    /// What is done with a decision
    #[arg(long, value_enum, default_value_t = ScaleMode::Recommend)]
    pub mode: ScaleMode,
    #[command(flatten)]
    pub servers: Servers,
    /// The pipeline (TOML): its bounds on pods are kept
    #[arg(long, value_name = "FILE")]
    pub pipeline: PathBuf,
    /// Time between two decisions [s]
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS", value_parser = interval)]
    pub interval: f64,
    /// Length of the window that is looked at [s]
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS", value_parser = interval)]
    pub window: f64,
    /// Stop after so long [s]; without it, when told to
    #[arg(long, value_name = "SECONDS", value_parser = interval)]
    pub duration: Option<f64>,
    /// Where the decisions go, a JSON line each; the first line says who decides
    #[arg(long, default_value = "decisions.jsonl", value_name = "FILE")]
    pub out: PathBuf,
    /// Go on with the decisions in that file: what was remembered then still counts
    #[arg(long)]
    pub resume: bool,
    #[command(flatten)]
    pub kept: Kept,
    /// Where what was seen goes as a table, for the figure
    #[arg(long, value_name = "FILE")]
    pub timeline: Option<PathBuf>,
    /// Where the page, its API and /metrics are; port 0 takes a free one. Without it there are none
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// File with the token that switches the mode on the page; without it the page only shows
    #[arg(long, value_name = "FILE", requires = "listen")]
    pub token_file: Option<PathBuf>,
}

/// How much of what was decided is kept.
#[derive(Debug, Clone, Copy, Args)]
pub struct Kept {
    /// Most MiB of decisions in that file: when it is full it becomes FILE.1, what was FILE.1 becomes FILE.2, and it begins anew
    #[arg(long, default_value_t = 64, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub out_mb: u64,
    /// How many of those are kept beside it; the oldest goes
    #[arg(long, default_value_t = 15, value_name = "N", value_parser = clap::value_parser!(u32).range(..=10_000))]
    pub out_kept: u32,
}

impl Kept {
    /// All of it in one file.
    pub const ALL: Kept = Kept { out_mb: 1 << 20, out_kept: 0 };
}

/// Where the pods are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// Stage servers on this machine, which start and drain their pods themselves
    Local,
}

/// What is done with a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScaleMode {
    /// Write it down, change nothing
    Recommend,
    /// Carry it out
    Auto,
    /// Decide nothing: the pods stay
    Paused,
    /// As many pods as are allowed, whatever is seen
    Emergency,
}

impl From<ScaleMode> for Mode {
    fn from(mode: ScaleMode) -> Mode {
        match mode {
            ScaleMode::Recommend => Mode::Recommend,
            ScaleMode::Auto => Mode::Auto,
            ScaleMode::Paused => Mode::Paused,
            ScaleMode::Emergency => Mode::Emergency,
        }
    }
}

/// `explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// Decisions as `scale` wrote them (JSON lines)
    pub file: PathBuf,
    /// Number of the decision
    pub id: u64,
}

/// `replay`
#[derive(Debug, Args)]
pub struct Replay {
    /// Decisions as `scale` wrote them (JSON lines)
    pub file: PathBuf,
    /// The policy that is asked in place of the one that decided; without it that one again, which must decide the same
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// A calibration (JSON): what both would have come to is told by its law
    #[arg(long, value_name = "FILE", requires_all = ["policy", "slo"])]
    pub calibration: Option<PathBuf>,
    /// Promised latency [s]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, requires = "calibration")]
    pub slo: Option<f64>,
    /// Where both decisions of every line go (CSV)
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}
