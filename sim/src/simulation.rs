//! A pipeline in the middle of its work: how it begins, runs on and ends.

use std::sync::Arc;

use splitscale_spec::Status;

use crate::chain::Chain;
use crate::chance::{Chance, Purpose, Stream};
use crate::error::SimError;
use crate::event::{Event, EventQueue, Kind, MAX_REQUESTS};
use crate::fingerprint::Fingerprint;
use crate::histogram::Histogram;
use crate::link::Link;
use crate::model::{Model, Ready, Rules, SlotsPlan};
use crate::node::Node;
use crate::observe::Observer;
use crate::outcome::{Answers, Outcome, PodsSummary, Totals};
use crate::pods::Pods;
use crate::quota::Quotas;
use crate::request::{NOBODY, Phase, Request};
use crate::setup::Setup;
use crate::source::Source;
use crate::station::{Books, Station};
use crate::time::SimTime;

/// A pipeline in the middle of its work. A clone is a snapshot: continued alike it meets the same future,
/// continued under other pods or slots it meets the same demands.
#[derive(Debug, Clone)]
pub struct Simulation {
    pub(crate) model: Arc<Ready>,
    pub(crate) rules: Rules,
    pub(crate) now: SimTime,
    pub(crate) queue: EventQueue,
    pub(crate) a: Station,
    pub(crate) proxy: Station,
    pub(crate) b: Station,
    pub(crate) pods_a: Pods,
    pub(crate) pods_b: Pods,
    /// The node of A, and that of B where it has one of its own; where cores are not scarce, none.
    pub(crate) nodes: [Option<Box<Node>>; 2],
    /// Those of A and of B where their pods are limited.
    pub(crate) quotas: [Option<Box<Quotas>>; 2],
    pub(crate) link: Option<Box<Link>>,
    /// The requests on their way, each in its place; with records, all of them, by number.
    pub(crate) requests: Vec<Request>,
    /// The first of the places that are free again, each naming the next; with records there are none.
    pub(crate) free: u32,
    pub(crate) source: Source,
    pub(crate) chance: Chance,
    pub(crate) tally: Tally,
    pub(crate) answers: Answers,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) slots: Slots,
    pub(crate) observer: Option<Box<Observer>>,
    /// How the books stood at the end of the warm-up.
    before: Option<Box<Before>>,
    events: u64,
    seed: u64,
    replication: u64,
}

/// Requests by what became of them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) created: u32,
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    pub(crate) lost: u64,
    /// Answered as fast as was promised, of those sent after the warm-up.
    pub(crate) within: u64,
    pub(crate) first_sent: Option<SimTime>,
    pub(crate) last_end: SimTime,
}

/// The slots as they change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slots {
    /// Steps of the plan made so far.
    pub(crate) step: u64,
    pub(crate) chain: Option<Box<Chain>>,
    /// Integral of their number up to the last change \[slot ns\].
    pub(crate) area: u128,
    pub(crate) changed: SimTime,
}

#[derive(Debug, Clone)]
struct Before {
    stations: [Books; 3],
    tally: Tally,
}

/// Room made ready for requests at the start, at most.
const FIRST_ROOM: u32 = 4096;

/// Events between two questions whether to go on: some tenths of a second.
const SLICE: u32 = 1 << 22;

impl Simulation {
    /// Replication `replication` under `seed`, at time zero, nothing done yet.
    ///
    /// # Errors
    /// The first field of the setup that is out of range.
    pub fn new(setup: &Setup, seed: u64, replication: u64) -> Result<Self, SimError> {
        Ok(Simulation::of(&Model::of(setup)?, seed, replication))
    }

