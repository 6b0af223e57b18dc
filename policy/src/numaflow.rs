//! Numaflow's autoscaler of vertices: by pending and rate, by the room that is left in a buffer, and with an eye on what
//! is full further on.
//!
//! ```text
//!  clients ─▶ a (source) ─▶ edge: the proxy's queue and its transfers ─▶ b (sink)
//!   a: pending / (rate * target time) * ready                     ┐
//!   b: the same while the edge has room, else room wanted / room  ├▶ at most 2 a step, 90 s apart
//!   a wants up and the edge is full: one fewer instead            ┘
//! ```
//!
//! Source: Numaflow as of August 2026, `pkg/reconciler/vertex/scaling/scaling.go` (the rule) and
//! `pkg/daemon/server/service/rater` (lookback); names and defaults of `pkg/apis/numaflow/v1alpha1/scale.go`. It was
//! written for partitions of buffers; here each vertex has one. What a vertex has pending counts until it is acknowledged:
//! for A what waits and what is at work, for B what waits for a transfer slot and what holds one, as a slot is held until B
//! has answered. B's rate is what is answered, A's that and what the edge grew by.
//!
//! Left out: scaling to and from zero (the fewest pods are 1 or more), schedules, rate limits, and the lookback that grows
//! by itself where a vertex reads nothing for minutes.

mod config;

pub use config::{NumaflowBuffer, NumaflowConfig, NumaflowStage};

use serde::{Deserialize, Serialize};
use splitscale_spec::{Observation, QueueLevel, Replicas, Signal, Stage, StagePods};

use crate::buckets::{Buckets, Window};
use crate::proposer::Silence;
use crate::stages::{Wish, answering, due, joined};

/// The daemon's `taskInterval` \[s\]: one sample each.
const SAMPLE_S: f64 = 5.0;

/// What the daemon and the autoscaler remember: samples of the longest lookback.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumaflowMemory {
    last_task_s: Option<f64>,
    /// Unacknowledged at A, on the edge, and in B's own queue \[requests\].
    at_a: Buckets,
    on_edge: Buckets,
    at_b: Buckets,
    /// Answers \[1/s\].
    answers: Buckets,
    /// Pending of B when it was last looked at closely: what A goes by, however old.
    edge_pending: Option<i64>,
}

/// What is full.
enum Pressure {
    /// The edge to the next vertex.
    Direct,
    /// An edge further down.
    Downstream,
    None,
}

/// What is known of a vertex at a task.
struct Vertex<'a> {
    stage: Stage,
    of: &'a NumaflowStage,
    pods: &'a StagePods,
    /// \[requests\]; absent where it is unknown.
    pending: Option<i64>,
    /// \[1/s\]; absent where it is unknown.
    rate: Option<f64>,
}

impl NumaflowConfig {
    /// Pods of both stages and in words why. `now_s` is on the clock of `observation.time_s` and not before it \[s\]. Every
    /// observation is sampled; a decision is made at a task.
    ///
    /// # Errors
    /// Why to hold: a stage does not answer, the next task is not due, or both vertices are skipped. Where only one
    /// is, it stays as it is and the other goes on.
    pub fn decide(
        &self,
        memory: &mut NumaflowMemory,
        now_s: f64,
        observation: &Observation,
    ) -> Result<(Replicas, String), Silence> {
        if !now_s.is_finite() {
            return Err(Silence::Unseen(format!("{now_s} s is no time")));
        }
        let (a, b) = answering(observation)?;
        memory.sample(Window::of(self.a.lookback_s.max(self.b.lookback_s), SAMPLE_S), observation);
        due(&mut memory.last_task_s, self.task_interval_s, now_s)
            .map_err(|left_s| Silence::Waiting(format!("next task in {left_s:.1} s")))?;
        // B first: what it finds on the edge is what A goes by.
        let window = Window::of(self.b.lookback_s, SAMPLE_S);
        let vertex = Vertex {
            stage: Stage::B,
            of: &self.b,
            pods: b,
            pending: pending(&memory.on_edge, window, now_s),
            rate: memory.answers.mean(window, now_s),
        };
        let to_b = self.scale(&vertex, memory, now_s);
        let window = Window::of(self.a.lookback_s, SAMPLE_S);
        let answers = memory.answers.mean(window, now_s);
        let grown = memory.on_edge.growth_per_s(window, now_s);
        let vertex = Vertex {
            stage: Stage::A,
            of: &self.a,
            pods: a,
            pending: pending(&memory.at_a, window, now_s),
            rate: answers.zip(grown).map(|(answers, grown)| (answers + grown).max(0.0)),
        };
        let to_a = self.scale(&vertex, memory, now_s);
        joined((to_a, a), (to_b, b))
    }

