//! The engines that compute, through libtorch.
//!
//! | engine | arithmetic |
//! |---|---|
//! | `reference` | eager float32, as torchvision: what the others are compared with |
//! | `f32` | float32, normalisation folded, convolutions packed in oneDNN's layout; 2e-6 from the reference |
//! | `bf16` | the same in bfloat16, where the CPU computes it; 1e-2 from the reference |
//! | `module` | a TorchScript half of the user's own, as it was saved |

use super::resnet50::{Arithmetic, HalfNetwork};
use super::weights::{Weights, WeightsError};
use super::{
    About, Choice, Engine, EngineConfig, EngineError, EngineFactory, Half, Head, Input, Network, Tail,
};
use crate::activation::{Activation, VALUE_BYTES};
use crate::image::{CROP_SIDE, Crop, Photo};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Instant;
use tch::{CModule, Cuda, Device, Kind, TchError, Tensor};

// Activations travel little endian, and are copied to and from memory as they lie.
const _: () = assert!(cfg!(target_endian = "little"), "big-endian machines are not supported");

/// Shape of the input that an image becomes.
const IMAGE: [usize; 3] = [3, CROP_SIDE, CROP_SIDE];

/// The parameters of one half, and what its engines share.
pub struct Libtorch {
    about: About,
    half: Half,
    input: Arc<[usize]>,
    labels: Option<Arc<[String]>>,
    /// A tensor may move to another thread but not be used by two through one handle, hence the lock:
    /// each engine takes handles of its own. Nobody writes to the parameters behind them.
    layers: Mutex<Layers>,
}

/// One pod's half of the network.
pub struct LibtorchEngine {
    half: Half,
    input: Arc<[usize]>,
    labels: Option<Arc<[String]>>,
    layers: Layers,
}

enum Layers {
    Resnet(HalfNetwork),
    Module(Arc<CModule>, Device),
}

impl Libtorch {
    /// Loads the parameters of the half that `config` names.
    ///
    /// # Errors
    /// A file that is missing or unfit, a device or arithmetic that there is not, labels of another number
    /// than the classes.
    pub fn load(config: &EngineConfig) -> Result<Libtorch, EngineError> {
        compute_alone();
        let device = device(&config.device)?;
        let (name, layers) = tch::no_grad(|| Layers::load(config, device))?;
        let (model, cut, input) = match &config.network {
            Network::Resnet50 { cut, .. } => {
                let input = if config.half == Half::A { IMAGE } else { cut.shape() };
                ("resnet50".into(), cut.name().into(), input.to_vec())
            }
            Network::Module { file, cut, input } => {
                let model = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
                (model.unwrap_or_default(), cut.clone(), input.clone())
            }
        };
        // One pass tells what comes out, and that the input fits.
        let out = tch::no_grad(|| layers.forward(&decode(&input, &Activation::zeros(&input))?))
            .and_then(|out| outcome(config.half, &out))
            .map_err(|error| match &config.network {
                Network::Module { file, .. } => EngineError::Failed(format!(
                    "{}, as half {:?} on one input of {input:?}: {error}",
                    file.display(),
                    config.half
                )),
                Network::Resnet50 { .. } => error,
            })?;
        if let (Half::B, Some(labels)) = (config.half, &config.labels)
            && out != [labels.len()]
        {
            let why = format!("{} labels, the network has {out:?} classes", labels.len());
            return Err(EngineError::Failed(why));
        }
        let about = About {
            engine: name.into(),
            device: config.device.clone(),
            model,
            cut,
            input: (config.half == Half::A && input != IMAGE).then(|| input.clone()),
            shape: if config.half == Half::A { out } else { input.clone() },
            emulated: false,
        };
        Ok(Libtorch {
            about,
            half: config.half,
            input: input.into(),
            labels: config.labels.as_deref().map(Arc::from),
            layers: Mutex::new(layers),
        })
    }

    /// An engine for the calling thread; [`EngineFactory::start`] without the box.
    pub fn engine(&self) -> LibtorchEngine {
        compute_alone();
        let layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner).share();
        LibtorchEngine { half: self.half, input: self.input.clone(), labels: self.labels.clone(), layers }
    }
}

impl EngineFactory for Libtorch {
    fn about(&self) -> &About {
        &self.about
    }

    fn start(&self) -> Result<Box<dyn Engine>, EngineError> {
        Ok(Box::new(self.engine()))
    }
}

