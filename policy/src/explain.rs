//! A decision in sentences, and taken again.

use splitscale_spec::{
    Bottleneck, Invalid, LinkEstimate, Observation, QueueLevel, Replicas, Signal, StagePods,
};

use crate::controller::Controller;
use crate::decision::{Decision, Limiter, Mode};
use crate::residuals::Agreement;
use crate::setup::Setup;

impl Controller {
    /// Takes a decision again, from what was seen and remembered then.
    ///
    /// # Errors
    /// Another policy took it.
    pub fn again(&mut self, decision: &Decision) -> Result<Decision, Invalid> {
        let hash = self.policy_hash();
        if hash != decision.policy {
            let problem = format!("{hash}, and decision {} was taken by {}", decision.id, decision.policy);
            return Err(Invalid::new("policy", problem));
        }
        self.rewind(decision);
        Ok(self.decide(decision.now_s, &decision.observed))
    }
}

impl Decision {
    /// Where another decision on the same differs in what is to be done, in words; empty where it is the same.
    pub fn differs(&self, other: &Decision) -> Vec<String> {
        let words = |pods: Option<Replicas>| pods.map_or("hold".to_owned(), self::pods);
        let of =
            [("raw", self.raw, other.raw), ("cap", self.cap, other.cap), ("final", self.pods, other.pods)];
        let differing = of.into_iter().filter(|(_, mine, others)| mine != others);
        let mut all: Vec<String> = differing
            .map(|(name, mine, others)| format!("{name} {} in place of {}", words(others), words(mine)))
            .collect();
        if self.limits != other.limits {
            all.push("other limits".to_owned());
        }
        all
    }

    /// What was seen, what was concluded, what was done, a sentence each.
    pub fn explained(&self, setup: &Setup) -> Vec<String> {
        let mut lines = vec![format!(
            "Decision {} at {:.1} s by policy `{}` ({}), mode {}.",
            self.id,
            self.now_s,
            setup.policy.name,
            self.policy,
            self.mode.name()
        )];
        lines.extend(seen(&self.observed));
        lines.push(bottleneck(self.bottleneck, &self.observed));
        match self.raw {
            None if self.mode == Mode::Emergency => lines.push("In an emergency nobody is asked.".to_owned()),
            Some(raw) if self.limits.iter().any(|limit| limit.by == Limiter::Baseline) => {
                let name = setup.baseline.as_ref().map_or("baseline", |baseline| &baseline.name);
                lines.push(format!(
                    "The policy was not trusted here; the baseline `{name}` wants {}.",
                    pods(raw)
                ));
            }
            Some(raw) => lines.push(format!("It wants {}.", pods(raw))),
            None if self.limits.iter().any(|limit| limit.by == Limiter::Baseline) => {
                let name = setup.baseline.as_ref().map_or("baseline", |baseline| &baseline.name);
                lines.push(format!("The policy was not trusted here; the baseline `{name}` holds."));
            }
            None => {}
        }
        if let Some(cap) = self.cap {
            let link = self.observed.link.map(|link| format!(" at {:.1} Mbit/s", link.mbit_s));
            lines.push(format!("More than {} would be useless{}.", pods(cap), link.unwrap_or_default()));
        }
        for limit in self.limits.iter().filter(|limit| limit.by != Limiter::Baseline) {
            lines.push(format!("{}: {} became {}.", limit.by.says(), pods(limit.from), pods(limit.to)));
        }
        let asked = match (self.pods, self.from) {
            (Some(to), Some(from)) if to == from => format!("It stays at {}.", pods(to)),
            (Some(to), Some(from)) => format!("It was to go from {} to {}.", pods(from), pods(to)),
            (Some(to), None) => format!("It was to have {}, from whatever it had.", pods(to)),
            _ => "The pods stay as they are.".to_owned(),
        };
        lines.push(match (self.carried_out, self.mode) {
            (Some(true), _) => format!("{asked} That was carried out."),
            (Some(false), Mode::Recommend) => format!("{asked} That was recommended and not carried out."),
            (Some(false), _) => format!("{asked} That was not carried out in full."),
            (None, _) if self.acts() => format!("{asked} What came of it was not written down."),
            (None, _) => asked,
        });
        lines.push(format!("In its own words: {}.", self.why.join("; ")));
        if let Some(stale) = self.agreement.as_ref().and_then(Agreement::stale) {
            lines.push(format!("The calibration no longer holds: {stale}."));
        }
        if let Some(shadow) = &self.shadow {
            lines.push(format!(
                "By the law, which knows no chance and of the load the mean of its window, over {:.0} s: {:.0} pod-seconds and {:.0} late ({:.0} to {:.0}); the shadow would have had \
                 {:.0} and {:.0} ({:.0} to {:.0}).",
                shadow.scored_s,
                shadow.live.pod_seconds,
                shadow.live.misses.value,
                shadow.live.misses.low,
                shadow.live.misses.high,
                shadow.shadow.pod_seconds,
                shadow.shadow.misses.value,
                shadow.shadow.misses.low,
                shadow.shadow.misses.high
            ));
        }
        lines
    }
}

