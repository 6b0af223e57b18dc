//! What happens to pods, slots, cores and the link, from outside and by itself.

use std::sync::Arc;

use splitscale_spec::{PodPhase, Replicas, Stage, Status};

use crate::error::SimError;
use crate::event::{Event, Kind, OF_B};
use crate::fingerprint::Change;
use crate::model::{Rules, SlotsPlan};
use crate::pods::{Due, Pods};
use crate::request::{NOBODY, Phase};
use crate::setup::{Setup, bounded};
use crate::simulation::Simulation;
use crate::time::SimTime;

/// A request that a crash fails, as it was.
struct Hit {
    place: u32,
    phase: Phase,
    /// Time in that phase \[ns\].
    here_ns: u64,
    service_a_ns: u64,
    slot: u32,
    /// Time with the slot \[ns\].
    slot_ns: u64,
    /// Its client had given up before.
    was_gone: bool,
}

// === from outside ===

impl Simulation {
    /// Asks for so many pods, now. More: each starts, and takes requests once it is ready. Fewer: those still
    /// starting go first, then the highest-numbered, which finish what they have and take nothing new.
    ///
    /// # Errors
    /// If a stage would have none.
    pub fn apply(&mut self, pods: Replicas) -> Result<(), SimError> {
        bounded("pods.a", pods.a)?;
        bounded("pods.b", pods.b)?;
        self.fingerprint.change(self.now, Change::PodsA, pods.a);
        self.fingerprint.change(self.now, Change::PodsB, pods.b);
        self.scale(Stage::A, pods.a);
        self.scale(Stage::B, pods.b);
        Ok(())
    }

    /// Pods asked for.
    pub fn desired(&self) -> Replicas {
        Replicas { a: self.pods_a.desired, b: self.pods_b.desired }
    }

    /// Transfer slots that are given to whoever waits.
    pub fn slots(&self) -> u32 {
        self.proxy.servers.ready()
    }

    /// Changes the number of transfer slots, now. More: waiting requests get them at once. Fewer: those held
    /// beyond are kept to their ends and then given to nobody.
    ///
    /// # Errors
    /// If there would be none.
    pub fn set_slots(&mut self, slots: u32) -> Result<(), SimError> {
        bounded("slots", slots)?;
        self.change_slots(slots);
        Ok(())
    }

    fn change_slots(&mut self, slots: u32) {
        self.fingerprint.change(self.now, Change::Slots, slots);
        self.slots.area = self.slot_area();
        self.slots.changed = self.now;
        self.proxy.resize(self.now, slots);
        while let Some(slot) = self.proxy.wake(self.now) {
            self.employ_slot::<false>(slot);
        }
    }

    /// Integral of the number of slots up to now \[slot ns\].
    pub(crate) fn slot_area(&self) -> u128 {
        let stretch = u128::from(self.now.since(self.slots.changed));
        self.slots.area + stretch * u128::from(self.proxy.servers.ready())
    }
}

// === events ===

impl Simulation {
    /// Whether what it announced is no longer so.
    #[inline(never)]
    pub(crate) fn is_void(&self, event: Event) -> bool {
        let request = || &self.requests[event.place as usize];
        let other = |phase| request().number != event.request || request().phase != phase;
        match event.kind {
            Kind::ServedA => other(Phase::AtA),
            Kind::ServedB => other(Phase::AtB),
            Kind::Deadline => {
                request().number != event.request || request().gone || request().phase == Phase::Done
            }
            Kind::Cores => {
                self.nodes[event.place as usize].as_ref().is_none_or(|node| node.cores.is_void(event.request))
            }
            Kind::Link => self.link.as_ref().is_none_or(|link| link.bits.is_void(event.request)),
            Kind::PodReady | Kind::Crash => {
                let (stage, pod) = pod_of(event.place);
                self.pods(stage).is_void(pod, event.request)
            }
            _ => false,
        }
    }

    #[inline(never)]
    pub(crate) fn handle_rare(&mut self, event: Event) {
        match event.kind {
            Kind::Cores => self.on_node(event.place as usize),
            Kind::Link => self.on_link(),
            Kind::PodReady => {
                let (stage, pod) = pod_of(event.place);
                self.pod_ready(stage, pod);
            }
            Kind::Crash => {
                let (stage, pod) = pod_of(event.place);
                self.crash(stage, pod);
            }
            Kind::Slots => self.next_slots(),
            Kind::Deadline => self.deadline(event.place),
            _ => {}
        }
    }

