//! The status of one pipeline, kept: what acts is noted before it is done, all else when it changes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use splitscale_policy::{Decision, End, Memory, Mode, Outcome};
use splitscale_spec::{Bottleneck, Observation, Replicas};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::asked::Field;
use crate::desk::Desk;
use crate::scaler::Half;

use super::client::in_time;
use super::findings::Findings;
use super::lease::Leader;
use super::report::{Policy, Report};
use super::resource::SplitPipeline;
use super::status::{LastDecision, SplitPipelineStatus};

/// Our name among the managers of the status.
pub(crate) const STATUS_MANAGER: &str = "splitscale-status";
/// Longest that a status stays as it is while what is seen goes on.
const AT_LEAST: Duration = Duration::from_secs(30);
/// Shortest time between two that only tell: the API server is not a log.
const AT_MOST: Duration = Duration::from_secs(2);
/// The same after one that could not be written.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// For so long a loop holds before that is an event \[s\].
const HELD_S: f64 = 10.0;

/// Keeps the status of one pipeline.
pub struct Ledger {
    pipelines: Api<SplitPipeline>,
    name: String,
    namespace: String,
    reference: ObjectReference,
    recorder: Recorder,
    leader: Leader,
    findings: Findings,
    book: Mutex<Book>,
    written: tokio::sync::Mutex<Written>,
    news: Notify,
}

/// What is to be told.
#[derive(Default)]
struct Book {
    generation: Option<i64>,
    mode: Mode,
    policy: Policy,
    calibrated: bool,
    expected: Vec<Field>,
    max_age_s: f64,
    decision: Option<Decision>,
    end: Option<End>,
    /// What came of a decision of another process, which is in the status.
    ended_before: Option<Outcome>,
    transitions: u32,
    desk: Option<Desk>,
    /// Pod-seconds before the desk.
    spent: [f64; 2],
    held_since_s: Option<f64>,
    held_told: bool,
    events: Vec<Event>,
}

/// What was told last.
struct Written {
    status: SplitPipelineStatus,
    at: Option<Instant>,
    failed: Option<Instant>,
}

/// What a loop that begins says of itself.
pub struct Begun {
    /// Generation of the object.
    pub generation: Option<i64>,
    /// Which policy decides, or why not.
    pub policy: Policy,
    /// Whether there is a calibration.
    pub calibrated: bool,
    /// Signals that are to be there.
    pub expected: Vec<Field>,
    /// Age above which they are not believed \[s\].
    pub max_age_s: f64,
    /// Where it is looked at.
    pub desk: Desk,
}

impl Ledger {
    /// Of an object, as its status is now.
    pub fn new(
        pipelines: Api<SplitPipeline>,
        object: &SplitPipeline,
        recorder: Recorder,
        leader: Leader,
    ) -> Ledger {
        let status = object.status.clone().unwrap_or_default();
        let cost = status.cost.clone().unwrap_or_default();
        let book = Book { spent: [cost.pod_seconds_a, cost.pod_seconds_b], ..Book::default() };
        Ledger {
            pipelines,
            name: object.name_any(),
            namespace: object.namespace().unwrap_or_default(),
            reference: object.object_ref(&()),
            recorder,
            leader,
            findings: Findings::default(),
            book: Mutex::new(book),
            written: tokio::sync::Mutex::new(Written { status, at: None, failed: None }),
            news: Notify::new(),
        }
    }

    /// What a backend comes across.
    pub fn findings(&self) -> Findings {
        self.findings.clone()
    }

    /// Each condition, and whether it holds; absent where that is not known.
    pub fn conditions(&self) -> Vec<(String, Option<bool>)> {
        let status = self.status(&SplitPipelineStatus::default());
        let holds = |status: &str| match status {
            "True" => Some(true),
            "False" => Some(false),
            _ => None,
        };
        status.conditions.into_iter().map(|told| (told.type_, holds(&told.status))).collect()
    }

