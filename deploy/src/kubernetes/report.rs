//! From a decision and what was found to the status of a `SplitPipeline`. Pure: the time is an argument.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use splitscale_policy::{Decision, End, Mode};
use splitscale_spec::{Observation, Replicas, Signal};

use crate::asked::Field;

use super::documents::Unloaded;
use super::findings::Found;
use super::resource::ModeName;
use super::status::{Cost, LastDecision, Observed, PodCounts, SplitPipelineStatus};

/// Longest text of a condition.
const MESSAGE: usize = 2000;
/// Longest memory that is kept in a status \[bytes\]: what is longer is not remembered by whoever leads next.
const MEMORY: usize = 16 << 10;

/// Everything that a status is made of.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    /// Generation of the object.
    pub generation: Option<i64>,
    /// The mode that decisions are taken in.
    pub mode: Mode,
    /// Namespace of the object.
    pub namespace: &'a str,
    /// The last decision, if one was taken yet.
    pub decision: Option<&'a Decision>,
    /// What came of it.
    pub end: Option<End>,
    /// How often the lead has changed.
    pub transitions: u32,
    /// SHA-256 of the policy that decides, or why another one does not; and whether any does.
    pub policy: &'a Policy,
    /// Signals that are to be there.
    pub expected: &'a [Field],
    /// Age above which a signal is not believed \[s\].
    pub max_age_s: f64,
    /// Pod-seconds of A and B since the object was made.
    pub pod_seconds: [f64; 2],
    /// Whether there is a calibration.
    pub calibrated: bool,
    /// What else was found.
    pub found: &'a Found,
}

/// The policy of a pipeline.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Name and SHA-256 of the one that decides; absent where none does.
    pub loaded: Option<(String, String)>,
    /// Why the one that the object names does not; absent where it does.
    pub problem: Option<Unloaded>,
}

