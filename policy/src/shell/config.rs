//! How tightly a controller is held.

use serde::{Deserialize, Serialize};
use splitscale_spec::{Invalid, at_least_one, not_negative, positive};

use crate::bounds::Bounds;

/// What holds a controller back. Written as TOML every field may be left out: a time or window that is left out is that of
/// [`ShellConfig::default`], a limit on the number of pods or of turns that is left out does not limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShellConfig {
    /// Oldest signal that is still believed \[s\]: its age when it was observed plus the time since.
    pub max_age_s: f64,
    /// For so long the pods stay where signals are missing; then the baseline decides \[s\].
    pub hold_s: f64,
    /// For so long after a start, or after another one led, nothing goes down \[s\].
    pub settle_s: f64,
    /// Up no further than the least that was wanted within so long \[s\].
    pub up_window_s: f64,
    /// Down no further than the most that was wanted within so long \[s\].
    pub down_window_s: f64,
    /// Most pods of a stage that come in one decision.
    #[serde(default = "without")]
    pub step_up: Option<u32>,
    /// Most that go.
    #[serde(default = "without")]
    pub step_down: Option<u32>,
    /// Most pods of a stage that come in a time.
    #[serde(default = "without")]
    pub rate_up: Option<Rate>,
    /// Most that go.
    #[serde(default = "without")]
    pub rate_down: Option<Rate>,
    /// Most pods of both stages together.
    #[serde(default = "without")]
    pub budget: Option<u32>,
    /// Most changes of direction of a stage in an hour. A turn down is refused where there would be none left to turn up
    /// again: up is always possible.
    #[serde(default = "without")]
    pub reversals_per_hour: Option<u32>,
}

/// That a limit is left out is no default limit: else nobody could take it away in TOML, which knows no null.
fn without<T>() -> Option<T> {
    None
}

/// So many pods in so long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// How many.
    pub pods: u32,
    /// In how long \[s\].
    pub period_s: f64,
}

impl Default for ShellConfig {
    /// What one would let near production: up fast, down slowly, six turns in an hour.
    fn default() -> Self {
        ShellConfig {
            // Five missed scrapes of 2 s: long enough for a busy machine, short against a change of traffic.
            max_age_s: 10.0,
            hold_s: 30.0,
            settle_s: 15.0,
            up_window_s: 0.0,
            down_window_s: 60.0,
            step_up: None,
            step_down: None,
            rate_up: Some(Rate { pods: 4, period_s: 15.0 }),
            rate_down: Some(Rate { pods: 2, period_s: 15.0 }),
            budget: None,
            reversals_per_hour: Some(6),
        }
    }
}

impl ShellConfig {
    /// Nothing but the age of signals: for a policy that is to be seen as it is.
    pub fn bare(max_age_s: f64) -> Self {
        ShellConfig {
            max_age_s,
            hold_s: 0.0,
            settle_s: 0.0,
            up_window_s: 0.0,
            down_window_s: 0.0,
            step_up: None,
            step_down: None,
            rate_up: None,
            rate_down: None,
            budget: None,
            reversals_per_hour: None,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn validate(&self, bounds: &Bounds) -> Result<(), Invalid> {
        positive("max_age_s", self.max_age_s)?;
        not_negative("hold_s", self.hold_s)?;
        not_negative("settle_s", self.settle_s)?;
        not_negative("up_window_s", self.up_window_s)?;
        not_negative("down_window_s", self.down_window_s)?;
        at_least_one("step_up", self.step_up.unwrap_or(1))?;
        at_least_one("step_down", self.step_down.unwrap_or(1))?;
        for (name, rate) in [("rate_up", self.rate_up), ("rate_down", self.rate_down)] {
            let Some(rate) = rate else { continue };
            at_least_one(&format!("{name}.pods"), rate.pods)?;
            positive(&format!("{name}.period_s"), rate.period_s)?;
        }
        let fewest = u64::from(bounds.pods_min.a) + u64::from(bounds.pods_min.b);
        match self.budget {
            Some(budget) if u64::from(budget) < fewest => {
                let problem = format!("{budget} is below the fewest pods of both stages, {fewest}");
                Err(Invalid::new("budget", problem))
            }
            _ => match self.reversals_per_hour {
                Some(few @ 0..2) => {
                    let problem = format!("{few}; a turn down must leave one to turn up again: at least 2");
                    Err(Invalid::new("reversals_per_hour", problem))
                }
                _ => Ok(()),
            },
        }
    }
}
