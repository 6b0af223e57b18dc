//! What a scaler says of itself to Prometheus: the table in `docs/metrics.md`, text format 0.0.4.
//!
//! The set is that of Datadog's watermark autoscaler, the fullest there is: what was proposed and what it came to, what
//! restricted it, for how long yet; with the mode, the age of each signal and the costs.

use std::fmt::Write;

use splitscale_policy::{Decision, End, Limiter, Mode, Outcome};
use splitscale_spec::{Bottleneck, Observation, Replicas, StagePods};

use crate::desk::Desk;

/// What is counted while a scaler runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Meters {
    /// Decisions taken.
    pub decisions: u64,
    /// Of those, the ones that left the pods as they are because nobody could tell.
    pub holds: u64,
    /// Changes carried out: of A up and down, of B up and down.
    pub changes: [[u64; 2]; 2],
    /// How decisions that change something ended, in the order of [`End::ALL`].
    pub ends: [u64; 5],
    /// Pods that there were, over time, of A and B: starting, ready and draining \[pod s\].
    pub pod_seconds: [f64; 2],
}

/// Conditions, by type: what several tell of one pipeline stands together.
const CONDITION: &str = "split_scaler_condition";
const CONDITION_HELP: &str = "1 where the condition holds; no sample where that is not known.";

/// Gauges of one family: labels and value.
type Samples = Vec<(String, f64)>;

impl Meters {
    /// Counts a decision, the one before it known.
    pub(crate) fn decided(&mut self, last: Option<&Decision>, decision: &Decision) {
        self.decisions += 1;
        self.holds += u64::from(decision.pods.is_none());
        let Some(last) = last else { return };
        // What there was at the last look is taken to have lasted until this one.
        let step_s = (decision.now_s - last.now_s).max(0.0);
        for (sum, pods) in self.pod_seconds.iter_mut().zip([&last.observed.a, &last.observed.b]) {
            *sum += step_s * pods.as_ref().map_or(0.0, there);
        }
    }

    /// Counts what came of a decision.
    pub(crate) fn ended(&mut self, outcome: &Outcome, decision: Option<&Decision>) {
        let at = End::ALL.iter().position(|end| *end == outcome.end);
        self.ends[at.unwrap_or_default()] += 1;
        let moved = decision.filter(|_| outcome.end.carried_out());
        let Some((from, to)) = moved.and_then(|decision| decision.from.zip(decision.pods)) else { return };
        for (counts, (from, to)) in self.changes.iter_mut().zip([(from.a, to.a), (from.b, to.b)]) {
            counts[0] += u64::from(to > from);
            counts[1] += u64::from(to < from);
        }
    }
}

/// One metric.
pub(crate) struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: Samples,
}

/// Everything, as Prometheus reads it.
pub(crate) fn exposed(desk: &Desk) -> String {
    text([(String::new(), families(desk))])
}

/// Metrics of several, each told apart by labels of its own; one metric stands together.
pub(crate) fn text(all: impl IntoIterator<Item = (String, Vec<Family>)>) -> String {
    let mut text = String::new();
    let mut joined: Vec<Family> = Vec::new();
    for (own, families) in all {
        for Family { name, kind, help, samples } in families {
            let samples = samples.into_iter().map(|(labels, value)| {
                let comma = if own.is_empty() || labels.is_empty() { "" } else { "," };
                (format!("{own}{comma}{labels}"), value)
            });
            match joined.iter_mut().find(|family| family.name == name) {
                Some(family) => family.samples.extend(samples),
                None => joined.push(Family { name, kind, help, samples: samples.collect() }),
            }
        }
    }
    for Family { name, kind, help, samples } in joined {
        // A String takes every write.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = match labels.is_empty() {
                true => writeln!(text, "{name} {value}"),
                false => writeln!(text, "{name}{{{labels}}} {value}"),
            };
        }
    }
    text
}

impl Family {
    /// Conditions: 1 where one holds, by type.
    pub(crate) fn condition(samples: Samples) -> Family {
        Family { name: CONDITION, kind: "gauge", help: CONDITION_HELP, samples }
    }

    /// A gauge of one value.
    pub(crate) fn gauge(name: &'static str, help: &'static str, value: f64) -> Family {
        Family { name, kind: "gauge", help, samples: vec![(String::new(), value)] }
    }
}

