//! Action values over vectors, by tile coding (Sutton and Barto, 2nd ed., section 9.5.4).

use serde::{Deserialize, Serialize};
use splitscale_spec::Invalid;

use crate::values::Values;

/// Most tilings.
const MOST: usize = 16;
/// Most weights: half a gigabyte of them.
const MOST_WEIGHTS: usize = 1 << 26;

/// One component of the observation, cut into intervals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// Which component.
    pub component: usize,
    /// Where the first interval begins; what is below counts as it.
    pub low: f64,
    /// Where the last one ends; what is above counts as it.
    pub high: f64,
    /// Intervals between the two.
    pub intervals: u32,
}

/// Weights of overlapping grids: tiling t is moved by t * (2 i + 1) / tilings of an interval along axis i, the
/// displacement by odd numbers that leaves no diagonal artefacts (Parks and Militzer, 1991).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tiles {
    axes: Vec<Axis>,
    tilings: usize,
    actions: usize,
    /// By tiling, then cell of it, then action.
    weights: Vec<f64>,
}

/// The tile of each tiling that an observation lies in: the first weight of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ActiveTiles([u32; MOST]);

impl Axis {
    /// One interval more than it has, for what a moved grid leaves free.
    fn cells(&self) -> usize {
        self.intervals as usize + 1
    }
}

impl Tiles {
    /// Every action worth `value` everywhere.
    ///
    /// # Errors
    /// An axis that is none, no tilings or more than 16, more weights than fit.
    pub fn filled(axes: Vec<Axis>, tilings: usize, actions: usize, value: f64) -> Result<Self, Invalid> {
        if !(1..=MOST).contains(&tilings) {
            return Err(Invalid::new("tilings", format!("{tilings} is not in 1..={MOST}")));
        }
        if axes.is_empty() {
            return Err(Invalid::new("axes", "empty; it takes at least one"));
        }
        let mut cells: usize = tilings;
        for (at, axis) in axes.iter().enumerate() {
            if !(axis.low.is_finite() && axis.high.is_finite() && axis.low < axis.high) || axis.intervals == 0
            {
                let problem = format!("from {} to {} by {} is no axis", axis.low, axis.high, axis.intervals);
                return Err(Invalid::new(format!("axes[{at}]"), problem));
            }
            cells = cells.saturating_mul(axis.cells());
        }
        let weights = cells.saturating_mul(actions);
        if weights > MOST_WEIGHTS {
            return Err(Invalid::new(
                "axes",
                format!("{weights} weights, more than {MOST_WEIGHTS}; cut less finely"),
            ));
        }
        Ok(Tiles { axes, tilings, actions, weights: vec![value / tilings as f64; weights] })
    }

    /// Its axes.
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// Its tilings.
    pub fn tilings(&self) -> usize {
        self.tilings
    }

    /// The tiles that a vector lies in.
    #[inline]
    pub fn code(&self, observation: &[f64]) -> ActiveTiles {
        let mut tiles = [0u32; MOST];
        let cells: usize = self.axes.iter().map(Axis::cells).product();
        for (tiling, tile) in tiles.iter_mut().enumerate().take(self.tilings) {
            let mut cell = tiling * cells;
            let mut within = 0;
            for (at, axis) in self.axes.iter().enumerate() {
                let moved = (tiling * (2 * at + 1) % self.tilings) as f64 / self.tilings as f64;
                let place = (observation[axis.component] - axis.low) / (axis.high - axis.low);
                let place = place.clamp(0.0, 1.0) * f64::from(axis.intervals) + moved;
                within = within * axis.cells() + (place as usize).min(axis.intervals as usize);
            }
            cell += within;
            *tile = (cell * self.actions) as u32;
        }
        ActiveTiles(tiles)
    }
}

/// Tile coding of what an environment shows as N components.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TiledValues<const N: usize>(pub Tiles);

impl<const N: usize> Values for TiledValues<N> {
    type Observation = [f64; N];
    type State = ActiveTiles;

    fn actions(&self) -> usize {
        self.0.actions
    }

    #[inline]
    fn state(&self, observation: &[f64; N]) -> ActiveTiles {
        self.0.code(observation)
    }

    fn active(&self) -> usize {
        self.0.tilings
    }

    #[inline]
    fn each(&self, state: ActiveTiles, action: usize, mut each: impl FnMut(usize)) {
        for &tile in &state.0[..self.0.tilings] {
            each(tile as usize + action);
        }
    }

    fn weights(&self) -> &[f64] {
        &self.0.weights
    }

    fn weights_mut(&mut self) -> &mut [f64] {
        &mut self.0.weights
    }

    #[inline]
    fn add(&mut self, state: ActiveTiles, action: usize, by: f64) {
        let share = by / self.0.tilings as f64;
        for &tile in &state.0[..self.0.tilings] {
            self.0.weights[tile as usize + action] += share;
        }
    }
}
