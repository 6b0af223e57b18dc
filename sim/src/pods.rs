//! The pods of a stage in time: starting, ready, draining, gone.

use splitscale_spec::PodPhase;

use crate::chance::{Purpose, Stream};
use crate::law::Sampler;
use crate::time::SimTime;

/// The pods of one stage. Which of them take requests, its station's servers know.
#[derive(Debug, Clone)]
pub(crate) struct Pods {
    pods: Vec<Pod>,
    pub(crate) desired: u32,
    /// Pods there are, in whatever phase.
    alive: u32,
    ready: u32,
    changed: SimTime,
    /// Integral of the pods there are: what they cost \[pod ns\].
    pub(crate) alive_area: u128,
    /// Integral of the ready pods up to the last change \[pod ns\].
    ready_area: u128,
    /// Pods asked for and pods given up, together.
    pub(crate) changes: u64,
    pub(crate) crashes: u64,
    /// Block i belongs to the i-th time a pod starts: word 0 how long, word 1 how long until it crashes, word 2
    /// the restart after that.
    stream: Stream,
}

/// One pod.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pod {
    /// Where it is in its life; absent where it is gone.
    pub(crate) phase: Option<PodPhase>,
    /// When it was ready.
    pub(crate) ready_since: SimTime,
    /// Work done, as long as it takes at the pod's full CPU share \[ns\].
    pub(crate) busy_ns: u64,
    /// Of the one event that is valid.
    generation: u32,
    restart: u64,
}

/// How the pods of a stage start and crash.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) start_up: Sampler,
    /// From ready to the crash, and from there to ready again.
    pub(crate) failure: Option<(Sampler, Sampler)>,
}

/// What is to be scheduled for a pod: after so long \[ns\], with this generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) after_ns: u64,
    pub(crate) generation: u32,
}

impl Pods {
    /// None yet.
    pub(crate) fn new(seed: u64, replication: u64, purpose: Purpose) -> Self {
        Pods {
            pods: Vec::new(),
            desired: 0,
            alive: 0,
            ready: 0,
            changed: SimTime::ZERO,
            alive_area: 0,
            ready_area: 0,
            changes: 0,
            crashes: 0,
            stream: Stream::new(seed, replication, purpose),
        }
    }

    /// Each pod that is not gone, with its number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Pod)> {
        (0u32..).zip(&self.pods).filter(|(_, pod)| pod.phase.is_some())
    }

    pub(crate) fn phase(&self, pod: u32) -> Option<PodPhase> {
        self.pods.get(pod as usize)?.phase
    }

    /// Whether an event of a pod was made void.
    pub(crate) fn is_void(&self, pod: u32, generation: u32) -> bool {
        self.pods.get(pod as usize).is_none_or(|pod| pod.generation != generation)
    }

    /// Books work done.
    pub(crate) fn worked(&mut self, pod: u32, busy_ns: u64) {
        self.pods[pod as usize].busy_ns += busy_ns;
    }

    /// So many that are ready from the start.
    pub(crate) fn begin(&mut self, count: u32) {
        let pod = Pod {
            phase: Some(PodPhase::Ready),
            ready_since: SimTime::ZERO,
            busy_ns: 0,
            generation: 0,
            restart: 0,
        };
        self.pods = vec![pod; count as usize];
        (self.desired, self.alive, self.ready) = (count, count, count);
    }

    /// Asks for a new pod: the lowest number that is gone, and when it is ready.
    pub(crate) fn start(&mut self, now: SimTime, life: &Life) -> (u32, Due) {
        self.pass(now);
        let gone = self.pods.iter().position(|pod| pod.phase.is_none());
        let number = gone.unwrap_or(self.pods.len());
        if gone.is_none() {
            let pod = Pod { phase: None, ready_since: now, busy_ns: 0, generation: 0, restart: 0 };
            self.pods.push(pod);
        }
        self.alive += 1;
        let after_ns = life.start_up.sample_lazily(|| self.stream.block()[0]);
        let pod = &mut self.pods[number];
        pod.phase = Some(PodPhase::Starting);
        pod.generation = pod.generation.wrapping_add(1);
        (number as u32, Due { after_ns, generation: pod.generation })
    }

    /// A pod that was starting takes requests; when it will crash, if it can.
    pub(crate) fn make_ready(&mut self, now: SimTime, number: u32, life: &Life) -> Option<Due> {
        self.pass(now);
        self.ready += 1;
        let pod = &mut self.pods[number as usize];
        (pod.phase, pod.ready_since) = (Some(PodPhase::Ready), now);
        self.doom(number, life)
    }

    /// When a pod that has just become ready will crash, if it can.
    pub(crate) fn doom(&mut self, number: u32, life: &Life) -> Option<Due> {
        let crash = life.failure.as_ref().map(|(after, restart)| {
            let [_, until_crash, back, ..] = self.stream.block();
            let [after_ns] = after.sample(|_| until_crash);
            let [restart_ns] = restart.sample(|_| back);
            (after_ns, restart_ns)
        });
        let pod = &mut self.pods[number as usize];
        crash.map(|(after_ns, restart_ns)| {
            pod.restart = restart_ns;
            Due { after_ns, generation: pod.generation }
        })
    }

    /// A ready pod crashes: when it is back. One that was draining is gone.
    pub(crate) fn crash(&mut self, now: SimTime, number: u32) -> Option<Due> {
        self.crashes += 1;
        if self.phase(number) == Some(PodPhase::Draining) {
            self.remove(now, number);
            return None;
        }
        self.pass(now);
        self.ready -= 1;
        let pod = &mut self.pods[number as usize];
        pod.phase = Some(PodPhase::Starting);
        pod.generation = pod.generation.wrapping_add(1);
        Some(Due { after_ns: pod.restart, generation: pod.generation })
    }

    /// Who goes first when there are too many: one that is not ready yet, the highest-numbered of them, as a
    /// ReplicaSet does; otherwise the highest-numbered that is ready.
    pub(crate) fn victim(&self) -> Option<u32> {
        let last = |phase| self.pods.iter().rposition(|pod| pod.phase == Some(phase));
        last(PodPhase::Starting).or_else(|| last(PodPhase::Ready)).map(|number| number as u32)
    }

    /// A ready pod takes nothing new.
    pub(crate) fn drain(&mut self, now: SimTime, number: u32) {
        self.pass(now);
        self.ready -= 1;
        self.pods[number as usize].phase = Some(PodPhase::Draining);
    }

    /// A pod is gone.
    pub(crate) fn remove(&mut self, now: SimTime, number: u32) {
        self.pass(now);
        self.alive -= 1;
        let pod = &mut self.pods[number as usize];
        self.ready -= u32::from(pod.phase == Some(PodPhase::Ready));
        (pod.phase, pod.busy_ns) = (None, 0);
        pod.generation = pod.generation.wrapping_add(1);
    }

    /// Integral of the pods there are up to now \[pod ns\].
    pub(crate) fn alive_area(&self, now: SimTime) -> u128 {
        self.alive_area + u128::from(now.since(self.changed)) * u128::from(self.alive)
    }

    /// Integral of the ready pods up to now \[pod ns\].
    pub(crate) fn ready_area(&self, now: SimTime) -> u128 {
        self.ready_area + u128::from(now.since(self.changed)) * u128::from(self.ready)
    }

    /// Closes the stretch of time over which the numbers stood.
    pub(crate) fn pass(&mut self, now: SimTime) {
        let stretch = u128::from(now.since(self.changed));
        self.alive_area += stretch * u128::from(self.alive);
        self.ready_area += stretch * u128::from(self.ready);
        self.changed = now;
    }
}