    /// A loop begins.
    pub fn begin(&self, begun: Begun) {
        let mut book = self.book();
        book.spend();
        let was = book.policy.loaded.clone();
        let Begun { generation, policy, calibrated, expected, max_age_s, desk } = begun;
        if let Some((name, sha256)) = policy.loaded.as_ref().filter(|loaded| was.as_ref() != Some(loaded)) {
            let note = format!("policy `{name}`, SHA-256 {sha256}");
            book.events.push(event(EventType::Normal, "PolicyLoaded", &note, note.clone()));
        }
        (book.generation, book.mode, book.policy) = (generation, desk.mode(), policy);
        (book.calibrated, book.expected, book.max_age_s) = (calibrated, expected, max_age_s);
        book.desk = Some(desk);
        self.news.notify_one();
    }

    /// The object asks for another mode.
    pub fn moded(&self, generation: Option<i64>, mode: Mode) {
        let mut book = self.book();
        (book.generation, book.mode) = (generation, mode);
        self.news.notify_one();
    }

    /// The documents were read again: still the same, or not to be used.
    pub fn problem(&self, problem: Option<super::documents::Unloaded>) {
        self.book().policy.problem = problem;
        self.news.notify_one();
    }

    /// Whether something of the documents cannot be used.
    pub(crate) fn troubled(&self) -> bool {
        self.book().policy.problem.is_some()
    }

    /// The lead has changed so often.
    pub(crate) fn led(&self, transitions: u32) {
        self.book().transitions = transitions;
    }

    /// A decision was taken.
    pub fn decided(&self, decision: &Decision) {
        let mut book = self.book();
        let held = decision.pods.is_none() && decision.mode != Mode::Paused;
        let since_s = *book.held_since_s.get_or_insert(decision.now_s);
        if !held {
            (book.held_since_s, book.held_told) = (None, false);
        } else if decision.now_s - since_s >= HELD_S && !book.held_told {
            book.held_told = true;
            let why = decision.why.last().cloned().unwrap_or_default();
            book.events.push(event(EventType::Warning, "Held", &why, why.clone()));
        }
        (book.decision, book.end) = (Some(decision.clone()), None);
        self.news.notify_one();
    }

    /// Something came of a decision.
    pub fn ended(&self, outcome: &Outcome) {
        let mut book = self.book();
        if book.decision.is_none() {
            book.ended_before = Some(outcome.clone());
        }
        let Some(decision) = book.decision.as_mut().filter(|decision| decision.id == outcome.of) else {
            return;
        };
        decision.ended(outcome);
        let (from, to) = (decision.from, decision.pods);
        let words = |pods: Option<Replicas>| {
            pods.map_or("unknown".to_owned(), |Replicas { a, b }| format!("a {a}, b {b}"))
        };
        let change = format!("{} to {}", words(from), words(to));
        let why = decision.why.join("; ");
        book.end = Some(outcome.end);
        let (kind, reason) = match outcome.end.carried_out() {
            true => (EventType::Normal, "Scaled"),
            false => (EventType::Warning, "NotScaled"),
        };
        // The action tells two events apart: the same again is counted, and not told anew.
        book.events.push(event(kind, reason, &change, format!("{change}: {why}")));
        self.news.notify_one();
    }

    /// The last decision, and what came of it.
    pub fn last(&self) -> Option<(Decision, Option<Half>)> {
        let book = self.book();
        let decision = book.decision.clone()?;
        let open = book.end == Some(End::Half) || book.end.is_none() && decision.carried_out.is_none();
        let half = Half::of(&decision).filter(|_| open);
        Some((decision, half))
    }

    /// Notes a decision that is about to be carried out.
    ///
    /// # Errors
    /// In words why it could not be noted.
    pub async fn announce(&self, decision: &Decision) -> Result<(), String> {
        {
            let mut book = self.book();
            if book.decision.as_ref().is_none_or(|noted| noted.id != decision.id) {
                (book.decision, book.end) = (Some(decision.clone()), None);
            }
        }
        let mut written = self.written.lock().await;
        let status = self.status(&written.status);
        self.write(&mut written, status).await
    }