impl Layers {
    /// The layers of a half, and what their arithmetic is called.
    fn load(config: &EngineConfig, device: Device) -> Result<(&'static str, Layers), EngineError> {
        let (cut, weights) = match &config.network {
            Network::Resnet50 { cut, weights } => (*cut, weights),
            Network::Module { file, .. } => {
                if config.choice != Choice::Auto {
                    let why = "a module computes as it was saved; leave the engine at auto";
                    return Err(EngineError::Failed(why.into()));
                }
                let mut module = CModule::load_on_device(file, device).map_err(|error| {
                    let why = failed(error);
                    EngineError::Failed(format!("{}: not a TorchScript module: {why}", file.display()))
                })?;
                // A frozen module knows no modes any more, and was frozen in this one.
                let _ = module.f_set_eval();
                return Ok(("module", Layers::Module(Arc::new(module), device)));
            }
        };
        let (name, arithmetic) = arithmetic(config.choice, device)?;
        let failed = |error: WeightsError| EngineError::Failed(error.to_string());
        let weights = Weights::open(weights.as_deref()).map_err(failed)?;
        Ok((name, Layers::Resnet(HalfNetwork::load(config.half, cut, &weights, arithmetic)?)))
    }

    fn share(&self) -> Layers {
        match self {
            Layers::Resnet(network) => Layers::Resnet(network.share()),
            Layers::Module(module, device) => Layers::Module(Arc::clone(module), *device),
        }
    }

    fn forward(&self, input: &Tensor) -> Result<Tensor, EngineError> {
        match self {
            Layers::Resnet(network) => network.forward(input),
            Layers::Module(module, device) => input
                .f_to_device(*device)
                .and_then(|input| module.forward_ts(&[input]))
                .and_then(|output| output.f_to_device(Device::Cpu)),
        }
        .map_err(failed)
    }
}

/// The arithmetic of a choice, and its name.
fn arithmetic(choice: Choice, device: Device) -> Result<(&'static str, Arithmetic), EngineError> {
    let packs = device == Device::Cpu && tch::utils::has_mkldnn();
    let refused = |why: &str| Err(EngineError::Failed(why.into()));
    match choice {
        Choice::Reference => Ok(("reference", Arithmetic::Eager(device))),
        Choice::Auto if !packs => Ok(("reference", Arithmetic::Eager(device))),
        Choice::F32 | Choice::Bf16 if !packs => {
            refused("engines f32 and bf16 need the CPU and a libtorch with oneDNN; take reference")
        }
        Choice::Auto | Choice::F32 => Ok(("f32", Arithmetic::Packed(Kind::Float))),
        Choice::Bf16 if !computes_bf16() => {
            refused("this CPU has no bfloat16 instructions (AVX512_BF16 or AMX); take f32")
        }
        Choice::Bf16 => Ok(("bf16", Arithmetic::Packed(Kind::BFloat16))),
    }
}

/// Whether the CPU multiplies bfloat16 itself; every one with AMX has AVX512_BF16 too.
pub fn computes_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Reads `cpu`, `cuda` or `cuda:N`.
fn device(text: &str) -> Result<Device, EngineError> {
    let number = match text {
        "cpu" => return Ok(Device::Cpu),
        "cuda" => Some(0),
        _ => text.strip_prefix("cuda:").and_then(|number| number.parse::<usize>().ok()),
    };
    let number = number
        .ok_or_else(|| EngineError::Failed(format!("device {text:?}: it takes cpu, cuda or cuda:N")))?;
    match usize::try_from(Cuda::device_count()).unwrap_or(0) {
        0 => Err(EngineError::Failed(format!("device {text}: this libtorch sees no GPU; take cpu"))),
        count if number >= count => {
            Err(EngineError::Failed(format!("device {text}: there are {count}, counted from 0")))
        }
        _ => Ok(Device::Cuda(number)),
    }
}

impl LibtorchEngine {
    /// The forward pass of this half: its input to the activation at the cut, or that activation to the logits.
    ///
    /// # Errors
    /// [`EngineError::Failed`] when libtorch refuses, as for another shape.
    pub fn forward(&self, input: &Tensor) -> Result<Tensor, EngineError> {
        tch::no_grad(|| self.layers.forward(input))
    }

    fn must_be(&self, half: Half) -> Result<(), EngineError> {
        if self.half == half {
            return Ok(());
        }
        Err(EngineError::Failed(format!("this pod holds half {:?} of the network, not {half:?}", self.half)))
    }

    fn name_of(&self, class: usize) -> String {
        match &self.labels {
            Some(labels) => labels[class].clone(),
            None => format!("class_{class}"),
        }
    }
}

impl Engine for LibtorchEngine {
    fn head(&mut self, input: Input<'_>) -> Result<Head, EngineError> {
        self.must_be(Half::A)?;
        let begin = Instant::now();
        let input = match input {
            Input::Image(_) if *self.input != IMAGE => {
                let why = format!("this half takes tensors of {:?}, no images", self.input);
                return Err(EngineError::BadImage { status: 415, why });
            }
            Input::Image(file) => {
                let photo = Photo::decode(file)?;
                self::input(&photo.crop())?
            }
            Input::Tensor(tensor) => decode(&self.input, tensor)?,
        };
        let decoded = Instant::now();
        let activation = self.forward(&input)?;
        let forwarded = Instant::now();
        Ok(Head {
            activation: encode(&activation)?,
            decode_s: (decoded - begin).as_secs_f64(),
            forward_s: (forwarded - decoded).as_secs_f64(),
        })
    }