impl Report<'_> {
    /// The status at a time, after another one.
    pub fn status(&self, last: &SplitPipelineStatus, now: Timestamp) -> SplitPipelineStatus {
        let decision = self.decision;
        let cap = decision.and_then(|decision| decision.cap);
        SplitPipelineStatus {
            observed_generation: self.generation,
            mode: Some(self.mode.into()),
            replicas: decision
                .and_then(|decision| self.replicas(decision))
                .map(PodCounts::from)
                .or(last.replicas),
            useful: cap.map(PodCounts::from),
            useful_pods: cap.map(|Replicas { a, b }| format!("{a}/{b}")),
            bottleneck: decision.map(|decision| decision.bottleneck.name().to_owned()),
            last_decision: decision
                .map(|decision| self.told(decision, now))
                .or_else(|| last.last_decision.clone()),
            cost: Some(self.cost()),
            conditions: self.conditions(&last.conditions, now),
        }
    }

    /// Pods that both stages are told to have.
    fn replicas(&self, decision: &Decision) -> Option<Replicas> {
        match self.end {
            Some(end) if end.carried_out() => decision.pods,
            _ => decision.from,
        }
    }

    fn told(&self, decision: &Decision, now: Timestamp) -> LastDecision {
        let seen = &decision.observed;
        let memory = serde_json::to_string(&decision.memory).ok();
        LastDecision {
            id: format!("{}-{}", self.transitions, decision.id),
            number: decision.id,
            time: Some(Time(now)),
            mode: ModeName::from(decision.mode),
            observed: Observed::of(seen),
            bottleneck: decision.bottleneck.name().to_owned(),
            from: decision.from.map(PodCounts::from),
            raw: decision.raw.map(PodCounts::from),
            useful_cap: decision.cap.map(PodCounts::from),
            to: decision.pods.map(PodCounts::from),
            limited_by: decision.limits.iter().map(|limit| limit.by.name().to_owned()).collect(),
            why: decision.why.clone(),
            policy_sha256: self.policy.loaded.as_ref().map(|(_, sha256)| sha256.clone()),
            oldest_signal_seconds: self
                .expected
                .iter()
                .filter_map(|field| field.age_s(seen))
                .reduce(f64::max)
                .map(short),
            acts: decision.acts() && decision.carried_out != Some(false) || self.end.is_some(),
            end: self.end.map(|end| end.name().to_owned()),
            memory: memory.filter(|memory| memory.len() <= MEMORY),
            clock_seconds: decision.now_s,
        }
    }

    fn cost(&self) -> Cost {
        let [a, b] = self.pod_seconds;
        let score = self.decision.and_then(|decision| decision.shadow);
        let in_time =
            |misses: f64, arrivals: f64| (arrivals > 0.0).then(|| short(1.0 - (misses / arrivals).min(1.0)));
        Cost {
            pod_seconds_a: a.round(),
            pod_seconds_b: b.round(),
            law_pod_seconds: score.map(|score| score.live.pod_seconds.round()),
            shadow_pod_seconds: score.map(|score| score.shadow.pod_seconds.round()),
            answered_in_time: score.and_then(|score| in_time(score.live.misses.value, score.arrivals)),
            shadow_answered_in_time: score
                .and_then(|score| in_time(score.shadow.misses.value, score.arrivals)),
        }
    }

    fn conditions(&self, last: &[Condition], now: Timestamp) -> Vec<Condition> {
        let told = [
            Some(("Ready", self.ready())),
            Some(("SignalsFresh", self.signals())),
            Some(("PolicyLoaded", self.loaded())),
            Some(("ReplicasOwnedElsewhere", self.owned())),
            self.stale().map(|stale| ("CalibrationStale", stale)),
        ];
        let condition = |(kind, (status, reason, message)): (&str, (Option<bool>, &str, String))| {
            let status = status.map_or("Unknown", |holds| if holds { "True" } else { "False" });
            let same = last.iter().find(|before| before.type_ == kind && before.status == status);
            Condition {
                type_: kind.to_owned(),
                status: status.to_owned(),
                reason: reason.to_owned(),
                message: message.chars().take(MESSAGE).collect(),
                observed_generation: self.generation,
                last_transition_time: same.map_or(Time(now), |before| before.last_transition_time.clone()),
            }
        };
        told.into_iter().flatten().map(condition).collect()
    }

    /// Whether it does what its mode says.
    fn ready(&self) -> (Option<bool>, &'static str, String) {
        let no = |reason, message: String| (Some(false), reason, message);
        if let (None, Some(problem)) = (&self.policy.loaded, &self.policy.problem)
            && self.mode != Mode::Emergency
        {
            return no("PolicyNotLoaded", problem.message.clone());
        }
        if let Some(why) = &self.found.unusable {
            return no("SpecInvalid", why.clone());
        }
        if !self.found.scales.is_empty() {
            return no("ScaleUnknown", self.found.scales.join("; "));
        }
        let Some(decision) = self.decision else {
            return (None, "Starting", "no decision was taken yet".to_owned());
        };
        let acting = matches!(self.mode, Mode::Auto | Mode::Emergency);
        if let Some(owner) = self.found.all_owners().first().filter(|_| acting) {
            let words = format!("{}; the condition ReplicasOwnedElsewhere has what to do", owner.words());
            return no("ReplicasOwnedElsewhere", words);
        }
        if matches!(self.end, Some(end) if !end.carried_out())
            || decision.acts() && decision.carried_out == Some(false)
        {
            return no("ChangeFailed", decision.why.last().cloned().unwrap_or_default());
        }
        if decision.mode == Mode::Paused {
            return (Some(true), "Paused", "the pods stay as they are".to_owned());
        }
        let why = || decision.why.last().cloned().unwrap_or_default();
        match decision.pods {
            None => no("Holding", why()),
            Some(_) if decision.mode == Mode::Emergency => (Some(true), "Emergency", why()),
            Some(_) => (Some(true), "Deciding", format!("mode {}", decision.mode.name())),
        }
    }

    /// Whether every signal is there and young enough.
    fn signals(&self) -> (Option<bool>, &'static str, String) {
        let Some(Decision { observed: seen, .. }) = self.decision else {
            return (None, "Starting", "nothing was looked at yet".to_owned());
        };
        let answered = seen.answers_per_s.is_some_and(|answers| answers.value > 0.0);
        let (mut missing, mut stale) = (Vec::new(), Vec::new());
        let mut look = |name: &str, age_s: Option<f64>, may_be_missing: bool| match age_s {
            None if may_be_missing => {}
            None => missing.push(name.to_owned()),
            Some(age_s) if age_s > self.max_age_s => stale.push(format!("{name} {age_s:.0} s")),
            Some(_) => {}
        };
        for field in self.expected {
            match field {
                // An idle link is unknown, and what it was known for is the older the longer it is idle.
                Field::Link => {}
                // Where nothing is answered nothing has taken any time.
                Field::LatencyP50 | Field::LatencyP95 => look(field.name(), field.age_s(seen), !answered),
                _ => look(field.name(), field.age_s(seen), false),
            }
        }
        look("pods of a", seen.a.as_ref().map(|pods| pods.age_s), false);
        look("pods of b", seen.b.as_ref().map(|pods| pods.age_s), false);
        let mut words = Vec::new();
        if !missing.is_empty() {
            words.push(format!("missing: {}", missing.join(", ")));
        }
        if !stale.is_empty() {
            words.push(format!(
                "older than the {:.0} s that are believed: {}",
                self.max_age_s,
                stale.join(", ")
            ));
        }
        for (stage, pods) in [("a", &seen.a), ("b", &seen.b)] {
            if pods.as_ref().is_some_and(|pods| pods.ready == 0) {
                words.push(format!("no pod of {stage} is ready"));
            }
        }
        if !self.found.silent.is_empty() {
            let pods = self.found.silent.join(", ");
            words.push(format!(
                "ready and without an answer: {pods} (are port and path right in spec.signals, and does a NetworkPolicy let the operator in?)"
            ));
        }
        words.extend(self.found.asked.iter().cloned());
        let reason = match (missing.is_empty(), stale.is_empty()) {
            (true, true) => return (Some(true), "Fresh", "every signal is there".to_owned()),
            (false, _) => "SignalsMissing",
            (true, false) => "SignalsStale",
        };
        (Some(false), reason, words.join("; "))
    }

    /// Whether the policy that the object names decides.
    fn loaded(&self) -> (Option<bool>, &'static str, String) {
        match (&self.policy.loaded, &self.policy.problem) {
            (Some((name, sha256)), None) => {
                (Some(true), "Loaded", format!("policy `{name}`, SHA-256 {sha256}"))
            }
            (Some((name, _)), Some(problem)) => (
                Some(false),
                problem.reason,
                format!("{}; until then `{name}` goes on, the last that was good", problem.message),
            ),
            (None, Some(problem)) => (
                Some(false),
                problem.reason,
                format!("{}; until then the pods stay as they are", problem.message),
            ),
            (None, None) => (None, "Starting", "it was not read yet".to_owned()),
        }
    }

    /// Whether somebody else owns the replicas.
    fn owned(&self) -> (Option<bool>, &'static str, String) {
        let owners = self.found.all_owners();
        if owners.is_empty() {
            return (Some(false), "NobodyElse", "nobody else writes the replicas".to_owned());
        }
        let words: Vec<String> = owners.iter().map(|owner| owner.remedy(self.namespace)).collect();
        (Some(true), "OtherManager", format!("nothing is written: {}", words.join("; ")))
    }

    /// Whether the pipeline is no longer what was calibrated; absent without a calibration.
    fn stale(&self) -> Option<(Option<bool>, &'static str, String)> {
        let agreement = self.decision.filter(|_| self.calibrated)?.agreement.as_ref()?;
        Some(match agreement.stale() {
            Some(words) => (
                Some(true),
                "ResidualsBeyondBand",
                format!(
                    "{words}; when the pipeline is free, set spec.mode to Paused, measure again (splitscale collect --namespace {}, splitscale calibrate) and put the new calibration where spec.calibration names it",
                    self.namespace
                ),
            ),
            None if agreement.residuals.is_empty() => {
                (None, "NotCompared", "nothing could be compared lately".to_owned())
            }
            None => (Some(false), "Holds", "what is seen is what was calibrated".to_owned()),
        })
    }
}

impl Observed {
    fn of(seen: &Observation) -> Observed {
        let value = |signal: Option<Signal<f64>>| signal.map(|signal| short(signal.value));
        Observed {
            arrivals_per_second: value(seen.arrivals_per_s),
            answers_per_second: value(seen.answers_per_s),
            queue_a: seen.queue_a.map(|queue| short(queue.value.mean)),
            queue_proxy: seen.queue_proxy.map(|queue| short(queue.value.mean)),
            queue_b: seen.queue_b.map(|queue| short(queue.value.mean)),
            busy_a: value(seen.busy_a),
            busy_slots: value(seen.busy_slots),
            busy_b: value(seen.busy_b),
            slots: seen.slots.map(|slots| slots.value),
            latency_p50_seconds: value(seen.latency_p50_s),
            latency_p95_seconds: value(seen.latency_p95_s),
            link_mbit_per_second: seen.link.map(|link| short(link.mbit_s)),
            link_confidence: seen.link.map(|link| short(link.confidence)),
            ready_a: seen.a.as_ref().map(|pods| pods.ready),
            ready_b: seen.b.as_ref().map(|pods| pods.ready),
        }
    }
}

/// Three digits behind the point.
fn short(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
