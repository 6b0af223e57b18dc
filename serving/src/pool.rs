//! The pods of a stage and the one queue before them.
//!
//! ```text
//!  submit ──▶ FIFO queue ──▶ lowest-numbered free pod in use ──▶ reply
//!
//!  starting ──▶ ready ──▶ draining ──▶ gone      (in use: the first `limit` of the ready ones)
//!                 └─ process ended ──▶ gone       its request to the head of the queue, another pod starts
//! ```
//!
//! All decisions are made under one lock, none of which is held while anything computes. A pod's inbox
//! holds at most the one request it was given; draining a pod closes its inbox.

mod roster;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use splitscale_spec::{PodPhase, Stage};
use tokio::sync::watch;

use self::roster::Roster;
pub(crate) use self::roster::{Counts, Meters, Refusal};
use crate::admission::{Admission, Gate};
use crate::engine::{EngineError, EngineFactory};
use crate::pod::{Job, Pace, Pod, Run};
use crate::stage::StageOptions;
use crate::wire::{Failure, PodState, PodsState};

/// How often the threads of a closing pool are looked at.
const ENDED_EVERY: Duration = Duration::from_millis(2);
/// How often an idle pod looks whether its process is still there.
const CHECK_EVERY: Duration = Duration::from_millis(250);
/// Processes of pods that may end as they start, one after the other, before none is started in their place.
const STARTS_LOST_MAX: u32 = 5;
/// How long after that another one is started.
const STARTS_EVERY: Duration = Duration::from_secs(1);
/// Pods that one request may cost.
const PODS_LOST_MAX: u32 = 2;

/// A request that has its place and waits for something else before it waits for a pod; one that is dropped
/// meanwhile counts as abandoned.
pub(crate) struct Unqueued<'a>(Option<&'a Pool>);

/// The pods of one stage.
pub(crate) struct Pool {
    pub(crate) stage: Stage,
    pub(crate) options: StageOptions,
    pub(crate) factory: Arc<dyn EngineFactory>,
    /// Requests between their arrival and the next server's answer.
    pub(crate) forwarding: AtomicU64,
    /// Bounds what waits.
    gate: Gate,
    counts: watch::Sender<Counts>,
    roster: Mutex<Roster>,
}

impl Pool {
    /// A pool that starts its first pods.
    pub(crate) fn start(stage: Stage, options: StageOptions, factory: Arc<dyn EngineFactory>) -> Arc<Pool> {
        let roster = Roster::new(Instant::now(), options.pods);
        let counts = watch::Sender::new(Counts::default());
        let gate = Gate::new(options.queue);
        let pool = Arc::new(Pool {
            stage,
            options,
            factory,
            forwarding: AtomicU64::new(0),
            gate,
            counts,
            roster: Mutex::new(roster),
        });
        pool.reconcile(&mut pool.lock());
        pool
    }

    /// A place in the queue for a request that comes with so many bytes, maybe on a credit.
    pub(crate) fn admit(&self, credit: Option<u64>, bytes: usize) -> Result<Admission, Failure> {
        let mut roster = self.lock();
        roster.meters.requests += 1;
        let place = self.open(&roster).map_err(|why| (Refusal::Unfit, Failure::unavailable(why)));
        let place = place.and_then(|()| {
            let now = Instant::now();
            let place = self.gate.redeem(now, credit, bytes);
            place.map_err(|why| (Refusal::Full, self.full(why, now, &roster)))
        });
        place.map_err(|(reason, failure)| {
            roster.meters.refused[reason as usize] += 1;
            failure
        })
    }

