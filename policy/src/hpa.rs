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
pub(crate) use config::thousandth;
pub use config::{HpaConfig, HpaMetric, HpaStage};
pub use memory::HpaMemory;
pub(crate) use proposal::External;

use splitscale_spec::{Observation, Replicas, Stage, StagePods};

use crate::proposer::Silence;
use crate::stages::{Wish, answering, due, joined};
use behavior::Limits;
use memory::StageMemory;
use proposal::{Proposals, Seen, largest};

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
        self.run(memory, (now_s, observation), &mut |seen, current| {
            seen.of.metrics.iter().map(|&metric| seen.by(metric, current)).collect()
        })
    }

    /// As [`HpaConfig::decide`], by external metrics with an average value in the place of the stages' own: an adapter
    /// outside says at each sync what they are for a stage and its pods.
    pub(crate) fn decide_external(
        &self,
        memory: &mut HpaMemory,
        now_s: f64,
        observation: &Observation,
        adapter: &mut dyn FnMut(Stage, &StagePods) -> Vec<External>,
    ) -> Result<(Replicas, String), Silence> {
        self.run(memory, (now_s, observation), &mut |seen, _| {
            let metrics = adapter(seen.stage, seen.pods);
            metrics.into_iter().map(|metric| seen.external(metric)).collect()
        })
    }

    fn run(
        &self,
        memory: &mut HpaMemory,
        (now_s, observation): (f64, &Observation),
        proposals: &mut Proposals,
    ) -> Result<(Replicas, String), Silence> {
        if !now_s.is_finite() {
            return Err(Silence::Unseen(format!("{now_s} s is no time")));
        }
        let (a, b) = answering(observation)?;
        memory.a.see(now_s, a);
        memory.b.see(now_s, b);
        due(&mut memory.last_sync_s, self.sync_period_s, now_s)
            .map_err(|left_s| Silence::Waiting(format!("next sync in {left_s:.1} s")))?;
        let to_a = self.sync((Stage::A, a), &mut memory.a, (now_s, observation), proposals);
        let to_b = self.sync((Stage::B, b), &mut memory.b, (now_s, observation), proposals);
        joined((to_a, a), (to_b, b))
    }

    /// One sync of one HPA: the pods to have and why, or why it does nothing.
    fn sync(
        &self,
        (stage, pods): (Stage, &StagePods),
        memory: &mut StageMemory,
        (now_s, observation): (f64, &Observation),
        proposals: &mut Proposals,
    ) -> Wish {
        let of = match stage {
            Stage::A => &self.a,
            Stage::B => &self.b,
        };
        let current = i64::from(pods.desired);
        let limits = Limits::of(self, of, now_s);
        memory.begin(now_s, current);
        let (to, why) = if current == 0 {
            return Err(Silence::Staying("scaling is disabled at zero pods".to_owned()));
        } else if current > limits.max {
            (limits.max, format!("{current} is above the most, {}", limits.max))
        } else if current < limits.min {
            (limits.min, format!("{current} is below the fewest, {}", limits.min))
        } else {
            let seen = Seen { config: self, now_s, observation, stage, pods, of, memory };
            let (wanted, why) = largest(proposals(&seen, current), current)?;
            let to = limits.apply(memory, current, wanted);
            let limited = if to == wanted { String::new() } else { format!(", may have {to}") };
            (to, format!("{why} wants {wanted}{limited}"))
        };
        limits.note(memory, to - current, to);
        Ok((u32::try_from(to).unwrap_or(u32::MAX), why))
    }
}
