//! SimCore, the engine under DSLab: callbacks, which its documentation calls the default and 10-50 % faster
//! than its async mode, and events that a component emits to itself. Its generator is the simulation's own
//! (Pcg64); the law is that of rand_distr, by ziggurat.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use ::simcore::{Event, EventHandler, Simulation, SimulationContext, cast};
use rand_distr_04::Exp;
use serde::Serialize;

use crate::{A_S, B_S, CUSTOMERS, GAP_S, JOBS, PODS_A, PODS_B, SERVICE_S, SLOTS, TRANSFER_S};

#[derive(Clone, Serialize)]
struct Arrival {}

#[derive(Clone, Serialize)]
struct Departure {}

/// One component, not a source and a server: an event a customer less.
struct Server {
    ctx: SimulationContext,
    gap: Exp<f64>,
    service: Exp<f64>,
    left: u32,
    busy: bool,
    waiting: VecDeque<f64>,
    waits_s: f64,
}

pub(crate) fn mm1(seed: u64) -> f64 {
    let mut sim = Simulation::new(seed);
    let server = Rc::new(RefCell::new(Server {
        ctx: sim.create_context("server"),
        gap: exponential(GAP_S),
        service: exponential(SERVICE_S),
        left: CUSTOMERS,
        busy: false,
        waiting: VecDeque::new(),
        waits_s: 0.0,
    }));
    sim.add_handler("server", server.clone());
    server.borrow_mut().expect_customer();
    sim.step_until_no_events();
    let waits_s = server.borrow().waits_s;
    waits_s / f64::from(CUSTOMERS)
}

impl Server {
    fn expect_customer(&mut self) {
        if self.left > 0 {
            self.left -= 1;
            self.ctx.emit_self(Arrival {}, self.ctx.sample_from_distribution(&self.gap));
        }
    }

    fn serve(&self) {
        self.ctx.emit_self(Departure {}, self.ctx.sample_from_distribution(&self.service));
    }

    fn on_arrival(&mut self) {
        self.expect_customer();
        if self.busy {
            self.waiting.push_back(self.ctx.time());
        } else {
            self.busy = true;
            self.serve();
        }
    }

    fn on_departure(&mut self) {
        match self.waiting.pop_front() {
            Some(since) => {
                self.waits_s += self.ctx.time() - since;
                self.serve();
            }
            None => self.busy = false,
        }
    }
}

impl EventHandler for Server {
    fn on(&mut self, event: Event) {
        cast!(match event.data {
            Arrival {} => {
                self.on_arrival()
            }
            Departure {} => {
                self.on_departure()
            }
        })
    }
}

#[derive(Clone, Serialize)]
struct DoneA {
    job: u32,
}

#[derive(Clone, Serialize)]
struct Transferred {
    job: u32,
}

#[derive(Clone, Serialize)]
struct DoneB {
    job: u32,
}

/// One component: stages of their own would pass a job on by an event of no duration.
struct Pipeline {
    ctx: SimulationContext,
    service_a: Exp<f64>,
    transfer: Exp<f64>,
    service_b: Exp<f64>,
    wait_a: VecDeque<u32>,
    wait_slot: VecDeque<u32>,
    wait_b: VecDeque<u32>,
    held: usize,
    busy_b: usize,
    done: u32,
}

pub(crate) fn burst(seed: u64) -> f64 {
    let mut sim = Simulation::new(seed);
    let pipeline = Rc::new(RefCell::new(Pipeline {
        ctx: sim.create_context("pipeline"),
        service_a: exponential(A_S),
        transfer: exponential(TRANSFER_S),
        service_b: exponential(B_S),
        wait_a: (0..JOBS).collect(),
        wait_slot: VecDeque::new(),
        wait_b: VecDeque::new(),
        held: 0,
        busy_b: 0,
        done: 0,
    }));
    sim.add_handler("pipeline", pipeline.clone());
    for _ in 0..PODS_A {
        pipeline.borrow_mut().next_at_a();
    }
    sim.step_until_no_events();
    assert_eq!(pipeline.borrow().done, JOBS);
    sim.time()
}

impl Pipeline {
    fn next_at_a(&mut self) {
        if let Some(job) = self.wait_a.pop_front() {
            self.ctx.emit_self(DoneA { job }, self.ctx.sample_from_distribution(&self.service_a));
        }
    }

    fn send(&self, job: u32) {
        self.ctx.emit_self(Transferred { job }, self.ctx.sample_from_distribution(&self.transfer));
    }

    fn serve_b(&self, job: u32) {
        self.ctx.emit_self(DoneB { job }, self.ctx.sample_from_distribution(&self.service_b));
    }

    fn on_done_a(&mut self, job: u32) {
        self.next_at_a();
        if self.held < SLOTS {
            self.held += 1;
            self.send(job);
        } else {
            self.wait_slot.push_back(job);
        }
    }

    fn on_transferred(&mut self, job: u32) {
        if self.busy_b < PODS_B {
            self.busy_b += 1;
            self.serve_b(job);
        } else {
            self.wait_b.push_back(job);
        }
    }

    fn on_done_b(&mut self) {
        self.done += 1;
        match self.wait_b.pop_front() {
            Some(job) => self.serve_b(job),
            None => self.busy_b -= 1,
        }
        match self.wait_slot.pop_front() {
            Some(job) => self.send(job),
            None => self.held -= 1,
        }
    }
}

impl EventHandler for Pipeline {
    fn on(&mut self, event: Event) {
        cast!(match event.data {
            DoneA { job } => {
                self.on_done_a(job)
            }
            Transferred { job } => {
                self.on_transferred(job)
            }
            DoneB { job: _ } => {
                self.on_done_b()
            }
        })
    }
}

fn exponential(mean_s: f64) -> Exp<f64> {
    Exp::new(1.0 / mean_s).expect("a positive rate")
}
