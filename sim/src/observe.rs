//! What a live observer would see: counters scraped at intervals, and the observation they make.
//!
//! It mirrors the live side piece by piece: the same counters, the same differences over the window, the same
//! buckets of latency, the same link estimator. The true bandwidth is not among them.

use std::collections::VecDeque;

use splitscale_spec::{LinkEstimator, Observation, PodPhase, PodSample, QueueLevel, Signal, StagePods};

use crate::pods::Pod;
use crate::setup::{ScrapeSetup, StageSetup};
use crate::simulation::Simulation;
use crate::time::{SimTime, nanos};

/// Keeps as many scrapes as the longest window needs.
#[derive(Debug, Clone)]
pub(crate) struct Observer {
    every_ns: u64,
    window_ns: u64,
    next: SimTime,
    scrapes: VecDeque<Scrape>,
    /// One that is not needed any more, for its room.
    spare: Scrape,
    link: LinkEstimator,
    latency: Buckets,
    answered: u64,
    bytes: u64,
    transfer_ns: u128,
    changes: [Change; 2],
}

/// Latencies counted as the servers count them: from 10 ms to 120 s, each bucket 1.15 times the one before.
#[derive(Debug, Clone, Default)]
struct Buckets(Vec<u32>);

/// All counters at one time.
#[derive(Debug, Clone, Default)]
struct Scrape {
    at: SimTime,
    arrived: u64,
    answered: u64,
    /// A, proxy, B: number waiting, and its integral.
    queues: [(u32, u128); 3],
    /// A, slots, B: integral of those at work, and of those there are.
    busy: [(u128, u128); 3],
    slots: u32,
    bytes: u64,
    transfer_ns: u128,
    latency: Buckets,
    pods: [Vec<PodCount>; 2],
    desired: [u32; 2],
}

#[derive(Debug, Clone, Copy)]
struct PodCount {
    pod: u32,
    phase: PodPhase,
    ready_since: SimTime,
    busy_ns: u64,
}

/// The last change of the desired pods of a stage.
#[derive(Debug, Clone, Copy, Default)]
struct Change {
    desired: Option<u32>,
    last: Option<(SimTime, i64)>,
}

const FIRST_S: f64 = 0.01;
const GROWTH: f64 = 1.15;
const LAST_S: f64 = 120.0;

/// How many buckets end.
const ENDS: usize = {
    let (mut upper_s, mut ends) = (FIRST_S, 1);
    while upper_s < LAST_S {
        (upper_s, ends) = (upper_s * GROWTH, ends + 1);
    }
    ends
};

/// Upper ends of the buckets \[s\].
static BOUNDS: [f64; ENDS] = {
    let mut bounds = [FIRST_S; ENDS];
    let mut at = 1;
    while at < ENDS {
        bounds[at] = bounds[at - 1] * GROWTH;
        at += 1;
    }
    bounds
};

/// An eighth of a power of two is narrower than any bucket: at most one bucket ends in it.
const STEP_SHIFT: u32 = f64::MANTISSA_DIGITS - 1 - 3;
const FIRST_STEP: u64 = FIRST_S.to_bits() >> STEP_SHIFT;
const STEPS: usize = ((BOUNDS_END.to_bits() >> STEP_SHIFT) - FIRST_STEP) as usize + 2;
const BOUNDS_END: f64 = LAST_S * GROWTH;

/// How many buckets end before each step begins.
static BEFORE: [u8; STEPS] = {
    let mut before = [0; STEPS];
    let mut step = 1;
    while step < STEPS {
        let low_s = f64::from_bits((FIRST_STEP + step as u64) << STEP_SHIFT);
        before[step] = before[step - 1];
        while (before[step] as usize) < ENDS && BOUNDS[before[step] as usize] < low_s {
            before[step] += 1;
        }
        step += 1;
    }
    before
};

impl Simulation {
    /// What a live observer would know now, over the window of `window_s` behind the last scrape \[s\], or over
    /// as much of it as was scraped. Everything is missing where the setup asks for no scrapes.
    pub fn observe(&self, window_s: f64) -> Observation {
        let mut observation = Observation::default();
        self.observe_into(window_s, &mut observation);
        observation
    }

