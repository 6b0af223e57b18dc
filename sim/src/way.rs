//! The way of one request, event by event.
//!
//! The steps are inlined by force: one copy of the event queue's code a step lets the processor learn the
//! branches of each apart, which is worth a tenth of the speed.

use splitscale_spec::{Stage, Status};

use crate::chance::Demands;
use crate::event::{Event, Kind};
use crate::law::unit;
use crate::model::Rules;
use crate::request::{Phase, Request};
use crate::setup::StageSetup;
use crate::simulation::Simulation;
use crate::station::Entry;
use crate::time::SimTime;

impl Simulation {
    /// The rules; where they are known to be plain, the compiler knows them too.
    #[inline(always)]
    pub(crate) fn rules<const PLAIN: bool>(&self) -> Rules {
        if PLAIN {
            let Rules { records, closed, observed, .. } = self.rules;
            Rules { records, closed, observed, ..Rules::PLAIN }
        } else {
            self.rules
        }
    }

    /// Schedules the next arrival that no answer prompts. One at a time: the event order puts it where it
    /// would stand had all been scheduled at the start, and the queue stays short.
    pub(crate) fn schedule_unprompted(&mut self) {
        while self.source.left() > 0 {
            let demands = self.chance.draw(&self.model.laws);
            let Some(sent) = self.source.next(&self.model.load, &demands) else { return };
            let thinned = self.rules.thin && self.model.thin.is_some_and(|share| unit(demands.thin) >= share);
            if !thinned {
                self.create(sent, &demands);
                return;
            }
        }
    }

