//! The engine that everything else is compared with: eager float32 on the CPU, through libtorch.

use super::resnet50::HalfNetwork;
use super::weights::Weights;
use super::{About, Cut, Engine, EngineConfig, EngineError, EngineFactory, Half, Head, Input, Tail};
use crate::activation::{Activation, VALUE_BYTES};
use crate::image::{CROP_SIDE, Crop, Photo};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Instant;
use tch::{Kind, TchError, Tensor};

// Activations travel little endian, and are copied to and from memory as they lie.
const _: () = assert!(cfg!(target_endian = "little"), "big-endian machines are not supported");

/// The parameters of one half, and what its engines share.
pub struct Reference {
    about: About,
    half: Half,
    cut: Cut,
    labels: Option<Arc<[String]>>,
    /// A tensor may move to another thread but not be used by two through one handle, hence the lock:
    /// each engine takes handles of its own. Nobody writes to the parameters behind them.
    network: Mutex<HalfNetwork>,
}

/// One pod's half of the network.
pub struct ReferenceEngine {
    half: Half,
    cut: Cut,
    labels: Option<Arc<[String]>>,
    network: HalfNetwork,
}

impl Reference {
    /// Loads the parameters of the half that `config` names.
    ///
    /// # Errors
    /// The weights file is missing or unfit, or the labels are not 1000.
    pub fn load(config: &EngineConfig) -> Result<Reference, EngineError> {
        if let Some(labels) = &config.labels
            && labels.len() != 1000
        {
            return Err(EngineError::Failed(format!(
                "{} labels, the network has 1000 classes",
                labels.len()
            )));
        }
        compute_alone();
        let failed = |error: super::weights::WeightsError| EngineError::Failed(error.to_string());
        let weights = Weights::open(config.weights.as_deref()).map_err(failed)?;
        let network =
            tch::no_grad(|| HalfNetwork::load(config.half, config.cut, &weights)).map_err(failed)?;
        let about = About {
            engine: "reference".into(),
            device: "cpu".into(),
            model: "resnet50".into(),
            cut: config.cut.name().into(),
            shape: config.cut.shape().to_vec(),
            emulated: false,
        };
        Ok(Reference {
            about,
            half: config.half,
            cut: config.cut,
            labels: config.labels.as_deref().map(Arc::from),
            network: Mutex::new(network),
        })
    }

    /// An engine for the calling thread; [`EngineFactory::start`] without the box.
    pub fn engine(&self) -> ReferenceEngine {
        compute_alone();
        let network = self.network.lock().unwrap_or_else(PoisonError::into_inner).share();
        ReferenceEngine { half: self.half, cut: self.cut, labels: self.labels.clone(), network }
    }
}

impl EngineFactory for Reference {
    fn about(&self) -> &About {
        &self.about
    }

    fn start(&self) -> Result<Box<dyn Engine>, EngineError> {
        Ok(Box::new(self.engine()))
    }
}

impl ReferenceEngine {
    /// The forward pass of this half: a normalised image to the activation at the cut, or that activation to
    /// the logits.
    ///
    /// # Errors
    /// [`EngineError::Failed`] when libtorch refuses, as for another shape.
    pub fn forward(&self, input: &Tensor) -> Result<Tensor, EngineError> {
        tch::no_grad(|| self.network.forward(input)).map_err(failed)
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

impl Engine for ReferenceEngine {
    fn head(&mut self, input: Input<'_>) -> Result<Head, EngineError> {
        self.must_be(Half::A)?;
        let begin = Instant::now();
        let input = match input {
            Input::Image(file) => {
                let photo = Photo::decode(file).map_err(|error| EngineError::BadImage(error.to_string()))?;
                self::input(&photo.crop())?
            }
            Input::Tensor(tensor) => decode(&INPUT, tensor)?,
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
        let activation = decode(&self.cut.shape(), activation)?;
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

/// Shape of the network's input.
const INPUT: [usize; 3] = [3, CROP_SIDE, CROP_SIDE];

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

fn failed(error: TchError) -> EngineError {
    EngineError::Failed(format!("libtorch: {error}"))
}
