//! One update: targets, the loss's gradient, Adam, and the target network that follows.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::heads::Heads;
use super::parameters::{Parameters, numbers};
use super::replay::Batch;
use super::settings::DqnSettings;

/// Decay of Adam's moments, and what keeps its denominator from zero (Kingma and Ba, ICLR 2015).
const FIRST: f64 = 0.9;
const SECOND: f64 = 0.999;
const TINY: f64 = 1e-8;

/// The network, and everything that changes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Updater {
    pub(super) online: Parameters,
    pub(super) target: Parameters,
    /// Adam's moments: the mean gradient, and the sum of its squares that decays: the mean square / (1 - SECOND).
    first: Parameters,
    second: Parameters,
    updates: u64,
    /// Where the gradient is written.
    #[serde(skip)]
    gradient: Option<Parameters>,
}

impl Updater {
    pub(super) fn new(online: Parameters) -> Self {
        Updater {
            target: online.clone(),
            first: online.zeros(),
            second: online.zeros(),
            online,
            updates: 0,
            gradient: None,
        }
    }

    /// Learns from a batch.
    pub(super) fn learn(&mut self, batch: &Batch, settings: &DqnSettings, heads: Heads, learning_rate: f64) {
        let size = batch.actions.len() as i64;
        let rows = Tensor::from_slice(&batch.rows).view([2 * size, -1]);
        let mut values = self.online.forward(rows.shallow_clone());
        let by_target = self.target.forward(rows.narrow(0, size, size));
        let read =
            |outputs: Option<Tensor>| outputs.map_or(Vec::new(), |outputs| heads.values(&numbers(&outputs)));
        let online = read(values.pop());
        let errors = heads.errors(batch, &online, &read(by_target.into_iter().next_back()), settings.double);
        let outputs = Tensor::from_slice(&heads.gradient(batch, &errors)).view([size, -1]);
        let values: Vec<Tensor> = values.iter().map(|rows| rows.narrow(0, 0, size)).collect();
        let gradient = self.gradient.get_or_insert_with(|| self.online.zeros());
        self.online.backward(&values, outputs, gradient);
        self.updates += 1;
        if learning_rate > 0.0 {
            self.adam(learning_rate);
        }
        if self.updates.is_multiple_of(settings.target_every) {
            let _ = self.target.flat.lerp_(&self.online.flat, settings.target_rate);
        }
    }

    /// Moves the parameters against the gradient, by Adam.
    fn adam(&mut self, learning_rate: f64) {
        let Some(Parameters { flat: gradient, .. }) = &self.gradient else { return };
        let (first, second) = (&mut self.first.flat, &mut self.second.flat);
        let so_far = |decay: f64| 1.0 - libm::pow(decay, self.updates as f64);
        let _ = first.lerp_(gradient, 1.0 - FIRST);
        let _ = second.g_mul_scalar_(SECOND).addcmul_(gradient, gradient);
        // The step -learning_rate * mean / (root + TINY), its constants in the denominator: fewer passes over the tensor.
        let scale = -so_far(FIRST) / learning_rate;
        let root = libm::sqrt((1.0 - SECOND) / so_far(SECOND));
        let mut denominator = second.sqrt();
        let _ = denominator.g_mul_scalar_(root * scale).g_add_scalar_(TINY * scale);
        let _ = self.online.flat.addcdiv_(first, &denominator);
    }
}