    /// The client gives up.
    fn deadline(&mut self, place: u32) {
        let request = &self.requests[place as usize];
        let (phase, here_ns) = (request.phase, self.now.since(request.since));
        let (pod_a, slot, pod_b) = (request.pod_a, request.slot, request.pod_b);
        let (service_a_ns, slot_ns) = (request.service_a_ns, self.now.since(request.slot_since));
        let Rules { hold_a, release_after_transfer, .. } = self.rules;
        let hold_slot = !release_after_transfer;
        // Marked before anything is released, so that what is released passes it over.
        self.requests[place as usize].end(Status::Lost, self.now);
        match phase {
            Phase::QueueA => self.a.abandon(self.now, pod_a, here_ns),
            Phase::QueueProxy => {
                self.proxy.abandon(self.now, NOBODY, here_ns);
                if hold_a {
                    self.release_a::<false>(pod_a, service_a_ns + here_ns);
                }
            }
            Phase::QueueB => {
                self.b.abandon(self.now, pod_b, here_ns);
                if hold_slot {
                    self.release_slot::<false>(slot, slot_ns);
                }
            }
            _ => {}
        }
        self.over::<false>(Status::Lost);
    }
}

// === pods ===

impl Simulation {
    pub(crate) fn pods(&self, stage: Stage) -> &Pods {
        match stage {
            Stage::A => &self.pods_a,
            Stage::B => &self.pods_b,
        }
    }

    pub(crate) fn first_pods(&mut self) {
        let Setup { a, b, .. } = &self.model.setup;
        let counts = [(Stage::A, a.pods), (Stage::B, b.pods)];
        self.pods_a.begin(a.pods);
        self.pods_b.begin(b.pods);
        if !self.model.crashes {
            return;
        }
        let model = Arc::clone(&self.model);
        for (stage, count) in counts {
            for pod in 0..count {
                let crash = match stage {
                    Stage::A => self.pods_a.doom(pod, &model.life_a),
                    Stage::B => self.pods_b.doom(pod, &model.life_b),
                };
                if let Some(crash) = crash {
                    self.schedule_pod(Kind::Crash, stage, pod, crash);
                }
            }
        }
    }

    fn scale(&mut self, stage: Stage, desired: u32) {
        let now = self.now;
        let pods = if stage == Stage::A { &mut self.pods_a } else { &mut self.pods_b };
        let before = std::mem::replace(&mut pods.desired, desired);
        pods.changes += u64::from(before.abs_diff(desired));
        for _ in before..desired {
            self.start_pod(stage);
        }
        for _ in desired..before {
            let (pods, station) = match stage {
                Stage::A => (&mut self.pods_a, &mut self.a),
                Stage::B => (&mut self.pods_b, &mut self.b),
            };
            let Some(victim) = pods.victim() else { return };
            if pods.phase(victim) == Some(PodPhase::Starting) {
                pods.remove(now, victim);
                continue;
            }
            station.servers.set_ready(victim, false);
            pods.drain(now, victim);
            if !station.servers.is_taken(victim) {
                pods.remove(now, victim);
            }
        }
    }

    fn start_pod(&mut self, stage: Stage) {
        let model = Arc::clone(&self.model);
        let (pods, life) = match stage {
            Stage::A => (&mut self.pods_a, &model.life_a),
            Stage::B => (&mut self.pods_b, &model.life_b),
        };
        let (pod, due) = pods.start(self.now, life);
        if due.after_ns == 0 {
            self.pod_ready(stage, pod);
        } else {
            self.schedule_pod(Kind::PodReady, stage, pod, due);
        }
    }

    fn pod_ready(&mut self, stage: Stage, pod: u32) {
        let model = Arc::clone(&self.model);
        let (pods, life) = match stage {
            Stage::A => (&mut self.pods_a, &model.life_a),
            Stage::B => (&mut self.pods_b, &model.life_b),
        };
        if let Some(crash) = pods.make_ready(self.now, pod, life) {
            self.schedule_pod(Kind::Crash, stage, pod, crash);
        }
        match stage {
            Stage::A => {
                self.a.servers.set_ready(pod, true);
                while let Some(pod) = self.a.wake(self.now) {
                    self.employ_a::<false>(pod);
                }
            }
            Stage::B => {
                self.b.servers.set_ready(pod, true);
                while let Some(pod) = self.b.wake(self.now) {
                    self.employ_b::<false>(pod);
                }
            }
        }
    }

