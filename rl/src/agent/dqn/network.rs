//! What a deep Q-network has learnt: an exported perceptron, and what it sees.

use serde::{Deserialize, Serialize};
use splitscale_policy::{ActionValues, Input, Mlp, Network, Room};

use crate::values::Greedy;

/// Parameters beyond this, in f32, have left every reward behind.
const FAR: f32 = 1e30;

/// Action values over vectors of N components, as a network gives them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QNetwork<const N: usize> {
    inputs: Vec<Input>,
    mlp: Mlp,
}

impl<const N: usize> QNetwork<N> {
    #[cfg(feature = "torch")]
    pub(super) fn new(inputs: Vec<Input>, mlp: Mlp) -> Self {
        QNetwork { inputs, mlp }
    }

    /// What the network sees; empty: every component as it is.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// The network: from the inputs to one value an action.
    pub fn mlp(&self) -> &Mlp {
        &self.mlp
    }

    /// Makes of an observation what the network sees.
    pub fn see(&self, observation: &[f64; N], seen: &mut Vec<f32>) {
        seen.clear();
        if self.inputs.is_empty() {
            seen.extend(observation.iter().map(|&value| value as f32));
        }
        seen.extend(self.inputs.iter().map(|input| input.of(observation)));
    }

    /// The same as a policy's document has it.
    pub fn values(&self) -> ActionValues {
        let whole = (0..N).map(|component| Input { component, low: -1.0, high: 1.0 });
        let inputs = if self.inputs.is_empty() { whole.collect() } else { self.inputs.clone() };
        ActionValues::Mlp(Network { inputs, mlp: self.mlp.clone() })
    }
}

impl<const N: usize> Greedy for QNetwork<N> {
    type Observation = [f64; N];

    fn act(&self, observation: &[f64; N], allows: impl Fn(usize) -> bool) -> usize {
        let (mut seen, mut room) = (Vec::new(), Room::default());
        self.see(observation, &mut seen);
        greatest(self.mlp.forward(&seen, &mut room), allows)
    }

    fn far(&self) -> Option<f64> {
        self.mlp.parameters().iter().find(|value| value.abs() >= FAR).map(|&value| value.into())
    }
}

/// The first of the greatest values among the actions that are allowed; the first allowed one where none is a number.
pub(super) fn greatest(values: &[f32], allows: impl Fn(usize) -> bool) -> usize {
    let mut best: Option<(usize, f32)> = None;
    for (action, &value) in values.iter().enumerate() {
        // What is no number is greater than nothing.
        let value = if value.is_nan() { f32::NEG_INFINITY } else { value };
        if best.is_none_or(|(_, most)| value > most) && allows(action) {
            best = Some((action, value));
        }
    }
    best.map_or(0, |(action, _)| action)
}

#[cfg(test)]
mod tests {
    use super::greatest;

    #[test]
    fn the_greatest_is_allowed_whatever_the_values_are() {
        let (least, none) = (f32::NEG_INFINITY, f32::NAN);
        for values in [[1.0, least, least], [1.0, none, none], [none, least, none]] {
            assert_eq!(greatest(&values, |action| action > 0), 1, "{values:?}");
        }
        assert_eq!(greatest(&[5.0, none, -1.0], |action| action > 0), 2);
        assert_eq!(greatest(&[0.0, 2.0, 2.0], |_| true), 1);
    }
}
