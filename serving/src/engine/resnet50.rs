//! ResNet-50 cut in two, layer by layer as torchvision computes it.
//!
//! ```text
//! A: conv1 bn1 relu maxpool layer1 ..= the cut     B: after the cut ..= layer4 avgpool fc
//! ```
//!
//! He, Zhang, Ren, Sun: "Deep residual learning for image recognition" (2016), table 1, in the variant
//! v1.5 that torchvision has: the stride of a bottleneck sits on its 3x3 convolution.

use super::weights::{Weights, WeightsError};
use super::{Cut, EngineError, Half};
use crate::image::CROP_SIDE;
use tch::{Device, Kind, TchError, Tensor};

/// Bottlenecks in layer1 .. layer4, and their inner width.
const LAYERS: [(&str, usize, usize); 4] =
    [("layer1", 3, 64), ("layer2", 4, 128), ("layer3", 6, 256), ("layer4", 3, 512)];
/// A bottleneck gives four times as many channels as its inner width.
const EXPANSION: usize = 4;
/// Channels of the stem.
const STEM: usize = 64;
const CLASSES: usize = 1000;
/// torchvision's epsilon of batch normalisation.
const EPSILON: f64 = 1e-5;

/// How the convolutions are computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Arithmetic {
    /// As torchvision does: float32, each operation as it stands.
    Eager(Device),
    /// Batch normalisation folded into the convolutions, and these packed in oneDNN's own layout for the size
    /// that they will meet; in between, values stay in oneDNN's layout too.
    Packed(Kind),
}

/// One half of the network; it holds the parameters of that half alone.
pub(super) struct HalfNetwork {
    arithmetic: Arithmetic,
    stem: Option<ConvNorm>,
    bottlenecks: Vec<Bottleneck>,
    classifier: Option<(Tensor, Tensor)>,
}

struct ConvNorm {
    kernel: Tensor,
    stride: i64,
    padding: i64,
    then: Then,
}

/// What follows a convolution.
enum Then {
    /// weight, bias, running mean, running variance
    Norm([Tensor; 4]),
    /// What is left of them once the rest is in the kernel.
    Bias(Tensor),
}

struct Bottleneck {
    /// 1x1, 3x3 with the stride, 1x1
    main: [ConvNorm; 3],
    /// 1x1 with the stride, where the shape changes
    shortcut: Option<ConvNorm>,
}

/// Takes parameters out of a checkpoint and prepares them.
struct Loader<'a> {
    weights: &'a Weights,
    arithmetic: Arithmetic,
}

/// Where a convolution stands: names of it and of its normalisation, kernel shape, stride, and the side of the
/// square it meets \[pixels\].
struct Place<'a> {
    names: [&'a str; 2],
    shape: [usize; 4],
    stride: i64,
    side: usize,
}

impl HalfNetwork {
    /// Takes the parameters of one half out of `weights`.
    pub(super) fn load(
        half: Half,
        cut: Cut,
        weights: &Weights,
        arithmetic: Arithmetic,
    ) -> Result<HalfNetwork, EngineError> {
        let loader = Loader { weights, arithmetic };
        let layers_of_a = match cut {
            Cut::Layer1 => 1,
            Cut::Layer2 => 2,
            Cut::Layer3 => 3,
        };
        let mine = match half {
            Half::A => 0..layers_of_a,
            Half::B => layers_of_a..LAYERS.len(),
        };
        let mut bottlenecks = Vec::new();
        for index in mine {
            let (layer, blocks, width) = LAYERS[index];
            // The stem halves the side twice, each layer but the first once more.
            let side = (CROP_SIDE / 4) >> index;
            for block in 0..blocks {
                let name = format!("{layer}.{block}");
                let inputs = match (index, block) {
                    (0, 0) => STEM,
                    (_, 0) => EXPANSION * width / 2,
                    _ => EXPANSION * width,
                };
                let stride = if index > 0 && block == 0 { 2 } else { 1 };
                bottlenecks.push(loader.bottleneck(
                    &name,
                    [inputs, width],
                    stride,
                    side * stride as usize,
                )?);
            }
        }
        let (stem, classifier) = match half {
            Half::A => {
                let (names, shape) = (["conv1", "bn1"], [STEM, 3, 7, 7]);
                (Some(loader.conv(&Place { names, shape, stride: 2, side: CROP_SIDE })?), None)
            }
            Half::B => {
                let weight = loader.parameter("fc.weight", &[CLASSES, EXPANSION * LAYERS[3].2])?;
                (None, Some((weight, loader.parameter("fc.bias", &[CLASSES])?)))
            }
        };
        Ok(HalfNetwork { arithmetic, stem, bottlenecks, classifier })
    }