    /// Notes that a request with a place is not in the queue yet.
    pub(crate) fn unqueued(&self) -> Unqueued<'_> {
        Unqueued(Some(self))
    }

    /// Waits until one more request would keep the pods at work: until fewer wait for them than are in use.
    pub(crate) async fn wants(&self) {
        // The sender lives as long as the pool.
        let _ = self.counts().wait_for(|counts| counts.queued < counts.in_use.max(1)).await;
    }

    /// A credit on such a place.
    pub(crate) fn promise(&self, bytes: usize) -> Result<u64, Failure> {
        let roster = self.lock();
        self.open(&roster).map_err(Failure::unavailable)?;
        let now = Instant::now();
        let promised = self.gate.promise(now, bytes);
        promised.map_err(|why| self.full(why, now, &roster))
    }

    fn full(&self, why: String, now: Instant, roster: &Roster) -> Failure {
        Failure::full(why, self.gate.free_in_s(now, roster.wait_s()))
    }

    /// Takes a credit back that will not be used.
    pub(crate) fn release(&self, credit: u64) {
        self.gate.release(credit);
    }

    /// Integral of what waited.
    pub(crate) fn depth(&self, now: Instant) -> f64 {
        self.gate.depth(now)
    }

    /// Puts a request into the queue; the receiver fails where the stage ends before its turn.
    pub(crate) fn submit(&self, mut job: Job) {
        let mut roster = self.lock();
        if self.open(&roster).is_err() {
            // Dropping it tells whoever waits.
            roster.meters.failed += 1;
            return;
        }
        job.pods_in_use = roster.counts().in_use;
        roster.queue.push_back(job);
        self.balance(&mut roster);
    }

    /// Why no request can be served at all.
    fn open(&self, roster: &Roster) -> Result<(), String> {
        if roster.closed {
            return Err("this stage is shutting down".to_owned());
        }
        if roster.live().count() == 0 {
            let why = roster.last_error.as_deref().unwrap_or("none was started");
            return Err(format!("no pod runs: {why}"));
        }
        Ok(())
    }

    /// Starts or drains pods until `count` are there, and uses them all.
    pub(crate) fn set_pods(self: &Arc<Self>, count: u32) {
        let mut roster = self.lock();
        roster.desired = count;
        roster.limit = None;
        roster.last_error = None;
        roster.starts_lost = 0;
        self.reconcile(&mut roster);
    }

    /// Uses only the first `count` of the ready pods.
    pub(crate) fn use_pods(&self, count: u32) -> Result<(), Failure> {
        let mut roster = self.lock();
        if count > roster.desired {
            let problem =
                format!("pod_count: {count} is above the {} pods asked for; /set_pods first", roster.desired);
            return Err(Failure::bad(problem));
        }
        roster.limit = Some(count);
        self.balance(&mut roster);
        Ok(())
    }

    /// Drains all pods and drops what waits.
    pub(crate) fn close(self: &Arc<Self>) {
        let mut roster = self.lock();
        roster.closed = true;
        roster.desired = 0;
        roster.drop_queue();
        self.reconcile(&mut roster);
    }

    /// Waits until the last thread has ended; whoever has waited long enough may leave, as none is blocked.
    pub(crate) async fn ended(&self) {
        while self.lock().threads.iter().any(|thread| !thread.is_finished()) {
            tokio::time::sleep(ENDED_EVERY).await;
        }
        for thread in std::mem::take(&mut self.lock().threads) {
            if thread.join().is_err() {
                tracing::error!(stage = ?self.stage, "a pod thread panicked outside its engine");
            }
        }
    }

    /// Pods by what they are doing, and every change of it.
    pub(crate) fn counts(&self) -> watch::Receiver<Counts> {
        self.counts.subscribe()
    }

    /// Why the last pod that could not start, or had to end, did so.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.lock().last_error.clone()
    }

    /// Reads what was counted, with everything else that is known at the same instant.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&PodsState, &Meters) -> T) -> T {
        let now = Instant::now();
        let roster = self.lock();
        let counts = roster.counts();
        let about = self.factory.about();
        let cpu_s = |pod| roster.meters.cpu_s.get(pod).copied().unwrap_or(0.0);
        let state = PodsState {
            stage: self.stage,
            engine: about.engine.clone(),
            emulated: about.emulated,
            device: about.device.clone(),
            model: about.model.clone(),
            cut: about.cut.clone(),
            shape: about.shape.clone(),
            payload_bytes: about.payload_bytes(),
            cpu_share: self.options.cpu_share,
            rated_cpu_s: self.options.rated_cpu.map(|rated| rated.as_secs_f64()),
            desired: counts.desired,
            pods_max: self.options.pods_max,
            in_use: counts.in_use,
            ready: counts.ready,
            starting: counts.starting,
            draining: counts.draining,
            queued: self.gate.waiting(),
            busy: roster.pods.values().filter(|p| p.busy).count() as u32,
            forwarding: self.forwarding.load(Ordering::SeqCst),
            last_error: roster.last_error.clone(),
            pods: roster
                .pods
                .iter()
                .map(|(number, member)| PodState {
                    pod: *number,
                    phase: member.phase,
                    busy: member.busy,
                    ready_age_s: member.ready_since.map(|since| (now - since).as_secs_f64()),
                    cpu_s: cpu_s(number),
                    pid: member.pid,
                })
                .collect(),
        };
        read(&state, &roster.meters)
    }

    /// Brings the pods that start or serve to the number asked for.
    fn reconcile(self: &Arc<Self>, roster: &mut Roster) {
        while roster.live().count() > roster.desired as usize {
            roster.drain_one();
        }
        while roster.live().count() < roster.desired as usize && self.spawn(roster) {}
        roster.threads.retain(|thread| !thread.is_finished());
        self.balance(roster);
    }

    /// Starts one pod under the lowest number that is free.
    fn spawn(self: &Arc<Self>, roster: &mut Roster) -> bool {
        let number = (0..).find(|n| !roster.pods.contains_key(n)).expect("fewer pods than numbers");
        let (inbox, jobs) = mpsc::channel();
        let pool = Arc::clone(self);
        let name = format!("pod-{}{number}", if self.stage == Stage::A { "a" } else { "b" });
        match std::thread::Builder::new().name(name).spawn(move || pool.run(number, &jobs)) {
            Ok(thread) => {
                roster.add(number, inbox, thread);
                true
            }
            Err(error) => {
                roster.last_error = Some(format!("pod {number} got no thread: {error}"));
                false
            }
        }
    }

    /// The life of a pod, on its own thread.
    fn run(self: &Arc<Self>, number: u32, jobs: &mpsc::Receiver<(Job, Instant)>) {
        let pace = Pace { share: self.options.cpu_share, rated_cpu: self.options.rated_cpu };
        let mut pod = match Pod::start(self.factory.as_ref(), self.stage, number, pace) {
            Ok(pod) => pod,
            Err(error) => {
                // A process that was killed as it started says nothing of the next; one that cannot start says so itself.
                let again = matches!(error, EngineError::Gone(_)) && self.try_again();
                if again {
                    std::thread::sleep(STARTS_EVERY);
                }
                return self.gone(number, Some(format!("pod {number} could not start: {error}")), again);
            }
        };
        self.ready(number, pod.process());
        loop {
            let (mut job, taken) = match jobs.recv_timeout(CHECK_EVERY) {
                Ok(given) => given,
                Err(RecvTimeoutError::Timeout) => match pod.check() {
                    Ok(()) => continue,
                    Err(error) => return self.lost(number, jobs, None, &error),
                },
                Err(RecvTimeoutError::Disconnected) => break,
            };
            // Had it ended before this came to it, this would be none of its doing.
            if let Err(error) = pod.check() {
                return self.lost(number, jobs, Some(job), &error);
            }
            let run = pod.serve(&job, taken);
            if let Err(error @ EngineError::Gone(_)) = &run.result {
                job.pods_lost += 1;
                return self.lost(number, jobs, Some(job), error);
            }
            self.finished(number, &run);
            let panic = run.result.as_ref().err().filter(|_| run.poisoned).map(ToString::to_string);
            // Whoever waited may have left; then nobody is there to be told.
            let _ = job.reply.send(run.result.map_err(Failure::from));
            if let Some(error) = panic {
                return self.gone(number, Some(format!("pod {number} ended: {error}")), true);
            }
        }
        // It drains until its process has ended, where it is one.
        drop(pod);
        self.gone(number, None, false);
    }

    /// Whether one more pod is to be started in the place of one whose process ended as it started.
    fn try_again(&self) -> bool {
        let mut roster = self.lock();
        roster.starts_lost += 1;
        roster.starts_lost <= STARTS_LOST_MAX
    }

    fn ready(&self, number: u32, pid: Option<u32>) {
        let mut roster = self.lock();
        roster.starts_lost = 0;
        let Some(member) = roster.pods.get_mut(&number) else { return };
        member.pid = pid;
        if member.phase == PodPhase::Starting {
            member.phase = PodPhase::Ready;
            member.ready_since = Some(Instant::now());
        }
        self.balance(&mut roster);
    }

    fn finished(&self, number: u32, run: &Run) {
        let mut roster = self.lock();
        if let Ok(served) = &run.result {
            roster.meters.phases.add(&served.times);
        }
        *roster.meters.cpu_s.entry(number).or_insert(0.0) += run.cpu_s;
        match run.result {
            Ok(_) => roster.meters.answered += 1,
            Err(_) => roster.meters.failed += 1,
        }
        if let Some(member) = roster.pods.get_mut(&number) {
            member.busy = false;
            if run.poisoned {
                member.phase = PodPhase::Draining;
            }
        }
        self.balance(&mut roster);
    }

    /// The process of a pod has ended: what it had, or what was just given to it, is the next to be served, and the
    /// pod is replaced. A request that has cost so many pods is taken to be the cause, and fails.
    fn lost(
        self: &Arc<Self>,
        number: u32,
        jobs: &mpsc::Receiver<(Job, Instant)>,
        job: Option<Job>,
        error: &EngineError,
    ) {
        let mut roster = self.lock();
        // From here on nothing more is given to it.
        roster.pods.remove(&number);
        for mut job in job.into_iter().chain(jobs.try_iter().map(|(job, _)| job)) {
            if job.pods_lost >= PODS_LOST_MAX {
                roster.meters.failed += 1;
                let why = format!("{} pods ended while they served this, the last: {error}", job.pods_lost);
                let _ = job.reply.send(Err(EngineError::Gone(why).into()));
            } else {
                job.place = Some(self.gate.back(Instant::now(), job.work.bytes()));
                roster.queue.push_front(job);
            }
        }
        self.removed(&mut roster, Some(format!("pod {number} was lost: {error}")), true);
    }

    /// A pod has ended. One that could not start is not tried again before the next `/set_pods`: it would
    /// fail again, and burn what the others compute with. One whose engine panicked, or whose process was killed, is replaced.
    fn gone(self: &Arc<Self>, number: u32, error: Option<String>, replace: bool) {
        let mut roster = self.lock();
        roster.pods.remove(&number);
        self.removed(&mut roster, error, replace);
    }

    fn removed(self: &Arc<Self>, roster: &mut Roster, error: Option<String>, replace: bool) {
        if let Some(error) = error {
            tracing::error!(stage = ?self.stage, "{error}");
            roster.last_error = Some(error);
        }
        if replace {
            self.reconcile(roster);
        }
        if roster.live().count() == 0 {
            roster.drop_queue();
        }
        self.balance(roster);
    }

    /// Gives waiting requests to free pods, then takes note of how things stand. Every change ends here.
    fn balance(&self, roster: &mut Roster) {
        let now = Instant::now();
        while let Some(free) = roster.free_pod() {
            let Some(mut job) = roster.queue.pop_front() else { break };
            job.place = None;
            if job.deadline.is_some_and(|deadline| deadline <= now) {
                roster.meters.expired += 1;
                // It has been told, unless that was just now.
                let _ = job.reply.send(Err(Failure::expired("a pod")));
                continue;
            }
            if job.reply.is_closed() {
                roster.meters.abandoned += 1;
                continue;
            }
            let member = roster.pods.get_mut(&free).expect("just found");
            member.busy = true;
            // A pod reads its inbox until it is removed from the list; were it gone, the job would be
            // dropped here and its receiver would learn it.
            if let Some(inbox) = &member.inbox {
                let _ = inbox.send((job, now));
            }
        }
        let counts = roster.counts();
        let busy = roster.in_use().filter(|(_, m)| m.busy).count();
        roster.meters.ready.set(now, f64::from(counts.in_use));
        roster.meters.busy.set(now, busy as f64);
        self.counts.send_if_modified(|before| std::mem::replace(before, counts) != counts);
    }

    fn lock(&self) -> MutexGuard<'_, Roster> {
        // No code under the lock leaves the state half changed when it panics.
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unqueued<'_> {
    /// It goes on to the queue.
    pub(crate) fn queued(mut self) {
        self.0 = None;
    }

    /// It goes no further, and counts as expired or failed.
    pub(crate) fn failed(mut self, failure: Failure) -> Failure {
        if let Some(pool) = self.0.take() {
            let mut roster = pool.lock();
            match failure.status {
                StatusCode::GATEWAY_TIMEOUT => roster.meters.expired += 1,
                _ => roster.meters.failed += 1,
            }
        }
        failure
    }
}

impl Drop for Unqueued<'_> {
    fn drop(&mut self) {
        if let Some(pool) = self.0 {
            pool.lock().meters.abandoned += 1;
        }
    }
}
