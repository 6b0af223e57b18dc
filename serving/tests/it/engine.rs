//! Engines from files and formulas, what they refuse, and what their errors say.

use safetensors::{Dtype, serialize, tensor::TensorView};
use splitscale_serving::engine::weights::{Weights, WeightsError, formula};
use std::path::{Path, PathBuf};

/// Writes a checkpoint of (name, type, shape, bytes).
pub(crate) fn write(path: &Path, tensors: &[(String, Dtype, Vec<usize>, Vec<u8>)]) {
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    std::fs::write(path, serialize(views, None).unwrap()).unwrap();
}

pub(crate) fn float32(name: &str, shape: &[usize]) -> (String, Dtype, Vec<usize>, Vec<u8>) {
    let bytes = formula(name, shape).into_iter().flat_map(f32::to_le_bytes).collect();
    (name.into(), Dtype::F32, shape.to_vec(), bytes)
}

/// Names and shapes of all parameters of ResNet-50.
#[cfg(feature = "torch")]
pub(crate) fn parameters() -> Vec<(String, Vec<usize>)> {
    let mut list = Vec::new();
    let mut conv = |conv: String, norm: String, shape: [usize; 4]| {
        list.push((format!("{conv}.weight"), shape.to_vec()));
        for kind in ["weight", "bias", "running_mean", "running_var"] {
            list.push((format!("{norm}.{kind}"), vec![shape[0]]));
        }
    };
    conv("conv1".into(), "bn1".into(), [64, 3, 7, 7]);
    let mut inputs = 64;
    for (layer, blocks, width) in [(1, 3, 64), (2, 4, 128), (3, 6, 256), (4, 3, 512)] {
        for block in 0..blocks {
            let name = |part: &str| format!("layer{layer}.{block}.{part}");
            conv(name("conv1"), name("bn1"), [width, inputs, 1, 1]);
            conv(name("conv2"), name("bn2"), [width, width, 3, 3]);
            conv(name("conv3"), name("bn3"), [4 * width, width, 1, 1]);
            if block == 0 {
                conv(name("downsample.0"), name("downsample.1"), [4 * width, inputs, 1, 1]);
            }
            inputs = 4 * width;
        }
    }
    list.extend([("fc.weight".into(), vec![1000, 2048]), ("fc.bias".into(), vec![1000])]);
    list
}

fn checkpoint(folder: &Path) -> PathBuf {
    let path = folder.join("checkpoint.safetensors");
    let mut infinite = float32("bn1.bias", &[64]);
    infinite.3[4..8].copy_from_slice(&f32::INFINITY.to_le_bytes());
    let flags = ("fc.bias".to_string(), Dtype::BOOL, vec![1000], vec![0; 1000]);
    let half = ("bn1.weight".to_string(), Dtype::F16, vec![64], [0x00, 0x3e].repeat(64));
    write(&path, &[float32("conv1.weight", &[64, 3, 7, 7]), infinite, half, flags]);
    path
}

#[test]
fn a_checkpoint_gives_back_what_was_saved() {
    let folder = tempfile::tempdir().unwrap();
    let weights = Weights::open(Some(&checkpoint(folder.path()))).unwrap();
    let shape = [64, 3, 7, 7];
    assert_eq!(weights.parameter("conv1.weight", &shape).unwrap(), formula("conv1.weight", &shape));
    assert_eq!(weights.parameter("bn1.weight", &[64]).unwrap(), [1.5; 64]);
}

#[test]
fn unfit_checkpoints_name_the_file_and_the_parameter() {
    let folder = tempfile::tempdir().unwrap();
    let path = checkpoint(folder.path());
    let weights = Weights::open(Some(&path)).unwrap();
    let refused = |name: &str, shape: &[usize]| {
        let message = weights.parameter(name, shape).unwrap_err().to_string();
        assert!(message.contains("checkpoint.safetensors") && message.contains(name), "{message}");
        message
    };
    assert!(refused("layer1.0.conv1.weight", &[64, 64, 1, 1]).contains("missing"));
    assert!(refused("conv1.weight", &[64, 3, 3, 3]).contains("shape [64, 3, 7, 7], expected [64, 3, 3, 3]"));
    assert!(refused("fc.bias", &[1000]).contains("BOOL"));
    assert!(refused("bn1.bias", &[64]).contains("element 1 is inf"));

    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(Weights::open(Some(&path)), Err(WeightsError::Format { .. })));
    std::fs::write(&path, b"{}").unwrap();
    assert!(matches!(Weights::open(Some(&path)), Err(WeightsError::Format { .. })));
    let absent = folder.path().join("absent.safetensors");
    let message = Weights::open(Some(&absent)).unwrap_err().to_string();
    assert!(message.contains("absent.safetensors"), "{message}");
}

#[cfg(not(feature = "torch"))]
#[test]
fn without_libtorch_the_error_names_the_setup() {
    use splitscale_serving::engine::{Cut, EngineConfig, EngineError, Half, open};
    let config = EngineConfig::resnet50(Half::A, Cut::Layer3);
    let Err(EngineError::Failed(message)) = open(&config) else { panic!("an engine without libtorch") };
    assert!(message.contains("cargo xtask setup"), "{message}");
}

