//! One pipeline: a loop by what its object says, begun anew where that changes.
//!
//! ```text
//!  object ─▶ documents ─▶ Controller ─▶ Scaler on a KubernetesBackend ─┐
//!    ▲          ▲  every half minute: still the same?                  │ decisions, outcomes
//!    └──────────┴───────── another spec, another document ◀────────────┴─▶ Ledger (status, events), journal
//! ```

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::runtime::events::Recorder;
use kube::{Api, Client, ResourceExt};
use splitscale_policy::{
    Controller, Freshness, Line, Mode, Policy, Residuals, Setup, Shadow, ShadowConfig, UsefulConfig,
};
use splitscale_spec::Invalid;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::desk::Desk;
use crate::scaler::{Refused, Scaler};
use crate::scrape::Observer;

use super::backend::{KubernetesBackend, Surroundings};
use super::board::Board;
use super::cluster::Cluster;
use super::documents::{Documents, Library, Unloaded};
use super::lease::Leader;
use super::ledger::{Begun, Ledger, resumed};
use super::readings::Plan;
use super::report;
use super::resource::{SplitPipeline, SplitPipelineSpec};

/// How often the documents are read again.
const REREAD: Duration = Duration::from_secs(30);
/// The same where they could not be used.
const REREAD_SOON: Duration = Duration::from_secs(5);

/// A pod has at least and at most so long for an answer, and an interval in between.
const ANSWER_MIN: Duration = Duration::from_secs(1);
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// What all pipelines of a namespace share.
#[derive(Clone)]
pub(super) struct Shared {
    /// The API server, for calls.
    pub client: Client,
    /// The namespace.
    pub cluster: Cluster,
    /// Whether this process leads.
    pub leader: Leader,
    /// Who tells events.
    pub recorder: Recorder,
    /// Where pipelines are looked at.
    pub board: Board,
    /// Where decisions are written, if anywhere.
    pub journals: Journals,
}

/// Gives a place for the decisions of a pipeline, by namespace and name, in the form of `decisions.jsonl`.
pub type Journals = Arc<dyn Fn(&str, &str) -> Option<Box<dyn Write + Send>> + Send + Sync>;

/// Who decides about a pipeline, and what is said beside it.
struct Deciders {
    controller: Controller,
    shadow: Option<Shadow>,
    residuals: Option<Residuals>,
}