    /// Writes what changes, until `stop`.
    pub async fn keep(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = self.news.notified() => {}
                () = tokio::time::sleep(AT_MOST) => {}
                () = stop.cancelled() => break,
            }
            self.tell().await;
        }
        // What came of the last decision.
        self.tell().await;
    }

    async fn tell(&self) {
        if !self.leader.leads() {
            return;
        }
        let mut written = self.written.lock().await;
        let status = self.status(&written.status);
        let since = written.at.map(|at| at.elapsed());
        let due = match since {
            None => true,
            Some(since) if urgent(&written.status, &status) => since >= AT_MOST,
            Some(since) => since >= AT_LEAST && status != written.status,
        };
        if due && written.failed.is_none_or(|failed| failed.elapsed() >= AFTER_FAILURE) {
            let changed = changes(&written.status, &status);
            // What was last heard may be old, and whoever leads by now may have noted what it is about to do.
            if self.leader.check().await.is_err() {
                written.failed = Some(Instant::now());
            } else if self.write(&mut written, status).await.is_ok() {
                self.book().events.extend(changed);
            }
        }
        drop(written);
        let events = std::mem::take(&mut self.book().events);
        for event in events {
            if let Err(error) = in_time(self.recorder.publish(&event, &self.reference)).await {
                tracing::debug!(
                    "{}/{}: event {} was not published: {error}",
                    self.namespace,
                    self.name,
                    event.reason
                );
            }
        }
    }

    /// The status as it is to be now.
    fn status(&self, last: &SplitPipelineStatus) -> SplitPipelineStatus {
        let (book, found) = (self.book(), self.findings.found());
        let report = Report {
            generation: book.generation,
            mode: book.mode,
            namespace: &self.namespace,
            decision: book.decision.as_ref(),
            end: book.end,
            transitions: book.transitions,
            policy: &book.policy,
            expected: &book.expected,
            max_age_s: book.max_age_s,
            pod_seconds: book.pod_seconds(),
            calibrated: book.calibrated,
            found: &found,
        };
        let mut status = report.status(last, Timestamp::now());
        if let (None, Some(outcome), Some(told)) =
            (&book.decision, &book.ended_before, &mut status.last_decision)
            && told.number == outcome.of
        {
            told.end = Some(outcome.end.name().to_owned());
        }
        status
    }

    async fn write(&self, written: &mut Written, status: SplitPipelineStatus) -> Result<(), String> {
        let patch = json!({
            "apiVersion": SplitPipeline::api_version(&()),
            "kind": SplitPipeline::kind(&()),
            "metadata": {"name": self.name},
            "status": status,
        });
        // The status is ours alone.
        let how = PatchParams::apply(STATUS_MANAGER).force();
        match in_time(self.pipelines.patch_status(&self.name, &how, &Patch::Apply(patch))).await {
            Ok(_) => {
                *written = Written { status, at: Some(Instant::now()), failed: None };
                Ok(())
            }
            Err(error) => {
                if written.failed.is_none() && !error.not_found() {
                    tracing::warn!(
                        "{}/{}: the status cannot be written, and is tried again: {error}",
                        self.namespace,
                        self.name
                    );
                }
                written.failed = Some(Instant::now());
                Err(error.to_string())
            }
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // No code under the lock leaves it half changed when it panics.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn pod_seconds(&self) -> [f64; 2] {
        let since = self.desk.as_ref().map_or([0.0; 2], |desk| desk.meters().pod_seconds);
        [self.spent[0] + since[0], self.spent[1] + since[1]]
    }

    /// What was spent under a desk that goes.
    fn spend(&mut self) {
        self.spent = self.pod_seconds();
        self.desk = None;
    }
}

