//! How old a signal may be.

use serde::{Deserialize, Serialize};
use splitscale_spec::{Observation, Signal};

/// How old a signal may be. Written as TOML every field may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Freshness {
    /// Oldest signal that is still believed \[s\]: its age when it was observed plus the time since.
    pub max_age_s: f64,
}

impl Default for Freshness {
    fn default() -> Self {
        // Five missed scrapes of 2 s: long enough for a busy machine, short against a change of traffic.
        Freshness { max_age_s: 10.0 }
    }
}

impl Freshness {
    /// The observation without the signals that are not to be believed at `now_s`.
    pub(crate) fn believed(self, now_s: f64, observation: &Observation) -> Observation {
        let mut believed = observation.clone();
        let check = |signal| self.check(now_s, observation, signal).ok().and(signal);
        let Observation { arrivals_per_s, answers_per_s, busy_a, busy_slots, busy_b, .. } = &mut believed;
        for signal in [arrivals_per_s, answers_per_s, busy_a, busy_slots, busy_b] {
            *signal = check(*signal);
        }
        for signal in [&mut believed.latency_p50_s, &mut believed.latency_p95_s] {
            *signal = check(*signal);
        }
        for queue in [&mut believed.queue_a, &mut believed.queue_proxy, &mut believed.queue_b] {
            *queue = self.check(now_s, observation, *queue).ok().and(*queue);
        }
        believed.slots = self.check(now_s, observation, believed.slots).ok().and(believed.slots);
        believed
    }

    /// The value of a signal and its age at `now_s`, or in words why it is not to be believed.
    ///
    /// An age that is negative or no number is no age: clocks went wrong, and so may have the value.
    pub(crate) fn check<T: Copy>(
        self,
        now_s: f64,
        observation: &Observation,
        signal: Option<Signal<T>>,
    ) -> Result<(T, f64), String> {
        let signal = signal.ok_or("missing")?;
        let age_s = signal.age_s + (now_s - observation.time_s);
        if signal.age_s >= 0.0 && now_s >= observation.time_s && age_s <= self.max_age_s {
            return Ok((signal.value, age_s));
        }
        Err(if age_s > self.max_age_s {
            format!("{age_s:.1} s old, more than the {:.1} s that are believed", self.max_age_s)
        } else {
            format!(
                "observed at {:.1} s with age {:.1} s, which cannot be at {now_s:.1} s",
                observation.time_s, signal.age_s
            )
        })
    }
}
