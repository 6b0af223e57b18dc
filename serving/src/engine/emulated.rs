//! An engine that computes nothing: the forward pass is a wait, so that a laptop stands for a cluster.
//!
//! Everything around it is real: sockets, queues, pods, bytes on the wire. What it answers means nothing,
//! and says so ([`About::emulated`]). An activation is the same every time: normal variates cut off at zero,
//! as after a ReLU, so half of it is zeros and a compressed one is about as small as a trained network's.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{About, Cut, Engine, EngineError, EngineFactory, Half, Head, Input, Tail};
use crate::activation::{Activation, elements};
use crate::pod::wait_until;

/// Gives one duration after the other \[s\].
pub type Waits = Box<dyn FnMut() -> f64 + Send>;

/// One half of an emulated network.
pub struct Emulated {
    about: About,
    half: Half,
    waits: Arc<Mutex<Waits>>,
    activation: Activation,
}

struct EmulatedEngine {
    half: Half,
    shape: Vec<usize>,
    waits: Arc<Mutex<Waits>>,
    activation: Activation,
}

impl Emulated {
    /// A half whose forward passes take as long as `waits` says, one after the other over all pods.
    pub fn new(half: Half, cut: Cut, waits: Waits) -> Emulated {
        let shape = cut.shape().to_vec();
        let about = About {
            engine: "emulated".into(),
            device: "none".into(),
            model: "resnet50".into(),
            cut: cut.name().into(),
            input: None,
            shape: shape.clone(),
            emulated: true,
        };
        Emulated { about, half, waits: Arc::new(Mutex::new(waits)), activation: rectified(shape) }
    }
}

impl EngineFactory for Emulated {
    fn about(&self) -> &About {
        &self.about
    }

    fn start(&self) -> Result<Box<dyn Engine>, EngineError> {
        Ok(Box::new(EmulatedEngine {
            half: self.half,
            shape: self.about.shape.clone(),
            waits: Arc::clone(&self.waits),
            activation: self.activation.clone(),
        }))
    }
}

impl EmulatedEngine {
    /// Waits for as long as the next forward pass takes \[s\].
    fn forward(&self) -> f64 {
        let begin = Instant::now();
        let wait_s = self.waits.lock().unwrap_or_else(PoisonError::into_inner)();
        (wait_until(begin + Duration::from_secs_f64(wait_s.max(0.0)), begin) - begin).as_secs_f64()
    }

    fn must_be(&self, half: Half) -> Result<(), EngineError> {
        if self.half == half {
            return Ok(());
        }
        Err(EngineError::Failed(format!(
            "this pod emulates half {:?} of the network, not {half:?}",
            self.half
        )))
    }
}

impl Engine for EmulatedEngine {
    fn head(&mut self, _: Input<'_>) -> Result<Head, EngineError> {
        self.must_be(Half::A)?;
        Ok(Head { forward_s: self.forward(), activation: self.activation.clone(), decode_s: 0.0 })
    }

    fn tail(&mut self, activation: &Activation) -> Result<Tail, EngineError> {
        self.must_be(Half::B)?;
        if activation.shape() != self.shape {
            let why = format!("its shape is {:?}, this half takes {:?}", activation.shape(), self.shape);
            return Err(EngineError::BadActivation(why));
        }
        let class_name = "emulated".into();
        Ok(Tail { class_id: 0, class_name, logit: 0.0, forward_s: self.forward() })
    }
}

/// Normal variates, the negative ones zero: sums of four uniform ones are near enough.
fn rectified(shape: Vec<usize>) -> Activation {
    let mut chance = ChaCha8Rng::seed_from_u64(0);
    let mut uniform = || chance.next_u32() as f32 / u32::MAX as f32 - 0.5;
    let values = (0..elements(&shape)).map(|_| (uniform() + uniform() + uniform() + uniform()).max(0.0));
    let data: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
    Activation::new(shape, data.into())
}