    /// A pod that takes nothing new has finished what it had.
    #[inline(never)]
    pub(crate) fn drained(&mut self, stage: Stage, pod: u32) {
        let pods = if stage == Stage::A { &mut self.pods_a } else { &mut self.pods_b };
        if pods.phase(pod) == Some(PodPhase::Draining) {
            pods.remove(self.now, pod);
        }
    }

    /// A pod crashes: what it serves and what waits for it alone fails. It comes back unless it was to go.
    fn crash(&mut self, stage: Stage, pod: u32) {
        if self.is_done() {
            return;
        }
        let (pods, station) = match stage {
            Stage::A => (&mut self.pods_a, &mut self.a),
            Stage::B => (&mut self.pods_b, &mut self.b),
        };
        station.servers.set_ready(pod, false);
        if let Some(back) = pods.crash(self.now, pod) {
            self.schedule_pod(Kind::PodReady, stage, pod, back);
        }
        // By number, not by place: the order must not depend on whether records are kept.
        let hold_a = self.rules.hold_a;
        let mut hit: Vec<(u32, u32)> = (0u32..)
            .zip(&self.requests)
            .filter(|(_, request)| match (stage, request.phase) {
                (Stage::A, Phase::QueueA) => request.pod_a == pod && !request.gone,
                (Stage::A, Phase::AtA) => request.pod_a == pod,
                (Stage::A, Phase::QueueProxy) => hold_a && request.pod_a == pod && !request.gone,
                (Stage::B, Phase::QueueB) => request.pod_b == pod && !request.gone,
                (Stage::B, Phase::AtB) => request.pod_b == pod,
                _ => false,
            })
            .map(|(place, request)| (request.number, place))
            .collect();
        hit.sort_unstable();
        // First all are marked: a pod that is released passes over those that fail with it.
        let hits: Vec<Hit> = hit.into_iter().map(|(_, place)| self.fail(place)).collect();
        for hit in hits {
            self.clear_away(pod, &hit);
            if !hit.was_gone {
                self.over::<false>(Status::Failed);
            }
        }
    }

    /// Marks a request as failed.
    fn fail(&mut self, place: u32) -> Hit {
        let request = &mut self.requests[place as usize];
        let hit = Hit {
            place,
            phase: request.phase,
            here_ns: self.now.since(request.since),
            service_a_ns: request.service_a_ns,
            slot: request.slot,
            slot_ns: self.now.since(request.slot_since),
            was_gone: request.gone,
        };
        if !hit.was_gone {
            request.end(Status::Failed, self.now);
        }
        hit
    }

    /// Takes a failed request out of its queue or off its pod.
    fn clear_away(&mut self, pod: u32, hit: &Hit) {
        let hold_slot = !self.rules.release_after_transfer;
        match hit.phase {
            Phase::QueueA => self.a.abandon(self.now, pod, hit.here_ns),
            Phase::QueueB => self.b.abandon(self.now, pod, hit.here_ns),
            Phase::AtA => {
                self.end_on_node(Stage::A, hit.place);
                self.free::<false>(hit.place);
                self.release_a::<false>(pod, hit.here_ns);
            }
            Phase::QueueProxy => {
                self.proxy.abandon(self.now, NOBODY, hit.here_ns);
                self.release_a::<false>(pod, hit.service_a_ns + hit.here_ns);
            }
            Phase::AtB => {
                self.end_on_node(Stage::B, hit.place);
                self.free::<false>(hit.place);
                self.release_b::<false>(pod, hit.here_ns);
            }
            _ => {}
        }
        if hold_slot && matches!(hit.phase, Phase::QueueB | Phase::AtB) {
            self.release_slot::<false>(hit.slot, hit.slot_ns);
        }
    }

    fn schedule_pod(&mut self, kind: Kind, stage: Stage, pod: u32, due: Due) {
        let place = if stage == Stage::A { pod } else { pod | OF_B };
        let time = self.now.after(due.after_ns);
        self.queue.push(Event { time, kind, request: due.generation, place });
    }
}

fn pod_of(place: u32) -> (Stage, u32) {
    if place & OF_B == 0 { (Stage::A, place) } else { (Stage::B, place & !OF_B) }
}

// === slots by themselves ===

