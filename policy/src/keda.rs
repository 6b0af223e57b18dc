//! KEDA, one ScaledObject for each stage: triggers become external metrics, a formula may fold them into one, a fallback
//! stands in for those that fail, and the HPA that KEDA creates does the rest.
//!
//! ```text
//!  signals ─▶ triggers ─▶ failed for too long? ─▶ fallback value  ┐
//!                │                                                ├▶ HPA: total / target, stabilised, limited, bounded
//!                └▶ formula over all of them ─▶ composite metric  ┘
//! ```
//!
//! Source: KEDA 2.20, `pkg/fallback/fallback.go`, `pkg/scaling/modifiers/formula.go`, `pkg/scaling/scale_handler.go` and
//! `controllers/keda/hpa.go`. A trigger is a [signal](crate::feature_names) of the observation, and one that is missing
//! has failed. Metrics are of the type AverageValue. KEDA itself only moves between no pods and the fewest; here the fewest
//! are 1 or more, so there is no scale to zero, no activation and no cooldown, and all that is left is what the HPA is told.

mod config;
mod formula;
mod metrics;

pub use config::{KedaConfig, KedaFallback, KedaFallbackBehavior, KedaModifiers, KedaStage, KedaTrigger};
pub use formula::Formula;

use serde::{Deserialize, Serialize};
use splitscale_spec::{Observation, Replicas, Stage};

use crate::hpa::HpaMemory;
use crate::proposer::Silence;
use crate::stages::due;

/// What two ScaledObjects and their HPAs remember.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KedaMemory {
    hpa: HpaMemory,
    a: Health,
    b: Health,
}

/// `status.health` of a ScaledObject.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Health {
    /// Time of the last poll \[s\].
    last_poll_s: Option<f64>,
    /// Of each trigger, how many times in a row it failed.
    failures: Vec<u32>,
}

impl KedaConfig {
    /// Pods of both stages and in words why. `now_s` is on the clock of `observation.time_s` and not before it \[s\].
    ///
    /// # Errors
    /// Why to hold: a stage does not answer, the HPAs' next sync is not due, or neither stage has a metric to go
    /// by. Where only one of them has none it stays as it is, and the other goes on: they are two.
    pub fn decide(
        &self,
        memory: &mut KedaMemory,
        now_s: f64,
        observation: &Observation,
    ) -> Result<(Replicas, String), Silence> {
        let KedaMemory { hpa, a, b } = memory;
        // KEDA's own loop asks the triggers too, and counts: with a sync of 15 s and a poll of 30 s three in 30 s.
        for (of, health) in [(&self.a, &mut *a), (&self.b, &mut *b)] {
            if now_s.is_finite() && due(&mut health.last_poll_s, of.polling_interval_s, now_s).is_ok() {
                of.ask(&mut health.failures, observation);
            }
        }
        self.hpa().decide_external(hpa, now_s, observation, &mut |stage, pods| match stage {
            Stage::A => self.a.metrics(&mut a.failures, pods.desired, observation),
            Stage::B => self.b.metrics(&mut b.failures, pods.desired, observation),
        })
    }
}