    /// Creates a request and schedules its arrival.
    fn create(&mut self, sent: SimTime, demands: &Demands) {
        let request = Request::new(self.tally.created, sent, demands);
        self.tally.created += 1;
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

    #[inline(always)]
    pub(crate) fn arrive<const PLAIN: bool>(&mut self, place: u32) {
        self.schedule_unprompted();
        self.tally.sent += 1;
        self.tally.first_sent.get_or_insert(self.now);
        if self.rules::<PLAIN>().deadline {
            let deadline_ns = self.model.deadline_ns;
            self.schedule(self.now.after(deadline_ns.unwrap_or(0)), Kind::Deadline, place);
        }
        let request = &mut self.requests[place as usize];
        request.phase = Phase::QueueA;
        (request.pods_a, request.slots, request.pods_b) =
            (self.a.servers.ready(), self.proxy.servers.ready(), self.b.servers.ready());
        let route = (request.route >> 32) as u32;
        match self.a.arrive::<PLAIN>(self.now, place, &mut self.requests, route) {
            Entry::Served(pod) => self.start_a::<PLAIN>(place, pod),
            Entry::Waits(pod) => self.requests[place as usize].pod_a = pod,
            Entry::Refused => self.refuse::<PLAIN>(place),
        }
    }

    #[inline(always)]
    fn start_a<const PLAIN: bool>(&mut self, place: u32, pod: u32) {
        let request = &mut self.requests[place as usize];
        request.phase = Phase::AtA;
        request.pod_a = pod;
        request.queue_a_ns = self.now.since(request.since);
        request.since = self.now;
        self.a.begin(request.queue_a_ns);
        let mut service_ns = request.service_a_ns;
        if self.rules::<PLAIN>().limit_a {
            service_ns = self.spend(Stage::A, pod, service_ns);
        }
        if self.rules::<PLAIN>().node_a {
            self.begin_on_node(Stage::A, place, service_ns);
        } else {
            self.schedule(self.now.after(service_ns), Kind::ServedA, place);
        }
    }

    #[inline(always)]
    pub(crate) fn served_a<const PLAIN: bool>(&mut self, place: u32) {
        let observed = self.rules::<PLAIN>().observed;
        let request = &mut self.requests[place as usize];
        let (pod, held_ns, gone) = (request.pod_a, self.now.since(request.since), request.gone);
        // What the pod computed: of one whose client is gone, the time it was held.
        let work_ns = if gone { cpu_ns(&self.model.setup.a, held_ns) } else { request.service_a_ns };
        request.since = self.now;
        if observed {
            self.pods_a.worked(pod, work_ns);
        }
        if gone {
            self.free::<PLAIN>(place);
            self.release_a::<PLAIN>(pod, held_ns);
            return;
        }
        request.service_a_ns = held_ns;
        request.phase = Phase::QueueProxy;
        let (takes_no_time, back_ns) = (request.transfer_ns | request.service_b_ns == 0, request.back_ns);
        if takes_no_time && self.passes_through::<PLAIN>(place) {
            self.release_a::<PLAIN>(pod, held_ns);
            return self.leave::<PLAIN>(place, back_ns);
        }
        let hold_a = self.rules::<PLAIN>().hold_a;
        if !hold_a {
            self.release_a::<PLAIN>(pod, held_ns);
        }
        let entry = self.proxy.arrive::<PLAIN>(self.now, place, &mut self.requests, 0);
        if hold_a && !matches!(entry, Entry::Waits(_)) {
            self.release_a::<PLAIN>(pod, held_ns);
        }
        match entry {
            Entry::Served(slot) => {
                let transfer_ns = self.begin_transfer::<PLAIN>(place, slot);
                // What takes no time is part of this event. Only here, where it is the last thing done: among
                // the events of this instant it would be the next.
                if transfer_ns == 0 && !self.rules::<PLAIN>().link {
                    self.transferred_aside(place);
                } else {
                    self.transfer::<PLAIN>(place, transfer_ns);
                }
            }
            Entry::Waits(_) => {}
            Entry::Refused => self.refuse::<PLAIN>(place),
        }
    }

    /// An A pod is free after `held_ns`: it takes the next or rests.
    #[inline(always)]
    pub(crate) fn release_a<const PLAIN: bool>(&mut self, pod: u32, held_ns: u64) {
        self.a.leave(self.now, held_ns);
        self.employ_a::<PLAIN>(pod);
    }

    #[inline(always)]
    pub(crate) fn employ_a<const PLAIN: bool>(&mut self, pod: u32) {
        while let Some(next) = self.a.next::<PLAIN>(pod, &self.requests) {
            if !self.requests[next as usize].gone {
                return self.start_a::<PLAIN>(next, pod);
            }
            self.free::<PLAIN>(next);
        }
        if !self.a.servers.is_ready(pod) {
            self.drained(Stage::A, pod);
        }
    }

    /// Takes the slot; how long the transfer takes where it needs no link.
    #[inline(always)]
    fn begin_transfer<const PLAIN: bool>(&mut self, place: u32, slot: u32) -> u64 {
        let request = &mut self.requests[place as usize];
        request.phase = Phase::Transfer;
        request.slot = slot;
        request.queue_proxy_ns = self.now.since(request.since);
        request.since = self.now;
        request.slot_since = self.now;
        self.proxy.begin(request.queue_proxy_ns);
        request.transfer_ns
    }

    #[inline(always)]
    fn transfer<const PLAIN: bool>(&mut self, place: u32, transfer_ns: u64) {
        if self.rules::<PLAIN>().link {
            self.begin_on_link(place);
        } else {
            self.schedule(self.now.after(transfer_ns), Kind::Transferred, place);
        }
    }

    #[inline(always)]
    pub(crate) fn transferred<const PLAIN: bool>(&mut self, place: u32) {
        let release = self.rules::<PLAIN>().release_after_transfer;
        let request = &mut self.requests[place as usize];
        let (slot, took_ns, gone) = (request.slot, self.now.since(request.since), request.gone);
        request.since = self.now;
        let route = request.route as u32;
        if !gone {
            request.transfer_ns = took_ns;
            request.phase = Phase::QueueB;
        }
        if self.rules::<PLAIN>().observed
            && let Some(observer) = &mut self.observer
        {
            observer.transferred(self.model.payload_bytes.unwrap_or(0), took_ns);
        }
        if gone {
            self.free::<PLAIN>(place);
            return self.release_slot::<PLAIN>(slot, took_ns);
        }
        if release {
            self.release_slot::<PLAIN>(slot, took_ns);
        }
        match self.b.arrive::<PLAIN>(self.now, place, &mut self.requests, route) {
            Entry::Served(pod) => {
                let service_ns = self.begin_b::<PLAIN>(place, pod);
                if service_ns == 0 && !self.rules::<PLAIN>().node_b {
                    self.served_b_aside(place);
                } else {
                    self.serve_b::<PLAIN>(place, service_ns);
                }
            }
            Entry::Waits(pod) => self.requests[place as usize].pod_b = pod,
            Entry::Refused => {
                if !release {
                    self.release_slot::<PLAIN>(slot, took_ns);
                }
                self.refuse::<PLAIN>(place);
            }
        }
    }

    /// A slot is free after `held_ns`: it takes the next or rests.
    #[inline(always)]
    pub(crate) fn release_slot<const PLAIN: bool>(&mut self, slot: u32, held_ns: u64) {
        self.proxy.leave(self.now, held_ns);
        self.employ_slot::<PLAIN>(slot);
    }

    #[inline(always)]
    pub(crate) fn employ_slot<const PLAIN: bool>(&mut self, slot: u32) {
        while let Some(next) = self.proxy.next::<PLAIN>(slot, &self.requests) {
            let request = &self.requests[next as usize];
            if request.gone {
                self.free::<PLAIN>(next);
                continue;
            }
            let transfer_ns = self.begin_transfer::<PLAIN>(next, slot);
            self.transfer::<PLAIN>(next, transfer_ns);
            if self.rules::<PLAIN>().hold_a {
                let request = &self.requests[next as usize];
                self.release_a::<PLAIN>(request.pod_a, request.service_a_ns + request.queue_proxy_ns);
            }
            return;
        }
    }

    /// Takes the pod; how long the service takes where no cores are shared.
    #[inline(always)]
    fn begin_b<const PLAIN: bool>(&mut self, place: u32, pod: u32) -> u64 {
        let request = &mut self.requests[place as usize];
        request.phase = Phase::AtB;
        request.pod_b = pod;
        request.queue_b_ns = self.now.since(request.since);
        request.since = self.now;
        self.b.begin(request.queue_b_ns);
        let service_ns = request.service_b_ns;
        if self.rules::<PLAIN>().limit_b { self.spend(Stage::B, pod, service_ns) } else { service_ns }
    }

    /// How long a limited pod takes for so much CPU time.
    #[inline(never)]
    fn spend(&mut self, stage: Stage, pod: u32, demand_ns: u64) -> u64 {
        let quotas = &mut self.quotas[stage as usize];
        quotas.as_mut().map_or(demand_ns, |quotas| quotas.spend(self.now, pod, demand_ns))
    }

    #[inline(always)]
    fn serve_b<const PLAIN: bool>(&mut self, place: u32, service_ns: u64) {
        if self.rules::<PLAIN>().node_b {
            self.begin_on_node(Stage::B, place, service_ns);
        } else {
            self.schedule(self.now.after(service_ns), Kind::ServedB, place);
        }
    }

    /// The pod is free and so is the slot.
    #[inline(always)]
    pub(crate) fn served_b<const PLAIN: bool>(&mut self, place: u32) {
        let Rules { release_after_transfer: release, observed, .. } = self.rules::<PLAIN>();
        let request = &mut self.requests[place as usize];
        let (pod, slot, back_ns) = (request.pod_b, request.slot, request.back_ns);
        let (service_ns, gone) = (self.now.since(request.since), request.gone);
        let held_ns = self.now.since(request.slot_since);
        let work_ns = if gone { cpu_ns(&self.model.setup.b, service_ns) } else { request.service_b_ns };
        request.since = self.now;
        if observed {
            self.pods_b.worked(pod, work_ns);
        }
        if gone {
            self.free::<PLAIN>(place);
        } else {
            request.service_b_ns = service_ns;
            request.phase = Phase::Back;
        }
        self.release_b::<PLAIN>(pod, service_ns);
        if !release {
            self.release_slot::<PLAIN>(slot, held_ns);
        }
        if !gone {
            self.leave::<PLAIN>(place, back_ns);
        }
    }

    /// Where transfer and B take no time and nobody is in the way, the slot and the B pod are taken and free
    /// again within this event.
    #[inline(always)]
    fn passes_through<const PLAIN: bool>(&mut self, place: u32) -> bool {
        let Rules { link, node_b, observed, .. } = self.rules::<PLAIN>();
        if link || node_b || observed || !self.b.is_central() {
            return false;
        }
        let (Some(slot), Some(pod)) = (self.proxy.servers.next_free(), self.b.servers.next_free()) else {
            return false;
        };
        self.proxy.books.pass_through();
        self.b.books.pass_through();
        let request = &mut self.requests[place as usize];
        (request.slot, request.pod_b, request.slot_since) = (slot, pod, self.now);
        request.phase = Phase::Back;
        true
    }

    /// All work is done: the answer is on its way back.
    #[inline(always)]
    fn leave<const PLAIN: bool>(&mut self, place: u32, back_ns: u64) {
        if back_ns > 0 {
            self.schedule(self.now.after(back_ns), Kind::Answer, place);
        } else {
            // An answer is of the first class: this instant's would be the next event in any case.
            self.answer::<PLAIN>(place);
        }
    }

    /// A B pod is free after `service_ns`: it takes the next or rests.
    #[inline(always)]
    pub(crate) fn release_b<const PLAIN: bool>(&mut self, pod: u32, service_ns: u64) {
        self.b.leave(self.now, service_ns);
        self.employ_b::<PLAIN>(pod);
    }

    #[inline(always)]
    pub(crate) fn employ_b<const PLAIN: bool>(&mut self, pod: u32) {
        while let Some(next) = self.b.next::<PLAIN>(pod, &self.requests) {
            if !self.requests[next as usize].gone {
                let service_ns = self.begin_b::<PLAIN>(next, pod);
                return self.serve_b::<PLAIN>(next, service_ns);
            }
            self.free::<PLAIN>(next);
        }
        if !self.b.servers.is_ready(pod) {
            self.drained(Stage::B, pod);
        }
    }

    /// The client has its answer.
    #[inline(always)]
    pub(crate) fn answer<const PLAIN: bool>(&mut self, place: u32) {
        let request = &mut self.requests[place as usize];
        let gone = request.gone;
        if !gone {
            request.done = self.now;
            let latency_ns = request.latency_ns();
            self.answers.add(latency_ns);
            let counts = latency_ns <= self.model.slo_ns && request.sent >= self.model.warm_up;
            self.tally.within += u64::from(counts);
            if self.rules::<PLAIN>().observed
                && let Some(observer) = &mut self.observer
            {
                observer.answered(latency_ns);
            }
        }
        self.free::<PLAIN>(place);
        if !gone {
            self.over::<PLAIN>(Status::Answered);
        }
    }

    #[inline(never)]
    pub(crate) fn refuse<const PLAIN: bool>(&mut self, place: u32) {
        self.requests[place as usize].end(Status::Refused, self.now);
        self.free::<PLAIN>(place);
        self.over::<PLAIN>(Status::Refused);
    }

    /// The client knows how its request ended; in a closed loop it thinks and sends its next.
    #[inline]
    pub(crate) fn over<const PLAIN: bool>(&mut self, status: Status) {
        self.tally.add(status);
        self.tally.last_end = self.now;
        if self.rules::<PLAIN>().closed && self.tally.created + self.source.left() < self.model.requests {
            let demands = self.chance.draw(&self.model.laws);
            self.create(self.now.after(demands.gap), &demands);
        }
    }

    // The same steps for callers off the common way, without another copy of their code.

    #[inline(never)]
    pub(crate) fn served_a_aside(&mut self, place: u32) {
        self.served_a::<false>(place);
    }

    #[inline(never)]
    pub(crate) fn transferred_aside(&mut self, place: u32) {
        self.transferred::<false>(place);
    }

    #[inline(never)]
    pub(crate) fn served_b_aside(&mut self, place: u32) {
        self.served_b::<false>(place);
    }

    /// The place of a request that nobody works on any more may be used again.
    #[inline]
    pub(crate) fn free<const PLAIN: bool>(&mut self, place: u32) {
        let records = self.rules.records;
        let request = &mut self.requests[place as usize];
        request.phase = Phase::Done;
        if !records {
            request.next = self.free;
            self.free = place;
        }
    }

    #[inline]
    pub(crate) fn schedule(&mut self, time: SimTime, kind: Kind, place: u32) {
        let request = self.requests[place as usize].number;
        self.queue.push(Event { time, kind, request, place });
    }
}

/// CPU time of a pod that was held for so long: of a limited one, what its limit gives in the mean.
fn cpu_ns(stage: &StageSetup, held_ns: u64) -> u64 {
    stage.cpu_limit.map_or(held_ns, |limit| (held_ns as f64 * limit.cores) as u64)
}