    /// The same, of a setup that was checked before.
    pub fn of(model: &Model, seed: u64, replication: u64) -> Self {
        let model = model.ready();
        let setup = &model.setup;
        let (a, b, slots) = (&setup.a, &setup.b, setup.link.slots);
        let unprompted = setup.arrivals.unprompted();
        let at_once = matches!(model.load, crate::source::Load::AtOnce);
        let room = if setup.records || at_once { unprompted } else { 16 };
        // One event a server, one for the next arrival; what is on its way back may make it grow.
        let events = [a.pods, slots, 1].into_iter().fold(0, u32::saturating_add);
        let chain = matches!(model.slots, Some(SlotsPlan::Markov(_)))
            .then(|| Box::new(Chain::new(seed, replication, Purpose::Slots)));
        let mut simulation = Simulation {
            rules: model.rules,
            now: SimTime::ZERO,
            queue: EventQueue::with_capacity(events.min(FIRST_ROOM) as usize),
            a: Station::new("a", a.pods, a.balancer, a.queue_limit),
            proxy: Station::new("proxy", slots, Default::default(), setup.link.queue_limit),
            b: Station::new("b", b.pods, b.balancer, b.queue_limit),
            pods_a: Pods::new(seed, replication, Purpose::PodsA),
            pods_b: Pods::new(seed, replication, Purpose::PodsB),
            nodes: [
                a.cores.map(|cores| Box::new(Node::new(cores, [a.cpu_share, b.cpu_share]))),
                b.cores.map(|cores| Box::new(Node::new(cores, [a.cpu_share, b.cpu_share]))),
            ],
            quotas: [(a, Purpose::PeriodsA), (b, Purpose::PeriodsB)].map(|(stage, purpose)| {
                let limit = stage.cpu_limit.as_ref()?;
                Some(Box::new(Quotas::new(limit, Stream::new(seed, replication, purpose))))
            }),
            link: model.rates.as_ref().map(|_| Box::default()),
            requests: Vec::with_capacity(room.min(FIRST_ROOM) as usize),
            free: NOBODY,
            source: Source::new(&model.load, unprompted, seed, replication),
            chance: Chance::new(seed, replication),
            tally: Tally::default(),
            answers: Answers::default(),
            fingerprint: Fingerprint::new(),
            slots: Slots { chain, ..Slots::default() },
            observer: setup.scrape.map(|scrape| Box::new(Observer::new(scrape))),
            before: None,
            events: 0,
            seed,
            replication,
            model: Arc::clone(model),
        };
        simulation.first_pods();
        simulation.first_slots();
        simulation.schedule_unprompted();
        // Clients that think before their first request do not come in the order of their numbers.
        while model.rules.closed && simulation.source.left() > 0 {
            simulation.schedule_unprompted();
        }
        simulation
    }

    /// Where the clock stands.
    pub fn now(&self) -> SimTime {
        self.now
    }

    /// Requests answered so far.
    pub fn answered(&self) -> u64 {
        self.tally.answered
    }

    /// What was counted so far.
    pub fn totals(&self) -> Totals {
        let Tally { sent, answered, within, .. } = self.tally;
        let area = self.pods_a.alive_area(self.now) + self.pods_b.alive_area(self.now);
        Totals {
            sent,
            answered,
            within_slo: if self.model.setup.slo_s.is_some() { within } else { 0 },
            unanswered: self.tally.ended() - answered,
            latency_s: self.answers.sum_s(),
            pod_seconds: area as f64 * 1e-9,
            changes: self.pods_a.changes + self.pods_b.changes,
        }
    }

    /// Latencies of the answered so far.
    pub fn latencies(&self) -> &Histogram {
        self.answers.histogram()
    }

    /// Requests on their way whose promise is broken already, `slo_s` after they were sent.
    pub fn overdue(&self) -> u64 {
        let late = |sent: SimTime| self.now.since(sent) > self.model.slo_ns;
        let open = |request: &&Request| {
            !request.gone && !matches!(request.phase, Phase::Coming | Phase::Done) && late(request.sent)
        };
        if self.model.setup.slo_s.is_none() { 0 } else { self.requests.iter().filter(open).count() as u64 }
    }

    /// Whether the load is over and every request has ended.
    pub fn is_done(&self) -> bool {
        self.source.left() == 0 && self.tally.ended() == u64::from(self.tally.created)
    }

