//! What can be typed to say what a pod computes, and with what.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::value::{cut_name, seconds};

/// What a pod computes, and with what.
#[derive(Debug, Clone, Args)]
pub struct EngineFlags {
    /// Where ResNet-50 is cut: 1 after layer3, 2 after layer2, 3 after layer1
    #[arg(long, env = "MODEL_VERSION", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=3))]
    pub model_version: u8,
    /// Device to compute on: cpu, cuda or cuda:N
    #[arg(long, env = "GPU_TYPE", default_value = "cpu", value_name = "DEVICE")]
    pub gpu_type: String,
    /// The arithmetic, or `emulated`: the forward pass is a wait, everything around it is real
    #[arg(long, value_enum, default_value_t = EngineName::Auto, value_name = "ENGINE")]
    pub engine: EngineName,
    /// A calibration (JSON) whose law of service the emulated waits are drawn from
    #[arg(long, value_name = "FILE", conflicts_with = "service_time")]
    pub calibration: Option<PathBuf>,
    /// How long each emulated wait is [s], where no calibration says
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub service_time: Option<f64>,
    /// Seed of the emulated waits
    #[arg(long, default_value_t = 1)]
    pub engine_seed: u64,
    /// A torchvision ResNet-50 checkpoint (safetensors, or .pth as torch.save writes it); without it the
    /// weights are a formula and the class names mean nothing
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// A TorchScript half of your own network, instead of ResNet-50's
    #[arg(long, value_name = "FILE", conflicts_with = "weights", requires = "module_input")]
    pub module: Option<PathBuf>,
    /// Shape of the module's input, the batch left out, such as 3,224,224; with that, A takes images
    #[arg(long, value_name = "SIZES", value_delimiter = ',', requires = "module",
          value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub module_input: Vec<u32>,
    /// What the cut of your own network is called; A and B must call it the same
    #[arg(long, default_value = "cut", value_name = "NAME", value_parser = cut_name)]
    pub module_cut: String,
    /// Labels of the classes, one a line; ResNet-50 has 1000
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
}

/// What a stage computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineName {
    /// f32 where it can be, else reference
    Auto,
    /// Eager float32: what the others are compared with
    Reference,
    /// Float32 on the CPU, folded and packed for it: up to 1.5 times as fast, 2e-6 from the reference
    F32,
    /// The same in bfloat16, where the CPU computes it: 3 to 4 times as fast, 1e-2 from the reference
    Bf16,
    /// None: waits, drawn from a calibration
    Emulated,
}

/// `pod`: what `serve a|b --pod-processes` starts
#[derive(Debug, Args)]
pub struct Pod {
    /// Which half it computes
    #[arg(value_enum)]
    pub half: HalfName,
    #[command(flatten)]
    pub engine: EngineFlags,
}

/// A side of the cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HalfName {
    /// From the image to the cut
    A,
    /// From the cut to the answer
    B,
}
