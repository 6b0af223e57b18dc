//! The pods of a stage and the one queue before them.
//!
//! ```text
//!  submit ──▶ FIFO queue ──▶ lowest-numbered free pod in use ──▶ reply
//!
//!  starting ──▶ ready ──▶ draining ──▶ gone      (in use: the first `limit` of the ready ones)
//! ```
//!
//! All decisions are made under one lock, none of which is held while anything computes. A pod's inbox
//! holds at most the one request it was given; draining a pod closes its inbox.

mod roster;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Instant;

use splitscale_spec::{PodPhase, Stage};
use tokio::sync::{oneshot, watch};

pub(crate) use self::roster::{Counts, Meters};
use self::roster::{Member, Roster};
use crate::engine::{EngineError, EngineFactory};
use crate::pod::{Job, Pod, Run, Served, Work};
use crate::stage::StageOptions;
use crate::wire::{Failure, PodState, PodsState};

/// The pods of one stage.
pub(crate) struct Pool {
    pub(crate) stage: Stage,
    pub(crate) options: StageOptions,
    pub(crate) factory: Arc<dyn EngineFactory>,
    /// Requests between their arrival and the next server's answer.
    pub(crate) forwarding: AtomicU64,
    counts: watch::Sender<Counts>,
    roster: Mutex<Roster>,
}

impl Pool {
    /// A pool that starts its first pods.
    pub(crate) fn start(stage: Stage, options: StageOptions, factory: Arc<dyn EngineFactory>) -> Arc<Pool> {
        let roster = Roster::new(Instant::now(), options.pods);
        let counts = watch::Sender::new(Counts::default());
        let pool = Arc::new(Pool {
            stage,
            options,
            factory,
            forwarding: AtomicU64::new(0),
            counts,
            roster: Mutex::new(roster),
        });
        pool.reconcile(&mut pool.lock());
        pool
    }

    /// Puts a request into the queue; the receiver fails where the stage ends before its turn.
    pub(crate) fn submit(
        &self,
        work: Work,
    ) -> Result<oneshot::Receiver<Result<Served, EngineError>>, Failure> {
        let mut roster = self.lock();
        roster.meters.requests += 1;
        let refusal = if roster.closed {
            Some("this stage is shutting down".to_owned())
        } else if roster.queue.len() >= self.options.queue_max {
            Some(format!("the queue is full: {} requests wait", roster.queue.len()))
        } else if roster.live().count() == 0 {
            Some(format!("no pod runs: {}", roster.last_error.as_deref().unwrap_or("none was started")))
        } else {
            None
        };
        if let Some(why) = refusal {
            roster.meters.refused += 1;
            return Err(Failure::unavailable(why));
        }
        let (reply, answer) = oneshot::channel();
        let pods_in_use = roster.counts().in_use;
        roster.queue.push_back(Job { work, arrived: Instant::now(), pods_in_use, reply });
        self.balance(&mut roster);
        Ok(answer)
    }

    /// Starts or drains pods until `count` are there, and uses them all.
    pub(crate) fn set_pods(self: &Arc<Self>, count: u32) {
        let mut roster = self.lock();
        roster.desired = count;
        roster.limit = None;
        roster.last_error = None;
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

    /// Drains all pods, drops what waits, and blocks until the last thread has ended.
    pub(crate) fn close(self: &Arc<Self>) {
        let threads = {
            let mut roster = self.lock();
            roster.closed = true;
            roster.desired = 0;
            roster.drop_queue();
            self.reconcile(&mut roster);
            std::mem::take(&mut roster.threads)
        };
        for thread in threads {
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
            desired: counts.desired,
            pods_max: self.options.pods_max,
            in_use: counts.in_use,
            ready: counts.ready,
            starting: counts.starting,
            draining: counts.draining,
            queued: roster.queue.len() as u64,
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
                let member =
                    Member { phase: PodPhase::Starting, ready_since: None, busy: false, inbox: Some(inbox) };
                roster.pods.insert(number, member);
                roster.meters.cpu_s.entry(number).or_insert(0.0);
                roster.threads.push(thread);
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
        let mut pod = match Pod::start(self.factory.as_ref(), self.stage, number, self.options.cpu_share) {
            Ok(pod) => pod,
            Err(error) => {
                return self.gone(number, Some(format!("pod {number} could not start: {error}")), false);
            }
        };
        self.ready(number);
        while let Ok((job, taken)) = jobs.recv() {
            let run = pod.serve(&job, taken);
            self.finished(number, &run);
            let panic = run.result.as_ref().err().filter(|_| run.poisoned).map(ToString::to_string);
            // Whoever waited may have left; then nobody is there to be told.
            let _ = job.reply.send(run.result);
            if let Some(error) = panic {
                return self.gone(number, Some(format!("pod {number} ended: {error}")), true);
            }
        }
        self.gone(number, None, false);
    }

    fn ready(&self, number: u32) {
        let mut roster = self.lock();
        let Some(member) = roster.pods.get_mut(&number) else { return };
        if member.phase == PodPhase::Starting {
            member.phase = PodPhase::Ready;
            member.ready_since = Some(Instant::now());
        }
        self.balance(&mut roster);
    }

    fn finished(&self, number: u32, run: &Run) {
        let mut roster = self.lock();
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

    /// A pod has ended. One that could not start is not tried again before the next `/set_pods`: it would
    /// fail again, and burn what the others compute with. One whose engine panicked is replaced.
    fn gone(self: &Arc<Self>, number: u32, error: Option<String>, replace: bool) {
        let mut roster = self.lock();
        roster.pods.remove(&number);
        if let Some(error) = error {
            tracing::error!(stage = ?self.stage, "{error}");
            roster.last_error = Some(error);
        }
        if replace {
            self.reconcile(&mut roster);
        }
        if roster.live().count() == 0 {
            roster.drop_queue();
        }
        self.balance(&mut roster);
    }

    /// Gives waiting requests to free pods, then takes note of how things stand. Every change ends here.
    fn balance(&self, roster: &mut Roster) {
        let now = Instant::now();
        while let Some(free) = roster.free_pod() {
            let Some(job) = roster.queue.pop_front() else { break };
            if job.reply.is_closed() {
                roster.meters.abandoned += 1;
                continue;
            }
            let member = roster.pods.get_mut(&free).expect("just found");
            member.busy = true;
            // A pod reads its inbox until it is removed from the list; were it gone, the job would be
            // dropped here and its receiver would learn it.
            let _ = member.inbox.as_ref().map(|inbox| inbox.send((job, now)));
        }
        let counts = roster.counts();
        let busy = roster.in_use().filter(|(_, m)| m.busy).count();
        roster.meters.queue.set(now, roster.queue.len() as f64);
        roster.meters.ready.set(now, f64::from(counts.in_use));
        roster.meters.busy.set(now, busy as f64);
        self.counts.send_if_modified(|before| std::mem::replace(before, counts) != counts);
    }

    fn lock(&self) -> MutexGuard<'_, Roster> {
        // No code under the lock leaves the state half changed when it panics.
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
