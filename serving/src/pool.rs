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

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use axum::body::Bytes;
use splitscale_spec::{PodPhase, Stage};
use tokio::sync::{oneshot, watch};

use crate::engine::{EngineError, EngineFactory};
use crate::metrics::Integral;
use crate::pod::{Job, Pod, Run, Served};
use crate::stage::StageOptions;
use crate::wire::{Failure, PodState, PodsState};

/// The pods of one stage.
pub(crate) struct Pool {
    pub(crate) stage: Stage,
    pub(crate) options: StageOptions,
    pub(crate) factory: Arc<dyn EngineFactory>,
    counts: watch::Sender<Counts>,
    inner: Mutex<Inner>,
}

/// Pods by what they are doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) desired: u32,
    pub(crate) in_use: u32,
    pub(crate) ready: u32,
    pub(crate) starting: u32,
    pub(crate) draining: u32,
}

/// What a stage counted.
#[derive(Debug)]
pub(crate) struct Meters {
    pub(crate) queue: Integral,
    /// Ready pods in use.
    pub(crate) ready: Integral,
    /// Those of them at work.
    pub(crate) busy: Integral,
    pub(crate) requests: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) refused: u64,
    /// Nobody waited for the answer any more when its turn came.
    pub(crate) abandoned: u64,
    /// CPU time by pod number [s].
    pub(crate) cpu_s: BTreeMap<u32, f64>,
}

struct Inner {
    queue: VecDeque<Job>,
    pods: BTreeMap<u32, Member>,
    desired: u32,
    /// Most ready pods to use; absent for all.
    limit: Option<u32>,
    closed: bool,
    last_error: Option<String>,
    meters: Meters,
    threads: Vec<JoinHandle<()>>,
}

struct Member {
    phase: PodPhase,
    ready_since: Option<Instant>,
    busy: bool,
    /// Absent once the pod drains.
    inbox: Option<mpsc::Sender<(Job, Instant)>>,
}

impl Pool {
    /// A pool that starts its first pods.
    pub(crate) fn start(stage: Stage, options: StageOptions, factory: Arc<dyn EngineFactory>) -> Arc<Pool> {
        let now = Instant::now();
        let meters = Meters {
            queue: Integral::new(now),
            ready: Integral::new(now),
            busy: Integral::new(now),
            requests: 0,
            answered: 0,
            failed: 0,
            refused: 0,
            abandoned: 0,
            cpu_s: BTreeMap::new(),
        };
        let inner = Inner {
            queue: VecDeque::new(),
            pods: BTreeMap::new(),
            desired: options.pods,
            limit: None,
            closed: false,
            last_error: None,
            meters,
            threads: Vec::new(),
        };
        let counts = watch::Sender::new(Counts::default());
        let pool = Arc::new(Pool { stage, options, factory, counts, inner: Mutex::new(inner) });
        pool.reconcile(&mut pool.lock());
        pool
    }

    /// Puts a request into the queue; the receiver fails where the stage ends before its turn.
    pub(crate) fn submit(
        &self,
        input: Bytes,
    ) -> Result<oneshot::Receiver<Result<Served, EngineError>>, Failure> {
        let mut inner = self.lock();
        inner.meters.requests += 1;
        let refusal = if inner.closed {
            Some("this stage is shutting down".to_owned())
        } else if inner.queue.len() >= self.options.queue_max {
            Some(format!("the queue is full: {} requests wait", inner.queue.len()))
        } else if inner.live().count() == 0 {
            Some(format!("no pod runs: {}", inner.last_error.as_deref().unwrap_or("none was started")))
        } else {
            None
        };
        if let Some(why) = refusal {
            inner.meters.refused += 1;
            return Err(Failure::unavailable(why));
        }
        let (reply, answer) = oneshot::channel();
        let pods_in_use = inner.counts().in_use;
        inner.queue.push_back(Job { input, arrived: Instant::now(), pods_in_use, reply });
        self.balance(&mut inner);
        Ok(answer)
    }

    /// Starts or drains pods until `count` are there, and uses them all.
    pub(crate) fn set_pods(self: &Arc<Self>, count: u32) {
        let mut inner = self.lock();
        inner.desired = count;
        inner.limit = None;
        inner.last_error = None;
        self.reconcile(&mut inner);
    }

    /// Uses only the first `count` of the ready pods.
    pub(crate) fn use_pods(&self, count: u32) -> Result<(), Failure> {
        let mut inner = self.lock();
        if count > inner.desired {
            let problem =
                format!("pod_count: {count} is above the {} pods asked for; /set_pods first", inner.desired);
            return Err(Failure::bad(problem));
        }
        inner.limit = Some(count);
        self.balance(&mut inner);
        Ok(())
    }

