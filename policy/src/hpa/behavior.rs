//! How far the pods may move at once.

use serde::{Deserialize, Serialize};
use splitscale_spec::{Invalid, at_least_one, not_negative, positive};

use super::config::{HpaConfig, HpaStage};
use super::memory::StageMemory;

/// Rules for each direction. What is left out is as Kubernetes has it: up at once, by the larger of 100 % and 4 pods
/// every 15 s; down by the largest recommendation of the last 300 s, by 100 % every 15 s.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behavior {
    /// For more pods.
    pub up: Rules,
    /// For fewer.
    pub down: Rules,
}

/// Rules for one direction; what is absent is the default of the direction.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Stabilisation window \[s\]: up no further than the least recommendation in it, down no further than the largest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_s: Option<f64>,
    /// Limits on the rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policies: Option<Vec<RatePolicy>>,
    /// Which of them counts.
    pub select: Select,
    /// Ratios that are off by no more than this change nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
}

/// So many pods in so long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatePolicy {
    /// How many.
    pub change: Change,
    /// In how long \[s\].
    pub period_s: f64,
}

/// A change of the number of pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Pods.
    Pods(u32),
    /// Percent of the pods at the period's start.
    Percent(u32),
}

/// Which of several policies counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// The one that allows the most change.
    #[default]
    Max,
    /// The one that allows the least.
    Min,
    /// None: no change in this direction.
    Disabled,
}

const EACH_15_S: [RatePolicy; 2] = [
    RatePolicy { change: Change::Percent(100), period_s: 15.0 },
    RatePolicy { change: Change::Pods(4), period_s: 15.0 },
];

impl Behavior {
    pub(crate) fn validate(&self) -> Result<(), Invalid> {
        for (name, rules) in [("up", &self.up), ("down", &self.down)] {
            let field = |field: &str| format!("behavior.{name}.{field}");
            not_negative(&field("window_s"), rules.window_s.unwrap_or(0.0))?;
            not_negative(&field("tolerance"), rules.tolerance.unwrap_or(0.0))?;
            let policies = rules.policies.as_deref();
            if policies.is_some_and(<[_]>::is_empty) {
                let problem = "empty; name at least one, leave the field out, or set select = \"disabled\"";
                return Err(Invalid::new(field("policies"), problem));
            }
            for (row, policy) in policies.unwrap_or_default().iter().enumerate() {
                positive(&field(&format!("policies[{row}].period_s")), policy.period_s)?;
                let (Change::Pods(by) | Change::Percent(by)) = policy.change;
                at_least_one(&field(&format!("policies[{row}].change")), by)?;
            }
        }
        Ok(())
    }
}

/// What holds a wish back, at one time.
pub(super) struct Limits<'a> {
    now_s: f64,
    pub(super) min: i64,
    pub(super) max: i64,
    behavior: Option<&'a Behavior>,
    up_window_s: f64,
    down_window_s: f64,
}

impl<'a> Limits<'a> {
    pub(super) fn of(config: &HpaConfig, stage: &'a HpaStage, now_s: f64) -> Self {
        let behavior = stage.behavior.as_ref();
        let window_s = |of: fn(&Behavior) -> &Rules| behavior.and_then(|behavior| of(behavior).window_s);
        Limits {
            now_s,
            min: i64::from(stage.pods_min.unwrap_or(1)),
            max: i64::from(stage.pods_max.unwrap_or(i32::MAX as u32)),
            behavior,
            up_window_s: window_s(|behavior| &behavior.up).unwrap_or(0.0),
            down_window_s: window_s(|behavior| &behavior.down).unwrap_or(config.downscale_stabilization_s),
        }
    }

    /// Stabilised first, then limited in rate, then within the bounds.
    pub(super) fn apply(&self, memory: &mut StageMemory, current: i64, wanted: i64) -> i64 {
        let oldest_s = self.now_s - self.up_window_s.max(self.down_window_s);
        memory.recommendations.retain(|&(at_s, _)| at_s >= oldest_s);
        let to = match self.behavior {
            None => {
                // Here a recommendation as old as the window still counts; with `behavior` it does not.
                let recent = memory.recommendations.iter().map(|&(_, pods)| pods);
                let stabilised = recent.fold(wanted, i64::max);
                stabilised.min((2 * current).max(4)).clamp(self.min, self.max)
            }
            Some(behavior) => {
                let since = |window_s: f64| {
                    let recent = move |&&(at_s, _): &&(f64, i64)| at_s > self.now_s - window_s;
                    memory.recommendations.iter().filter(recent).map(|&(_, pods)| pods)
                };
                let least = since(self.up_window_s).fold(wanted, i64::min);
                let largest = since(self.down_window_s).fold(wanted, i64::max);
                let stabilised = current.max(least).min(largest);
                self.rate(behavior, memory, current, stabilised)
            }
        };
        memory.recommendations.push((self.now_s, wanted));
        to
    }

    /// As far towards `wanted` as the rate and the bounds allow.
    fn rate(&self, behavior: &Behavior, memory: &StageMemory, current: i64, wanted: i64) -> i64 {
        if wanted > current {
            let up = &behavior.up;
            let allowed = up.policies.as_deref().unwrap_or(&EACH_15_S).iter().map(|policy| {
                let base = memory.at_start(current, self.now_s - policy.period_s);
                match policy.change {
                    Change::Pods(pods) => base + i64::from(pods),
                    Change::Percent(percent) => {
                        (base as f64 * (1.0 + f64::from(percent) / 100.0)).ceil() as i64
                    }
                }
            });
            let limit = match up.select {
                Select::Max => allowed.max(),
                Select::Min => allowed.min(),
                Select::Disabled => None,
            };
            wanted.min(limit.unwrap_or(current).max(current)).min(self.max)
        } else if wanted < current {
            let down = &behavior.down;
            let allowed = down.policies.as_deref().unwrap_or(&EACH_15_S[..1]).iter().map(|policy| {
                let base = memory.at_start(current, self.now_s - policy.period_s);
                match policy.change {
                    Change::Pods(pods) => base - i64::from(pods),
                    Change::Percent(percent) => {
                        (base as f64 * (1.0 - f64::from(percent) / 100.0)).trunc() as i64
                    }
                }
            });
            let limit = match down.select {
                Select::Max => allowed.min(),
                Select::Min => allowed.max(),
                Select::Disabled => None,
            };
            wanted.max(limit.unwrap_or(current).min(current)).max(self.min)
        } else {
            wanted
        }
    }

    /// Notes a change that is asked for; events are kept as far back as a policy looks.
    pub(super) fn note(&self, memory: &mut StageMemory, change: i64, to: i64) {
        let Some(behavior) = self.behavior else { return };
        let policies = [&behavior.up, &behavior.down].map(|rules| rules.policies.as_deref());
        let periods = policies.into_iter().flat_map(|policies| policies.unwrap_or(&EACH_15_S));
        let longest_s = periods.map(|policy| policy.period_s).fold(0.0, f64::max);
        memory.events.retain(|&(at_s, _)| at_s > self.now_s - longest_s);
        if change != 0 {
            memory.asked = Some((self.now_s, change, to));
        }
    }
}
