//! The Horizontal Pod Autoscaler of Kubernetes (autoscaling/v2), one for each stage, as a user would set it up: what
//! everything here is held against.
//!
//! ```text
//!  pods ─▶ ready, unready, missing ─▶ ratio of each metric ─▶ the largest count wanted
//!            ─▶ stabilised over its window ─▶ limited in rate ─▶ between fewest and most
//! ```
//!
//! Source: Kubernetes `pkg/controller/podautoscaler` (`replica_calculator.go`, `horizontal.go`), with a tolerance for each
//! direction as since 1.33, and the documented defaults of kube-controller-manager. Two HPAs know nothing of each other: the one of A does not see
//! that the link is full.

mod behavior;
mod census;
mod config;
mod memory;
mod proposal;

pub use behavior::{Behavior, Change, RatePolicy, Rules, Select};
pub use config::{HpaConfig, HpaMetric, HpaStage};
pub use memory::HpaMemory;

use splitscale_spec::{Observation, Replicas, Stage, StagePods};

use crate::proposer::Silence;
use behavior::Limits;
use memory::StageMemory;
use proposal::Seen;

impl HpaConfig {
    /// Pods of both stages and in words why. `now_s` is on the clock of `observation.time_s` and not before it \[s\].
    ///
    /// # Errors
    /// Why to hold: a stage does not answer, the next sync is not due, or neither stage has a metric to go by.
    /// Where only one of them has none it stays as it is, and the other goes on: they are two.
    pub fn decide(
        &self,
        memory: &mut HpaMemory,
        now_s: f64,
        observation: &Observation,
    ) -> Result<(Replicas, String), Silence> {
        let unseen = |words: &str| Silence::Unseen(words.to_owned());
        if !now_s.is_finite() {
            return Err(Silence::Unseen(format!("{now_s} s is no time")));
        }
        let a = observation.a.as_ref().ok_or_else(|| unseen("stage a does not answer"))?;
        let b = observation.b.as_ref().ok_or_else(|| unseen("stage b does not answer"))?;
        memory.a.see(now_s, a);
        memory.b.see(now_s, b);
        let left_s = memory.last_sync_s.map_or(0.0, |last_s| last_s + self.sync_period_s - now_s);
        if left_s > 0.0 {
            return Err(Silence::Waiting(format!("next sync in {left_s:.1} s")));
        }
        // By whole periods from the one that was due, so that a clock that ticks a little late does not lose every other sync.
        memory.last_sync_s = Some(memory.last_sync_s.map_or(now_s, |last_s| {
            last_s + self.sync_period_s * ((now_s - last_s) / self.sync_period_s).floor()
        }));
        let to_a = self.sync(Stage::A, a, &mut memory.a, (now_s, observation));
        let to_b = self.sync(Stage::B, b, &mut memory.b, (now_s, observation));
        let words = |stage: &str, to: &Result<(u32, String), String>| match to {
            Ok((_, why)) => format!("{stage} {why}"),
            Err(why) => format!("{stage} stays, {why}"),
        };
        let why = format!("{}; {}", words("a", &to_a), words("b", &to_b));
        if to_a.is_err() && to_b.is_err() {
            return Err(Silence::Unseen(why));
        }
        let pods =
            |to: Result<(u32, String), String>, now: &StagePods| to.map_or(now.desired, |(pods, _)| pods);
        Ok((Replicas { a: pods(to_a, a), b: pods(to_b, b) }, why))
    }

    /// One sync of one HPA: the pods to have and why, or why it does nothing.
    fn sync(
        &self,
        stage: Stage,
        pods: &StagePods,
        memory: &mut StageMemory,
        (now_s, observation): (f64, &Observation),
    ) -> Result<(u32, String), String> {
        let of = match stage {
            Stage::A => &self.a,
            Stage::B => &self.b,
        };
        let current = i64::from(pods.desired);
        let limits = Limits::of(self, of, now_s);
        memory.begin(now_s, current);
        let (to, why) = if current == 0 {
            return Err("scaling is disabled at zero pods".to_owned());
        } else if current > limits.max {
            (limits.max, format!("{current} is above the most, {}", limits.max))
        } else if current < limits.min {
            (limits.min, format!("{current} is below the fewest, {}", limits.min))
        } else {
            let seen = Seen { config: self, now_s, observation, stage, pods, of, memory };
            let (wanted, why) = seen.wanted(current)?;
            let to = limits.apply(memory, current, wanted);
            let limited = if to == wanted { String::new() } else { format!(", may have {to}") };
            (to, format!("{why} wants {wanted}{limited}"))
        };
        limits.note(memory, to - current, to);
        Ok((u32::try_from(to).unwrap_or(u32::MAX), why))
    }
}
