//! The pods and what waits for them: who is used, who is next. No threads here, and no locks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Instant;

use splitscale_spec::PodPhase;

use crate::metrics::{Histogram, Integral};
use crate::pod::Job;
use crate::wire::StageTimes;

/// Pods by what they are doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) desired: u32,
    pub(crate) in_use: u32,
    pub(crate) ready: u32,
    pub(crate) starting: u32,
    pub(crate) draining: u32,
    /// Requests that wait for a pod and for nothing else.
    pub(crate) queued: u32,
}

/// What a stage counted.
#[derive(Debug)]
pub(crate) struct Meters {
    /// Ready pods in use.
    pub(crate) ready: Integral,
    /// Those of them at work.
    pub(crate) busy: Integral,
    pub(crate) requests: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// Turned away before the queue, by reason.
    pub(crate) refused: [u64; 2],
    /// Their time was up when their turn came.
    pub(crate) expired: u64,
    /// How long the phases of those that were answered took.
    pub(crate) phases: Phases,
    /// Nobody waited for the answer any more when its turn came.
    pub(crate) abandoned: u64,
    /// CPU time by pod number \[s\]; those of pods that have ended stay, for a counter never runs back.
    pub(crate) cpu_s: BTreeMap<u32, f64>,
}

/// Why a request was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The queue is full.
    Full,
    /// No pod will come for it.
    Unfit,
}

/// The phases of a stage, as durations.
#[derive(Debug)]
pub(crate) struct Phases([Histogram; 5]);

/// The pods of a stage, its queue and its meters.
pub(super) struct Roster {
    pub(super) queue: VecDeque<Job>,
    pub(super) pods: BTreeMap<u32, Member>,
    pub(super) desired: u32,
    /// Most ready pods to use; absent for all.
    pub(super) limit: Option<u32>,
    pub(super) closed: bool,
    /// Processes of pods that ended as they started, since one last was ready.
    pub(super) starts_lost: u32,
    pub(super) last_error: Option<String>,
    pub(super) meters: Meters,
    pub(super) threads: Vec<JoinHandle<()>>,
}

/// One pod.
pub(super) struct Member {
    pub(super) phase: PodPhase,
    pub(super) ready_since: Option<Instant>,
    pub(super) busy: bool,
    /// Its process, where it is one and has started.
    pub(super) pid: Option<u32>,
    /// Absent once the pod drains.
    pub(super) inbox: Option<mpsc::Sender<(Job, Instant)>>,
}

// === impl Meters ===

impl Meters {
    fn new(now: Instant) -> Self {
        let integral = || Integral::new(now);
        Meters {
            ready: integral(),
            busy: integral(),
            requests: 0,
            answered: 0,
            failed: 0,
            refused: [0; 2],
            expired: 0,
            phases: Phases::new(),
            abandoned: 0,
            cpu_s: BTreeMap::new(),
        }
    }
}

// === impl Phases ===

impl Phases {
    /// Their names, in order.
    pub(crate) const NAMES: [&str; 5] = ["queue", "decode", "forward", "encode", "rest"];

    fn new() -> Self {
        Phases(std::array::from_fn(|_| Histogram::short()))
    }

    pub(crate) fn add(&mut self, times: &StageTimes) {
        let seconds = [times.queue_s, times.decode_s, times.forward_s, times.encode_s, times.rest_s];
        self.0.iter_mut().zip(seconds).for_each(|(histogram, seconds)| histogram.add(seconds));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &Histogram)> {
        Phases::NAMES.into_iter().zip(&self.0)
    }
}

// === impl Roster ===

impl Roster {
    /// No pods yet, and so many asked for.
    pub(super) fn new(now: Instant, desired: u32) -> Self {
        Roster {
            queue: VecDeque::new(),
            pods: BTreeMap::new(),
            desired,
            limit: None,
            closed: false,
            starts_lost: 0,
            last_error: None,
            meters: Meters::new(now),
            threads: Vec::new(),
        }
    }

    /// Pods that serve or will.
    pub(super) fn live(&self) -> impl Iterator<Item = (&u32, &Member)> {
        self.pods.iter().filter(|(_, m)| m.phase != PodPhase::Draining)
    }

    /// Pods that the balancer uses.
    pub(super) fn in_use(&self) -> impl Iterator<Item = (&u32, &Member)> {
        let ready = self.pods.iter().filter(|(_, m)| m.phase == PodPhase::Ready);
        ready.take(self.limit.unwrap_or(u32::MAX) as usize)
    }

    /// The pod to serve next.
    pub(super) fn free_pod(&self) -> Option<u32> {
        self.in_use().find(|(_, m)| !m.busy).map(|(number, _)| *number)
    }

    pub(super) fn counts(&self) -> Counts {
        let of = |phase| self.pods.values().filter(|m| m.phase == phase).count() as u32;
        Counts {
            desired: self.desired,
            in_use: self.in_use().count() as u32,
            ready: of(PodPhase::Ready),
            starting: of(PodPhase::Starting),
            draining: of(PodPhase::Draining),
            queued: self.queue.len() as u32,
        }
    }

    /// How long one who comes now would wait for a place in a full queue to be free \[s\], were the pods all that
    /// is waited for: the mean service time so far over the pods that serve.
    pub(super) fn wait_s(&self) -> f64 {
        let served = (self.meters.answered + self.meters.failed).max(1) as f64;
        let busy_s = self.meters.busy.total(Instant::now());
        busy_s / served / f64::from(self.counts().in_use.max(1))
    }

    /// A pod that starts.
    pub(super) fn add(&mut self, number: u32, inbox: mpsc::Sender<(Job, Instant)>, thread: JoinHandle<()>) {
        let (phase, inbox) = (PodPhase::Starting, Some(inbox));
        self.pods.insert(number, Member { phase, ready_since: None, busy: false, pid: None, inbox });
        self.meters.cpu_s.entry(number).or_insert(0.0);
        self.threads.push(thread);
    }

    /// Gives up those that wait: no pod will come for them, and their receivers learn it now.
    pub(super) fn drop_queue(&mut self) {
        self.meters.failed += self.queue.len() as u64;
        self.queue.clear();
    }

    /// Takes one pod out: one that still starts before one that serves, the highest number first.
    pub(super) fn drain_one(&mut self) {
        let surplus = self.live().max_by_key(|(number, m)| (m.phase == PodPhase::Starting, **number));
        let Some(number) = surplus.map(|(number, _)| *number) else { return };
        let member = self.pods.get_mut(&number).expect("just found");
        member.phase = PodPhase::Draining;
        member.inbox = None;
    }
}