/// What a status says of the last decision: as a decision, and what of it may be half done. Of one that was noted and of which it
/// is not known what came of it, either write may be missing.
pub fn resumed(last: &LastDecision) -> (Decision, Option<Half>) {
    let memory = last.memory.as_ref().and_then(|memory| serde_json::from_str::<Memory>(memory).ok());
    let replicas = |pods: Option<super::status::PodCounts>| pods.map(Replicas::from);
    let decision = Decision {
        schema: Decision::SCHEMA,
        id: last.number,
        now_s: last.clock_seconds,
        mode: if last.acts { Mode::Auto } else { Mode::Recommend },
        observed: Observation::empty(last.clock_seconds, 0.0),
        bottleneck: Bottleneck::Unknown,
        from: replicas(last.from),
        raw: replicas(last.raw),
        cap: replicas(last.useful_cap),
        pods: replicas(last.to),
        limits: Vec::new(),
        waits: Default::default(),
        why: Vec::new(),
        policy: String::new(),
        memory: memory.unwrap_or_default(),
        shadow: None,
        agreement: None,
        carried_out: None,
    };
    let open = last.acts && last.end.as_deref().is_none_or(|end| end == End::Half.name());
    let half = Half::of(&decision).filter(|_| open);
    (decision, half)
}

/// Whether what changed is to be told at once.
fn urgent(last: &SplitPipelineStatus, next: &SplitPipelineStatus) -> bool {
    let conditions = |status: &SplitPipelineStatus| {
        let each = status.conditions.iter();
        each.map(|told| (told.type_.clone(), told.status.clone(), told.reason.clone())).collect::<Vec<_>>()
    };
    let decision = |status: &SplitPipelineStatus| {
        let last = status.last_decision.as_ref();
        last.map(|last| (last.from, last.to, last.acts, last.end.clone(), last.limited_by.clone()))
    };
    (last.observed_generation, last.mode, last.replicas)
        != (next.observed_generation, next.mode, next.replicas)
        || conditions(last) != conditions(next)
        || decision(last) != decision(next)
}

/// What is to be told of conditions that have changed.
fn changes(last: &SplitPipelineStatus, next: &SplitPipelineStatus) -> Vec<Event> {
    let changed = next.conditions.iter().filter(|next| {
        let before = last.conditions.iter().find(|last| last.type_ == next.type_);
        let trouble = is_trouble(&next.type_, &next.status);
        // That something is unknown at first is no news, and neither is that it is well. Reasons may come and go with every look,
        // but those of a document, which somebody edits.
        before.map_or(trouble, |before| {
            let edited = trouble && next.type_ == "PolicyLoaded" && before.reason != next.reason;
            before.status != next.status || edited
        })
    });
    let told = changed.map(|condition| {
        let kind = if is_trouble(&condition.type_, &condition.status) {
            EventType::Warning
        } else {
            EventType::Normal
        };
        // The same again is counted; for another reason it is another.
        let action = format!("{}{}{}", condition.type_, condition.status, condition.reason);
        let note = format!(
            "{} is {}, {}: {}",
            condition.type_, condition.status, condition.reason, condition.message
        );
        event(kind, "ConditionChanged", &action, note)
    });
    told.collect()
}

fn is_trouble(kind: &str, status: &str) -> bool {
    match kind {
        "ReplicasOwnedElsewhere" | "CalibrationStale" => status == "True",
        _ => status == "False",
    }
}

/// An event within what the API server takes: 128 characters of action, 1 kB of note.
pub(super) fn event(type_: EventType, reason: &str, action: &str, note: String) -> Event {
    let cut = |text: &str, most: usize| {
        let mut end = text.len().min(most);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text[..end].to_owned()
    };
    Event {
        type_,
        reason: reason.to_owned(),
        note: Some(cut(&note, 1000)),
        action: cut(action, 128),
        secondary: None,
    }
}