    /// Hash of what happened so far; see [`Outcome::fingerprint`].
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint.value()
    }

    /// Handles every event due by `until` and puts the clock there, or at the horizon. An instant that has
    /// passed changes nothing.
    pub fn advance(&mut self, until: SimTime) {
        let until = self.model.horizon.map_or(until, |horizon| until.min(horizon));
        self.run_until(until, &|| true);
        self.now = self.now.max(until);
    }

    /// Handles the next event and tells it; absent where nothing is to come before the horizon. Events that
    /// became void are passed over. Scrapes and the warm-up are left out: they change no event.
    pub fn step(&mut self) -> Option<Event> {
        let horizon = self.model.horizon.unwrap_or(SimTime::MAX);
        while let Some(event) = self.queue.pop_until(horizon) {
            if self.handle_aside(event) {
                return Some(event);
            }
        }
        None
    }

    #[inline(never)]
    fn handle_aside(&mut self, event: Event) -> bool {
        self.handle::<false>(event)
    }

    /// Runs until every request has ended, or to the horizon.
    ///
    /// # Errors
    /// If the clock reaches its end, if everything ended within the warm-up, or if an identity does not hold
    /// (a bug of the simulator).
    pub fn run_to_end(self) -> Result<Outcome, SimError> {
        self.run_while(&|| true).map(|outcome| outcome.expect("nothing stops it"))
    }

    /// The same as long as `go_on` says so, which is asked now and then; absent where it was stopped.
    ///
    /// # Errors
    /// As [`run_to_end`](Self::run_to_end).
    pub fn run_while(mut self, go_on: &dyn Fn() -> bool) -> Result<Option<Outcome>, SimError> {
        if !self.run_until(self.model.horizon.unwrap_or(SimTime::MAX), go_on) {
            return Ok(None);
        }
        if self.tally.last_end >= SimTime::END {
            return Err(SimError::EndOfTime);
        }
        if self.tally.created >= MAX_REQUESTS {
            return Err(SimError::TooMany);
        }
        if self.tally.sent == 0 {
            return Err(SimError::Nothing);
        }
        let stop = match self.model.horizon {
            Some(horizon) if !self.is_done() => horizon,
            _ => self.tally.last_end,
        };
        if stop < self.model.warm_up {
            return Err(SimError::WarmUp { end: stop, warm_up: self.model.warm_up });
        }
        self.now = self.now.max(stop);
        self.audit()?;
        Ok(Some(self.outcome(stop)))
    }

    fn outcome(mut self, stop: SimTime) -> Outcome {
        let first = self.tally.first_sent.unwrap_or(stop);
        let span_ns = stop.since(first.max(self.model.warm_up));
        let empty = Before { stations: [Books::default(); 3], tally: Tally::default() };
        let before = self.before.take().map_or(empty, |before| *before);
        let tally = &self.tally;
        let summary =
            |station: &Station, index: usize| station.books.summary(&before.stations[index], span_ns);
        let pods = |pods: &mut Pods| {
            pods.pass(stop);
            let pod_seconds = pods.alive_area as f64 * 1e-9;
            PodsSummary { pod_seconds, changes: pods.changes, crashes: pods.crashes }
        };
        let mut trail = if self.rules.records { self.requests } else { Vec::new() };
        trail.retain(|request| request.phase == Phase::Done || request.gone);
        Outcome {
            seed: self.seed,
            replication: self.replication,
            fingerprint: self.fingerprint.value(),
            events: self.events,
            requests: tally.sent - before.tally.sent,
            refused: tally.refused - before.tally.refused,
            failed: tally.failed - before.tally.failed,
            lost: tally.lost - before.tally.lost,
            unfinished: tally.sent - tally.ended(),
            within_slo: self.model.setup.slo_s.map(|_| tally.within),
            makespan_s: stop.since(first) as f64 * 1e-9,
            span_s: span_ns as f64 * 1e-9,
            a: summary(&self.a, 0),
            proxy: summary(&self.proxy, 1),
            b: summary(&self.b, 2),
            latency: self.answers.latency(),
            pods_a: pods(&mut self.pods_a),
            pods_b: pods(&mut self.pods_b),
            trail,
        }
    }

    /// Checks the books of every station against the requests that are still in it.
    fn audit(&mut self) -> Result<(), SimError> {
        let mut times = [[0u128; 2]; 3];
        let Rules { hold_a, release_after_transfer: release, .. } = self.rules;
        for request in &self.requests {
            let here = u128::from(self.now.since(request.since));
            let slot = u128::from(self.now.since(request.slot_since));
            let waits = !request.gone;
            match request.phase {
                Phase::QueueA if waits => times[0][0] += here,
                Phase::AtA => times[0][1] += here,
                Phase::QueueProxy if waits => {
                    times[1][0] += here;
                    if hold_a {
                        times[0][1] += here + u128::from(request.service_a_ns);
                    }
                }
                Phase::Transfer => times[1][1] += slot,
                Phase::QueueB if waits => {
                    times[2][0] += here;
                    times[1][1] += if release { 0 } else { slot };
                }
                Phase::AtB => {
                    times[2][1] += here;
                    times[1][1] += if release { 0 } else { slot };
                }
                _ => {}
            }
        }
        let stations = [&mut self.a, &mut self.proxy, &mut self.b];
        for (station, [waiting_ns, busy_ns]) in stations.into_iter().zip(times) {
            station.audit(self.now, waiting_ns, busy_ns)?;
        }
        let on_their_way = self
            .requests
            .iter()
            .filter(|request| !request.gone && !matches!(request.phase, Phase::Coming | Phase::Done));
        let (left, right) = (self.tally.sent, self.tally.ended() + on_their_way.count() as u64);
        if left != right {
            return Err(SimError::Imbalance {
                station: "pipeline",
                identity: "requests sent = ended + on their way",
                left: left.into(),
                right: right.into(),
            });
        }
        Ok(())
    }

    /// Stops at each instant at which something is noted down. Whether it came to the end.
    fn run_until(&mut self, until: SimTime, go_on: &dyn Fn() -> bool) -> bool {
        loop {
            let warm_up = self.model.warm_up;
            let warm = (self.before.is_none() && warm_up > SimTime::ZERO).then_some(warm_up);
            let scrape = self.observer.as_ref().map(|observer| observer.next());
            let mark = warm.into_iter().chain(scrape).min().filter(|&mark| mark <= until);
            while !self.run_events(mark.unwrap_or(until)) {
                if !go_on() {
                    return false;
                }
            }
            let Some(mark) = mark else { return true };
            if until == SimTime::MAX && self.is_done() {
                return true;
            }
            self.now = self.now.max(mark);
            if warm == Some(mark) {
                self.forget();
            }
            if scrape == Some(mark) {
                self.scrape();
            }
        }
    }

    /// Handles what is due by `until`, at most a slice of it. Whether that was all.
    fn run_events(&mut self, until: SimTime) -> bool {
        for _ in 0..SLICE {
            let Some(event) = self.queue.pop_until(until) else { return true };
            if self.rules.plain {
                self.handle::<true>(event);
            } else {
                self.handle::<false>(event);
            }
        }
        false
    }

    /// Whether it was an event and not a void one.
    #[inline(always)]
    fn handle<const PLAIN: bool>(&mut self, event: Event) -> bool {
        if (self.rules::<PLAIN>().may_be_void >> (event.kind as u16)) & 1 == 1 && self.is_void(event) {
            return false;
        }
        self.now = event.time;
        self.events += 1;
        self.fingerprint.event(event);
        match event.kind {
            Kind::Arrive => self.arrive::<PLAIN>(event.place),
            Kind::ServedA => self.served_a::<PLAIN>(event.place),
            Kind::Transferred => self.transferred::<PLAIN>(event.place),
            Kind::ServedB => self.served_b::<PLAIN>(event.place),
            Kind::Answer => self.answer::<PLAIN>(event.place),
            _ => self.handle_rare(event),
        }
        true
    }

    /// The warm-up is over: what was counted so far is not to be seen.
    fn forget(&mut self) {
        let now = self.now;
        let stations = [&mut self.a, &mut self.proxy, &mut self.b].map(|station| {
            station.books.pass(now);
            station.books.forget_max();
            station.books
        });
        self.answers = Answers::default();
        self.before = Some(Box::new(Before { stations, tally: self.tally }));
    }
}

impl Tally {
    pub(crate) fn ended(&self) -> u64 {
        self.answered + self.refused + self.failed + self.lost
    }

    pub(crate) fn add(&mut self, status: Status) {
        match status {
            Status::Answered => self.answered += 1,
            Status::Refused => self.refused += 1,
            Status::Failed => self.failed += 1,
            // Nothing is dropped before it is sent: the clients here have no bound.
            Status::Lost | Status::Dropped => self.lost += 1,
        }
    }
}