    /// The same, into one that has room already: nothing is allocated where it had as many pods before.
    pub fn observe_into(&self, window_s: f64, into: &mut Observation) {
        let now_s = self.now.as_secs_f64();
        let room = [into.a.take(), into.b.take()].map(|stage| stage.map_or(Vec::new(), |stage| stage.pods));
        *into = Observation::empty(now_s, window_s);
        let Some(observer) = &self.observer else { return };
        let Some(to) = observer.scrapes.back() else { return };
        let start_ns = to.at.as_nanos().saturating_sub(nanos(window_s));
        // The last scrape that is not inside the window, so that the window is always covered.
        let from = observer.scrapes.iter().rev().find(|scrape| scrape.at.as_nanos() <= start_ns);
        let from = from.or(observer.scrapes.front()).unwrap_or(to);
        let window = Window { now: self.now, from, to };
        let setup = &self.model.setup;
        [into.queue_a, into.queue_proxy, into.queue_b] = [0, 1, 2].map(|queue| window.queue(queue));
        [into.busy_a, into.busy_slots, into.busy_b] = [0, 1, 2].map(|busy| window.busy(busy));
        into.arrivals_per_s = window.rate(to.arrived - from.arrived);
        into.answers_per_s = window.rate(to.answered - from.answered);
        into.slots = Some(window.signal(to.slots));
        into.latency_p50_s = window.quantile(0.50);
        into.latency_p95_s = window.quantile(0.95);
        into.link = observer.link.estimate(now_s);
        let [room_a, room_b] = room;
        into.a = Some(window.pods((0, &setup.a), observer.changes[0], room_a));
        into.b = Some(window.pods((1, &setup.b), observer.changes[1], room_b));
    }

    /// Notes all counters down.
    pub(crate) fn scrape(&mut self) {
        let now = self.now;
        for station in [&mut self.a, &mut self.proxy, &mut self.b] {
            station.books.pass(now);
        }
        let slot_area = self.slot_area();
        let Some(observer) = &mut self.observer else { return };
        let stations = [&self.a, &self.proxy, &self.b];
        let busy = stations.map(|station| station.books.busy_area);
        let mut scrape = std::mem::take(&mut observer.spare);
        scrape.at = now;
        scrape.arrived = self.a.books.arrived;
        scrape.answered = observer.answered;
        scrape.queues = stations.map(|station| (station.books.waiting, station.books.waiting_area));
        scrape.busy = [
            (busy[0], self.pods_a.ready_area(now)),
            (busy[1], slot_area),
            (busy[2], self.pods_b.ready_area(now)),
        ];
        scrape.slots = self.proxy.servers.ready();
        scrape.bytes = observer.bytes;
        scrape.transfer_ns = observer.transfer_ns;
        scrape.latency.0.clone_from(&observer.latency.0);
        for (counts, pods) in scrape.pods.iter_mut().zip([&self.pods_a, &self.pods_b]) {
            counts.clear();
            counts.extend(pods.iter().filter_map(count));
        }
        scrape.desired = [self.pods_a.desired, self.pods_b.desired];
        observer.push(scrape);
    }
}

fn count((number, pod): (u32, &Pod)) -> Option<PodCount> {
    let phase = pod.phase?;
    Some(PodCount { pod: number, phase, ready_since: pod.ready_since, busy_ns: pod.busy_ns })
}

// === impl Observer ===

impl Observer {
    pub(crate) fn new(scrape: ScrapeSetup) -> Self {
        Observer {
            every_ns: nanos(scrape.every_s).max(1),
            window_ns: nanos(scrape.window_s),
            next: SimTime::ZERO,
            scrapes: VecDeque::new(),
            spare: Scrape::default(),
            link: LinkEstimator::new(LinkEstimator::TIME_CONSTANT_S),
            latency: Buckets::new(),
            answered: 0,
            bytes: 0,
            transfer_ns: 0,
            changes: [Change::default(); 2],
        }
    }

    /// When the next scrape is due.
    pub(crate) fn next(&self) -> SimTime {
        self.next
    }

    pub(crate) fn answered(&mut self, latency_ns: u64) {
        self.answered += 1;
        self.latency.add(latency_ns as f64 * 1e-9);
    }

    pub(crate) fn transferred(&mut self, bytes: u64, took_ns: u64) {
        self.bytes += bytes;
        self.transfer_ns += u128::from(took_ns);
    }

    fn push(&mut self, scrape: Scrape) {
        self.next = scrape.at.after(self.every_ns);
        if let Some(before) = self.scrapes.back() {
            let bytes = (scrape.bytes - before.bytes) as f64;
            let busy_s = (scrape.transfer_ns - before.transfer_ns) as f64 * 1e-9;
            self.link.update(scrape.at.as_secs_f64(), bytes, busy_s);
        }
        for (change, &desired) in self.changes.iter_mut().zip(&scrape.desired) {
            if let Some(before) = change.desired.replace(desired)
                && before != desired
            {
                change.last = Some((scrape.at, i64::from(desired) - i64::from(before)));
            }
        }
        let start = scrape.at.as_nanos().saturating_sub(self.window_ns);
        self.scrapes.push_back(scrape);
        while self.scrapes.len() > 2 && self.scrapes[1].at.as_nanos() <= start {
            self.spare = self.scrapes.pop_front().unwrap_or_default();
        }
    }
}

// === impl Buckets ===

impl Buckets {
    fn new() -> Self {
        Buckets(vec![0; BOUNDS.len() + 1])
    }

    fn add(&mut self, latency_s: f64) {
        self.0[bucket(latency_s)] += 1;
    }
}

