//! One pipeline: a loop by what its object says, begun anew where that changes.
//!
//! ```text
//!  object ─▶ documents ─▶ Controller ─▶ Scaler on a KubernetesBackend ─┐
//!    ▲          ▲  every half minute: still the same?                  │ decisions, outcomes
//!    └──────────┴───────── another spec, another document ◀────────────┴─▶ Ledger (status, events), journal
//! ```

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::runtime::events::Recorder;
use kube::{Api, Client, ResourceExt};
use splitscale_policy::{Line, Mode};
use splitscale_spec::Invalid;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::desk::Desk;
use crate::scaler::{Refused, Scaler};
use crate::scrape::Observer;

use super::backend::{KubernetesBackend, Surroundings};
use super::board::Board;
use super::cluster::Cluster;
use super::deciders::Deciders;
use super::documents::{Documents, Library, Unloaded};
use super::journal::{Journal, Journals};
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

/// What was read of the documents.
#[derive(Default)]
struct Reads {
    /// The last that were read, to be used or not.
    last: Option<Documents>,
    /// The last that could be used.
    good: Option<Documents>,
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
    let library =
        Library { maps: Api::namespaced(shared.client.clone(), &namespace), namespace: namespace.clone() };
    let journal = Journal::open(&shared.journals, &namespace, &name);
    let mut reads = Reads::default();
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
        let choice = choose(&now.spec, read, &mut reads);
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
        follow(&running, &now, &library, &mut object, (&ledger, &reads, &stop)).await;
        running.stop.cancel();
        if let Err(error) = running.task.await {
            tracing::error!("{namespace}/{name}: the loop ended: {error}");
        }
    }
    shared.board.hide(&namespace, &name);
    telling.cancel();
    let _ = told.await;
}

/// Returns when the loop has to begin anew, or to end. What it began with is told: the object may have changed since.
async fn follow(
    running: &Running,
    was: &SplitPipeline,
    library: &Library,
    object: &mut watch::Receiver<Arc<SplitPipeline>>,
    (ledger, reads, stop): (&Ledger, &Reads, &CancellationToken),
) {
    let mut unread = false;
    loop {
        let read = async {
            let soon = reads.good.is_none() || ledger.troubled();
            tokio::time::sleep(if soon { REREAD_SOON } else { REREAD }).await;
            library.read(&was.spec).await
        };
        let changed = tokio::select! {
            changed = object.changed() => changed.is_ok(),
            read = read => {
                match read {
                    Ok(read) if reads.good.as_ref() == Some(&read) => {
                        unread = false;
                        ledger.problem(None);
                    }
                    // Still what cannot be used, and that is what is told.
                    Ok(read) if reads.last.as_ref() == Some(&read) && !unread => {}
                    Ok(_) => return,
                    Err(problem) => {
                        unread = true;
                        ledger.problem(Some(problem));
                    }
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
        let mode = mode(&now.spec, reads.good.is_some());
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
    Reads { last, good }: &mut Reads,
) -> Result<Choice, Invalid> {
    let decides = |documents: &Documents| Deciders::new(spec, documents);
    if let Ok(read) = &read {
        *last = Some(read.clone());
    }
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
    let deciders = deciders.map_or_else(|| Deciders::without(spec), Ok)?;
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
        asked: None,
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

impl Running {
    /// Returns when the loop has ended by itself, which it does not while it is well.
    async fn task_ended(&self) {
        while !self.task.is_finished() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}
