//! The engine: takes the next event, moves its request on, schedules what follows.

use std::sync::Arc;

use splitscale_spec::Replicas;

use crate::arrivals::Arrivals;
use crate::chance::{Chance, Samplers};
use crate::error::SimError;
use crate::event::{Event, EventQueue, Kind};
use crate::fingerprint::Fingerprint;
use crate::outcome::{Answers, Outcome};
use crate::request::Request;
use crate::setup::{Setup, check_pods, check_slots};
use crate::station::{NOBODY, Station};
use crate::time::SimTime;

/// A pipeline in the middle of its work. A clone is a snapshot: continued alike it meets the same future,
/// continued under other pods or slots it meets the same demands.
#[derive(Debug, Clone)]
pub struct Simulation {
    now: SimTime,
    queue: EventQueue,
    a: Station,
    proxy: Station,
    b: Station,
    /// The requests on their way, each in its place; with records, all of them, by number.
    requests: Vec<Request>,
    /// The first of the places that are free again, each naming the next; with records there are none.
    free: u32,
    created: u32,
    /// Those created that nobody's answer prompted.
    unprompted: u32,
    arrivals: Arrivals,
    laws: Arc<Samplers>,
    chance: Chance,
    answers: Answers,
    fingerprint: Fingerprint,
    events: u64,
    seed: u64,
    replication: u64,
    records: bool,
}

/// Room made ready for requests at the start, at most.
const FIRST_ROOM: u32 = 4096;

impl Simulation {
    /// Replication `replication` under `seed`, at time zero, nothing done yet.
    ///
    /// # Errors
    /// The first field of the setup that is out of range.
    pub fn new(setup: &Setup, seed: u64, replication: u64) -> Result<Self, SimError> {
        setup.validate()?;
        let room = match setup.arrivals {
            Arrivals::Poisson { .. } if !setup.records => 16,
            _ if setup.records => setup.arrivals.requests(),
            _ => setup.arrivals.unprompted(),
        };
        // One event a server, one for the next arrival; what is on its way back may make it grow.
        let events = [setup.pods.a, setup.slots, 1].into_iter().fold(0, u32::saturating_add);
        let mut simulation = Simulation {
            now: SimTime::ZERO,
            queue: EventQueue::with_capacity(events.min(FIRST_ROOM) as usize),
            a: Station::new("a", setup.pods.a),
            proxy: Station::new("proxy", setup.slots),
            b: Station::new("b", setup.pods.b),
            requests: Vec::with_capacity(room.min(FIRST_ROOM) as usize),
            free: NOBODY,
            created: 0,
            unprompted: 0,
            arrivals: setup.arrivals,
            laws: Arc::new(Samplers::of(setup)),
            chance: Chance::new(seed, replication),
            answers: Answers::default(),
            fingerprint: Fingerprint::new(),
            events: 0,
            seed,
            replication,
            records: setup.records,
        };
        simulation.schedule_unprompted();
        Ok(simulation)
    }

    /// Where the clock stands.
    pub fn now(&self) -> SimTime {
        self.now
    }

    /// Requests answered so far.
    pub fn answered(&self) -> u64 {
        self.answers.count
    }

    /// Whether every request is answered.
    pub fn is_done(&self) -> bool {
        self.queue.len() == 0
    }

