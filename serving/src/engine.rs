//! What a pod computes with: one half of the network behind one small interface.
//!
//! ```text
//!            image bytes ─▶ head (A) ─▶ activation ─▶ tail (B) ─▶ class
//!  decode_s: JPEG/PNG, resize, crop      forward_s: after the cut .. fc
//!  forward_s: stem .. the cut
//! ```
//!
//! An engine takes and gives float32 values; how they travel is the pods' matter (`wire/format.rs`).

pub mod emulated;
#[cfg(feature = "torch")]
pub mod libtorch;
pub mod process;
#[cfg(feature = "torch")]
mod resnet50;
pub mod weights;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::activation::{Activation, VALUE_BYTES, elements};
use crate::image::ImageError;

/// The libtorch that the engines are built against.
pub const LIBTORCH: &str = "2.11.0";

/// One pod's half of the network: lives on one thread and computes with one thread.
pub trait Engine {
    /// A's half: an image file, or the network's input itself, to the activation at the cut.
    ///
    /// # Errors
    /// [`EngineError::BadImage`] when the bytes are no image that can be decoded within the limits,
    /// [`EngineError::BadActivation`] when the input is a tensor of another shape, or this engine takes none,
    /// [`EngineError::Failed`] when this engine holds B's half or the arithmetic fails.
    fn head(&mut self, input: Input<'_>) -> Result<Head, EngineError>;

    /// B's half: the activation at the cut to the answer.
    ///
    /// # Errors
    /// [`EngineError::BadActivation`] when it is not of this cut's shape, or gives no finite answer,
    /// [`EngineError::Failed`] when this engine holds A's half or the arithmetic fails.
    fn tail(&mut self, activation: &Activation) -> Result<Tail, EngineError>;

    /// CPU time that it has used so far beside the calling thread's.
    fn cpu_elsewhere(&self) -> Duration {
        Duration::ZERO
    }

    /// The process that computes, where it is one of its own.
    fn process(&self) -> Option<u32> {
        None
    }

    /// Whether it can still compute, asked while it is idle.
    ///
    /// # Errors
    /// [`EngineError::Gone`] when its process has ended.
    fn check(&mut self) -> Result<(), EngineError> {
        Ok(())
    }
}

/// Makes one engine a pod. The engines of one factory share their weights, but for those that are processes.
pub trait EngineFactory: Send + Sync {
    /// What the engines compute, and with what.
    fn about(&self) -> &About;

    /// An engine for the calling thread. Call it on the pod's own thread: it also limits that thread to
    /// computing alone.
    ///
    /// # Errors
    /// [`EngineError::Failed`] when the engine cannot be made.
    fn start(&self) -> Result<Box<dyn Engine>, EngineError>;
}

/// What the engines of a factory compute, and with what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Which arithmetic, such as `reference`.
    pub engine: String,
    /// Where it is done, such as `cpu`.
    pub device: String,
    /// Which network, such as `resnet50`.
    pub model: String,
    /// Where it is cut, such as `layer3`.
    pub cut: String,
    /// Shape of the tensors that A takes, where it takes no images.
    pub input: Option<Vec<usize>>,
    /// Shape of one activation at the cut, the batch left out.
    pub shape: Vec<usize>,
    /// Whether nothing is computed, and the answers mean nothing.
    pub emulated: bool,
}

impl About {
    /// Bytes of one activation as float32.
    pub fn payload_bytes(&self) -> u64 {
        (VALUE_BYTES * elements(&self.shape)) as u64
    }
}

/// What A's half takes.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// The bytes of an image file.
    Image(&'a [u8]),
    /// The network's input.
    Tensor(&'a Activation),
}

/// What A's half gives: the activation, and the wall seconds that each step took.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// The activation at the cut.
    pub activation: Activation,
    /// Decoding, resizing, cropping and normalising the image \[s\].
    pub decode_s: f64,
    /// The forward pass up to the cut \[s\].
    pub forward_s: f64,
}

/// What B's half gives: the most likely class, and the wall seconds that each step took.
#[derive(Debug, Clone, PartialEq)]
pub struct Tail {
    /// Index of the largest logit, 0 to 999.
    pub class_id: u32,
    /// Its label, or `class_<id>` where no labels were given.
    pub class_name: String,
    /// The largest logit.
    pub logit: f32,
    /// The forward pass from the cut to the logits \[s\].
    pub forward_s: f64,
}

/// Why an engine gave no answer, by whose fault it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum EngineError {
    /// The client's fault: what it sent is no image, or one beyond the limits.
    #[error("not a usable image: {why}")]
    BadImage {
        /// The HTTP status that says so.
        status: u16,
        /// What is wrong with it.
        why: String,
    },
    /// The client's fault: what it sent is not an activation of this cut.
    #[error("not a usable activation: {0}")]
    BadActivation(String),
    /// Ours: a missing or unfit weights file, no libtorch, a failed computation.
    #[error("{0}")]
    Failed(String),
    /// The process that computed has ended, whoever's fault it was: another may do it.
    #[error("{0}")]
    Gone(String),
}

