//! The action of the greatest learnt value.

use serde::{Deserialize, Serialize};
use splitscale_spec::{Invalid, Replicas};

use crate::actions::Actions;
use crate::features::{FEATURES, position};
use crate::mlp::{Mlp, Room};
use crate::tiles::Tiles;

/// Chooses the action of the greatest value among those that may be taken; ties go to the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Greedy {
    /// [Features](crate::feature_names) of an observation that it goes by, in the order in which they are numbered below.
    pub features: Vec<String>,
    /// Among which actions it chooses.
    pub actions: Actions,
    /// What each is worth.
    pub values: ActionValues,
}

/// What each action is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ActionValues {
    /// Linear in tiles.
    Tiles(Tiles),
    /// A network.
    Mlp(Network),
}

/// A network and what it is fed with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// How vectors become inputs, one each.
    pub inputs: Vec<Input>,
    /// One output an action.
    pub mlp: Mlp,
}

/// One component of a vector as an input: from low to high it goes from -1 to 1, and on beyond.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Which component.
    pub component: usize,
    /// What becomes -1.
    pub low: f64,
    /// What becomes 1.
    pub high: f64,
}

impl Greedy {
    /// Checks every field.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        if let Some(unknown) = self.features.iter().find(|name| position(name).is_none()) {
            return Err(Invalid::new("features", format!("`{unknown}` is no feature of an observation")));
        }
        let within = |field: &str| {
            let field = field.to_string();
            move |wrong: Invalid| Invalid::new(format!("{field}.{}", wrong.field), wrong.problem)
        };
        self.actions.validate().map_err(within("actions"))?;
        let (name, actions, components): (_, _, Vec<usize>) = match &self.values {
            ActionValues::Tiles(tiles) => {
                tiles.validate().map_err(within("values.tiles"))?;
                ("tiles", tiles.actions(), tiles.axes().iter().map(|axis| axis.component).collect())
            }
            ActionValues::Mlp(network) => {
                network.validate().map_err(within("values.mlp"))?;
                let components = network.inputs.iter().map(|input| input.component);
                ("mlp", network.mlp.sizes().last().copied().unwrap_or(0), components.collect())
            }
        };
        if actions != self.actions.count() {
            let problem = format!("values {actions} actions, and there are {}", self.actions.count());
            return Err(Invalid::new(format!("values.{name}"), problem));
        }
        match components.iter().find(|&&component| component >= self.features.len()) {
            Some(component) => {
                let problem = format!("component {component} of {} features", self.features.len());
                Err(Invalid::new(format!("values.{name}"), problem))
            }
            None => Ok(()),
        }
    }

    /// The best action that may be taken, by all the features of an observation.
    pub fn best(&self, features: &[f64; FEATURES], desired: Replicas) -> usize {
        let vector: Vec<f64> =
            self.features.iter().map(|name| position(name).map_or(0.0, |at| features[at])).collect();
        let allowed = (0..self.actions.count()).filter(|&action| self.actions.allows(action, desired));
        match &self.values {
            ActionValues::Tiles(tiles) => {
                let active = tiles.code(&vector);
                first_best(allowed, |action| tiles.value(active, action))
            }
            ActionValues::Mlp(network) => {
                let mut room = Room::default();
                let values = network.values(&vector, &mut room);
                first_best(allowed, |action| values[action])
            }
        }
    }
}

impl Network {
    /// Checks every field.
    ///
    /// # Errors
    /// A range that is none; not one input of the network for each.
    pub fn validate(&self) -> Result<(), Invalid> {
        for (at, input) in self.inputs.iter().enumerate() {
            input.validate().map_err(|problem| Invalid::new(format!("inputs[{at}]"), problem))?;
        }
        if self.inputs.len() != self.mlp.sizes()[0] {
            let problem = format!("{}, and the network takes {}", self.inputs.len(), self.mlp.sizes()[0]);
            return Err(Invalid::new("inputs", problem));
        }
        Ok(())
    }

    /// What the actions are worth.
    pub fn values<'a>(&self, vector: &[f64], room: &'a mut Room) -> &'a [f32] {
        let inputs: Vec<f32> = self.inputs.iter().map(|input| input.of(vector)).collect();
        self.mlp.forward(&inputs, room)
    }
}

impl Input {
    /// Checks the range.
    ///
    /// # Errors
    /// In words, where it is none.
    pub fn validate(&self) -> Result<(), String> {
        let Input { low, high, .. } = *self;
        match low.is_finite() && high.is_finite() && low < high {
            true => Ok(()),
            false => Err(format!("from {low} to {high} is no range")),
        }
    }

    /// The input that a vector gives.
    #[inline]
    pub fn of(&self, vector: &[f64]) -> f32 {
        // So that from -1 to 1 is, to the bit, as it is.
        ((2.0 * vector[self.component] - (self.low + self.high)) / (self.high - self.low)) as f32
    }
}

fn first_best<V: PartialOrd>(actions: impl Iterator<Item = usize>, value: impl Fn(usize) -> V) -> usize {
    let better = |best: usize, action: usize| if value(action) > value(best) { action } else { best };
    actions.reduce(better).unwrap_or(0)
}