#[cfg(feature = "torch")]
mod libtorch {
    use super::*;
    use splitscale_serving::activation::Activation;
    use splitscale_serving::engine::libtorch::Libtorch;
    use splitscale_serving::engine::{Cut, Engine, EngineConfig, EngineError, Half, Input, Network, open};

    fn config(half: Half, cut: Cut) -> EngineConfig {
        EngineConfig::resnet50(half, cut)
    }

    /// A JPEG of colour gradients.
    fn jpeg(width: u32, height: u32) -> Vec<u8> {
        let drawn =
            image::RgbImage::from_fn(width, height, |x, y| image::Rgb([x, y, x ^ y].map(|v| v as u8)));
        let mut file = Vec::new();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, 90).encode_image(&drawn).unwrap();
        file
    }

    #[test]
    fn a_checkpoint_computes_as_its_parameters_say() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("half.safetensors");
        let of_a = |name: &str| ["conv1", "bn1", "layer1"].contains(&name.split('.').next().unwrap());
        let mut tensors: Vec<_> = parameters()
            .iter()
            .filter(|(name, _)| of_a(name))
            .map(|(name, shape)| float32(name, shape))
            .collect();
        let from_file = EngineConfig {
            network: Network::Resnet50 { cut: Cut::Layer1, weights: Some(path.clone()) },
            ..config(Half::A, Cut::Layer1)
        };

        write(&path, &tensors);
        let image = jpeg(300, 260);
        let ours = Libtorch::load(&from_file).unwrap().engine().head(Input::Image(&image)).unwrap();
        let formula = Libtorch::load(&config(Half::A, Cut::Layer1))
            .unwrap()
            .engine()
            .head(Input::Image(&image))
            .unwrap();
        assert!(ours.activation == formula.activation, "the same parameters, another activation");

        let removed = tensors.pop().unwrap().0;
        write(&path, &tensors);
        let message = open(&from_file).err().expect("a parameter is missing").to_string();
        assert!(message.contains(&removed), "{message}");
    }

    #[test]
    fn every_thread_computes_alone_and_the_same() {
        let factory = open(&config(Half::A, Cut::Layer1)).unwrap();
        let image = jpeg(320, 240);
        let heads: Vec<Activation> = std::thread::scope(|scope| {
            let pods: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        let mut engine = factory.start().unwrap();
                        assert_eq!(tch::get_num_threads(), 1);
                        engine.head(Input::Image(&image)).unwrap().activation
                    })
                })
                .collect();
            pods.into_iter().map(|pod| pod.join().unwrap()).collect()
        });
        assert!(heads.iter().all(|activation| *activation == heads[0]));
        assert_eq!(heads[0].data().len() as u64, factory.about().payload_bytes());
    }

    #[test]
    fn unusable_requests_are_the_clients_fault() {
        let mut a = open(&config(Half::A, Cut::Layer3)).unwrap().start().unwrap();
        assert!(matches!(a.head(Input::Image(b"GIF89a, almost")), Err(EngineError::BadImage { .. })));
        let whole = jpeg(64, 64);
        assert!(matches!(a.head(Input::Image(&whole[..whole.len() / 8])), Err(EngineError::BadImage { .. })));
        assert!(matches!(a.tail(&Activation::zeros(&[1])), Err(EngineError::Failed(_))));

        let mut b = open(&config(Half::B, Cut::Layer3)).unwrap().start().unwrap();
        let Err(EngineError::BadActivation(message)) = b.tail(&Activation::zeros(&Cut::Layer2.shape()))
        else {
            panic!("an activation of another cut")
        };
        assert!(message.contains("[512, 28, 28]") && message.contains("[1024, 14, 14]"), "{message}");
        let not_a_number = f32::NAN.to_le_bytes().repeat(1024 * 14 * 14);
        let not_a_number = Activation::new(Cut::Layer3.shape().to_vec(), not_a_number.into());
        assert!(matches!(b.tail(&not_a_number), Err(EngineError::BadActivation(_))));
        assert!(matches!(b.head(Input::Image(&whole)), Err(EngineError::Failed(_))));
    }

    #[test]
    fn labels_name_the_class_and_must_be_complete() {
        let labels: Vec<String> = (0..1000).map(|class| format!("label {class}")).collect();
        let named = EngineConfig { labels: Some(labels.clone()), ..config(Half::B, Cut::Layer3) };
        let answer =
            open(&named).unwrap().start().unwrap().tail(&Activation::zeros(&Cut::Layer3.shape())).unwrap();
        assert_eq!(answer.class_name, format!("label {}", answer.class_id));
        let short = EngineConfig { labels: Some(labels[1..].to_vec()), ..named };
        assert!(open(&short).err().expect("999 labels").to_string().contains("999 labels"));
    }
}