/// Everything of one scaler.
pub(crate) fn families(desk: &Desk) -> Vec<Family> {
    let (meters, latest, setup) = (desk.meters(), desk.latest(), desk.setup());
    let mut all = Vec::new();
    let mut family = |name: &'static str, kind: &'static str, help: &'static str, samples: Samples| {
        all.push(Family { name, kind, help, samples });
    };
    let one = |value: f64| vec![(String::new(), value)];
    let which = |label: &str, all: &[&str], is: &dyn Fn(&str) -> bool| -> Samples {
        all.iter().map(|name| (format!("{label}=\"{name}\""), f64::from(u8::from(is(name))))).collect()
    };

    let baseline = setup.baseline.as_ref().map_or("none", |baseline| &baseline.name);
    let labels = format!(
        "version=\"{}\",policy=\"{}\",baseline=\"{}\"",
        env!("CARGO_PKG_VERSION"),
        escaped(&setup.policy.name),
        escaped(baseline)
    );
    family(
        "split_scaler_info",
        "gauge",
        "Always 1: which policy decides, and which in its place.",
        vec![(labels, 1.0)],
    );
    let modes = [Mode::Recommend, Mode::Auto, Mode::Paused, Mode::Emergency].map(Mode::name);
    let mode = desk.mode().name();
    family(
        "split_scaler_mode",
        "gauge",
        "1 for the mode that it is in.",
        which("mode", &modes, &|name| name == mode),
    );
    family("split_scaler_decisions_total", "counter", "Decisions taken.", one(meters.decisions as f64));
    family(
        "split_scaler_holds_total",
        "counter",
        "Decisions to leave the pods as they are because nobody could tell.",
        one(meters.holds as f64),
    );
    let changes = ["a", "b"].iter().zip(meters.changes).flat_map(|(stage, counts)| {
        ["up", "down"].into_iter().zip(counts).map(move |(direction, count)| {
            (format!("stage=\"{stage}\",direction=\"{direction}\""), count as f64)
        })
    });
    family(
        "split_scaler_changes_total",
        "counter",
        "Changes of a stage's pods that were carried out.",
        changes.collect(),
    );
    let ends = End::ALL.iter().zip(meters.ends).map(|(end, n)| (format!("end=\"{}\"", end.name()), n as f64));
    family(
        "split_scaler_outcomes_total",
        "counter",
        "How decisions that change something ended; one that was half done ends twice.",
        ends.collect(),
    );
    let stages = |of: [f64; 2]| -> Samples {
        ["a", "b"].into_iter().zip(of).map(|(stage, value)| (format!("stage=\"{stage}\""), value)).collect()
    };
    family(
        "split_scaler_pod_seconds_total",
        "counter",
        "Pods that were seen over time: starting, ready and draining.",
        stages(meters.pod_seconds),
    );

    let pods = |pods: Option<Replicas>| -> Samples {
        pods.map_or_else(Vec::new, |pods| stages([f64::from(pods.a), f64::from(pods.b)]))
    };
    let of = |get: &dyn Fn(&Decision) -> Option<Replicas>| pods(latest.as_deref().and_then(get));
    family(
        "split_scaler_replicas_desired",
        "gauge",
        "Pods that a stage was told to have before the last decision.",
        of(&|decision| decision.from),
    );
    family(
        "split_scaler_replicas_proposal",
        "gauge",
        "Pods that the policy wants, before anything holds it back; no sample where it cannot tell.",
        of(&|decision| decision.raw),
    );
    family(
        "split_scaler_replicas_useful",
        "gauge",
        "Pods beyond which one more would be useless; no sample where that is not known.",
        of(&|decision| decision.cap),
    );
    family(
        "split_scaler_replicas_effective",
        "gauge",
        "Pods that are to be, after everything that holds it back; no sample where it holds.",
        of(&|decision| decision.pods),
    );
    let limiters = Limiter::ALL.map(Limiter::name);
    let limited =
        |name: &str| latest.iter().flat_map(|decision| &decision.limits).any(|limit| limit.by.name() == name);
    family(
        "split_scaler_restricted",
        "gauge",
        "1 for each reason that made a difference to the last decision.",
        latest.as_ref().map_or_else(Vec::new, |_| which("reason", &limiters, &limited)),
    );
    let countdown = latest.iter().flat_map(|decision| decision.waits.each());
    family(
        "split_scaler_transition_countdown_seconds",
        "gauge",
        "Time until pods may be taken away, or until the baseline decides; no sample where nothing waits.",
        countdown.map(|(transition, left_s)| (format!("transition=\"{transition}\""), left_s)).collect(),
    );
    let bottlenecks: Vec<&str> = Bottleneck::ALL.iter().map(|bottleneck| bottleneck.name()).collect();
    let held_back_by = |by: &str| which("bottleneck", &bottlenecks, &|name| by == name);
    family(
        "split_scaler_bottleneck",
        "gauge",
        "1 for what holds the pipeline back, as far as was seen.",
        latest.as_ref().map_or_else(Vec::new, |decision| held_back_by(decision.bottleneck.name())),
    );
    let ages = latest.iter().flat_map(|decision| ages(&decision.observed));
    family(
        "split_scaler_signal_age_seconds",
        "gauge",
        "Age of each signal at the last decision; no sample where it is missing.",
        ages.map(|(signal, age_s)| (format!("signal=\"{signal}\""), age_s)).collect(),
    );

    let residuals =
        || latest.iter().filter_map(|decision| decision.agreement.as_ref()).flat_map(|a| &a.residuals);
    let quantity = |name: &str| format!("quantity=\"{name}\"");
    family(
        "split_scaler_residual_ratio",
        "gauge",
        "Seen over what the calibration predicts, throughputs per second and latency; no sample where that was not compared lately.",
        residuals().map(|residual| (quantity(residual.quantity.name()), residual.ratio)).collect(),
    );
    let stale = residuals().map(|residual| residual.stale).reduce(|one, other| one || other);
    let condition = stale.map(|stale| ("type=\"CalibrationStale\"".to_owned(), f64::from(u8::from(stale))));
    family(CONDITION, "gauge", CONDITION_HELP, condition.into_iter().collect());
    let score = latest.as_ref().and_then(|decision| decision.shadow);
    let sides = score.map(|score| [("live", score.live), ("shadow", score.shadow)]);
    let by_law = |of: &dyn Fn(&splitscale_policy::Tally) -> f64| -> Samples {
        sides.iter().flatten().map(|(side, tally)| (format!("policy=\"{side}\""), of(tally))).collect()
    };
    family(
        "split_scaler_law_pod_seconds",
        "gauge",
        "Pods over time since the start by the throughput law, live and of the shadow policy.",
        by_law(&|tally| tally.pod_seconds),
    );
    family(
        "split_scaler_law_misses",
        "gauge",
        "Requests that the throughput law takes to be answered late since the start, live and of the shadow policy.",
        by_law(&|tally| tally.misses.value),
    );
    all
}

