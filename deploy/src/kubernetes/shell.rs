//! The safety shell in a `SplitPipeline`: the policy crate's, with Kubernetes' names and a default for every field.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use splitscale_policy::{Rate, ShellConfig};

/// What holds every policy back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Shell {
    /// Seconds after which a signal is no longer believed.
    #[schemars(range(min = 0.1, max = 86400.0))]
    pub max_age_seconds: f64,
    /// Seconds that the pods stay where signals are missing; then the baseline decides.
    #[schemars(range(min = 0.0, max = 86400.0))]
    pub hold_seconds: f64,
    /// Seconds after a start, or after another replica led, in which nothing goes down.
    #[schemars(range(min = 0.0, max = 86400.0))]
    pub settle_seconds: f64,
    /// Up no further than the least that was wanted within so many seconds.
    #[schemars(range(min = 0.0, max = 86400.0))]
    pub up_window_seconds: f64,
    /// Down no further than the most that was wanted within so many seconds.
    #[schemars(range(min = 0.0, max = 86400.0))]
    pub down_window_seconds: f64,
    /// Most pods of a stage that come in one decision; 0 for no limit.
    #[schemars(range(max = 10000))]
    pub step_up: u32,
    /// Most pods of a stage that go in one decision; 0 for no limit.
    #[schemars(range(max = 10000))]
    pub step_down: u32,
    /// Most pods of a stage that come in a time.
    pub rate_up: PodRate,
    /// Most pods of a stage that go in a time.
    pub rate_down: PodRate,
    /// Most changes of direction of a stage in an hour, at least 2; 0 for no limit. Up is always possible.
    #[schemars(range(max = 10000))]
    pub reversals_per_hour: u32,
}

/// So many pods in so long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodRate {
    /// How many; 0 for no limit.
    #[schemars(range(max = 10000))]
    pub pods: u32,
    /// In how many seconds.
    #[schemars(range(min = 0.1, max = 86400.0))]
    pub period_seconds: f64,
}

impl Default for Shell {
    fn default() -> Self {
        let shell = ShellConfig::default();
        let rate = |rate: Option<Rate>| match rate {
            Some(Rate { pods, period_s }) => PodRate { pods, period_seconds: period_s },
            None => PodRate { pods: 0, period_seconds: 15.0 },
        };
        Shell {
            max_age_seconds: shell.max_age_s,
            hold_seconds: shell.hold_s,
            settle_seconds: shell.settle_s,
            up_window_seconds: shell.up_window_s,
            down_window_seconds: shell.down_window_s,
            step_up: shell.step_up.unwrap_or(0),
            step_down: shell.step_down.unwrap_or(0),
            rate_up: rate(shell.rate_up),
            rate_down: rate(shell.rate_down),
            reversals_per_hour: shell.reversals_per_hour.unwrap_or(0),
        }
    }
}

impl From<&Shell> for ShellConfig {
    fn from(shell: &Shell) -> ShellConfig {
        let limit = |limit: u32| (limit > 0).then_some(limit);
        let rate = |rate: &PodRate| limit(rate.pods).map(|pods| Rate { pods, period_s: rate.period_seconds });
        ShellConfig {
            max_age_s: shell.max_age_seconds,
            hold_s: shell.hold_seconds,
            settle_s: shell.settle_seconds,
            up_window_s: shell.up_window_seconds,
            down_window_s: shell.down_window_seconds,
            step_up: limit(shell.step_up),
            step_down: limit(shell.step_down),
            rate_up: rate(&shell.rate_up),
            rate_down: rate(&shell.rate_down),
            budget: None,
            reversals_per_hour: limit(shell.reversals_per_hour),
        }
    }
}
