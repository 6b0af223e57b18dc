//! `deploy`: a pipeline as manifests of Kubernetes.

use std::path::PathBuf;

use clap::Args;
use splitscale_deploy::manifests::{Image, ServiceTimes};

use super::ScaleMode;
use super::value::{kubernetes_name, positive};

/// `deploy`
#[derive(Debug, Args)]
pub struct Deploy {
    /// Folder for base/, components/ and overlays/NAME/: new, empty, or written by this command before
    #[arg(long, value_name = "DIR")]
    pub render: PathBuf,
    /// The pipeline (TOML): bounds and shares of the pods, cut, slots, bandwidth, RTT, balancer, promise
    #[arg(long, value_name = "FILE")]
    pub pipeline: PathBuf,
    /// The policy (JSON) that decides
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    /// What the overlay and its SplitPipeline are called
    #[arg(long, default_value = "pipeline", value_name = "NAME", value_parser = kubernetes_name)]
    pub name: String,
    /// What the scaler does with a decision
    #[arg(long, value_enum, default_value_t = ScaleMode::Recommend)]
    pub mode: ScaleMode,
    /// Most pods of both stages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub budget: Option<u32>,
    /// What the values of an activation travel as
    #[arg(long, default_value = "f32", value_parser = ["f32", "bf16", "u8"])]
    pub encoding: String,
    /// The image of all four servers, NAME[:TAG][@sha256:DIGEST]; without it those of `cargo xtask images`
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<Image>,
    /// Emulate the engines: how long a forward pass of A and one of B takes [s]; without it libtorch computes
    #[arg(long, value_name = "A,B", value_parser = times)]
    pub service_times: Option<ServiceTimes>,
    /// The cluster's network is the link: the pipeline's bandwidth and RTT are not emulated
    #[arg(long)]
    pub real_link: bool,
    /// Keep A and the proxy to nodes labelled splitscale.io/stage=a, and B to nodes labelled splitscale.io/stage=b
    #[arg(long)]
    pub pinned: bool,
}

fn times(text: &str) -> Result<ServiceTimes, String> {
    let (a, b) = text.split_once(',').ok_or("write both, as 0.66,0.23")?;
    Ok(ServiceTimes { a_s: positive(a)?, b_s: positive(b)? })
}