    /// Hash of what happened so far; see [`Outcome::fingerprint`].
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint.value()
    }

    /// Handles every event due by `until` and puts the clock there. An instant that has passed changes nothing.
    pub fn advance(&mut self, until: SimTime) {
        self.run_until(until);
        self.now = self.now.max(until);
    }

    /// Changes the number of transfer slots, now. More: waiting requests get them at once. Fewer: those held
    /// beyond are kept to their ends and then given to nobody.
    ///
    /// # Errors
    /// If there would be none.
    pub fn set_slots(&mut self, slots: u32) -> Result<(), SimError> {
        check_slots(slots)?;
        self.fingerprint.change(self.now, 1, slots);
        self.proxy.resize(self.now, slots);
        while let Some((place, slot)) = self.proxy.take_waiting(&self.requests) {
            self.start_transfer(place, slot);
        }
        Ok(())
    }

    /// Changes the pods of both stages, now. More: waiting requests get them at once. Fewer: the
    /// highest-numbered finish what they do and take nothing new.
    ///
    /// # Errors
    /// If a stage would have none.
    pub fn set_pods(&mut self, pods: Replicas) -> Result<(), SimError> {
        check_pods(pods)?;
        self.fingerprint.change(self.now, 2, pods.a);
        self.fingerprint.change(self.now, 3, pods.b);
        self.a.resize(self.now, pods.a);
        while let Some((place, pod)) = self.a.take_waiting(&self.requests) {
            self.start_a(place, pod);
        }
        self.b.resize(self.now, pods.b);
        while let Some((place, pod)) = self.b.take_waiting(&self.requests) {
            self.start_b(place, pod);
        }
        Ok(())
    }

    /// Runs until every request is answered.
    ///
    /// # Errors
    /// If the clock reaches its end, or if an identity does not hold (a bug of the simulator).
    pub fn run_to_end(mut self) -> Result<Outcome, SimError> {
        self.run_until(SimTime::MAX);
        if self.answers.last_done >= SimTime::END {
            return Err(SimError::EndOfTime);
        }
        let requests = u64::from(self.arrivals.requests());
        let stations = [&self.a, &self.proxy, &self.b];
        stations.into_iter().try_for_each(|station| station.audit(requests))?;
        if self.answers.count != requests {
            return Err(SimError::Imbalance {
                station: "pipeline",
                identity: "requests answered = requests sent",
                left: u128::from(self.answers.count),
                right: u128::from(requests),
            });
        }
        let span_ns = self.answers.span_ns();
        Ok(Outcome {
            seed: self.seed,
            replication: self.replication,
            fingerprint: self.fingerprint.value(),
            events: self.events,
            requests,
            makespan_s: span_ns as f64 * 1e-9,
            latency: self.answers.latency(),
            a: self.a.summary(span_ns),
            proxy: self.proxy.summary(span_ns),
            b: self.b.summary(span_ns),
            trail: if self.records { self.requests } else { Vec::new() },
        })
    }
}

// === the way of one request ===
//
// The steps are inlined by force: one copy of the event queue's code a step lets the processor learn the
// branches of each apart, which is worth a tenth of the speed.

impl Simulation {
    fn run_until(&mut self, until: SimTime) {
        while let Some(event) = self.queue.pop_until(until) {
            self.now = event.time;
            self.events += 1;
            self.fingerprint.event(event);
            match event.kind {
                Kind::Arrive => self.arrive(event.place),
                Kind::ServedA => self.served_a(event.place),
                Kind::Transferred => self.transferred(event.place),
                Kind::ServedB => self.served_b(event.place),
                Kind::Answer => self.answer(event.place),
            }
        }
    }

    /// Schedules the next arrival that no answer prompts. One at a time: the event order puts it where it
    /// would stand had all been scheduled at the start, and the queue stays short.
    fn schedule_unprompted(&mut self) {
        if self.unprompted < self.arrivals.unprompted() {
            self.unprompted += 1;
            self.create();
        }
    }

    /// Creates a request, which draws all that chance decides for it, and schedules its arrival.
    fn create(&mut self) {
        let demands = self.chance.draw(&self.laws);
        let sent = self.now.after(demands.gap);
        let request = Request::new(self.created, sent, &demands);
        self.created += 1;
        let place = self.free;
        let place = if let Some(reused) = self.requests.get_mut(place as usize) {
            self.free = reused.next;
            *reused = request;
            place
        } else {
            self.requests.push(request);
            self.requests.len() as u32 - 1
        };
        self.schedule(sent, Kind::Arrive, place);
    }

