//! Action values over vectors, by tile coding.

use serde::{Deserialize, Serialize};
use splitscale_policy::{ActiveTiles, Tiles};

use crate::values::Values;

/// Tile coding of what an environment shows as N components.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TiledValues<const N: usize>(pub Tiles);

impl<const N: usize> Values for TiledValues<N> {
    type Observation = [f64; N];
    type State = ActiveTiles;

    fn actions(&self) -> usize {
        self.0.actions()
    }

    #[inline]
    fn state(&self, observation: &[f64; N]) -> ActiveTiles {
        self.0.code(observation)
    }

    fn active(&self) -> usize {
        self.0.tilings()
    }

    #[inline]
    fn each(&self, state: ActiveTiles, action: usize, each: impl FnMut(usize)) {
        self.0.each(state, action, each);
    }

    fn weights(&self) -> &[f64] {
        self.0.weights()
    }

    fn weights_mut(&mut self) -> &mut [f64] {
        self.0.weights_mut()
    }

    #[inline]
    fn add(&mut self, state: ActiveTiles, action: usize, by: f64) {
        self.0.add(state, action, by);
    }
}
