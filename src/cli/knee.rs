//! What can be typed to hold the useful-replica cap against the simulator.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::value::{number, positive};
use super::{bandwidth, seconds};

/// `knee`
#[derive(Debug, Args)]
pub struct Knee {
    /// Measured laws (JSON) in place of the built-in ResNet-50; cores that pods share are left out
    #[arg(long, value_name = "FILE")]
    pub calibration: Option<PathBuf>,
    /// Where ResNet-50 is cut, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [CutName::Layer1, CutName::Layer2, CutName::Layer3],
          conflicts_with = "calibration")]
    pub cut: Vec<CutName>,
    /// Numbers of transfer slots, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "1,2,3,4,5,6,7,8", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub slots: Vec<u32>,
    /// Bandwidths of a slot [Mbit/s], or of the link where all share it, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "5,20,50,100,500", value_name = "MBIT_S", value_parser = bandwidth)]
    pub bandwidth: Vec<f64>,
    /// Fixed time of a transfer [s]
    #[arg(long, default_value_t = 0.005, value_name = "SECONDS", value_parser = seconds, conflicts_with = "calibration")]
    pub rtt: f64,
    /// All slots share one link
    #[arg(long, conflicts_with = "calibration")]
    pub shared: bool,
    /// A slot is free again after the transfer, not when B has answered
    #[arg(long, conflicts_with = "calibration")]
    pub release_after_transfer: bool,
    /// How service times vary, separated by commas [default: constant,lognormal; of a calibration constant,measured]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub service: Vec<ServiceName>,
    /// Coefficient of variation of lognormal service times
    #[arg(long, default_value_t = 0.1, value_parser = positive)]
    pub cv: f64,
    /// A pod is useful if it adds this share of the saturated throughput
    #[arg(long, default_value_t = 0.02, value_name = "SHARE", value_parser = gain)]
    pub gain: f64,
    /// Answers counted in each run, after a quarter as many that are not
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub answers: u32,
    /// Runs of each number of pods; of constant times one
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub replications: u32,
    /// Seed of all runs
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Threads; no number depends on them. By default as many as there are cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// Where the table goes as CSV too
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Where ResNet-50 is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CutName {
    /// Model version 3
    Layer1,
    /// Model version 2
    Layer2,
    /// Model version 1
    Layer3,
}

/// How service times vary about their mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ServiceName {
    /// Not at all
    Constant,
    /// Lognormal, with --cv
    Lognormal,
    /// Exponential
    Exponential,
    /// As calibrated
    Measured,
}

/// So small a gain that pods are worth having in hundreds would be looked for until tomorrow.
fn gain(text: &str) -> Result<f64, String> {
    number(text)
        .and_then(|v| if (0.005..=1.0).contains(&v) { Ok(v) } else { Err("must be 0.005 to 1".into()) })
}