    fn arrive(&mut self, place: u32) {
        self.schedule_unprompted();
        self.answers.sent(self.now);
        let request = &mut self.requests[place as usize];
        (request.pods_a, request.slots, request.pods_b) =
            (self.a.limit(), self.proxy.limit(), self.b.limit());
        if let Some(pod) = self.a.arrive(self.now, place, &mut self.requests) {
            self.start_a(place, pod);
        }
    }

    #[inline(always)]
    fn start_a(&mut self, place: u32, pod: u32) {
        let request = &mut self.requests[place as usize];
        request.pod_a = pod;
        request.queue_a_ns = self.now.since(request.since);
        request.since = self.now;
        self.a.begin(request.queue_a_ns);
        let done = self.now.after(request.service_a_ns);
        self.schedule(done, Kind::ServedA, place);
    }

    fn served_a(&mut self, place: u32) {
        let request = &mut self.requests[place as usize];
        request.since = self.now;
        let (pod, service_ns) = (request.pod_a, request.service_a_ns);
        if let Some(waiting) = self.a.leave(self.now, pod, service_ns, &self.requests) {
            self.start_a(waiting, pod);
        }
        if let Some(slot) = self.proxy.arrive(self.now, place, &mut self.requests) {
            self.start_transfer(place, slot);
        }
    }

    #[inline(always)]
    fn start_transfer(&mut self, place: u32, slot: u32) {
        let request = &mut self.requests[place as usize];
        request.slot = slot;
        request.queue_proxy_ns = self.now.since(request.since);
        request.since = self.now;
        self.proxy.begin(request.queue_proxy_ns);
        let done = self.now.after(request.transfer_ns);
        self.schedule(done, Kind::Transferred, place);
    }

    fn transferred(&mut self, place: u32) {
        self.requests[place as usize].since = self.now;
        if let Some(pod) = self.b.arrive(self.now, place, &mut self.requests) {
            self.start_b(place, pod);
        }
    }

    #[inline(always)]
    fn start_b(&mut self, place: u32, pod: u32) {
        let request = &mut self.requests[place as usize];
        request.pod_b = pod;
        request.queue_b_ns = self.now.since(request.since);
        request.since = self.now;
        self.b.begin(request.queue_b_ns);
        let done = self.now.after(request.service_b_ns);
        self.schedule(done, Kind::ServedB, place);
    }

    /// The pod is free and so is the slot.
    fn served_b(&mut self, place: u32) {
        let request = &mut self.requests[place as usize];
        request.since = self.now;
        let (pod, slot, back_ns) = (request.pod_b, request.slot, request.back_ns);
        let service_ns = request.service_b_ns;
        let held_ns = request.transfer_ns.saturating_add(request.queue_b_ns).saturating_add(service_ns);
        if let Some(waiting) = self.b.leave(self.now, pod, service_ns, &self.requests) {
            self.start_b(waiting, pod);
        }
        if let Some(waiting) = self.proxy.leave(self.now, slot, held_ns, &self.requests) {
            self.start_transfer(waiting, slot);
        }
        if back_ns > 0 {
            self.schedule(self.now.after(back_ns), Kind::Answer, place);
        } else {
            // An answer is of the first class: this instant's would be the next event in any case.
            self.answer(place);
        }
    }

    /// The client has its answer; in a closed loop it sends its next request.
    fn answer(&mut self, place: u32) {
        let request = &mut self.requests[place as usize];
        request.since = self.now;
        self.answers.add(self.now, request.latency_ns());
        if !self.records {
            request.next = self.free;
            self.free = place;
        }
        let prompts = matches!(self.arrivals, Arrivals::ClosedLoop { .. });
        let unprompted_to_come = self.arrivals.unprompted() - self.unprompted;
        if prompts && self.created + unprompted_to_come < self.arrivals.requests() {
            self.create();
        }
    }

    #[inline]
    fn schedule(&mut self, time: SimTime, kind: Kind, place: u32) {
        let request = self.requests[place as usize].number;
        self.queue.push(Event { time, kind, request, place });
    }
}