/// The first bucket that ends at a latency or above it: looked up, and not searched for.
#[inline]
fn bucket(latency_s: f64) -> usize {
    let step = (latency_s.to_bits() >> STEP_SHIFT).saturating_sub(FIRST_STEP) as usize;
    let before = usize::from(BEFORE[step.min(STEPS - 1)]);
    before + usize::from(BOUNDS.get(before).is_some_and(|&upper_s| upper_s < latency_s))
}

// === a window between two scrapes ===

struct Window<'a> {
    now: SimTime,
    from: &'a Scrape,
    to: &'a Scrape,
}

impl Window<'_> {
    fn signal<T>(&self, value: T) -> Signal<T> {
        Signal { value, age_s: self.now.since(self.to.at) as f64 * 1e-9 }
    }

    /// Length \[ns\]; absent where there was but one scrape.
    fn length_ns(&self) -> Option<f64> {
        let length_ns = self.to.at.since(self.from.at);
        (length_ns > 0).then_some(length_ns as f64)
    }

    fn rate(&self, count: u64) -> Option<Signal<f64>> {
        Some(self.signal(count as f64 / self.length_ns()? * 1e9))
    }

    fn queue(&self, queue: usize) -> Option<Signal<QueueLevel>> {
        let ((_, before), (last, area)) = (self.from.queues[queue], self.to.queues[queue]);
        let mean = (area - before) as f64 / self.length_ns()?;
        Some(self.signal(QueueLevel { mean, last: f64::from(last) }))
    }

    fn busy(&self, index: usize) -> Option<Signal<f64>> {
        let (from, to) = (self.from.busy[index], self.to.busy[index]);
        let (part, whole) = ((to.0 - from.0) as f64, (to.1 - from.1) as f64);
        (whole > 0.0).then(|| self.signal((part / whole).min(1.0)))
    }

    /// Linear within a bucket, as PromQL's `histogram_quantile`.
    fn quantile(&self, q: f64) -> Option<Signal<f64>> {
        let counts = self.to.latency.0.iter().zip(&self.from.latency.0).map(|(to, from)| to - from);
        let rank = q * f64::from(counts.clone().sum::<u32>());
        if rank <= 0.0 {
            return None;
        }
        let (mut lower_s, mut below) = (0.0, 0.0);
        for (&upper_s, count) in BOUNDS.iter().zip(counts) {
            if below + f64::from(count) >= rank {
                return Some(self.signal(lower_s + (upper_s - lower_s) * (rank - below) / f64::from(count)));
            }
            (lower_s, below) = (upper_s, below + f64::from(count));
        }
        Some(self.signal(lower_s))
    }

    fn pods(&self, (stage, of): (usize, &StageSetup), change: Change, mut room: Vec<PodSample>) -> StagePods {
        let cpu_request = of.cpu_limit.map_or(of.cpu_share, |limit| limit.cores);
        let pods = &self.to.pods[stage];
        let count = |phase| pods.iter().filter(|pod| pod.phase == phase).count() as u32;
        let age_s = self.now.since(self.to.at) as f64 * 1e-9;
        let before = |number: u32| self.from.pods[stage].iter().find(|pod| pod.pod == number);
        let sample = |pod: &PodCount| PodSample {
            pod: pod.pod,
            phase: pod.phase,
            ready_since_s: (pod.phase != PodPhase::Starting).then(|| pod.ready_since.as_secs_f64()),
            cpu_used: before(pod.pod).and_then(|before| {
                let busy_ns = pod.busy_ns.checked_sub(before.busy_ns)?;
                Some(busy_ns as f64 * of.cpu_share / self.length_ns()?)
            }),
            cpu_request: Some(cpu_request),
            sample_age_s: age_s,
        };
        room.clear();
        room.extend(pods.iter().map(sample));
        StagePods {
            age_s,
            desired: self.to.desired[stage],
            ready: count(PodPhase::Ready),
            starting: count(PodPhase::Starting),
            draining: count(PodPhase::Draining),
            pods_max: None,
            last_change: change.last.map(|(_, by)| by),
            last_change_age_s: change.last.map(|(at, _)| self.now.since(at) as f64 * 1e-9),
            pods: room,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_looked_up_where_a_search_would_find_it() {
        let near = |x: f64| [x.next_down(), x, x.next_up()];
        let steps = (0..STEPS as u64).map(|step| f64::from_bits((FIRST_STEP + step) << STEP_SHIFT));
        let all = BOUNDS.iter().copied().chain(steps).chain([1e-9, 1.0, 1e3, 1e9]).flat_map(near);
        for latency_s in all.chain([0.0]) {
            let found = BOUNDS.partition_point(|&upper_s| upper_s < latency_s);
            assert_eq!(bucket(latency_s), found, "{latency_s}");
        }
        assert!(BOUNDS[ENDS - 2] < LAST_S && BOUNDS[ENDS - 1] >= LAST_S && BOUNDS[ENDS - 1] < BOUNDS_END);
    }
}
