//! ResNet-50 cut in two, layer by layer as torchvision computes it.
//!
//! ```text
//! A: conv1 bn1 relu maxpool layer1 ..= the cut     B: after the cut ..= layer4 avgpool fc
//! ```
//!
//! He, Zhang, Ren, Sun: "Deep residual learning for image recognition" (2016), table 1, in the variant
//! v1.5 that torchvision has: the stride of a bottleneck sits on its 3x3 convolution.

use super::weights::{Weights, WeightsError};
use super::{Cut, Half};
use tch::{TchError, Tensor};

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

/// One half of the network; it holds the parameters of that half alone.
pub(super) struct HalfNetwork {
    stem: Option<ConvNorm>,
    bottlenecks: Vec<Bottleneck>,
    classifier: Option<(Tensor, Tensor)>,
}

struct ConvNorm {
    kernel: Tensor,
    stride: i64,
    padding: i64,
    /// weight, bias, running mean, running variance
    norm: [Tensor; 4],
}

struct Bottleneck {
    /// 1x1, 3x3 with the stride, 1x1
    main: [ConvNorm; 3],
    /// 1x1 with the stride, where the shape changes
    shortcut: Option<ConvNorm>,
}

impl HalfNetwork {
    /// Takes the parameters of one half out of `weights`.
    pub(super) fn load(half: Half, cut: Cut, weights: &Weights) -> Result<HalfNetwork, WeightsError> {
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
            for block in 0..blocks {
                let name = format!("{layer}.{block}");
                let inputs = match (index, block) {
                    (0, 0) => STEM,
                    (_, 0) => EXPANSION * width / 2,
                    _ => EXPANSION * width,
                };
                let stride = if index > 0 && block == 0 { 2 } else { 1 };
                bottlenecks.push(Bottleneck::load(weights, &name, inputs, width, stride)?);
            }
        }
        let (stem, classifier) = match half {
            Half::A => {
                let stem = ConvNorm::load(weights, ["conv1", "bn1"], [STEM, 3, 7, 7], 2)?;
                (Some(stem), None)
            }
            Half::B => {
                let weight = parameter(weights, "fc.weight", &[CLASSES, EXPANSION * LAYERS[3].2])?;
                (None, Some((weight, parameter(weights, "fc.bias", &[CLASSES])?)))
            }
        };
        Ok(HalfNetwork { stem, bottlenecks, classifier })
    }

    /// Another handle on the same parameters, for another thread.
    pub(super) fn share(&self) -> HalfNetwork {
        HalfNetwork {
            stem: self.stem.as_ref().map(ConvNorm::share),
            bottlenecks: self.bottlenecks.iter().map(Bottleneck::share).collect(),
            classifier: self.classifier.as_ref().map(|(w, b)| (w.shallow_clone(), b.shallow_clone())),
        }
    }

    /// A: a normalised image to the activation at the cut. B: that activation to the logits.
    pub(super) fn forward(&self, input: &Tensor) -> Result<Tensor, TchError> {
        let mut x = match &self.stem {
            Some(stem) => stem.forward(input)?.f_relu_()?.f_max_pool2d(3, 2, 1, 1, false)?,
            None => input.shallow_clone(),
        };
        for bottleneck in &self.bottlenecks {
            x = bottleneck.forward(&x)?;
        }
        match &self.classifier {
            Some((weight, bias)) => {
                x.f_adaptive_avg_pool2d([1, 1])?.f_flatten(1, -1)?.f_linear(weight, Some(bias))
            }
            None => Ok(x),
        }
    }
}

impl Bottleneck {
    fn load(
        weights: &Weights,
        name: &str,
        inputs: usize,
        width: usize,
        stride: i64,
    ) -> Result<Bottleneck, WeightsError> {
        let outputs = EXPANSION * width;
        let conv = |index: usize, shape, stride| {
            let names = [format!("{name}.conv{index}"), format!("{name}.bn{index}")];
            ConvNorm::load(weights, [&names[0], &names[1]], shape, stride)
        };
        let main = [
            conv(1, [width, inputs, 1, 1], 1)?,
            conv(2, [width, width, 3, 3], stride)?,
            conv(3, [outputs, width, 1, 1], 1)?,
        ];
        let shortcut = if inputs == outputs {
            None
        } else {
            let names = [format!("{name}.downsample.0"), format!("{name}.downsample.1")];
            Some(ConvNorm::load(weights, [&names[0], &names[1]], [outputs, inputs, 1, 1], stride)?)
        };
        Ok(Bottleneck { main, shortcut })
    }

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
    /// A convolution without bias, padded so that stride 1 keeps the size, and its normalisation.
    fn load(
        weights: &Weights,
        [conv, norm]: [&str; 2],
        shape: [usize; 4],
        stride: i64,
    ) -> Result<ConvNorm, WeightsError> {
        let kernel = parameter(weights, &format!("{conv}.weight"), &shape)?;
        let per_channel = |kind| parameter(weights, &format!("{norm}.{kind}"), &shape[..1]);
        Ok(ConvNorm {
            kernel,
            stride,
            padding: shape[2] as i64 / 2,
            norm: [
                per_channel("weight")?,
                per_channel("bias")?,
                per_channel("running_mean")?,
                per_channel("running_var")?,
            ],
        })
    }

    fn share(&self) -> ConvNorm {
        ConvNorm {
            kernel: self.kernel.shallow_clone(),
            stride: self.stride,
            padding: self.padding,
            norm: self.norm.each_ref().map(Tensor::shallow_clone),
        }
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let [weight, bias, mean, variance] = self.norm.each_ref().map(Some);
        x.f_conv2d(&self.kernel, None::<Tensor>, self.stride, self.padding, 1, 1)?
            .f_batch_norm(weight, bias, mean, variance, false, 0.0, EPSILON, false)
    }
}

fn parameter(weights: &Weights, name: &str, shape: &[usize]) -> Result<Tensor, WeightsError> {
    let sizes: Vec<i64> = shape.iter().map(|size| *size as i64).collect();
    Ok(Tensor::from_slice(&weights.parameter(name, shape)?).reshape(sizes))
}
