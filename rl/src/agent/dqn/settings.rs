//! What a deep Q-network is told.

use serde::{Deserialize, Serialize};
use splitscale_policy::Input;
use splitscale_spec::{Invalid, positive};

use crate::config::{Component, InputConfig};
use crate::schedule::Schedule;

/// Most transitions that are remembered, and most that an update goes over.
const REPLAY_MAX: usize = 10_000_000;
const BATCH_MAX: usize = 65_536;
/// Most hidden layers, and the widest.
const LAYERS_MAX: usize = 8;
const WIDTH_MAX: usize = 4_096;

/// Settings of a deep Q-network. Written as TOML every field may be left out; what stands there then holds up Cart Pole. Schedules
/// go by steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DqnSettings {
    /// What of an observation the network sees; empty: all of it as it is.
    pub inputs: Vec<InputConfig>,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Whether the last layer tells the worth of the state from that of the actions in it.
    pub dueling: bool,
    /// Whether the network chooses the action that the target network values.
    pub double: bool,
    /// Steps of a return before the network values the rest, 1 or more.
    pub n: usize,
    /// Worth of a reward one step later, in [0, 1].
    pub discount: f64,
    /// Factor of the rewards as the network learns them, above 0: it brings returns to the size of 1 to 10, where a step
    /// size of Adam gets somewhere and the loss is quadratic.
    pub reward_scale: f64,
    /// Probability of a random action, in [0, 1].
    pub exploration: Schedule,
    /// Step size of Adam, in [0, 1].
    pub learning_rate: Schedule,
    /// Transitions remembered; the oldest goes first.
    pub replay: usize,
    /// Steps before the first update.
    pub warm_up: u64,
    /// Transitions that an update goes over.
    pub batch: usize,
    /// Steps between two rounds of updates.
    pub train_every: u64,
    /// Updates of a round.
    pub updates: u64,
    /// Updates between two moves of the target network.
    pub target_every: u64,
    /// How far it moves towards the network then, in (0, 1].
    pub target_rate: f64,
}

/// Those that RL Baselines3 Zoo found for DQN on Cart Pole, but for what makes it last: a step size that ends at zero, more
/// memory, double targets, dueling heads and n = 3.
impl Default for DqnSettings {
    fn default() -> Self {
        DqnSettings {
            inputs: Vec::new(),
            hidden: vec![128, 128],
            dueling: true,
            double: true,
            n: 3,
            discount: 0.99,
            reward_scale: 1.0,
            exploration: Schedule::Linear { from: 1.0, to: 0.04, episodes: 8_000 },
            learning_rate: Schedule::Linear { from: 1e-3, to: 0.0, episodes: 50_000 },
            replay: 50_000,
            warm_up: 1_000,
            batch: 64,
            train_every: 256,
            updates: 128,
            target_every: 128,
            target_rate: 1.0,
        }
    }
}

impl DqnSettings {
    /// Checks what does not need the environment; [`inputs`](DqnSettings::inputs) does.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        let widths = self.hidden.iter().all(|width| (1..=WIDTH_MAX).contains(width));
        if !widths || self.hidden.len() > LAYERS_MAX {
            let most = format!("{LAYERS_MAX} layers of 1 to {WIDTH_MAX} at most");
            return Err(Invalid::new("hidden", format!("{:?}; {most}", self.hidden)));
        }
        let count = |field, value: u64, most: u64| match (1..=most).contains(&value) {
            true => Ok(()),
            false => Err(Invalid::new(field, format!("{value} is not in 1..={most}"))),
        };
        count("n", self.n as u64, 1_000)?;
        count("replay", self.replay as u64, REPLAY_MAX as u64)?;
        count("warm_up", self.warm_up, u64::from(u32::MAX))?;
        count("batch", self.batch as u64, BATCH_MAX as u64)?;
        count("train_every", self.train_every, u64::from(u32::MAX))?;
        count("updates", self.updates, u64::from(u32::MAX))?;
        count("target_every", self.target_every, u64::from(u32::MAX))?;
        self.exploration.validate("exploration", true)?;
        self.learning_rate.validate("learning_rate", true)?;
        if !(0.0..=1.0).contains(&self.discount) {
            return Err(Invalid::new("discount", format!("{} is not in [0, 1]", self.discount)));
        }
        positive("reward_scale", self.reward_scale)?;
        if !(self.target_rate > 0.0 && self.target_rate <= 1.0) {
            return Err(Invalid::new("target_rate", format!("{} is not in (0, 1]", self.target_rate)));
        }
        Ok(())
    }

    /// What the network sees of observations of so many components, which have these names or none.
    ///
    /// # Errors
    /// A component that there is not, or a range that is none.
    pub fn inputs(&self, names: &[String], components: usize) -> Result<Vec<Input>, Invalid> {
        let input = |(at, input): (usize, &InputConfig)| {
            let InputConfig { component, low, high } = input;
            let wrong = |problem| Invalid::new(format!("inputs[{at}]"), problem);
            let component = component.number(names, components).map_err(wrong)?;
            let input = Input { component, low: *low, high: *high };
            input.validate().map(|()| input).map_err(wrong)
        };
        self.inputs.iter().enumerate().map(input).collect()
    }

    /// The same with the numbers of components in place of their names.
    ///
    /// # Errors
    /// As [`DqnSettings::inputs`].
    pub fn numbered(&self, names: &[String], components: usize) -> Result<Self, Invalid> {
        let number = |Input { component, low, high }| InputConfig {
            component: Component::Number(component),
            low,
            high,
        };
        let inputs = self.inputs(names, components)?.into_iter().map(number).collect();
        Ok(DqnSettings { inputs, ..self.clone() })
    }

    /// Its name for people.
    pub fn name(&self) -> String {
        let kinds = [(self.double, "double "), (self.dueling, "dueling ")];
        let kinds: String = kinds.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
        format!("{}-step {kinds}dqn", self.n)
    }
}
