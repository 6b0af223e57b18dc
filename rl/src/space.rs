//! What observations and actions may be.

use serde::{Deserialize, Serialize};

/// A set of observations or of actions, as Gymnasium has them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Space {
    /// The numbers 0..n.
    Discrete(usize),
    /// One number of 0..n for each n. As an action it is one number too, the first part counting slowest:
    /// see [`Space::join`].
    MultiDiscrete(Vec<usize>),
    /// Vectors between two corners, which may be infinite.
    Box {
        /// Least of every component.
        low: Vec<f64>,
        /// Greatest of every component.
        high: Vec<f64>,
    },
}

impl Space {
    /// How many elements it has; absent where it has no end of them.
    pub fn size(&self) -> Option<usize> {
        match self {
            Space::Discrete(n) => Some(*n),
            Space::MultiDiscrete(parts) => Some(parts.iter().product()),
            Space::Box { .. } => None,
        }
    }

    /// The number of an element of a [`Space::MultiDiscrete`]; absent where it is none.
    pub fn join(&self, parts: &[usize]) -> Option<usize> {
        let Space::MultiDiscrete(sizes) = self else { return None };
        let inside = sizes.len() == parts.len() && parts.iter().zip(sizes).all(|(part, size)| part < size);
        inside.then(|| parts.iter().zip(sizes).fold(0, |number, (part, size)| number * size + part))
    }

    /// The parts of a number; of a [`Space::Discrete`] itself.
    pub fn split(&self, number: usize) -> Vec<usize> {
        let Space::MultiDiscrete(sizes) = self else { return vec![number] };
        let mut rest = number;
        let mut parts: Vec<usize> = sizes.iter().rev().map(|size| (rest % size, rest /= size).0).collect();
        parts.reverse();
        parts
    }

    /// In words what is wrong with the space itself.
    pub fn problem(&self) -> Option<String> {
        match self {
            Space::Discrete(0) => Some("it has no element; a space has at least one".into()),
            Space::MultiDiscrete(parts) if parts.is_empty() || parts.contains(&0) => {
                Some(format!("{parts:?} has no element; every part has at least one"))
            }
            Space::Box { low, high } if low.len() != high.len() => {
                Some(format!("its corners have {} and {} components", low.len(), high.len()))
            }
            Space::Box { low, .. } if low.is_empty() => Some("it has no components".into()),
            Space::Box { low, high } => {
                let at = low
                    .iter()
                    .zip(high)
                    .position(|(low, high)| low.is_nan() || high.is_nan() || low > high)?;
                Some(format!("component {at} lies between {} and {}", low[at], high[at]))
            }
            Space::Discrete(_) | Space::MultiDiscrete(_) => None,
        }
    }
}

/// What an environment shows: a number, or a vector.
pub trait Observe: Clone + PartialEq + std::fmt::Debug {
    /// In words why it does not lie in a space; absent where it does.
    fn stranger(&self, space: &Space) -> Option<String>;
}

impl Observe for usize {
    fn stranger(&self, space: &Space) -> Option<String> {
        match space.size() {
            Some(size) if *self < size => None,
            Some(size) => Some(format!("{self} is not below {size}")),
            None => Some(format!("{self} is a number, and the space is one of vectors")),
        }
    }
}

impl<const N: usize> Observe for [f64; N] {
    fn stranger(&self, space: &Space) -> Option<String> {
        let Space::Box { low, high } = space else {
            return Some(format!("{self:?} is a vector, and the space is one of numbers"));
        };
        if low.len() != N {
            return Some(format!("it has {N} components, and the space has {}", low.len()));
        }
        let at = (0..N).find(|&at| !(low[at] <= self[at] && self[at] <= high[at]))?;
        Some(format!("component {at}, {}, is not between {} and {}", self[at], low[at], high[at]))
    }
}