/// A loop that runs.
struct Running {
    desk: Desk,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

/// Runs a pipeline until `stop`, which leaves its pods as they are.
pub(super) async fn run(
    shared: Shared,
    mut object: watch::Receiver<Arc<SplitPipeline>>,
    stop: CancellationToken,
) {
    let first = object.borrow().clone();
    let (namespace, name) = (shared.cluster.namespace.clone(), first.name_any());
    let pipelines = Api::namespaced(shared.client.clone(), &namespace);
    let ledger = Arc::new(Ledger::new(pipelines, &first, shared.recorder.clone(), shared.leader.clone()));
    let telling = CancellationToken::new();
    let told = tokio::spawn({
        let (ledger, telling) = (ledger.clone(), telling.clone());
        async move { ledger.keep(telling).await }
    });
    let library = Library { maps: Api::namespaced(shared.client.clone(), &namespace) };
    let journal = Journal::open(&shared.journals, &namespace, &name);
    let mut good: Option<Documents> = None;
    while !stop.is_cancelled() {
        let now = object.borrow_and_update().clone();
        let read = tokio::select! {
            read = library.read(&now.spec) => read,
            () = stop.cancelled() => break,
        };
        // How often the lead has changed, before the first decision that says so.
        if let Ok(transitions) = shared.leader.check().await {
            ledger.led(transitions);
        }
        let choice = choose(&now.spec, read, &mut good);
        let choice = choice.map_err(|wrong| ledger.findings().unusable(Some(format!("spec: {wrong}")))).ok();
        let begun = choice.and_then(|choice| begin(&shared, &now, choice, (&ledger, &journal), &stop));
        let Some(running) = begun else {
            // Nothing of it can be used: told, and tried again.
            tokio::select! {
                _ = object.changed() => {}
                () = tokio::time::sleep(REREAD) => {}
                () = stop.cancelled() => {}
            }
            continue;
        };
        shared.board.show(&namespace, &name, running.desk.clone(), ledger.clone());
        follow(&running, &library, &mut object, (&ledger, &good, &stop)).await;
        running.stop.cancel();
        if let Err(error) = running.task.await {
            tracing::error!("{namespace}/{name}: the loop ended: {error}");
        }
    }
    shared.board.hide(&namespace, &name);
    telling.cancel();
    let _ = told.await;
}

/// Returns when the loop has to begin anew, or to end.
async fn follow(
    running: &Running,
    library: &Library,
    object: &mut watch::Receiver<Arc<SplitPipeline>>,
    (ledger, good, stop): (&Ledger, &Option<Documents>, &CancellationToken),
) {
    let was = object.borrow().clone();
    loop {
        let soon = good.is_none() || ledger.troubled();
        let changed = tokio::select! {
            changed = object.changed() => changed.is_ok(),
            () = tokio::time::sleep(if soon { REREAD_SOON } else { REREAD }) => {
                match library.read(&was.spec).await {
                    Ok(read) if good.as_ref() == Some(&read) => ledger.problem(None),
                    Ok(_) => return,
                    Err(problem) => ledger.problem(Some(problem)),
                }
                false
            }
            () = running.task_ended() => return,
            () = stop.cancelled() => return,
        };
        if !changed {
            continue;
        }
        let now = object.borrow_and_update().clone();
        if !was.spec.same_but_mode(&now.spec) {
            return;
        }
        let mode = mode(&now.spec, good.is_some());
        running.desk.ask(mode);
        ledger.moded(now.metadata.generation, mode);
    }
}

/// The mode that decisions are taken in: without a policy nothing is decided, but in an emergency, which needs none.
fn mode(spec: &SplitPipelineSpec, decides: bool) -> Mode {
    match Mode::from(spec.mode) {
        Mode::Emergency => Mode::Emergency,
        mode if decides => mode,
        _ => Mode::Paused,
    }
}

/// Who decides from here on, by which policy and in which mode.
struct Choice {
    deciders: Deciders,
    policy: report::Policy,
    mode: Mode,
}

/// By what was read, or by what was good before. Where not even that can be used somebody looks on, and acts in an emergency.
///
/// # Errors
/// The spec itself cannot be used.
fn choose(
    spec: &SplitPipelineSpec,
    read: Result<Documents, Unloaded>,
    good: &mut Option<Documents>,
) -> Result<Choice, Invalid> {
    let decides = |documents: &Documents| deciders_of(spec, documents);
    let (problem, deciders) = match read.and_then(|read| Ok((decides(&read).map_err(unusable)?, read))) {
        Ok((deciders, read)) => {
            *good = Some(read);
            (None, Some(deciders))
        }
        Err(problem) => (Some(problem), good.as_ref().and_then(|good| decides(good).ok())),
    };
    let loaded = good.as_ref().filter(|_| deciders.is_some());
    let loaded = loaded.map(|good| (good.policy.name.clone(), good.sha256.clone()));
    let mode = mode(spec, loaded.is_some());
    let deciders = deciders.map_or_else(|| decides(&Documents::none()), Ok)?;
    Ok(Choice { deciders, policy: report::Policy { loaded, problem }, mode })
}

/// Begins a loop; absent where the signals cannot be looked at.
fn begin(
    shared: &Shared,
    object: &SplitPipeline,
    choice: Choice,
    (ledger, journal): (&Arc<Ledger>, &Journal),
    stop: &CancellationToken,
) -> Option<Running> {
    let (spec, namespace) = (&object.spec, &shared.cluster.namespace);
    let Choice { deciders: Deciders { mut controller, shadow, residuals }, policy, mode } = choice;
    controller.set_mode(mode);
    let before = ledger.last().or_else(|| object.status.as_ref()?.last_decision.as_ref().map(resumed));
    let (mut begin_s, mut half) = (0.0, None);
    if let Some((last, open)) = before {
        controller.resume(&last);
        (begin_s, half) = (last.now_s, open);
    }
    let interval = Duration::from_secs_f64(spec.interval_seconds);
    let desk = Desk::new(controller.setup().clone(), interval, mode);
    let plan = Plan::of(spec.signals.as_ref());
    ledger.begin(Begun {
        generation: object.metadata.generation,
        policy,
        calibrated: residuals.is_some(),
        expected: plan.expected.clone(),
        max_age_s: spec.shell.max_age_seconds,
        desk: desk.clone(),
    });
    let surroundings = Surroundings {
        cluster: shared.cluster.clone(),
        scales: Api::<Deployment>::namespaced(shared.client.clone(), namespace),
        leader: shared.leader.clone(),
        ledger: ledger.clone(),
    };
    let deployments = [spec.stages.a.deployment.clone(), spec.stages.b.deployment.clone()];
    let timeout = interval.clamp(ANSWER_MIN, ANSWER_MAX);
    let backend = KubernetesBackend::new(surroundings, deployments, plan, timeout);
    ledger.findings().unusable(backend.as_ref().err().cloned());
    let scaler = Scaler {
        backend: backend.ok()?,
        observer: Observer::new(spec.window_seconds),
        controller,
        shadow,
        residuals,
        desk: desk.clone(),
        begin_s,
        half,
        refused: Refused::default(),
    };
    journal.line(&Line::Setup(Box::new(desk.setup().clone())));
    let (stop, ledger, journal) = (stop.child_token(), ledger.clone(), journal.clone());
    let task = tokio::spawn(scaler_loop(scaler, stop.clone(), ledger, journal));
    Some(Running { desk, stop, task })
}

async fn scaler_loop(
    scaler: Scaler<KubernetesBackend>,
    stop: CancellationToken,
    ledger: Arc<Ledger>,
    journal: Journal,
) {
    let ran = scaler.run(stop, |line| {
        journal.line(&line);
        match &line {
            Line::Decision(decision) => ledger.decided(decision),
            Line::Outcome(outcome) => ledger.ended(outcome),
            Line::Setup(_) => {}
        }
        Ok::<(), std::convert::Infallible>(())
    });
    let Ok(()) = ran.await;
}

fn unusable(wrong: Invalid) -> Unloaded {
    Unloaded { reason: "Invalid", message: format!("the documents and the spec do not go together: {wrong}") }
}

/// Who decides by these documents, within what the object allows.
fn deciders_of(spec: &SplitPipelineSpec, documents: &Documents) -> Result<Deciders, Invalid> {
    let (bounds, shell) = (spec.bounds(), spec.shell());
    let freshness = Freshness { max_age_s: shell.max_age_s };
    let laws = documents.calibration.as_ref().and_then(|calibration| calibration.laws.as_ref());
    let (mut useful, mut shadow, mut residuals) = (None, None, None);
    if let Some((laws, slo)) = laws.zip(spec.slo.as_ref()) {
        useful = Some(UsefulConfig::of_laws(laws)?);
        let law = ShadowConfig::of_laws(laws, slo.latency_seconds)?;
        residuals = Some(Residuals::new(laws, freshness)?);
        shadow = Some(Shadow::new(&documents.shadow, bounds, freshness, law)?);
    }
    let setup = Setup {
        schema: Setup::SCHEMA,
        policy: documents.policy.clone(),
        baseline: Some(documents.baseline.clone()),
        bounds,
        useful,
        shell,
    };
    Ok(Deciders { controller: Controller::new(setup, spec.mode.into())?, shadow, residuals })
}

impl Documents {
    /// For whoever looks on.
    fn none() -> Documents {
        Documents {
            policy: Policy::hpa(),
            sha256: String::new(),
            baseline: Policy::hpa(),
            shadow: Policy::hpa(),
            calibration: None,
        }
    }
}

impl Running {
    /// Returns when the loop has ended by itself, which it does not while it is well.
    async fn task_ended(&self) {
        while !self.task.is_finished() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Where decisions are written; a line that cannot be is told, and stops nothing.
#[derive(Clone)]
struct Journal(Arc<std::sync::Mutex<Option<Box<dyn Write + Send>>>>);

impl Journal {
    fn open(journals: &Journals, namespace: &str, name: &str) -> Journal {
        Journal(Arc::new(std::sync::Mutex::new(journals(namespace, name))))
    }

    fn line(&self, line: &Line) {
        let mut file = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(out) = file.as_mut() else { return };
        let written = serde_json::to_vec(line).map_err(std::io::Error::from).and_then(|mut text| {
            text.push(b'\n');
            out.write_all(&text)
        });
        if let Err(error) = written {
            tracing::warn!("decisions are written no more: {error}");
            *file = None;
        }
    }
}