    /// One task of one vertex: `scaleOneVertex`.
    fn scale(&self, vertex: &Vertex, memory: &mut NumaflowMemory, now_s: f64) -> Wish {
        let Vertex { of, pods, .. } = *vertex;
        let since_s = pods.last_change_age_s.unwrap_or(f64::INFINITY);
        let cools = |cooldown_s: f64| since_s < cooldown_s;
        if cools(of.scale_up_cooldown_s) && cools(of.scale_down_cooldown_s) {
            return Err(Silence::Staying(format!("scaled {since_s:.0} s ago")));
        }
        let current = pods.desired;
        if u64::from(pods.ready) + u64::from(pods.starting) != u64::from(current) {
            return Err(Silence::Staying(format!(
                "{} ready and {} starting of {current}",
                pods.ready, pods.starting
            )));
        }
        let (min, max) = of.limits();
        if min == max {
            return Err(Silence::Staying(format!("the fewest and the most are both {min}")));
        }
        if pods.ready == 0 {
            return Err(Silence::Unseen("no pod is ready".to_owned()));
        }
        let rate = vertex.rate.ok_or("the rate is unknown")?;
        let pending = vertex.pending.ok_or("what is pending is unknown")?;
        if vertex.stage == Stage::B {
            memory.edge_pending = Some(pending);
        }
        let wanted = if pending == 0 && rate == 0.0 { 0 } else { self.desired(vertex, pending, rate) };
        let why = format!("pending {pending} at {rate:.2} /s wants {wanted}");
        let to = wanted.max(min.into()).min(max.into()) as u32;
        if current > max || current < min {
            return Ok((to, format!("{why}, {current} is out of bounds")));
        }
        if to < current {
            return match cools(of.scale_down_cooldown_s) {
                true => Err(Silence::Staying(format!("{why}, scaled {since_s:.0} s ago"))),
                false => Ok((current - (current - to).min(of.replicas_per_scale_down), why)),
            };
        }
        if to == current {
            return Ok((current, why));
        }
        match self.pressure(vertex.stage, memory, now_s) {
            Pressure::Direct if current > min && current > 1 => {
                Ok((current - 1, format!("{why}, but the edge to b is full: one fewer")))
            }
            Pressure::Direct => Err(Silence::Staying(format!("{why}, but the edge to b is full"))),
            Pressure::Downstream => Err(Silence::Staying(format!("{why}, but an edge further down is full"))),
            Pressure::None if cools(of.scale_up_cooldown_s) => {
                Err(Silence::Staying(format!("{why}, scaled {since_s:.0} s ago")))
            }
            Pressure::None => Ok((current + (to - current).min(of.replicas_per_scale_up), why)),
        }
    }

    /// Pods for what is pending: `desiredReplicas`, at least 1.
    fn desired(&self, vertex: &Vertex, pending: i64, rate: f64) -> i64 {
        if pending == 0 || rate == 0.0 {
            return 1;
        }
        let Vertex { stage, of, pods, .. } = *vertex;
        let ready = f64::from(pods.ready);
        let room_wanted = self.edge.percent(of.target_buffer_availability_percent);
        let desired = if stage == Stage::A || pending <= i64::from(self.edge.length) - room_wanted {
            (pending as f64 / rate / of.target_processing_s * ready).round() as i64
        } else if pending >= self.edge.limit() {
            i64::from(pods.desired) + i64::from(of.replicas_per_scale_up)
        } else {
            let room_of_a_pod = (self.edge.limit() - pending) as f64 / ready;
            (room_wanted as f64 / room_of_a_pod).round() as i64
        };
        desired.clamp(1, i32::MAX.into()).min(pending)
    }

    /// Whether what comes after a vertex is full: `hasBackPressure`.
    fn pressure(&self, stage: Stage, memory: &NumaflowMemory, now_s: f64) -> Pressure {
        let full = |pending: Option<i64>, buffer: NumaflowBuffer| {
            pending
                .is_some_and(|pending| pending as f64 / buffer.limit() as f64 >= self.back_pressure_threshold)
        };
        let window = Window::of(self.b.lookback_s, SAMPLE_S);
        let at_b = || self.further.is_some_and(|buffer| full(pending(&memory.at_b, window, now_s), buffer));
        match stage {
            Stage::A if full(memory.edge_pending, self.edge) => Pressure::Direct,
            Stage::A if at_b() => Pressure::Downstream,
            Stage::A | Stage::B => Pressure::None,
        }
    }
}

impl NumaflowMemory {
    /// Takes a sample of what is there; what is missing is none.
    fn sample(&mut self, window: Window, observation: &Observation) {
        let mean = |queue: Option<Signal<QueueLevel>>| Some(queue?.map(|level| level.mean));
        let ready = |pods: &Option<StagePods>| pods.as_ref().map(|pods| f64::from(pods.ready));
        let slots = observation.slots.map(|slots| f64::from(slots.value));
        let at_work = observation.busy_a.zip(ready(&observation.a));
        let under_way = observation.busy_slots.zip(slots);
        let both = |waiting: Option<Signal<f64>>, held: Option<(Signal<f64>, f64)>| {
            let (waiting, (share, of)) = waiting.zip(held)?;
            let age_s = waiting.age_s.max(share.age_s);
            Some(Signal { value: waiting.value + share.value * of, age_s })
        };
        let samples = [
            (&mut self.at_a, both(mean(observation.queue_a), at_work)),
            (&mut self.on_edge, both(mean(observation.queue_proxy), under_way)),
            (&mut self.at_b, mean(observation.queue_b)),
            (&mut self.answers, observation.answers_per_s),
        ];
        for (buckets, signal) in samples {
            // Below zero is no count and no rate; an age below zero is none.
            if let Some(Signal { value, age_s }) = signal.filter(|s| s.value >= 0.0 && s.age_s >= 0.0) {
                buckets.record(window, (observation.time_s - age_s, observation.window_s), value);
            }
        }
    }
}

/// Mean over the lookback in whole requests, cut off; absent with fewer than two samples.
fn pending(samples: &Buckets, window: Window, now_s: f64) -> Option<i64> {
    samples.growth_per_s(window, now_s)?;
    samples.mean(window, now_s).map(|pending| pending as i64)
}
