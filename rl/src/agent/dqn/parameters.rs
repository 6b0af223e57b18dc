//! The parameters of a network as one flat tensor, and the matrix products over it. Gradients are written out: of so small
//! a network autograd would cost several times what it computes. Nothing here fails but by a wrong shape, which would be a
//! defect of this file.

use serde::{Deserialize, Serialize};
use splitscale_policy::Mlp;
use splitscale_spec::Invalid;
use tch::Tensor;

/// Parameters in the order of [`Mlp`], and each layer's part of them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub(super) struct Parameters {
    sizes: Vec<usize>,
    pub(super) flat: Tensor,
    /// Weights (inputs x outputs) and biases, views of `flat`.
    layers: Vec<(Tensor, Tensor)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    sizes: Vec<usize>,
    values: Vec<f32>,
}

impl TryFrom<Written> for Parameters {
    type Error = Invalid;

    fn try_from(Written { sizes, values }: Written) -> Result<Self, Invalid> {
        let wanted = Mlp::parameters_of(&sizes);
        match values.len() == wanted {
            true => Ok(Parameters::new(sizes, &values)),
            false => Err(Invalid::new("values", format!("{} of them, where {wanted} belong", values.len()))),
        }
    }
}

impl From<Parameters> for Written {
    fn from(parameters: Parameters) -> Self {
        Written { values: parameters.values(), sizes: parameters.sizes }
    }
}

impl Clone for Parameters {
    fn clone(&self) -> Self {
        Parameters::new(self.sizes.clone(), &self.values())
    }
}

impl Parameters {
    pub(super) fn new(sizes: Vec<usize>, values: &[f32]) -> Self {
        // More threads would cost more than they bring, and the sums would depend on how many there are.
        tch::set_num_threads(1);
        let flat = Tensor::from_slice(values);
        let (mut layers, mut at) = (Vec::new(), 0);
        for layer in sizes.windows(2) {
            let (from, to) = (layer[0] as i64, layer[1] as i64);
            let weights = flat.narrow(0, at, from * to).view([from, to]);
            layers.push((weights, flat.narrow(0, at + from * to, to)));
            at += (from + 1) * to;
        }
        Parameters { sizes, flat, layers }
    }

    /// As many, all zero.
    pub(super) fn zeros(&self) -> Self {
        Parameters::new(self.sizes.clone(), &vec![0.0; self.flat.numel()])
    }

    pub(super) fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    pub(super) fn values(&self) -> Vec<f32> {
        numbers(&self.flat)
    }

    /// What goes into each layer, a row an observation, and last of all what comes out.
    pub(super) fn forward(&self, rows: Tensor) -> Vec<Tensor> {
        let mut values = vec![rows];
        for (at, (weights, biases)) in self.layers.iter().enumerate() {
            let sums = biases.addmm(&values[at], weights);
            values.push(if at + 1 < self.layers.len() { sums.relu() } else { sums });
        }
        values
    }

    /// Writes to `gradient` that of a loss, by back-propagation: `values` are those of [`Parameters::forward`], `outputs` is
    /// the loss's gradient by what came out.
    pub(super) fn backward(&self, values: &[Tensor], outputs: Tensor, gradient: &Parameters) {
        let mut sums = outputs;
        for (at, (weights, _)) in self.layers.iter().enumerate().rev() {
            let (to_weights, to_biases) = &gradient.layers[at];
            let _ = values[at].tr().mm_out(to_weights, &sums);
            let _ = sums.sum_intlist_out(to_biases, [0i64].as_slice(), false, None);
            if at > 0 {
                sums = values[at].threshold_backward(&sums.mm(&weights.tr()), 0.0);
            }
        }
    }
}

/// What a tensor holds, in its order.
pub(super) fn numbers(tensor: &Tensor) -> Vec<f32> {
    let mut numbers = vec![0.0; tensor.numel()];
    tensor.copy_data(&mut numbers, tensor.numel());
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_is_that_of_autograd() {
        let sizes = vec![3, 8, 5, 2];
        let wave = |at: usize| ((at * 7 + 3) % 29) as f32 / 29.0 - 0.5;
        let values: Vec<f32> = (0..Mlp::parameters_of(&sizes)).map(wave).collect();
        let rows: Vec<f32> = (0..12).map(|at| 2.0 * wave(at + 5)).collect();
        let rows = Tensor::from_slice(&rows).view([4, 3]);
        let by_output = Tensor::from_slice(&[1.0f32, -0.5, 0.25, 2.0, 0.0, 1.0, -1.0, 0.5]).view([4, 2]);

        let parameters = Parameters::new(sizes.clone(), &values);
        let gradient = parameters.zeros();
        let between = parameters.forward(rows.shallow_clone());
        parameters.backward(&between[..3], by_output.shallow_clone(), &gradient);

        let flat = Tensor::from_slice(&values).set_requires_grad(true);
        let (mut x, mut at) = (rows, 0);
        for (layer, size) in sizes.windows(2).enumerate() {
            let (from, to) = (size[0] as i64, size[1] as i64);
            let weights = flat.narrow(0, at, from * to).view([from, to]);
            x = x.matmul(&weights) + flat.narrow(0, at + from * to, to);
            x = if layer < 2 { x.relu() } else { x };
            at += (from + 1) * to;
        }
        (x * by_output).sum(None).backward();
        let (ours, autograd) = (gradient.values(), numbers(&flat.grad()));
        assert!(autograd.iter().filter(|value| **value != 0.0).count() > 40, "{autograd:?}");
        for (ours, autograd) in ours.iter().zip(&autograd) {
            assert!((ours - autograd).abs() < 1e-5, "{ours} {autograd}");
        }
    }
}
