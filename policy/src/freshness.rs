//! How old a signal may be.

use splitscale_spec::{Observation, Signal};

/// What of an observation is to be believed.
pub(crate) struct Believed {
    /// The observation without the rest.
    pub(crate) seen: Observation,
    /// In words which signals are too old.
    pub(crate) stale: Vec<String>,
    /// In words which are no measurement at all: no number, below zero, a share above one.
    pub(crate) senseless: Vec<String>,
}

/// How old a signal may be.
#[derive(Debug, Clone, Copy, PartialEq)]
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

/// No rate, queue, time or bandwidth is above that: a sum of such is still a number.
const MOST: f64 = 1e12;

impl Freshness {
    /// What is to be believed at `now_s` \[s\].
    pub(crate) fn believed(self, now_s: f64, observation: &Observation) -> Believed {
        let mut seen = observation.clone();
        let (mut stale, mut senseless) = (Vec::new(), Vec::new());
        let mut fresh = |name: &str, age_s: f64| {
            let problem = self.check(now_s, observation, Some(Signal { value: (), age_s })).err();
            stale.extend(problem.iter().map(|problem| format!("{name} {problem}")));
            problem.is_none()
        };
        let mut sense = |name: &str, value: f64, most: f64| {
            // There is no proxy without a slot.
            let least = if name == "slots" { 1.0 } else { 0.0 };
            let sense = (least..=most).contains(&value);
            if !sense {
                senseless.push(format!("{name} {value} is no measurement"));
            }
            sense
        };
        seen.slots = seen
            .slots
            .filter(|slots| fresh("slots", slots.age_s))
            .filter(|slots| sense("slots", f64::from(slots.value), MOST));
        for (name, signal, most) in [
            ("arrivals_per_s", &mut seen.arrivals_per_s, MOST),
            ("answers_per_s", &mut seen.answers_per_s, MOST),
            // A little more than all the time is what windows that do not quite meet make of all the time.
            ("busy_a", &mut seen.busy_a, 1.5),
            ("busy_slots", &mut seen.busy_slots, 1.5),
            ("busy_b", &mut seen.busy_b, 1.5),
            ("latency_p50_s", &mut seen.latency_p50_s, MOST),
            ("latency_p95_s", &mut seen.latency_p95_s, MOST),
        ] {
            *signal = signal
                .filter(|signal| fresh(name, signal.age_s))
                .filter(|signal| sense(name, signal.value, most));
        }
        let queues = [
            ("queue_a", &mut seen.queue_a),
            ("queue_proxy", &mut seen.queue_proxy),
            ("queue_b", &mut seen.queue_b),
        ];
        for (name, queue) in queues {
            *queue = queue
                .filter(|queue| fresh(name, queue.age_s))
                .filter(|queue| sense(name, queue.value.mean, MOST) && sense(name, queue.value.last, MOST));
        }
        // Its age is one of its features: an idle link's estimate is old and still the best there is.
        seen.link = seen.link.filter(|link| {
            sense("link_mbit_s", link.mbit_s, MOST)
                && sense("link_confidence", link.confidence, 1.0)
                && sense("link_age_s", link.age_s, MOST)
        });
        Believed { seen, stale, senseless }
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