    /// Another handle on the same parameters, for another thread.
    pub(super) fn share(&self) -> HalfNetwork {
        HalfNetwork {
            arithmetic: self.arithmetic,
            stem: self.stem.as_ref().map(ConvNorm::share),
            bottlenecks: self.bottlenecks.iter().map(Bottleneck::share).collect(),
            classifier: self.classifier.as_ref().map(|(w, b)| (w.shallow_clone(), b.shallow_clone())),
        }
    }

    /// A: a normalised image to the activation at the cut. B: that activation to the logits.
    pub(super) fn forward(&self, input: &Tensor) -> Result<Tensor, TchError> {
        let mut x = match self.arithmetic {
            Arithmetic::Eager(device) => input.f_to_device(device)?,
            Arithmetic::Packed(kind) => input.f_to_mkldnn(kind)?,
        };
        if let Some(stem) = &self.stem {
            x = stem.forward(&x)?.f_relu_()?.f_max_pool2d(3, 2, 1, 1, false)?;
        }
        for bottleneck in &self.bottlenecks {
            x = bottleneck.forward(&x)?;
        }
        if self.classifier.is_some() {
            x = x.f_adaptive_avg_pool2d([1, 1])?;
        }
        if let Arithmetic::Packed(_) = self.arithmetic {
            x = x.f_to_dense(Kind::Float, false)?;
        }
        if let Some((weight, bias)) = &self.classifier {
            x = x.f_flatten(1, -1)?.f_linear(weight, Some(bias))?;
        }
        x.f_to_device(Device::Cpu)
    }
}

impl Bottleneck {
    fn share(&self) -> Bottleneck {
        Bottleneck {
            main: self.main.each_ref().map(ConvNorm::share),
            shortcut: self.shortcut.as_ref().map(ConvNorm::share),
        }
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let [reduce, middle, expand] = &self.main;
        let y = reduce.forward(x)?.f_relu_()?;
        let y = middle.forward(&y)?.f_relu_()?;
        let mut y = expand.forward(&y)?;
        match &self.shortcut {
            Some(shortcut) => y.f_add_(&shortcut.forward(x)?)?.f_relu_(),
            None => y.f_add_(x)?.f_relu_(),
        }
    }
}

impl ConvNorm {
    fn share(&self) -> ConvNorm {
        ConvNorm {
            kernel: self.kernel.shallow_clone(),
            stride: self.stride,
            padding: self.padding,
            then: match &self.then {
                Then::Norm(norm) => Then::Norm(norm.each_ref().map(Tensor::shallow_clone)),
                Then::Bias(bias) => Then::Bias(bias.shallow_clone()),
            },
        }
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let conv = |bias| x.f_conv2d(&self.kernel, bias, self.stride, self.padding, 1, 1);
        match &self.then {
            Then::Bias(bias) => conv(Some(bias)),
            Then::Norm(norm) => {
                let [weight, bias, mean, variance] = norm.each_ref().map(Some);
                conv(None)?.f_batch_norm(weight, bias, mean, variance, false, 0.0, EPSILON, false)
            }
        }
    }
}