impl Simulation {
    pub(crate) fn first_slots(&mut self) {
        let at = match &self.model.slots {
            None => return,
            Some(SlotsPlan::Markov(_)) => 0,
            Some(SlotsPlan::Steps { steps, .. }) => steps.first().map_or(u64::MAX, |step| step.0),
        };
        self.schedule_slots(SimTime::from_nanos(at));
    }

    fn next_slots(&mut self) {
        let model = Arc::clone(&self.model);
        let (slots, next) = match &model.slots {
            None => return,
            Some(SlotsPlan::Markov(states)) => {
                let Some(chain) = &mut self.slots.chain else { return };
                let (value, dwell_ns) = chain.step(states);
                (value as u32, Some(self.now.after(dwell_ns)))
            }
            Some(SlotsPlan::Steps { steps, period_ns }) => {
                let count = steps.len() as u64;
                let slots = steps[(self.slots.step % count) as usize].1;
                self.slots.step += 1;
                let (turn, index) = (self.slots.step / count, (self.slots.step % count) as usize);
                let next = match period_ns {
                    None if turn > 0 => None,
                    period_ns => Some((turn * period_ns.unwrap_or(0)).saturating_add(steps[index].0)),
                };
                (slots, next.map(SimTime::from_nanos))
            }
        };
        self.change_slots(slots);
        if let Some(next) = next.filter(|_| !self.is_done()) {
            self.schedule_slots(next);
        }
    }

    fn schedule_slots(&mut self, time: SimTime) {
        self.queue.push(Event { time, kind: Kind::Slots, request: 0, place: 0 });
    }
}

// === cores and link ===

impl Simulation {
    /// Where a stage's cores are scarce: its node.
    #[inline]
    pub(crate) fn node_of(&self, stage: Stage) -> Option<usize> {
        let node = if stage == Stage::A || self.model.setup.one_node { 0 } else { 1 };
        self.nodes[node].is_some().then_some(node)
    }

    pub(crate) fn begin_on_node(&mut self, stage: Stage, place: u32, demand_ns: u64) {
        let number = self.requests[place as usize].number;
        let Some(index) = self.node_of(stage) else { return };
        let Some(node) = &mut self.nodes[index] else { return };
        node.cores.advance(self.now);
        node.begins(stage);
        node.cores.join(demand_ns, number, place);
        self.share_node(index);
    }

    fn end_on_node(&mut self, stage: Stage, place: u32) {
        let Some(index) = self.node_of(stage) else { return };
        let Some(node) = &mut self.nodes[index] else { return };
        node.cores.advance(self.now);
        node.cores.remove(place);
        node.ends(stage);
        self.share_node(index);
    }

    fn on_node(&mut self, index: usize) {
        while let Some(node) = &mut self.nodes[index] {
            node.cores.advance(self.now);
            let Some(place) = node.cores.leave() else { break };
            if self.requests[place as usize].phase == Phase::AtA {
                node.ends(Stage::A);
                self.served_a_aside(place);
            } else {
                node.ends(Stage::B);
                self.served_b_aside(place);
            }
        }
        self.share_node(index);
    }

    fn share_node(&mut self, index: usize) {
        let Some(node) = &mut self.nodes[index] else { return };
        node.share();
        let request = node.cores.renew();
        if let Some(time) = node.cores.next() {
            self.queue.push(Event { time, kind: Kind::Cores, request, place: index as u32 });
        }
    }

    pub(crate) fn begin_on_link(&mut self, place: u32) {
        let number = self.requests[place as usize].number;
        let bits = self.model.payload_bytes.unwrap_or(0).saturating_mul(8);
        if let (Some(link), Some(rates)) = (&mut self.link, &self.model.rates) {
            link.advance(rates, self.now);
            link.bits.join(bits, number, place);
        }
        self.share_link();
    }

    fn on_link(&mut self) {
        let rtt_ns = self.model.rtt_ns;
        while let (Some(link), Some(rates)) = (&mut self.link, &self.model.rates) {
            link.advance(rates, self.now);
            let Some(place) = link.bits.leave() else { break };
            if rtt_ns > 0 {
                self.schedule(self.now.after(rtt_ns), Kind::Transferred, place);
            } else {
                self.transferred_aside(place);
            }
        }
        self.share_link();
    }

    fn share_link(&mut self) {
        let (Some(link), Some(rates)) = (&mut self.link, &self.model.rates) else { return };
        let next = link.share(rates);
        let request = link.bits.renew();
        if let Some(time) = next {
            self.queue.push(Event { time, kind: Kind::Link, request, place: 0 });
        }
    }
}