    /// Drains all pods, drops what waits, and blocks until the last thread has ended.
    pub(crate) fn close(self: &Arc<Self>) {
        let threads = {
            let mut inner = self.lock();
            inner.closed = true;
            inner.desired = 0;
            inner.drop_queue();
            self.reconcile(&mut inner);
            std::mem::take(&mut inner.threads)
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
        let inner = self.lock();
        let counts = inner.counts();
        let cpu_s = |pod| inner.meters.cpu_s.get(pod).copied().unwrap_or(0.0);
        let state = PodsState {
            stage: self.stage,
            engine: self.factory.name().to_owned(),
            cut: self.factory.cut().name().to_owned(),
            payload_bytes: self.factory.payload_bytes(),
            cpu_share: self.options.cpu_share,
            desired: counts.desired,
            pods_max: self.options.pods_max,
            in_use: counts.in_use,
            ready: counts.ready,
            starting: counts.starting,
            draining: counts.draining,
            queued: inner.queue.len() as u64,
            busy: inner.pods.values().filter(|p| p.busy).count() as u32,
            last_error: inner.last_error.clone(),
            pods: inner
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
        read(&state, &inner.meters)
    }

    /// Brings the pods that start or serve to the number asked for.
    fn reconcile(self: &Arc<Self>, inner: &mut Inner) {
        while inner.live().count() > inner.desired as usize {
            inner.drain_one();
        }
        while inner.live().count() < inner.desired as usize && self.spawn(inner) {}
        inner.threads.retain(|thread| !thread.is_finished());
        self.balance(inner);
    }

    /// Starts one pod under the lowest number that is free.
    fn spawn(self: &Arc<Self>, inner: &mut Inner) -> bool {
        let number = (0..).find(|n| !inner.pods.contains_key(n)).expect("fewer pods than numbers");
        let (inbox, jobs) = mpsc::channel();
        let pool = Arc::clone(self);
        let name = format!("pod-{}{number}", if self.stage == Stage::A { "a" } else { "b" });
        match std::thread::Builder::new().name(name).spawn(move || pool.run(number, &jobs)) {
            Ok(thread) => {
                let member =
                    Member { phase: PodPhase::Starting, ready_since: None, busy: false, inbox: Some(inbox) };
                inner.pods.insert(number, member);
                inner.meters.cpu_s.entry(number).or_insert(0.0);
                inner.threads.push(thread);
                true
            }
            Err(error) => {
                inner.last_error = Some(format!("pod {number} got no thread: {error}"));
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
        let mut inner = self.lock();
        let Some(member) = inner.pods.get_mut(&number) else { return };
        if member.phase == PodPhase::Starting {
            member.phase = PodPhase::Ready;
            member.ready_since = Some(Instant::now());
        }
        self.balance(&mut inner);
    }

    fn finished(&self, number: u32, run: &Run) {
        let mut inner = self.lock();
        *inner.meters.cpu_s.entry(number).or_insert(0.0) += run.cpu_s;
        match run.result {
            Ok(_) => inner.meters.answered += 1,
            Err(_) => inner.meters.failed += 1,
        }
        if let Some(member) = inner.pods.get_mut(&number) {
            member.busy = false;
            if run.poisoned {
                member.phase = PodPhase::Draining;
            }
        }
        self.balance(&mut inner);
    }

    /// A pod has ended. One that could not start is not tried again before the next `/set_pods`: it would
    /// fail again, and burn what the others compute with. One whose engine panicked is replaced.
    fn gone(self: &Arc<Self>, number: u32, error: Option<String>, replace: bool) {
        let mut inner = self.lock();
        inner.pods.remove(&number);
        if let Some(error) = error {
            tracing::error!(stage = ?self.stage, "{error}");
            inner.last_error = Some(error);
        }
        if replace {
            self.reconcile(&mut inner);
        }
        if inner.live().count() == 0 {
            inner.drop_queue();
        }
        self.balance(&mut inner);
    }

    /// Gives waiting requests to free pods, then takes note of how things stand. Every change ends here.
    fn balance(&self, inner: &mut Inner) {
        let now = Instant::now();
        while let Some(free) = inner.free_pod() {
            let Some(job) = inner.queue.pop_front() else { break };
            if job.reply.is_closed() {
                inner.meters.abandoned += 1;
                continue;
            }
            let member = inner.pods.get_mut(&free).expect("just found");
            member.busy = true;
            // A pod reads its inbox until it is removed from the list; were it gone, the job would be
            // dropped here and its receiver would learn it.
            let _ = member.inbox.as_ref().map(|inbox| inbox.send((job, now)));
        }
        let counts = inner.counts();
        let busy = inner.in_use().filter(|(_, m)| m.busy).count();
        inner.meters.queue.set(now, inner.queue.len() as f64);
        inner.meters.ready.set(now, f64::from(counts.in_use));
        inner.meters.busy.set(now, busy as f64);
        self.counts.send_if_modified(|before| std::mem::replace(before, counts) != counts);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code under the lock leaves the state half changed when it panics.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Pods that serve or will.
    fn live(&self) -> impl Iterator<Item = (&u32, &Member)> {
        self.pods.iter().filter(|(_, m)| m.phase != PodPhase::Draining)
    }

    /// Pods that the balancer uses.
    fn in_use(&self) -> impl Iterator<Item = (&u32, &Member)> {
        let ready = self.pods.iter().filter(|(_, m)| m.phase == PodPhase::Ready);
        ready.take(self.limit.unwrap_or(u32::MAX) as usize)
    }

    /// The pod to serve next.
    fn free_pod(&self) -> Option<u32> {
        self.in_use().find(|(_, m)| !m.busy).map(|(number, _)| *number)
    }

    fn counts(&self) -> Counts {
        let of = |phase| self.pods.values().filter(|m| m.phase == phase).count() as u32;
        Counts {
            desired: self.desired,
            in_use: self.in_use().count() as u32,
            ready: of(PodPhase::Ready),
            starting: of(PodPhase::Starting),
            draining: of(PodPhase::Draining),
        }
    }

    /// Gives up those that wait: no pod will come for them, and their receivers learn it now.
    fn drop_queue(&mut self) {
        self.meters.failed += self.queue.len() as u64;
        self.queue.clear();
    }

    /// Takes one pod out: one that still starts before one that serves, the highest number first.
    fn drain_one(&mut self) {
        let surplus = self.live().max_by_key(|(number, m)| (m.phase == PodPhase::Starting, **number));
        let Some(number) = surplus.map(|(number, _)| *number) else { return };
        let member = self.pods.get_mut(&number).expect("just found");
        member.phase = PodPhase::Draining;
        member.inbox = None;
    }
}
