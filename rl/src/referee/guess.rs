//! What the rest of an episode costs about: the bound's programs, less sure of themselves.
//!
//! A bound says too little of what a decision leads to. Here no work of earlier requests may be left when one begins, each stage
//! is charged with all of its misses, and pods do only a part of what they could, as if they waited for work the rest of the
//! time. Nothing is proven by it; it ranks.

use splitscale_spec::{Invalid, Replicas};

use crate::referee::bound::{stations, terms};
use crate::referee::fluid::{Fluid, Pods, Values};
use crate::scaling::Scaling;

/// The programs of A and B.
pub(super) struct Guess {
    stages: [(Fluid, Values); 2],
}

impl Guess {
    /// Of an episode where pods do this part of what they could.
    ///
    /// # Errors
    /// As [`Bound::of`](crate::referee::Bound::of).
    pub(super) fn of(scaling: &Scaling, episode: (usize, u64), efficiency: f64) -> Result<Self, Invalid> {
        let (stations, _) = stations(scaling, episode, true)?;
        let [mut a, mut b] = terms(scaling, episode.0);
        (a.efficiency, b.efficiency) = (efficiency, efficiency);
        let solved = |fluid: Fluid| {
            let values = fluid.solve(scaling.config().cost.miss_weight);
            (fluid, values)
        };
        let [at_a, at_b] = &stations;
        Ok(Guess { stages: [solved(Fluid::new(at_a, a)), solved(Fluid::new(at_b, b))] })
    }

    /// The pods of A and B at the first decision.
    pub(super) fn begin(&self) -> [Pods; 2] {
        [0, 1].map(|stage: usize| self.stages[stage].0.begin())
    }

    /// The pods an interval after so many are asked for.
    pub(super) fn after(&self, pods: [Pods; 2], asked: Replicas) -> [Pods; 2] {
        let of = |stage: usize, asked: u32| self.stages[stage].0.after(pods[stage], asked as usize).1;
        [of(0, asked.a), of(1, asked.b)]
    }

    /// What the rest costs after so many decisions, with these pods and so much work left at A and at B \[s\].
    pub(super) fn rest(&self, decided: u32, pods: [Pods; 2], work_s: [f64; 2]) -> f64 {
        let of = |stage: usize| {
            let (fluid, values) = &self.stages[stage];
            fluid.rest(values, decided as usize, pods[stage], work_s[stage] * 1e9)
        };
        of(0) + of(1)
    }
}