/// Pods of a stage that cost something.
fn there(pods: &StagePods) -> f64 {
    f64::from(pods.ready) + f64::from(pods.starting) + f64::from(pods.draining)
}

/// The age of every signal that there is, by its name in the observation.
fn ages(seen: &Observation) -> Vec<(&'static str, f64)> {
    let signals = [
        ("arrivals_per_s", seen.arrivals_per_s.map(|s| s.age_s)),
        ("answers_per_s", seen.answers_per_s.map(|s| s.age_s)),
        ("queue_a", seen.queue_a.map(|s| s.age_s)),
        ("queue_proxy", seen.queue_proxy.map(|s| s.age_s)),
        ("queue_b", seen.queue_b.map(|s| s.age_s)),
        ("busy_a", seen.busy_a.map(|s| s.age_s)),
        ("busy_slots", seen.busy_slots.map(|s| s.age_s)),
        ("busy_b", seen.busy_b.map(|s| s.age_s)),
        ("slots", seen.slots.map(|s| s.age_s)),
        ("latency_p50_s", seen.latency_p50_s.map(|s| s.age_s)),
        ("latency_p95_s", seen.latency_p95_s.map(|s| s.age_s)),
        ("link", seen.link.map(|link| link.age_s)),
        ("a", seen.a.as_ref().map(|pods| pods.age_s)),
        ("b", seen.b.as_ref().map(|pods| pods.age_s)),
    ];
    signals.into_iter().filter_map(|(name, age_s)| Some((name, age_s?))).collect()
}

/// A label's value: backslash, quote and line end escaped.
pub(crate) fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