impl Mode {
    /// Its name, as in documents and labels of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Recommend => "recommend",
            Mode::Auto => "auto",
            Mode::Paused => "paused",
            Mode::Emergency => "emergency",
        }
    }
}

impl Limiter {
    /// What it says, as the beginning of a sentence.
    pub fn says(self) -> &'static str {
        match self {
            Limiter::Baseline => "The policy was not trusted",
            Limiter::Useful => "More pods would be useless",
            Limiter::Bounds => "Outside the fewest and the most pods of a stage",
            Limiter::Server => "The server of a stage takes no more pods (--pods-max)",
            Limiter::Budget => "Both stages together have a budget",
            Limiter::Stabilisation => "Something else was wanted a moment ago",
            Limiter::Settling => "The first window after a start only grows",
            Limiter::Flapping => "It has turned too often within the hour",
            Limiter::Rate => "Pods may not change faster",
        }
    }
}

/// What was seen, and what was not.
fn seen(observed: &Observation) -> [String; 3] {
    let mut missing = Vec::new();
    let mut told = Vec::new();
    let mut tell = |name: &str, words: Option<String>| match words {
        Some(words) => told.push(words),
        None => missing.push(name.to_owned()),
    };
    let aged = |age_s: f64| if age_s > 2.0 { format!(" ({age_s:.1} s ago)") } else { String::new() };
    let rate = |verb: &str, signal: Option<Signal<f64>>| {
        signal.map(|rate| format!("{:.2}/s {verb}{}", rate.value, aged(rate.age_s)))
    };
    tell("arrivals", rate("arrive", observed.arrivals_per_s));
    tell("answers", rate("are answered", observed.answers_per_s));
    let latency = |name: &str, signal: Option<Signal<f64>>| {
        signal.map(|latency| format!("{name} {:.3} s{}", latency.value, aged(latency.age_s)))
    };
    tell("p50", latency("p50", observed.latency_p50_s));
    tell("p95", latency("p95", observed.latency_p95_s));
    let queue = |at: &str, queue: Option<Signal<QueueLevel>>| {
        queue.map(|queue| format!("{:.1} wait {at}{}", queue.value.mean, aged(queue.age_s)))
    };
    tell("queue of A", queue("for A", observed.queue_a));
    tell("queue of the proxy", queue("for a slot", observed.queue_proxy));
    tell("queue of B", queue("for B", observed.queue_b));
    let slots = |slots: Signal<u32>| format!("{} slots{}", slots.value, aged(slots.age_s));
    tell("slots", observed.slots.map(slots));
    let link = |link: LinkEstimate| {
        format!("the link carries {:.1} Mbit/s a transfer (confidence {:.2})", link.mbit_s, link.confidence)
    };
    tell("link", observed.link.map(link));
    let stage = |name: &str, stage: &Option<StagePods>| match stage {
        Some(StagePods { desired, ready, starting, draining, age_s, .. }) => {
            let of = [(starting, "starting"), (draining, "draining")];
            let on_the_way: String =
                of.iter().filter(|(n, _)| **n > 0).map(|(n, what)| format!(", {n} {what}")).collect();
            format!("{name} is to have {desired}, {ready} ready{on_the_way}{}", aged(*age_s))
        }
        None => format!("{name} does not answer"),
    };
    let told = if told.is_empty() { "nothing".to_owned() } else { told.join(", ") };
    [
        format!("Seen over {:.1} s: {told}.", observed.window_s),
        match missing.is_empty() {
            true => "No signal is missing.".to_owned(),
            false => format!("Missing: {}.", missing.join(", ")),
        },
        format!("{}; {}.", stage("A", &observed.a), stage("B", &observed.b)),
    ]
}

fn bottleneck(bottleneck: Bottleneck, observed: &Observation) -> String {
    let share = |signal: Option<Signal<f64>>| {
        signal.map_or("an unknown share of".to_owned(), |busy| format!("{:.0} % of", 100.0 * busy.value))
    };
    match bottleneck {
        Bottleneck::Network => {
            format!("The network is the bottleneck: slots are held {} the time.", share(observed.busy_slots))
        }
        Bottleneck::A => format!("A is the bottleneck: its pods work {} the time.", share(observed.busy_a)),
        Bottleneck::B => format!("B is the bottleneck: its pods work {} the time.", share(observed.busy_b)),
        Bottleneck::Load => "The load is the bottleneck: it is below what the pipeline carries.".to_owned(),
        Bottleneck::None => "Nothing is the bottleneck: nothing arrives and nothing waits.".to_owned(),
        Bottleneck::Unknown => "The bottleneck is unknown: a signal that it takes is missing.".to_owned(),
    }
}

fn pods(pods: Replicas) -> String {
    format!("A {}, B {}", pods.a, pods.b)
}