impl From<ImageError> for EngineError {
    fn from(error: ImageError) -> Self {
        EngineError::BadImage { status: error.status(), why: error.to_string() }
    }
}

/// Which side of the cut an engine computes. It holds the parameters of that side alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// From the image to the cut.
    A,
    /// From the cut to the logits.
    B,
}

/// Where ResNet-50 is cut: after one of its first three layer groups.
///
/// The version numbers are the original work's `MODEL_VERSION`, and run backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cut {
    /// After layer3, version 1: A computes 80 % of the multiplications, 0.80 MB travel.
    Layer3,
    /// After layer2, version 2: A computes 44 %, 1.61 MB travel.
    Layer2,
    /// After layer1, version 3: A computes 19 %, 3.21 MB travel.
    Layer1,
}

impl Cut {
    /// All cuts, in the order of their versions.
    pub const ALL: [Cut; 3] = [Cut::Layer3, Cut::Layer2, Cut::Layer1];

    /// The cut of a `MODEL_VERSION`, if it is 1, 2 or 3.
    pub fn from_version(version: u8) -> Option<Cut> {
        Cut::ALL.into_iter().find(|cut| cut.version() == version)
    }

    /// The `MODEL_VERSION`: 1, 2 or 3.
    pub fn version(self) -> u8 {
        match self {
            Cut::Layer3 => 1,
            Cut::Layer2 => 2,
            Cut::Layer1 => 3,
        }
    }

    /// Name of the layer group it follows, such as `layer3`.
    pub fn name(self) -> &'static str {
        match self {
            Cut::Layer3 => "layer3",
            Cut::Layer2 => "layer2",
            Cut::Layer1 => "layer1",
        }
    }

    /// Shape of the activation of one image: channels, rows, columns.
    pub fn shape(self) -> [usize; 3] {
        match self {
            Cut::Layer3 => [1024, 14, 14],
            Cut::Layer2 => [512, 28, 28],
            Cut::Layer1 => [256, 56, 56],
        }
    }

    /// Bytes of the activation of one image as float32.
    pub fn payload_bytes(self) -> u64 {
        (VALUE_BYTES * elements(&self.shape())) as u64
    }
}

/// Which half of which network a stage serves, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// The side of the cut.
    pub half: Half,
    /// The network.
    pub network: Network,
    /// The arithmetic.
    pub choice: Choice,
    /// `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// Labels of the classes; without them, a class is called `class_<id>`.
    pub labels: Option<Vec<String>>,
}

/// A network and where it is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// torchvision's ResNet-50.
    Resnet50 {
        /// The cut.
        cut: Cut,
        /// A checkpoint; without one, the formula weights, whose classes mean nothing.
        weights: Option<PathBuf>,
    },
    /// A TorchScript module that is one half already.
    Module {
        /// Its file.
        file: PathBuf,
        /// What the cut is called; both stages must call it the same.
        cut: String,
        /// Shape of its input, the batch left out.
        input: Vec<usize>,
    },
}

/// Which arithmetic is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Choice {
    /// `f32` where it can be, else `reference`: never less exact.
    #[default]
    Auto,
    /// Eager float32.
    Reference,
    /// Float32, folded and packed.
    F32,
    /// bfloat16, folded and packed.
    Bf16,
}

impl EngineConfig {
    /// ResNet-50 with the formula weights on the CPU.
    pub fn resnet50(half: Half, cut: Cut) -> EngineConfig {
        let network = Network::Resnet50 { cut, weights: None };
        EngineConfig { half, network, choice: Choice::Auto, device: "cpu".into(), labels: None }
    }
}

/// The libtorch engine of one half.
///
/// # Errors
/// [`EngineError::Failed`] where this build has no libtorch, a file or the labels are unfit, or the device or
/// arithmetic is not there.
pub fn open(config: &EngineConfig) -> Result<Box<dyn EngineFactory>, EngineError> {
    #[cfg(feature = "torch")]
    return Ok(Box::new(libtorch::Libtorch::load(config)?));
    #[cfg(not(feature = "torch"))]
    return Err(EngineError::Failed(format!(
        "half {:?} of the network needs libtorch: run `cargo xtask setup`, then build with `--features torch`",
        config.half
    )));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_keep_the_originals_versions_and_sizes() {
        let rows: Vec<_> =
            Cut::ALL.iter().map(|cut| (cut.version(), cut.name(), cut.payload_bytes())).collect();
        assert_eq!(rows, [(1, "layer3", 802_816), (2, "layer2", 1_605_632), (3, "layer1", 3_211_264)]);
        assert_eq!(Cut::from_version(3), Some(Cut::Layer1));
        assert_eq!(Cut::from_version(0), None);
        assert_eq!(Cut::from_version(4), None);
    }
}
