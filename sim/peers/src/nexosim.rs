//! NeXosim: models that schedule their own inputs, as its documentation writes timers, on one thread; what
//! came of a run leaves by an output port. The generator is part of the model and is saved with it (ChaCha8);
//! the law is that of rand_distr, by ziggurat.

use std::collections::VecDeque;
use std::time::Duration;

use ::nexosim::model::{Context, Model, schedulable};
use ::nexosim::ports::{EventSinkReader, Output, SinkState, event_slot};
use ::nexosim::simulation::{Mailbox, SimInit};
use ::nexosim::time::MonotonicTime;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Exp1};
use serde::{Deserialize, Serialize};

use crate::{A_S, B_S, CUSTOMERS, GAP_S, JOBS, PODS_A, PODS_B, SERVICE_S, SLOTS, TRANSFER_S};

/// One model, not a source and a server: a message a customer less.
#[derive(Serialize, Deserialize)]
struct Server {
    rng: ChaCha8Rng,
    left: u32,
    served: u32,
    busy: bool,
    waiting: VecDeque<MonotonicTime>,
    waits: Duration,
    mean_wait_s: Output<f64>,
}

#[Model]
impl Server {
    #[nexosim(init)]
    async fn init(&mut self, cx: &Context<Self>) {
        self.expect_customer(cx);
    }

    fn expect_customer(&mut self, cx: &Context<Self>) {
        if self.left > 0 {
            self.left -= 1;
            let gap = exponential(&mut self.rng, GAP_S);
            cx.schedule_event(gap, schedulable!(Self::arrive), ()).expect("in the future");
        }
    }

    fn serve(&mut self, cx: &Context<Self>) {
        let service = exponential(&mut self.rng, SERVICE_S);
        cx.schedule_event(service, schedulable!(Self::depart), ()).expect("in the future");
    }

    #[nexosim(schedulable)]
    fn arrive(&mut self, _: (), cx: &Context<Self>) {
        self.expect_customer(cx);
        if self.busy {
            self.waiting.push_back(cx.time());
        } else {
            self.busy = true;
            self.serve(cx);
        }
    }

    #[nexosim(schedulable)]
    async fn depart(&mut self, _: (), cx: &Context<Self>) {
        self.served += 1;
        if self.served == CUSTOMERS {
            self.mean_wait_s.send(self.waits.as_secs_f64() / f64::from(CUSTOMERS)).await;
        }
        match self.waiting.pop_front() {
            Some(since) => {
                self.waits += cx.time().duration_since(since);
                self.serve(cx);
            }
            None => self.busy = false,
        }
    }
}

pub(crate) fn mm1(seed: u64) -> f64 {
    let mut server = Server {
        rng: ChaCha8Rng::seed_from_u64(seed),
        left: CUSTOMERS,
        served: 0,
        busy: false,
        waiting: VecDeque::new(),
        waits: Duration::ZERO,
        mean_wait_s: Output::default(),
    };
    let (sink, mut mean_wait_s) = event_slot(SinkState::Enabled);
    server.mean_wait_s.connect_sink(sink);
    run(server, "server");
    mean_wait_s.try_read().expect("all were served")
}

/// One model: stages of their own would pass a job on by a message.
#[derive(Serialize, Deserialize)]
struct Pipeline {
    rng: ChaCha8Rng,
    wait_a: VecDeque<u32>,
    wait_slot: VecDeque<u32>,
    wait_b: VecDeque<u32>,
    held: usize,
    busy_b: usize,
    done: u32,
    makespan_s: Output<f64>,
}

#[Model]
impl Pipeline {
    #[nexosim(init)]
    async fn init(&mut self, cx: &Context<Self>) {
        for _ in 0..PODS_A {
            self.next_at_a(cx);
        }
    }

    fn next_at_a(&mut self, cx: &Context<Self>) {
        if let Some(job) = self.wait_a.pop_front() {
            let service = exponential(&mut self.rng, A_S);
            cx.schedule_event(service, schedulable!(Self::done_a), job).expect("in the future");
        }
    }

    fn send(&mut self, job: u32, cx: &Context<Self>) {
        let transfer = exponential(&mut self.rng, TRANSFER_S);
        cx.schedule_event(transfer, schedulable!(Self::transferred), job).expect("in the future");
    }

    fn serve_b(&mut self, job: u32, cx: &Context<Self>) {
        let service = exponential(&mut self.rng, B_S);
        cx.schedule_event(service, schedulable!(Self::done_b), job).expect("in the future");
    }

    #[nexosim(schedulable)]
    fn done_a(&mut self, job: u32, cx: &Context<Self>) {
        self.next_at_a(cx);
        if self.held < SLOTS {
            self.held += 1;
            self.send(job, cx);
        } else {
            self.wait_slot.push_back(job);
        }
    }

    #[nexosim(schedulable)]
    fn transferred(&mut self, job: u32, cx: &Context<Self>) {
        if self.busy_b < PODS_B {
            self.busy_b += 1;
            self.serve_b(job, cx);
        } else {
            self.wait_b.push_back(job);
        }
    }

    #[nexosim(schedulable)]
    async fn done_b(&mut self, _: u32, cx: &Context<Self>) {
        self.done += 1;
        match self.wait_b.pop_front() {
            Some(job) => self.serve_b(job, cx),
            None => self.busy_b -= 1,
        }
        match self.wait_slot.pop_front() {
            Some(job) => self.send(job, cx),
            None => self.held -= 1,
        }
        if self.done == JOBS {
            let makespan = cx.time().duration_since(MonotonicTime::EPOCH);
            self.makespan_s.send(makespan.as_secs_f64()).await;
        }
    }
}

pub(crate) fn burst(seed: u64) -> f64 {
    let mut pipeline = Pipeline {
        rng: ChaCha8Rng::seed_from_u64(seed),
        wait_a: (0..JOBS).collect(),
        wait_slot: VecDeque::new(),
        wait_b: VecDeque::new(),
        held: 0,
        busy_b: 0,
        done: 0,
        makespan_s: Output::default(),
    };
    let (sink, mut makespan_s) = event_slot(SinkState::Enabled);
    pipeline.makespan_s.connect_sink(sink);
    run(pipeline, "pipeline");
    makespan_s.try_read().expect("all are done")
}

/// From time zero until no event is left.
fn run<M: Model<Env = ()>>(model: M, name: &str) {
    SimInit::with_num_threads(1)
        .add_model(model, Mailbox::new(), name)
        .init(MonotonicTime::EPOCH)
        .and_then(|mut simulation| Ok(simulation.run()?))
        .expect("the bench is sound");
}

/// NeXosim schedules into the future only: at least 1 ns.
fn exponential(rng: &mut ChaCha8Rng, mean_s: f64) -> Duration {
    let unit: f64 = Exp1.sample(rng);
    Duration::from_nanos(((unit * mean_s * 1e9) as u64).max(1))
}