impl Loader<'_> {
    fn bottleneck(
        &self,
        name: &str,
        [inputs, width]: [usize; 2],
        stride: i64,
        side: usize,
    ) -> Result<Bottleneck, EngineError> {
        let outputs = EXPANSION * width;
        let after = side / stride as usize;
        let conv = |index: usize, shape, stride, side| {
            let names = [format!("{name}.conv{index}"), format!("{name}.bn{index}")];
            self.conv(&Place { names: [&names[0], &names[1]], shape, stride, side })
        };
        let main = [
            conv(1, [width, inputs, 1, 1], 1, side)?,
            conv(2, [width, width, 3, 3], stride, side)?,
            conv(3, [outputs, width, 1, 1], 1, after)?,
        ];
        let shortcut = if inputs == outputs {
            None
        } else {
            let names = [format!("{name}.downsample.0"), format!("{name}.downsample.1")];
            let shape = [outputs, inputs, 1, 1];
            Some(self.conv(&Place { names: [&names[0], &names[1]], shape, stride, side })?)
        };
        Ok(Bottleneck { main, shortcut })
    }

    /// A convolution without bias, padded so that stride 1 keeps the size, and its normalisation.
    fn conv(&self, place: &Place<'_>) -> Result<ConvNorm, EngineError> {
        let Place { names: [conv, norm], shape, stride, side } = *place;
        let kernel = self.parameter(&format!("{conv}.weight"), &shape)?;
        let per_channel = |kind| self.parameter(&format!("{norm}.{kind}"), &shape[..1]);
        let norm = [
            per_channel("weight")?,
            per_channel("bias")?,
            per_channel("running_mean")?,
            per_channel("running_var")?,
        ];
        let padding = shape[2] as i64 / 2;
        let Arithmetic::Packed(kind) = self.arithmetic else {
            return Ok(ConvNorm { kernel, stride, padding, then: Then::Norm(norm) });
        };
        let size = [1, shape[1] as i64, side as i64, side as i64];
        let packed = || {
            let (kernel, bias) = fold(&kernel, &norm)?;
            let kernel = kernel.f_to_mkldnn(kind)?;
            let kernel = kernel.f_mkldnn_reorder_conv2d_weight(padding, stride, 1, 1, &size[..])?;
            Ok(ConvNorm { kernel, stride, padding, then: Then::Bias(bias.f_to_mkldnn(kind)?) })
        };
        packed().map_err(super::libtorch::failed)
    }

    fn parameter(&self, name: &str, shape: &[usize]) -> Result<Tensor, EngineError> {
        let sizes: Vec<i64> = shape.iter().map(|size| *size as i64).collect();
        let failed = |error: WeightsError| EngineError::Failed(error.to_string());
        let values = self.weights.parameter(name, shape).map_err(failed)?;
        let tensor = Tensor::from_slice(&values).reshape(sizes);
        Ok(match self.arithmetic {
            Arithmetic::Eager(device) => tensor.to_device(device),
            Arithmetic::Packed(_) => tensor,
        })
    }
}

/// Kernel and bias of the convolution that does a normalisation's work too:
/// w' = w g / sqrt(variance + epsilon), b' = b - mean g / sqrt(variance + epsilon); in float64.
fn fold(kernel: &Tensor, norm: &[Tensor; 4]) -> Result<(Tensor, Tensor), TchError> {
    let wide = |tensor: &Tensor| tensor.f_to_kind(Kind::Double);
    let [weight, bias, mean, variance] = norm;
    let scale = wide(weight)?.f_div(&wide(variance)?.f_add_scalar(EPSILON)?.f_sqrt()?)?;
    let kernel = wide(kernel)?.f_mul(&scale.f_reshape([-1, 1, 1, 1])?)?;
    let bias = wide(bias)?.f_sub(&wide(mean)?.f_mul(&scale)?)?;
    Ok((kernel.f_to_kind(Kind::Float)?, bias.f_to_kind(Kind::Float)?))
}
