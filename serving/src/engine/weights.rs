//! Where the parameters of ResNet-50 come from: a torchvision checkpoint, or a formula.
//!
//! The formula needs no file, so the network runs everywhere and any other program can rebuild it; what it
//! answers means nothing. For element `i` (row-major) of the parameter called `name`:
//!
//! ```text
//! value = (scale * (2 u - 1) + offset), computed in float64, stored as float32
//! u     = (mix(fnv1a64(name) + (i + 1) * 0x9E3779B97F4A7C15) >> 11) * 2^-53
//! ```
//!
//! `mix` is the finaliser of splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
//! generators", 2014), all integers modulo 2^64; scale and offset depend on the kind of parameter
//! (He-uniform for convolutions), so that activations neither vanish nor explode over the 53 layers.

use crate::saved::{Saved, Stored};
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The parameters of a ResNet-50, under torchvision's names.
#[derive(Debug)]
pub enum Weights {
    /// The formula weights.
    Formula,
    /// A checkpoint.
    Checkpoint(Checkpoint),
}

/// A file of safetensors or of `torch.save`, read, and where its tensors are.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    bytes: Vec<u8>,
    tensors: BTreeMap<String, Stored>,
}

/// What is wrong with a weights file.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// It cannot be read.
    #[error("cannot read the weights {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is no whole file of a format that is read here.
    #[error("the weights {}: {why}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it breaks.
        why: String,
    },
    /// A parameter is missing, or not what torchvision's ResNet-50 has under that name.
    #[error("the weights {}: {name}: {why}", path.display())]
    Parameter {
        /// The file.
        path: PathBuf,
        /// The parameter.
        name: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Weights {
    /// The checkpoint at `path`, or the formula weights without one.
    ///
    /// # Errors
    /// The file cannot be read, or is no whole file of safetensors or `torch.save`.
    pub fn open(path: Option<&Path>) -> Result<Weights, WeightsError> {
        let Some(path) = path else { return Ok(Weights::Formula) };
        let path = path.to_path_buf();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(source) => return Err(WeightsError::Unreadable { path, source }),
        };
        // What a file is shows in its first bytes, whatever its name.
        let tensors = if Saved::begins(&bytes) { pth(&bytes) } else { safetensors(&bytes) };
        match tensors {
            Ok(tensors) => Ok(Weights::Checkpoint(Checkpoint { path, bytes, tensors })),
            Err(why) => Err(WeightsError::Format { path, why }),
        }
    }

    /// The elements of one parameter, row-major.
    ///
    /// # Errors
    /// The checkpoint lacks it, has it in another shape or type, or with elements that are not finite.
    pub fn parameter(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        match self {
            Weights::Formula => Ok(formula(name, shape)),
            Weights::Checkpoint(file) => file.parameter(name, shape).map_err(|why| WeightsError::Parameter {
                path: file.path.clone(),
                name: name.into(),
                why,
            }),
        }
    }
}

impl Checkpoint {
    fn parameter(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let stored = self.tensors.get(name).ok_or("missing; torchvision's ResNet-50 has it")?;
        if stored.shape != shape {
            return Err(format!("has shape {:?}, expected {shape:?}", stored.shape));
        }
        let values = stored.values(&self.bytes)?;
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(format!("element {index} is {}", values[index])),
            None => Ok(values),
        }
    }
}

/// The tensors of a file of `torch.save`.
fn pth(file: &[u8]) -> Result<BTreeMap<String, Stored>, String> {
    match Saved::read(file).map_err(|error| error.to_string())? {
        Saved::Tensors(tensors) => Ok(tensors),
        Saved::Tensor(_) => Err("it is one tensor, no state dict".into()),
    }
}

/// The tensors of a safetensors file: 8 bytes of header length, the header, the values.
fn safetensors(file: &[u8]) -> Result<BTreeMap<String, Stored>, String> {
    let (header, metadata) = SafeTensors::read_metadata(file)
        .map_err(|error| format!("neither torch.save nor a whole safetensors file: {error}"))?;
    let start = 8 + header;
    let stored = metadata.tensors().into_iter().map(|(name, info)| {
        let (from, to) = info.data_offsets;
        (name, Stored::dense(info.dtype, info.shape.clone(), start + from..start + to))
    });
    Ok(stored.collect())
}

/// The formula weights of one parameter, row-major.
pub fn formula(name: &str, shape: &[usize]) -> Vec<f32> {
    let (scale, offset) = scale_and_offset(name, shape);
    let mut state = fnv1a64(name);
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let unit = (mix(state) >> 11) as f64 * (1.0 / (1u64 << 53) as f64);
        (scale * (2.0 * unit - 1.0) + offset) as f32
    };
    (0..shape.iter().product()).map(|_| next()).collect()
}

/// Half width and centre of the interval that the elements of a parameter are spread over.
fn scale_and_offset(name: &str, shape: &[usize]) -> (f64, f64) {
    if let [_, inputs, rows, columns] = *shape {
        return ((6.0 / (inputs * rows * columns) as f64).sqrt(), 0.0);
    }
    match name {
        "fc.weight" => (1.0 / 2048f64.sqrt(), 0.0),
        "fc.bias" => (0.01, 0.0),
        _ if name.ends_with("running_var") => (0.25, 1.25),
        _ if name.ends_with("bn3.weight") => (0.05, 0.25),
        _ if name.ends_with("weight") => (0.1, 1.0),
        _ => (0.1, 0.0),
    }
}

fn fnv1a64(text: &str) -> u64 {
    text.bytes()
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv1a64_has_its_published_values() {
        // Test vectors of the FNV reference implementation (Fowler, Noll, Vo).
        assert_eq!(fnv1a64(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a64("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a64("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn mix_is_splitmix64() {
        // splitmix64 from state 1234567, as published with its reference implementation.
        let mut state = 1_234_567u64;
        let outputs: Vec<u64> = (0..3)
            .map(|_| {
                state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                mix(state)
            })
            .collect();
        assert_eq!(
            outputs,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn formula_weights_begin_as_committed() {
        // Made by the NumPy implementation of the same formula; float32 written in full.
        let cases: [(&str, &[usize], [f32; 4]); 6] = [
            ("conv1.weight", &[64, 3, 7, 7], [0.018213041, 0.099060304, -0.19276872, 0.09543833]),
            ("bn1.running_var", &[64], [1.3211538, 1.3933767, 1.4853895, 1.2219256]),
            ("layer1.0.bn3.weight", &[256], [0.21314092, 0.29881915, 0.29581943, 0.24638014]),
            (
                "layer3.5.conv2.weight",
                &[256, 256, 3, 3],
                [-0.0061114267, 0.03467162, 0.032170165, 0.016344503],
            ),
            ("fc.weight", &[1000, 2048], [-0.0006785656, 0.01645215, 0.010762386, 0.0088612065]),
            ("fc.bias", &[1000], [-0.00044697386, -0.00038536362, -0.0043987385, -0.004140672]),
        ];
        for (name, shape, first) in cases {
            assert_eq!(formula(name, shape)[..4], first, "{name}");
        }
    }
}
