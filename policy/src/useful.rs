//! The useful-replica cap as a controller: as many pods as the traffic needs, and never more than the link lets be useful.
//!
//! ```text
//!  link estimate, slots ─▶ useful (spec) ─▶ cap ───────────────────┐
//!  arrivals, queues ─▶ need = (arrivals + waiting / drain) s / u ──┴─▶ the smaller of each stage, at least 1
//! ```
//!
//! It has no memory: the same observation gives the same pods. While the link cannot be told there is no cap, as an idle
//! link is unknown and not full.

use crate::proposer::Silence;
use serde::{Deserialize, Serialize};
use splitscale_spec::{
    Capacity, Invalid, Laws, LinkEstimate, Observation, QueueLevel, Replicas, Signal, not_negative, positive,
    useful, useful_a,
};

/// What the cap goes by. All but the first three may be left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsefulConfig {
    /// Mean service time of an A pod \[s\].
    pub service_a_s: f64,
    /// Mean service time of a B pod \[s\].
    pub service_b_s: f64,
    /// Payload of one transfer \[bytes\].
    pub payload_bytes: u64,
    /// All slots share one link, in place of a link each. No by default.
    #[serde(default)]
    pub shared: bool,
    /// A slot is held until B has answered, in place of over the transfer alone. Yes by default, as the proxy does.
    #[serde(default = "yes")]
    pub held_until_answer: bool,
    /// A pod that adds less than this share of the saturated throughput is of no use. 0.02 by default.
    #[serde(default = "gain")]
    pub gain: f64,
    /// Least confidence with which an estimate of the link is believed, in [0, 1). 0.5 by default.
    #[serde(default = "confidence_min")]
    pub confidence_min: f64,
    /// Longest time without a transfer after which the estimate still is \[s\]. 60 by default: a link that was idle for
    /// longer may carry anything.
    #[serde(default = "idle_max_s")]
    pub idle_max_s: f64,
    /// Share of their time that pods are meant to be at work, in (0, 1\]. 0.8 by default.
    #[serde(default = "utilisation")]
    pub utilisation: f64,
    /// Time in which what waits should be gone \[s\]. 10 by default.
    #[serde(default = "drain_s")]
    pub drain_s: f64,
}

/// The cap and what it comes from.
struct Cap {
    pods: Replicas,
    slots: u32,
    link: LinkEstimate,
    slots_per_s: f64,
}

impl UsefulConfig {
    /// Of a pipeline that was measured, all else by default.
    ///
    /// # Errors
    /// Without `laws.slot` the payload is unknown, or a service time is zero.
    pub fn of_laws(laws: &Laws) -> Result<Self, Invalid> {
        let slot = laws.slot.ok_or_else(|| {
            Invalid::new(
                "laws.slot",
                "missing; the cap needs the payload, calibrate with records of requests",
            )
        })?;
        let config = UsefulConfig {
            service_a_s: laws.service_a.mean_s(),
            service_b_s: laws.service_b.mean_s(),
            payload_bytes: slot.bytes.round() as u64,
            shared: slot.shared,
            held_until_answer: slot.held_until_answer,
            gain: gain(),
            confidence_min: confidence_min(),
            idle_max_s: idle_max_s(),
            utilisation: utilisation(),
            drain_s: drain_s(),
        };
        config.validate()?;
        Ok(config)
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        positive("service_a_s", self.service_a_s)?;
        positive("service_b_s", self.service_b_s)?;
        positive("payload_bytes", self.payload_bytes as f64)?;
        share("gain", self.gain)?;
        not_negative("confidence_min", self.confidence_min)?;
        if self.confidence_min >= 1.0 {
            let problem =
                format!("{} is not below 1; no estimate would ever be believed", self.confidence_min);
            return Err(Invalid::new("confidence_min", problem));
        }
        positive("idle_max_s", self.idle_max_s)?;
        share("utilisation", self.utilisation)?;
        positive("drain_s", self.drain_s)
    }

    /// The pods beyond which one more is of no use, by the slots and the link as they are estimated.
    ///
    /// Absent where the slots are not told, or the link is unknown: nothing was ever sent, too little, or too long ago.
    ///
    /// The estimate is that of a transfer as it was, its fixed time included. Where slots share the link it has to be
    /// freed of the others: with x transfers a second of mean time t, x t are under way (Little), of which a new one, of n
    /// slots, meets (n - 1) / n (Schweitzer, 1979), so that alone it would have had mbit_s (1 + x t (n - 1) / n). That is
    /// exact of an idle link and of one that all slots always send on; absent where the answers are not told.
    /// Of B there are never more than `most_b`, and A's are those beside it. `now_s` is on the clock of
    /// `observation.time_s` \[s\].
    pub fn cap(&self, now_s: f64, observation: &Observation, most_b: u32) -> Option<Replicas> {
        self.cap_at(now_s, observation, most_b).ok().map(|cap| cap.pods)
    }

