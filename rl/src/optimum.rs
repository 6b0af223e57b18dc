//! The exact optimum of [`FittedCurves`], and how far a policy is from it.
//!
//! ```text
//! J(policy) = mean over levels of -reward(level, policy(level))        levels are drawn uniformly
//! regret    = (J - J*) / |J*|                                          J* the least J there is
//! ```

use serde::Serialize;

use crate::fitted_curves::FittedCurves;

/// The exact optimum, by enumeration: an episode is one step, so each level is solved by itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Optimum {
    /// One entry a level, by rising slots.
    pub levels: Vec<LevelOptimum>,
    /// J*, the least mean cost; 1 or more.
    pub cost: f64,
    /// Rewards by level and action.
    #[serde(skip)]
    rewards: Vec<Vec<f64>>,
}

/// The optimum of one level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LevelOptimum {
    /// Transfer slots.
    pub slots: u32,
    /// Number of the best action; ties go to the first.
    pub action: usize,
    /// Its pods.
    pub pods: u32,
    /// Its reward.
    pub reward: f64,
    /// The next best; absent where there is one action only.
    pub second: Option<RunnerUp>,
}

/// The second-best choice of a level: how hard it is to tell apart from the best.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RunnerUp {
    /// Its pods.
    pub pods: u32,
    /// Best reward minus its reward; zero or more.
    pub gap: f64,
}

impl Optimum {
    /// Solves the problem.
    pub fn of(curves: &FittedCurves) -> Self {
        let rewards: Vec<Vec<f64>> =
            (0..curves.times().slots().len()).map(|level| curves.rewards(level).to_vec()).collect();
        let pods = curves.times().pods();
        let level = |(row, &slots): (&Vec<f64>, &u32)| {
            let action = best(row, None).expect("a table has at least one column");
            let second = best(row, Some(action))
                .map(|other| RunnerUp { pods: pods[other], gap: row[action] - row[other] });
            LevelOptimum { slots, action, pods: pods[action], reward: row[action], second }
        };
        let levels: Vec<LevelOptimum> = rewards.iter().zip(curves.times().slots()).map(level).collect();
        let mut optimum = Optimum { levels, cost: 0.0, rewards };
        optimum.cost = optimum.cost_of(&optimum.actions());
        optimum
    }

    /// The best action of every level.
    pub fn actions(&self) -> Vec<usize> {
        self.levels.iter().map(|level| level.action).collect()
    }

    /// Regret of a policy, given as one action a level; zero or more.
    ///
    /// # Panics
    /// If there are not as many actions as levels, or one that does not exist.
    pub fn regret(&self, actions: &[usize]) -> f64 {
        (self.cost_of(actions) - self.cost) / self.cost.abs()
    }

    /// Regret of a policy within each level, against that level's own best.
    ///
    /// # Panics
    /// If there are not as many actions as levels, or one that does not exist.
    pub fn regret_by_level(&self, actions: &[usize]) -> Vec<f64> {
        assert_eq!(actions.len(), self.levels.len(), "one action a level");
        let regret = |((level, row), &action): ((&LevelOptimum, &Vec<f64>), &usize)| {
            (level.reward - row[action]) / level.reward.abs()
        };
        self.levels.iter().zip(&self.rewards).zip(actions).map(regret).collect()
    }

    fn cost_of(&self, actions: &[usize]) -> f64 {
        assert_eq!(actions.len(), self.levels.len(), "one action a level");
        let total: f64 = self.rewards.iter().zip(actions).map(|(row, &action)| -row[action]).sum();
        total / self.levels.len() as f64
    }
}

/// The best action but `not`; ties go to the first.
fn best(row: &[f64], not: Option<usize>) -> Option<usize> {
    (0..row.len())
        .filter(|&action| Some(action) != not)
        .reduce(|best, action| if row[action] > row[best] { action } else { best })
}
