//! The original's one-step problem: see the traffic level, choose the pods, pay for time and pods.

use serde::{Deserialize, Serialize};
use splitscale_spec::Invalid;

use crate::chance::{Chance, ENVIRONMENT};
use crate::environment::{Environment, Step};
use crate::space::Space;
use crate::time_table::TimeTable;

/// What time and pods cost:
///
/// ```text
/// reward = -( alpha * exp(k_time * time) + (1 - alpha) * exp(k_pods * pods) )
/// ```
///
/// with the defaults of the original work. Written as TOML every field may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RewardConfig {
    /// Weight of time against pods, in [0, 1].
    pub alpha: f64,
    /// Growth with time [1/s], zero or more.
    pub k_time: f64,
    /// Growth with pods [1/pod], zero or more.
    pub k_pods: f64,
}

/// How a time differs from its curve: by a normal factor of mean 1, the same for every action of an episode, so that
/// actions compared in clones face the same chance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noise {
    /// Not at all.
    #[default]
    None,
    /// By a coefficient of variation that is given.
    Cv(f64),
    /// By that of the repeats of each cell, where it was measured more than once.
    Measured,
}

/// The original's problem on fitted curves. A state is a traffic level (a number of transfer slots), an
/// action a number of pods, the same for A and B. `reset` draws the level uniformly; the one step pays the
/// reward of the fitted time and terminates the episode.
///
/// # Guarantees
/// Every reward is finite and -1 or less, so a Q-table that starts at 0 is optimistic in every cell: each
/// action looks better than any that was tried, until it was tried itself. That does the exploring.
///
/// # Why an episode is one step
/// The level of the next burst is drawn from outside: no choice of pods moves it. A target
/// r + 0.9 * max Q(next level, .) then adds a number that has nothing to do with the action. It is the same
/// for all actions in the mean, so the optimum stays; but its standard deviation, about 1.7 on the original's
/// curves, meets gaps between best and second-best action of 0.001 to 0.02. Learning rate 0.1, exploration
/// 0.1, 30 000 episodes, on the eight published curves:
///
/// | target | seeds with the exact policy | mean regret a level \[reward\] |
/// |---|---|---|
/// | r (the episode terminates) | 2000 of 2000 | 0 |
/// | r + 0.9 max Q(same level) | 1774 of 2000 | 0.0005 |
/// | r + 0.9 max Q(new random level) | 0 of 2000 | 0.059 |
/// | r + 0.9 max Q(level moved by one) | 0 of 2000 | 0.051 |
/// | r, but Q starts at -20 | 0 of 2000 | 0.012 |
///
/// A hundred times the episodes do not mend the third row (0 of 100 seeds, 0.057). Hence `terminated` is
/// true, and the discount never enters a target.
#[derive(Debug, Clone)]
pub struct FittedCurves {
    times: TimeTable,
    config: RewardConfig,
    noise: Noise,
    /// Expected rewards, row by row, one row a level; made once, so that without noise a step is a look-up.
    rewards: Vec<f64>,
    actions: usize,
    level: usize,
    chance: Chance,
}

// === impl RewardConfig ===

impl Default for RewardConfig {
    fn default() -> Self {
        RewardConfig { alpha: 0.8, k_time: 0.3, k_pods: 0.1 }
    }
}

