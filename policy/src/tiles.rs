//! Tile coding of vectors (Sutton and Barto, 2nd ed., section 9.5.4).

use serde::{Deserialize, Serialize};
use splitscale_spec::Invalid;

/// Most tilings.
const MOST: usize = 16;
/// Most weights: half a gigabyte of them.
const MOST_WEIGHTS: usize = 1 << 26;

/// One component of a vector, cut into intervals.
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
/// displacement by odd numbers that leaves no diagonal artefacts (Parks and Militzer, 1991). One tiling is a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tiles {
    axes: Vec<Axis>,
    tilings: usize,
    actions: usize,
    /// By tiling, then cell of it, then action.
    weights: Vec<f64>,
}

/// The tile of each tiling that a vector lies in: the first weight of it.
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
        let weights = count(&axes, tilings, actions)?;
        Ok(Tiles { axes, tilings, actions, weights: vec![value / tilings as f64; weights] })
    }

    /// Checks what was read from a file.
    ///
    /// # Errors
    /// As [`Tiles::filled`]; not as many weights as tiles; a weight that is no finite number.
    pub fn validate(&self) -> Result<(), Invalid> {
        let weights = count(&self.axes, self.tilings, self.actions)?;
        if self.weights.len() != weights {
            let problem = format!("{} weights where the axes ask for {weights}", self.weights.len());
            return Err(Invalid::new("weights", problem));
        }
        match self.weights.iter().position(|weight| !weight.is_finite()) {
            Some(at) => Err(Invalid::new(format!("weights[{at}]"), "not a finite number")),
            None => Ok(()),
        }
    }

    /// Its axes.
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// The same weights over axes whose components are numbered anew.
    pub fn renumbered(&self, component: impl Fn(usize) -> usize) -> Self {
        let mut renumbered = self.clone();
        renumbered.axes.iter_mut().for_each(|axis| axis.component = component(axis.component));
        renumbered
    }

    /// Its tilings.
    pub fn tilings(&self) -> usize {
        self.tilings
    }

    /// Its actions.
    pub fn actions(&self) -> usize {
        self.actions
    }

    /// Every weight.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// The same, to be changed.
    pub fn weights_mut(&mut self) -> &mut [f64] {
        &mut self.weights
    }

    /// Moves the value of an action there by `by`, each tile by its share.
    #[inline]
    pub fn add(&mut self, active: ActiveTiles, action: usize, by: f64) {
        let share = by / self.tilings as f64;
        for &tile in &active.0[..self.tilings] {
            self.weights[tile as usize + action] += share;
        }
    }

    /// The tiles that a vector lies in.
    #[inline]
    pub fn code(&self, vector: &[f64]) -> ActiveTiles {
        let mut tiles = [0u32; MOST];
        let cells: usize = self.axes.iter().map(Axis::cells).product();
        for (tiling, tile) in tiles.iter_mut().enumerate().take(self.tilings) {
            let mut cell = tiling * cells;
            let mut within = 0;
            for (at, axis) in self.axes.iter().enumerate() {
                let moved = (tiling * (2 * at + 1) % self.tilings) as f64 / self.tilings as f64;
                let place = (vector[axis.component] - axis.low) / (axis.high - axis.low);
                let place = place.clamp(0.0, 1.0) * f64::from(axis.intervals) + moved;
                within = within * axis.cells() + (place as usize).min(axis.intervals as usize);
            }
            cell += within;
            *tile = (cell * self.actions) as u32;
        }
        ActiveTiles(tiles)
    }

    /// Calls `each` with the number of every weight that counts for an action there.
    #[inline]
    pub fn each(&self, active: ActiveTiles, action: usize, mut each: impl FnMut(usize)) {
        for &tile in &active.0[..self.tilings] {
            each(tile as usize + action);
        }
    }

    /// The value of an action: the sum of its weights.
    #[inline]
    pub fn value(&self, active: ActiveTiles, action: usize) -> f64 {
        let mut sum = 0.0;
        self.each(active, action, |weight| sum += self.weights[weight]);
        sum
    }
}

/// How many weights there are.
fn count(axes: &[Axis], tilings: usize, actions: usize) -> Result<usize, Invalid> {
    if !(1..=MOST).contains(&tilings) {
        return Err(Invalid::new("tilings", format!("{tilings} is not in 1..={MOST}")));
    }
    if axes.is_empty() {
        return Err(Invalid::new("axes", "empty; it takes at least one"));
    }
    let mut cells: usize = tilings;
    for (at, axis) in axes.iter().enumerate() {
        if !(axis.low.is_finite() && axis.high.is_finite() && axis.low < axis.high) || axis.intervals == 0 {
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
    Ok(weights)
}