    /// Pods of both stages and in words why: of each stage the smaller of the cap and of what it needs.
    ///
    /// A needs arrivals and its queue, the latter gone within `drain_s`. At B comes what A so many pods large lets
    /// through, and what waits at the proxy and at B. A slot that is held until the answer lets one request at B at a
    /// time, so that more pods than slots never have work, whatever the link is.
    ///
    /// `now_s` is on the clock of `observation.time_s` and not before it \[s\].
    ///
    /// # Errors
    /// Why to hold: the arrivals or a queue are not told, or are no number of zero or more.
    pub fn decide(&self, now_s: f64, observation: &Observation) -> Result<(Replicas, String), Silence> {
        let arrivals_per_s = told("arrivals", observation.arrivals_per_s)?;
        let waits = |name: &str, queue: Option<Signal<QueueLevel>>| {
            told(name, queue.map(|queue| queue.map(|level| level.last)))
        };
        let at_a = waits("queue of a", observation.queue_a)?;
        let past_a =
            waits("queue of the proxy", observation.queue_proxy)? + waits("queue of b", observation.queue_b)?;
        let cap = self.cap_at(now_s, observation, u32::MAX);
        let most = cap.as_ref().map_or(Replicas { a: u32::MAX, b: u32::MAX }, |cap| cap.pods);

        let to_a_per_s = arrivals_per_s + at_a / self.drain_s;
        let need_a = self.need(to_a_per_s, self.service_a_s);
        let a = need_a.min(most.a);
        let to_b_per_s = to_a_per_s.min(f64::from(a) / self.service_a_s) + past_a / self.drain_s;
        let need_b = self.need(to_b_per_s, self.service_b_s);
        let places =
            observation.slots.filter(|_| self.held_until_answer).map_or(u32::MAX, |slots| slots.value);
        let b = need_b.min(most.b).min(places.max(1));

        let need = format!(
            "{arrivals_per_s:.2}/s and {at_a:.0} waiting need {need_a} of a, {past_a:.0} waiting past it \
             {need_b} of b"
        );
        let limit = match cap {
            Ok(Cap { pods, slots, link, slots_per_s }) => format!(
                "{slots} slots at {:.1} Mbit/s (confidence {:.2}) carry {slots_per_s:.2}/s, useful are a {}, b {}",
                link.mbit_s, link.confidence, pods.a, pods.b
            ),
            Err(unknown) if b < need_b => format!("no cap, {unknown}; b has {places} slots to serve"),
            Err(unknown) => format!("no cap, {unknown}"),
        };
        Ok((Replicas { a, b }, format!("{need}; {limit}")))
    }

    /// Pods that so many requests a second keep at work for `utilisation` of their time.
    fn need(&self, per_s: f64, service_s: f64) -> u32 {
        // A product that is whole but for its last bits takes no pod more; beyond u32 it takes its most.
        let pods = per_s * service_s / self.utilisation;
        ((pods - 1e-9).ceil() as u32).max(1)
    }

    /// The cap at `now_s`, or in words why there is none.
    fn cap_at(&self, now_s: f64, observation: &Observation, most_b: u32) -> Result<Cap, String> {
        let slots = observation.slots.ok_or("slots missing")?.value;
        let link = observation.link.ok_or("the link is unknown, nothing was sent yet")?;
        let idle_s = link.age_s + (now_s - observation.time_s);
        if !(link.mbit_s.is_finite() && link.mbit_s > 0.0) {
            return Err(format!("the link is unknown, {} Mbit/s are no bandwidth", link.mbit_s));
        }
        if link.confidence.is_nan() || link.confidence < self.confidence_min {
            return Err(format!(
                "the link is unknown, confidence {:.2} is below {}",
                link.confidence, self.confidence_min
            ));
        }
        if idle_s.is_nan() || idle_s > self.idle_max_s {
            return Err(format!(
                "the link is unknown, idle for {idle_s:.0} s, more than {} s",
                self.idle_max_s
            ));
        }
        let capacity = Capacity {
            service_a_s: self.service_a_s,
            service_b_s: self.service_b_s,
            payload_bytes: self.payload_bytes,
            mbit_s: link.mbit_s * self.others(slots, link, observation)?,
            rtt_s: 0.0,
            shared: self.shared,
            held_until_answer: self.held_until_answer,
        };
        let b = useful(&capacity, slots, self.gain).b.min(most_b);
        let pods = Replicas { a: useful_a(&capacity, slots, self.gain, b), b };
        Ok(Cap { pods, slots, link, slots_per_s: capacity.slots_per_s(slots) })
    }

    /// By how much other transfers slowed one down.
    fn others(&self, slots: u32, link: LinkEstimate, observation: &Observation) -> Result<f64, String> {
        if !self.shared {
            return Ok(1.0);
        }
        let answers_per_s = told("answers", observation.answers_per_s)
            .map_err(|problem| format!("the shared link is unknown, {problem}"))?;
        Ok(slowed(answers_per_s, self.payload_bytes as f64 * 8e-6 / link.mbit_s, slots))
    }
}

/// By how much a transfer of `transfer_s` on a link that `slots` share was slowed down by the others \[s\].
pub(crate) fn slowed(transfers_per_s: f64, transfer_s: f64, slots: u32) -> f64 {
    let slots = f64::from(slots.max(1));
    1.0 + (transfers_per_s * transfer_s).min(slots) * (slots - 1.0) / slots
}

/// A signal that has to be there, and a number of zero or more.
fn told(name: &str, signal: Option<Signal<f64>>) -> Result<f64, String> {
    let value = signal.ok_or_else(|| format!("{name} missing"))?.value;
    if value.is_finite() && value >= 0.0 {
        Ok(value)
    } else {
        Err(format!("{name} {value} is no number of zero or more"))
    }
}

fn share(field: &str, value: f64) -> Result<(), Invalid> {
    if value > 0.0 && value <= 1.0 {
        return Ok(());
    }
    Err(Invalid::new(field, format!("{value} is not in (0, 1]")))
}

fn yes() -> bool {
    true
}

fn gain() -> f64 {
    0.02
}

pub(crate) fn confidence_min() -> f64 {
    0.5
}

pub(crate) fn idle_max_s() -> f64 {
    60.0
}

fn utilisation() -> f64 {
    0.8
}

fn drain_s() -> f64 {
    10.0
}
