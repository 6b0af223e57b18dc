//! What `contest` takes.

use std::path::PathBuf;

use clap::Args;

/// `contest`
#[derive(Debug, Args)]
pub struct Contest {
    /// What is played (TOML): phases of traffic, arrivals, servers, pipeline; deploy/contests/ has one
    pub file: PathBuf,
    /// The policies (JSON), a pipeline of its own for each
    #[arg(required = true, value_name = "POLICY")]
    pub policies: Vec<PathBuf>,
    /// The policy that decides where a learnt one is not to be trusted; by default the HPA as Kubernetes sets it up
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// What holds back each policy that the file has no shell for (TOML); by default that of `scale`
    #[arg(long, value_name = "FILE")]
    pub shell: Option<PathBuf>,
    /// A calibration (JSON): the pods that are useful become the cap, of every policy
    #[arg(long, value_name = "FILE")]
    pub calibration: Option<PathBuf>,
    /// Folder of JPEG and PNG files to send, or a file that lists some, one a line; without it a few that the
    /// program draws itself
    #[arg(long, value_name = "PATH")]
    pub images: Option<PathBuf>,
    /// Folder for contest.csv, contest-timeline.csv, figures/ and a folder a policy; new or empty
    #[arg(long, default_value = "out/contest", value_name = "DIR")]
    pub out: PathBuf,
}
