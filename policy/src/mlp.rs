//! A multilayer perceptron in plain arithmetic.

use serde::{Deserialize, Serialize};
use splitscale_spec::Invalid;

/// Most layers with their inputs, and the widest of them: 32 MB a matrix.
const LAYERS_MAX: usize = 16;
const WIDTH_MAX: usize = 4_096;

/// Outputs that are summed up at a time: so many fit the registers.
const LANES: usize = 16;

/// A network of fully connected layers:
///
/// ```text
/// x_1 = max(0, W_1 x_0 + b_1)   ...   y = W_n x_(n-1) + b_n
/// ```
///
/// # Guarantees
/// Sums go over the inputs in their order, one product and one sum at a time in f32: the same inputs give the same outputs,
/// bit for bit, on every platform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Mlp {
    /// Inputs, then what each layer gives.
    sizes: Vec<usize>,
    /// Layer by layer: weights, all of the first input first; then biases.
    parameters: Vec<f32>,
}

/// Where [`Mlp::forward`] computes; it grows once.
#[derive(Debug, Clone, Default)]
pub struct Room {
    from: Vec<f32>,
    to: Vec<f32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    sizes: Vec<usize>,
    parameters: Vec<f32>,
}

impl TryFrom<Written> for Mlp {
    type Error = Invalid;

    fn try_from(Written { sizes, parameters }: Written) -> Result<Self, Invalid> {
        Mlp::new(sizes, parameters)
    }
}

impl Mlp {
    /// One of `sizes`, the inputs and then what each layer gives, and of `parameters`, for each layer its weights (all that
    /// go out of the first input first) and then its biases.
    ///
    /// # Errors
    /// Fewer than two sizes, or one of zero; too few or too many parameters, or one that is not finite.
    pub fn new(sizes: Vec<usize>, parameters: Vec<f32>) -> Result<Self, Invalid> {
        if !(2..=LAYERS_MAX).contains(&sizes.len()) {
            let problem = format!("{} of them; it takes 2 to {LAYERS_MAX}, inputs and outputs", sizes.len());
            return Err(Invalid::new("sizes", problem));
        }
        if let Some(at) = sizes.iter().position(|size| !(1..=WIDTH_MAX).contains(size)) {
            return Err(Invalid::new(
                format!("sizes[{at}]"),
                format!("{} is not in 1..={WIDTH_MAX}", sizes[at]),
            ));
        }
        let wanted = Mlp::parameters_of(&sizes);
        if parameters.len() != wanted {
            let problem = format!("{} of them, and sizes {sizes:?} take {wanted}", parameters.len());
            return Err(Invalid::new("parameters", problem));
        }
        if let Some(at) = parameters.iter().position(|value| !value.is_finite()) {
            let problem = format!("{} is not a finite number", parameters[at]);
            return Err(Invalid::new(format!("parameters[{at}]"), problem));
        }
        Ok(Mlp { sizes, parameters })
    }

    /// How many parameters a network of these sizes has.
    pub fn parameters_of(sizes: &[usize]) -> usize {
        sizes.windows(2).map(|layer| (layer[0] + 1) * layer[1]).sum()
    }

    /// Inputs, then what each layer gives.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// The parameters, in the order of [`Mlp::new`].
    pub fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// The outputs. Allocates nothing once the room has grown.
    ///
    /// # Panics
    /// If there are not as many inputs as the first of the sizes says.
    pub fn forward<'a>(&self, inputs: &[f32], room: &'a mut Room) -> &'a [f32] {
        assert_eq!(inputs.len(), self.sizes[0], "inputs of the network");
        let Room { from, to } = room;
        from.clear();
        from.extend_from_slice(inputs);
        let mut parameters = &self.parameters[..];
        for (at, layer) in self.sizes.windows(2).enumerate() {
            let (weights, rest) = parameters.split_at(layer[0] * layer[1]);
            let (biases, rest) = rest.split_at(layer[1]);
            to.clear();
            to.extend_from_slice(biases);
            add_products(from, weights, to);
            if at + 2 < self.sizes.len() {
                to.iter_mut().for_each(|value| *value = value.max(0.0));
            }
            std::mem::swap(from, to);
            parameters = rest;
        }
        from
    }
}

/// to += weights from. In blocks, so that the sums stay in registers while the inputs go by.
fn add_products(from: &[f32], weights: &[f32], to: &mut [f32]) {
    let width = to.len();
    let (blocks, rest) = to.as_chunks_mut::<LANES>();
    let whole = blocks.len() * LANES;
    for (at, block) in blocks.iter_mut().enumerate() {
        let mut sums = *block;
        for (&input, row) in from.iter().zip(weights.chunks_exact(width)) {
            let Some(row) = row[at * LANES..].first_chunk::<LANES>() else { continue };
            for (sum, weight) in sums.iter_mut().zip(row) {
                *sum += input * weight;
            }
        }
        *block = sums;
    }
    for (&input, row) in from.iter().zip(weights.chunks_exact(width)) {
        for (sum, weight) in rest.iter_mut().zip(&row[whole..]) {
            *sum += input * weight;
        }
    }
}