    fn tail(&mut self, activation: &Activation) -> Result<Tail, EngineError> {
        self.must_be(Half::B)?;
        if !activation.is_finite() {
            // oneDNN would make zeros of them, and an answer.
            return Err(EngineError::BadActivation("it holds values that are not finite".into()));
        }
        let activation = decode(&self.input, activation)?;
        let decoded = Instant::now();
        let logits = values(&self.forward(&activation)?)?;
        let forward_s = decoded.elapsed().as_secs_f64();
        if logits.iter().any(|logit| !logit.is_finite()) {
            return Err(EngineError::BadActivation("it holds values that give no finite answer".into()));
        }
        let (class, logit) = largest(&logits);
        Ok(Tail { class_id: class as u32, class_name: self.name_of(class), logit, forward_s })
    }
}

/// The network's input, of one image.
///
/// # Errors
/// [`EngineError::Failed`] when libtorch refuses.
pub fn input(crop: &Crop) -> Result<Tensor, EngineError> {
    let side = CROP_SIDE as i64;
    Tensor::f_from_slice(&crop.normalise())
        .and_then(|flat| flat.f_reshape([1, 3, side, side]))
        .map_err(failed)
}

/// The activation of one image out of a tensor.
///
/// # Errors
/// [`EngineError::Failed`] when the tensor is not of float32, or of more than one image.
pub fn encode(tensor: &Tensor) -> Result<Activation, EngineError> {
    let [1, shape @ ..] = &tensor.size()[..] else {
        return Err(EngineError::Failed(format!("a tensor of {:?} is not of one image", tensor.size())));
    };
    if tensor.kind() != Kind::Float {
        return Err(EngineError::Failed(format!("a tensor of {:?} does not travel", tensor.kind())));
    }
    let mut bytes = vec![0; VALUE_BYTES * tensor.numel()];
    tensor.f_contiguous().and_then(|t| t.f_copy_data_u8(&mut bytes, t.numel())).map_err(failed)?;
    Ok(Activation::new(shape.iter().map(|size| *size as usize).collect(), bytes.into()))
}

/// The tensor of one activation, which must be of this shape.
///
/// # Errors
/// [`EngineError::BadActivation`] when it is not.
pub fn decode(shape: &[usize], activation: &Activation) -> Result<Tensor, EngineError> {
    if activation.shape() != shape {
        let why = format!("its shape is {:?}, this half takes {shape:?}", activation.shape());
        return Err(EngineError::BadActivation(why));
    }
    let sizes: Vec<i64> = std::iter::once(1).chain(shape.iter().map(|size| *size as i64)).collect();
    Tensor::f_from_data_size(activation.data(), &sizes, Kind::Float).map_err(failed)
}

/// The elements of a tensor, row-major.
///
/// # Errors
/// [`EngineError::Failed`] when the tensor is not of float32.
pub fn values(tensor: &Tensor) -> Result<Vec<f32>, EngineError> {
    let mut values = vec![0f32; tensor.numel()];
    tensor.f_contiguous().and_then(|t| t.f_copy_data(&mut values, t.numel())).map_err(failed)?;
    Ok(values)
}

/// What one input gives, the batch left out: an activation, or the logits.
fn outcome(half: Half, output: &Tensor) -> Result<Vec<usize>, EngineError> {
    let (size, kind) = (output.size(), output.kind());
    let refused = |why: String| Err(EngineError::Failed(why));
    match &size[..] {
        [1, ..] if kind != Kind::Float => refused(format!("it gives {kind:?}s, and Floats travel")),
        [1, classes] if half == Half::B && *classes > 0 => Ok(vec![*classes as usize]),
        [1, ..] if half == Half::B => {
            refused(format!("it gives {size:?}, not one logit a class, [1, CLASSES]"))
        }
        [1, shape @ ..] => Ok(shape.iter().map(|size| *size as usize).collect()),
        _ => refused(format!("it gives {size:?}, and the batch of 1 must come first")),
    }
}

/// Index and value of the largest logit, the first of equals.
fn largest(logits: &[f32]) -> (usize, f32) {
    logits.iter().copied().enumerate().fold(
        (0, f32::NEG_INFINITY),
        |best, next| {
            if next.1 > best.1 { next } else { best }
        },
    )
}

/// Makes libtorch compute on the calling thread alone.
///
/// The thread count of OpenMP belongs to each thread, so every pod's thread sets it for itself; the pool
/// between operators belongs to the process and may be sized once.
fn compute_alone() {
    static INTEROP: Once = Once::new();
    INTEROP.call_once(|| tch::set_num_interop_threads(1));
    tch::set_num_threads(1);
}

/// libtorch's words without its stack.
pub(super) fn failed(error: TchError) -> EngineError {
    let text = error.to_string();
    EngineError::Failed(format!("libtorch: {}", text.lines().next().unwrap_or_default()))
}
