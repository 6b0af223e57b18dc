//! A training as it is written down.

use serde::{Deserialize, Serialize};
use splitscale_policy::Axis;
use splitscale_spec::Invalid;

use crate::agent::Settings;
use crate::classic::{CartPole, MountainCar, cliff_walking, dyna_maze, frozen_lake, taxi};
use crate::fitted_curves::{Noise, RewardConfig};
use crate::learning::Algorithm;
use crate::mdp::{Mdp, Played};
use crate::problem::ScalingProblem;
use crate::referee::DiscretisedConfig;
use crate::train::Length;
use crate::wrappers::TimeLimit;

/// A training. Everything but the environment may be left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// The first seed.
    #[serde(default = "one")]
    pub seed: u64,
    /// How many seeds, one run each.
    #[serde(default = "one")]
    pub seeds: u64,
    /// What is learnt on.
    pub environment: EnvironmentConfig,
    /// Who learns.
    #[serde(default = "q_learning")]
    pub algorithm: Algorithm,
    /// How.
    #[serde(default)]
    pub settings: Settings,
    /// How long.
    #[serde(default)]
    pub length: Length,
    /// How vectors are cut into tiles; needed where states are vectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiles: Option<TilesConfig>,
    /// How `scaling` is cut into a table that can be solved, for who judges policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<DiscretisedConfig>,
}

/// Most steps of an algorithm to one of the environment.
const STEPS_MAX: usize = 100_000;

/// What is learnt on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum EnvironmentConfig {
    /// [`FittedCurves`](crate::FittedCurves).
    FittedCurves {
        /// The calibration's file.
        calibration: String,
        /// What time and pods cost.
        #[serde(default)]
        reward: RewardConfig,
        /// How times vary.
        #[serde(default)]
        noise: Noise,
    },
    /// One of [`classic`](crate::classic).
    Classic(Classic),
    /// [`Scaling`](crate::Scaling).
    Scaling(ScalingProblem),
}

/// A problem whose answers are known, with Gymnasium's time limit where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Classic {
    /// [`cliff_walking`].
    CliffWalking,
    /// [`frozen_lake`], slippery, 100 steps.
    FrozenLake,
    /// [`taxi`], 200 steps.
    Taxi,
    /// [`dyna_maze`].
    DynaMaze,
    /// [`MountainCar`], 200 steps.
    MountainCar,
    /// [`CartPole`], 500 steps.
    CartPole,
}

/// How vectors are cut into tiles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TilesConfig {
    /// Grids over one another.
    pub tilings: usize,
    /// What is cut, and how finely.
    pub axes: Vec<AxisConfig>,
}

/// One component of an observation, cut into intervals. See [`Axis`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AxisConfig {
    /// Which.
    pub component: Component,
    /// Where the first interval begins; what is below counts as it.
    pub low: f64,
    /// Where the last one ends; what is above counts as it.
    pub high: f64,
    /// Intervals between the two.
    pub intervals: u32,
}

/// One component of an observation as an input of a network. See [`Input`](splitscale_policy::Input).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputConfig {
    /// Which.
    pub component: Component,
    /// What becomes -1.
    pub low: f64,
    /// What becomes 1.
    pub high: f64,
}

/// A component of an observation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Component {
    /// By its number, from 0.
    Number(usize),
    /// By its name, where components have names: a [feature](splitscale_policy::feature_names).
    Name(String),
}

impl TilesConfig {
    /// The axes, on observations of so many components, which have these names or none.
    ///
    /// # Errors
    /// A component that there is not.
    pub fn axes(&self, names: &[String], components: usize) -> Result<Vec<Axis>, Invalid> {
        let axis = |(at, axis): (usize, &AxisConfig)| {
            let AxisConfig { component, low, high, intervals } = axis;
            let component = component.number(names, components);
            let component =
                component.map_err(|problem| Invalid::new(format!("axes[{at}].component"), problem))?;
            Ok(Axis { component, low: *low, high: *high, intervals: *intervals })
        };
        self.axes.iter().enumerate().map(axis).collect()
    }
}

impl Component {
    /// Its number among so many, which have these names or none; or in words why it has none.
    ///
    /// # Errors
    /// No such component.
    pub fn number(&self, names: &[String], components: usize) -> Result<usize, String> {
        match self {
            Component::Number(number) if *number < components => Ok(*number),
            Component::Number(number) => {
                Err(format!("{number}, and an observation has 0 to {}", components - 1))
            }
            Component::Name(name) => names.iter().position(|known| known == name).ok_or_else(|| match names
                .is_empty()
            {
                true => format!("`{name}`, and these components have numbers alone, 0 to {}", components - 1),
                false => format!("`{name}` is none of {}", names.join(", ")),
            }),
        }
    }
}