impl RewardConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        if !(0.0..=1.0).contains(&self.alpha) {
            return Err(Invalid::new("alpha", format!("{} is not in [0, 1]", self.alpha)));
        }
        for (field, value) in [("k_time", self.k_time), ("k_pods", self.k_pods)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Invalid::new(field, format!("{value} is not a finite number of zero or more")));
            }
        }
        Ok(())
    }

    /// The reward of a time \[s\] and a number of pods.
    pub fn of(&self, time_s: f64, pods: f64) -> f64 {
        self.paid(libm::exp(self.k_time * time_s), pods)
    }

    /// Its mean where the time is multiplied by a normal number of mean 1 that does not fall below 0: with s = k_time * time *
    /// cv and Phi the normal distribution, E exp = exp(k_time * time + s^2 / 2) * Phi(1 / cv + s) + Phi(-1 / cv).
    fn expected(&self, time_s: f64, cv: f64, pods: f64) -> f64 {
        if cv == 0.0 {
            return self.of(time_s, pods);
        }
        let phi = |x: f64| 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2);
        let (mean, spread) = (self.k_time * time_s, self.k_time * time_s * cv);
        self.paid(libm::exp(mean + spread * spread / 2.0) * phi(1.0 / cv + spread) + phi(-1.0 / cv), pods)
    }

    fn paid(&self, time: f64, pods: f64) -> f64 {
        -(self.alpha * time + (1.0 - self.alpha) * libm::exp(self.k_pods * pods))
    }
}

// === impl FittedCurves ===

impl FittedCurves {
    /// The problem of these times under this reward.
    ///
    /// # Errors
    /// A reward field or a noise out of range, or a reward too large to be a number.
    pub fn new(times: TimeTable, config: RewardConfig, noise: Noise) -> Result<Self, Invalid> {
        config.validate()?;
        if let Noise::Cv(cv) = noise
            && !(0.0..=0.5).contains(&cv)
        {
            return Err(Invalid::new("noise.cv", format!("{cv} is not in [0, 0.5]")));
        }
        let (actions, levels) = (times.pods().len(), times.slots().len());
        let chance = Chance::new(0, ENVIRONMENT);
        let mut curves =
            FittedCurves { times, config, noise, rewards: Vec::new(), actions, level: 0, chance };
        for level in 0..levels {
            for action in 0..actions {
                let (time_s, pods) = (curves.times.times_s(level)[action], curves.times.pods()[action]);
                let reward = config.expected(time_s, curves.cv(level, action), f64::from(pods));
                if !reward.is_finite() {
                    let slots = curves.times.slots()[level];
                    let problem = format!(
                        "{time_s} s and {pods} pods at slots {slots} give no finite reward; lower k_time or k_pods"
                    );
                    return Err(Invalid::new("reward", problem));
                }
                curves.rewards.push(reward);
            }
        }
        Ok(curves)
    }

    /// Coefficient of variation of a time around its curve.
    fn cv(&self, level: usize, action: usize) -> f64 {
        match self.noise {
            Noise::None => 0.0,
            Noise::Cv(cv) => cv,
            Noise::Measured => self.times.cvs(level)[action],
        }
    }

    /// The times behind it.
    pub fn times(&self) -> &TimeTable {
        &self.times
    }

    /// The reward behind it.
    pub fn config(&self) -> &RewardConfig {
        &self.config
    }

    /// The noise around them.
    pub fn noise(&self) -> Noise {
        self.noise
    }

    /// Expected rewards of a level, one an action.
    ///
    /// # Panics
    /// If there is no such level.
    #[inline]
    pub fn rewards(&self, level: usize) -> &[f64] {
        &self.rewards[level * self.actions..][..self.actions]
    }
}

impl Environment for FittedCurves {
    type Observation = usize;

    fn observation_space(&self) -> Space {
        Space::Discrete(self.times.slots().len())
    }

    fn action_space(&self) -> Space {
        Space::Discrete(self.actions)
    }

    #[inline]
    fn actions(&self) -> usize {
        self.actions
    }

    fn chance(&mut self) -> &mut Chance {
        &mut self.chance
    }

    #[inline]
    fn begin(&mut self) -> usize {
        self.level = self.chance.below(self.times.slots().len());
        self.level
    }

    #[inline]
    fn step(&mut self, action: usize) -> Step<usize> {
        let reward = match self.noise {
            Noise::None => self.rewards(self.level)[action],
            _ => {
                let factor = 1.0 + self.cv(self.level, action) * self.chance.normal();
                let time_s = self.times.times_s(self.level)[action] * factor.max(0.0);
                self.config.of(time_s, f64::from(self.times.pods()[action]))
            }
        };
        Step { observation: self.level, reward, terminated: true, truncated: false }
    }
}
