//! What stands between a wish and the pods.
//!
//! ```text
//!  wish ─▶ useful ─▶ bounds ─▶ server ─▶ budget ─▶ stabilised ─▶ settled ─▶ flaps ─▶ rate ─▶ bounds ─▶ server ─▶ budget ─▶ pods
//! ```
//!
//! Each step is small and may only be followed by one that keeps what it assured. Stabilisation and rates are the HPA's
//! (autoscaling/v2 `behavior`), the rest is not: an HPA has no budget over two targets, counts no reversals and forgets
//! everything at a restart.

mod config;
mod track;

pub use config::{Rate, ShellConfig};
pub use track::ShellMemory;

use splitscale_spec::Replicas;

use crate::bounds::Bounds;
use crate::decision::{Limit, Limiter};
use track::Track;

/// What the shell knows when it is asked.
pub(crate) struct Asked {
    pub(crate) now_s: f64,
    /// Pods that both stages were told to have.
    pub(crate) desired: Replicas,
    /// More are useless.
    pub(crate) cap: Option<Replicas>,
    /// More the stages do not take.
    pub(crate) taken: Replicas,
}

impl ShellConfig {
    /// The pods that may be, and what made a difference on the way there.
    ///
    /// # Guarantees
    /// Whatever was wanted: within the bounds, and no more than the stages take; together within the budget, or no more than there are; as far from what was
    /// there as steps and rates allow, where the bounds do not ask for more; in an hour no more reversals than are allowed.
    pub(crate) fn limit(
        &self,
        memory: &mut ShellMemory,
        bounds: &Bounds,
        asked: &Asked,
        raw: Replicas,
    ) -> (Replicas, Vec<Limit>) {
        let mut pods = raw;
        let mut limits = Vec::new();
        let mut pass = |by: Limiter, to: Replicas, pods: &mut Replicas| {
            if to != *pods {
                limits.push(Limit { by, from: *pods, to });
                *pods = to;
            }
        };
        if let Some(cap) = asked.cap {
            pass(Limiter::Useful, least(pods, cap), &mut pods);
        }
        pass(Limiter::Bounds, bounds.clamp(pods), &mut pods);
        // A stage asked for more refuses, and would have less for ever: whatever else is wanted, it is asked for what it takes.
        pass(Limiter::Server, least(pods, asked.taken), &mut pods);
        if let Some(budget) = self.budget {
            pass(Limiter::Budget, fit(pods, bounds.pods_min, budget), &mut pods);
        }
        let now = asked.desired;
        let settled = memory.settled(asked.now_s, self.settle_s);
        let mut each = |by, step: &dyn Fn(&mut Track, u32, u32) -> u32| {
            let a = step(&mut memory.a, now.a, pods.a);
            let b = step(&mut memory.b, now.b, pods.b);
            pass(by, Replicas { a, b }, &mut pods);
        };
        each(Limiter::Stabilisation, &|track, now, to| track.stabilise(self, asked.now_s, now, to));
        each(Limiter::Settling, &|_, now, to| if settled { to } else { to.max(now) });
        each(Limiter::Flapping, &|track, now, to| track.calm(self, asked.now_s, now, to));
        each(Limiter::Rate, &|track, now, to| track.slow(self, asked.now_s, now, to));
        // Where somebody else took it out of the bounds, what was there is no measure.
        pass(Limiter::Bounds, bounds.clamp(pods), &mut pods);
        pass(Limiter::Server, least(pods, asked.taken), &mut pods);
        if let Some(budget) = self.budget {
            pass(Limiter::Budget, legs(pods, bounds.clamp(now), budget), &mut pods);
        }
        (pods, limits)
    }

    /// As many pods as bounds and budget allow.
    pub(crate) fn most(&self, bounds: &Bounds) -> Replicas {
        self.budget.map_or(bounds.pods_max, |budget| fit(bounds.pods_max, bounds.pods_min, budget))
    }
}

/// Of each stage the fewer.
pub(crate) fn least(one: Replicas, other: Replicas) -> Replicas {
    Replicas { a: one.a.min(other.a), b: one.b.min(other.b) }
}

/// The wish within a budget, both stages cut in proportion. A budget below the fewest pods is refused when it is read.
fn fit(wish: Replicas, fewest: Replicas, budget: u32) -> Replicas {
    let sum = u64::from(wish.a) + u64::from(wish.b);
    if sum <= u64::from(budget) {
        return wish;
    }
    let share = (u64::from(wish.a) * u64::from(budget) / sum) as u32;
    let a = share.clamp(fewest.a, (budget - fewest.b).max(fewest.a));
    Replicas { a, b: wish.b.min(budget - a) }
}

/// What grows takes what the budget leaves when the other has given up what it does now, and no more: the rates may let less go
/// than was to come. Above the budget already, nothing grows. Whoever carries it out lets go first.
fn legs(to: Replicas, now: Replicas, budget: u32) -> Replicas {
    let room = |other: u32, to: u32, now: u32| {
        if to > now { to.min(budget.saturating_sub(other).max(now)) } else { to }
    };
    let a = room(to.b.min(now.b), to.a, now.a);
    Replicas { a, b: room(a, to.b, now.b) }
}