fn one() -> u64 {
    1
}

fn q_learning() -> Algorithm {
    Algorithm::QLearning
}

impl TrainConfig {
    /// That of curves, everything else as it is by default.
    pub fn of_curves(calibration: impl Into<String>) -> Self {
        TrainConfig {
            seed: 1,
            seeds: 1,
            environment: EnvironmentConfig::FittedCurves {
                calibration: calibration.into(),
                reward: RewardConfig::default(),
                noise: Noise::None,
            },
            algorithm: q_learning(),
            settings: Settings::default(),
            length: Length::default(),
            tiles: None,
            table: None,
        }
    }

    /// Checks what does not need the environment.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        if !(1..=10_000).contains(&self.seeds) {
            return Err(Invalid::new("seeds", format!("{} is not in 1..=10000", self.seeds)));
        }
        let within = |table: &str| {
            let table = table.to_string();
            move |Invalid { field, problem }: Invalid| Invalid::new(format!("{table}.{field}"), problem)
        };
        self.settings.validate().map_err(within("settings"))?;
        self.length.validate().map_err(within("length"))?;
        let out_of = |field: &str, value: &dyn std::fmt::Display, range: &str| {
            Err(Invalid::new(format!("algorithm.{field}"), format!("{value} is not in {range}")))
        };
        match &self.algorithm {
            Algorithm::Dqn(dqn) => {
                // How many components there are, whoever begins knows.
                dqn.validate().map_err(within("algorithm.dqn"))?;
                if self.settings != Settings::default() {
                    let problem = "dqn has settings of its own, in algorithm.dqn; leave the table away";
                    return Err(Invalid::new("settings", problem));
                }
            }
            Algorithm::Bandit(bandit) => bandit.validate().map_err(within("algorithm.bandit"))?,
            Algorithm::NStepSarsa { n } if !(1..=STEPS_MAX).contains(n) => {
                return out_of("n_step_sarsa.n", n, &format!("1..={STEPS_MAX}"));
            }
            // A run is only told to stop between episodes.
            Algorithm::DynaQ { planning } if *planning > STEPS_MAX => {
                return out_of("dyna_q.planning", planning, &format!("0..={STEPS_MAX}"));
            }
            Algorithm::SarsaLambda { lambda } if !(0.0..=1.0).contains(lambda) => {
                return out_of("sarsa_lambda.lambda", lambda, "[0, 1]");
            }
            _ => {}
        }
        if self.table.is_some() && !matches!(self.environment, EnvironmentConfig::Scaling(_)) {
            let problem = "it cuts scaling into states; the environment is another, leave the table away";
            return Err(Invalid::new("table", problem));
        }
        let bandit = matches!(self.algorithm, Algorithm::Bandit(_));
        if bandit && matches!(self.environment, EnvironmentConfig::Classic(_)) {
            let problem = "a bandit takes one-step problems; these are none";
            return Err(Invalid::new("algorithm", problem));
        }
        Ok(())
    }

    /// The seeds.
    pub fn each_seed(&self) -> impl Iterator<Item = u64> + use<> {
        let first = self.seed;
        (0..self.seeds).map(move |n| first.wrapping_add(n))
    }
}

impl Classic {
    /// It as a table, with its time limit; absent where its states are vectors.
    pub fn tabular(self) -> Option<(Mdp, TimeLimit<Played>, Option<u32>)> {
        // Without a limit of its own a policy that goes round and round would never be judged.
        const LONG: u32 = 100_000;
        let (mdp, limit) = match self {
            Classic::CliffWalking => (cliff_walking(), None),
            Classic::FrozenLake => (frozen_lake(true), Some(100)),
            Classic::Taxi => (taxi(), Some(200)),
            Classic::DynaMaze => (dyna_maze(), None),
            Classic::MountainCar | Classic::CartPole => return None,
        };
        Some((mdp.clone(), TimeLimit::new(Played::new(mdp), limit.unwrap_or(LONG)), limit))
    }

    /// Mountain Car, if it is that.
    pub fn mountain_car(self) -> Option<TimeLimit<MountainCar>> {
        (self == Classic::MountainCar).then(|| TimeLimit::new(MountainCar::default(), 200))
    }

    /// Cart Pole, if it is that.
    pub fn cart_pole(self) -> Option<TimeLimit<CartPole>> {
        (self == Classic::CartPole).then(|| TimeLimit::new(CartPole::default(), 500))
    }
}
