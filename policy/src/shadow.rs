//! The shadow: what another policy would have come to on the same inputs, by the law.
//!
//! ```text
//!               ┌─ pods as they are ──────▶ fluid ─▶ pod-seconds, misses ─┐
//!  Observation ─┤  arrivals, slots, link      (low, value, high)         ├─▶ Score
//!               └─ pods it would have ────▶ fluid ─▶ pod-seconds, misses ─┘
//!                    ▲                        │
//!                    └── policy ◀── what it would have seen
//! ```
//!
//! Both are scored by the same fluid (`shadow/fluid.rs`) of the throughput law, so that they can be compared; neither score is a
//! measurement. The shadow lives in the fluid's world: its queues, busy shares and CPU are what the law says they would be with
//! its own pods. What the fluid leaves out, chance, it leaves out on both sides: below saturation nobody misses.

mod fluid;

use serde::{Deserialize, Serialize};
use splitscale_spec::{
    Capacity, Interval, Invalid, Laws, Observation, PodPhase, PodSample, QueueLevel, Replicas, Signal,
    StagePods, not_negative, positive,
};

use crate::bounds::Bounds;
use crate::document::Policy;
use crate::freshness::{Believed, Freshness};
use crate::memory::RuleMemory;
use crate::proposer::Proposer;
use crate::useful::{confidence_min, idle_max_s, slowed};

use fluid::{Flow, Fluid};

/// Longest time between two observations that is scored as if nothing had happened in between \[s\].
const LONGEST_STEP_S: f64 = 300.0;

/// What the law needs to know, and how sure it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShadowConfig {
    /// How long an A pod is taken by a request, its mean \[s\].
    pub service_a_s: Interval,
    /// The same of B.
    pub service_b_s: Interval,
    /// Payload of one transfer \[bytes\].
    pub payload_bytes: u64,
    /// All slots share one link, in place of a link each.
    pub shared: bool,
    /// A slot is held until B has answered, in place of over the transfer alone.
    pub held_until_answer: bool,
    /// What a request takes outside of the stages and the transfer \[s\].
    pub overhead_s: f64,
    /// From asking for a pod until it is ready, in both stages; zero where that was not measured, which is to the shadow's
    /// favour \[s\].
    pub start_up_s: f64,
    /// Promised latency \[s\].
    pub slo_latency_s: f64,
}

/// What two policies came to since the shadow began, by the law.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// Time that was scored \[s\]: while the arrivals were known.
    pub scored_s: f64,
    /// Requests that arrived in it.
    pub arrivals: f64,
    /// What there was.
    pub live: Tally,
    /// What the shadow would have had.
    pub shadow: Tally,
}

/// What one of them came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Pods of both stages, when they were last scored; absent before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<Replicas>,
    /// Pods of both stages, over time \[pod s\].
    pub pod_seconds: f64,
    /// Requests that the law takes to be answered late, with its band \[requests\].
    pub misses: Interval,
}

/// A policy beside the one that decides.
#[derive(Debug, Clone)]
pub struct Shadow {
    config: ShadowConfig,
    bounds: Bounds,
    freshness: Freshness,
    policy: Proposer,
    memory: RuleMemory,
    /// Its pods; absent before the first observation.
    pods: Option<Pods>,
    live: [Fluid; 3],
    own: [Fluid; 3],
    last_s: Option<f64>,
    score: Score,
}

/// The pods that the shadow would have.
#[derive(Debug, Clone)]
struct Pods {
    a: Imagined,
    b: Imagined,
}

/// Those of one stage.
#[derive(Debug, Clone)]
struct Imagined {
    /// When each is ready \[s\], those that are ready first.
    ready_s: Vec<f64>,
    last_change: Option<(f64, i64)>,
}

impl ShadowConfig {
    /// Of a pipeline that was measured, with its promise on latency \[s\].
    ///
    /// # Errors
    /// Without `laws.slot` the payload is unknown.
    pub fn of_laws(laws: &Laws, slo_latency_s: f64) -> Result<Self, Invalid> {
        let slot = laws.slot.ok_or_else(|| {
            Invalid::new(
                "laws.slot",
                "missing; the law needs the payload, calibrate with records of requests",
            )
        })?;
        let mean = |name: &str, value: f64| {
            let known = laws.intervals.get(&format!("{name}.mean_s")).copied();
            known.unwrap_or(Interval { value, low: value, high: value })
        };
        let start_up = [&laws.start_up_a, &laws.start_up_b].into_iter().flatten().map(|law| law.mean_s());
        let config = ShadowConfig {
            service_a_s: mean("service_a", laws.service_a.mean_s()),
            service_b_s: mean("service_b", laws.service_b.mean_s()),
            payload_bytes: slot.bytes.round() as u64,
            shared: slot.shared,
            held_until_answer: slot.held_until_answer,
            overhead_s: laws.overhead.mean_s(),
            start_up_s: start_up.fold(0.0, f64::max),
            slo_latency_s,
        };
        config.validate()?;
        Ok(config)
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        for (name, mean) in [("service_a_s", self.service_a_s), ("service_b_s", self.service_b_s)] {
            positive(&format!("{name}.low"), mean.low)?;
            positive(&format!("{name}.value"), mean.value)?;
            positive(&format!("{name}.high"), mean.high)?;
        }
        not_negative("overhead_s", self.overhead_s)?;
        not_negative("start_up_s", self.start_up_s)?;
        positive("slo_latency_s", self.slo_latency_s)
    }

    /// The law at the slow end of its band, as estimated, and at the fast end.
    fn bounds(&self, observation: &Observation, slots: u32) -> [fluid::Bounds; 3] {
        let ends: [fn(&Interval) -> f64; 3] = [|of| of.high, |of| of.value, |of| of.low];
        // An idle link is unknown, not full: then a transfer is taken to cost nothing, on both sides.
        let known = observation.link.filter(|link| {
            link.mbit_s > 0.0 && link.confidence >= confidence_min() && link.age_s <= idle_max_s()
        });
        let mbit_s = known.map_or(f64::INFINITY, |link| link.mbit_s);
        // The estimate is of one transfer among the others.
        let others = observation.answers_per_s.filter(|_| self.shared && mbit_s.is_finite());
        let others = others
            .map_or(1.0, |answers| slowed(answers.value, self.payload_bytes as f64 * 8e-6 / mbit_s, slots));
        ends.map(|end| fluid::Bounds {
            capacity: Capacity {
                service_a_s: end(&self.service_a_s),
                service_b_s: end(&self.service_b_s),
                payload_bytes: self.payload_bytes,
                mbit_s: mbit_s * others,
                rtt_s: 0.0,
                shared: self.shared,
                held_until_answer: self.held_until_answer,
            },
            slots,
            overhead_s: self.overhead_s,
        })
    }
}

impl Shadow {
    /// Begins to follow.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn new(
        policy: &Policy,
        bounds: Bounds,
        freshness: Freshness,
        config: ShadowConfig,
    ) -> Result<Self, Invalid> {
        config.validate()?;
        let misses = Interval { value: 0.0, low: 0.0, high: 0.0 };
        let nothing = Tally { pods: None, pod_seconds: 0.0, misses };
        Ok(Shadow {
            config,
            bounds,
            freshness,
            policy: Proposer::new(policy, bounds)?,
            memory: RuleMemory::default(),
            pods: None,
            live: Default::default(),
            own: Default::default(),
            last_s: None,
            score: Score { scored_s: 0.0, arrivals: 0.0, live: nothing, shadow: nothing },
        })
    }

    /// Name of the policy.
    pub fn name(&self) -> &str {
        self.policy.name()
    }

    /// Takes in what was seen at `now_s` and says what both came to by then \[s\]. Where a stage, the arrivals or the slots are
    /// unknown or too old nothing is scored, on either side.
    pub fn observe(&mut self, now_s: f64, observation: &Observation) -> Score {
        let elapsed_s = self.last_s.map_or(0.0, |last_s| now_s - last_s);
        let Believed { seen, .. } = self.freshness.believed(now_s, observation);
        let heard = |stage: &&StagePods| stage.age_s <= self.freshness.max_age_s;
        let stages = seen.a.as_ref().filter(heard).zip(seen.b.as_ref().filter(heard));
        let load = seen.arrivals_per_s.zip(seen.slots);
        let (Some((a, b)), Some((arrivals, slots)), true) = (stages, load, now_s.is_finite()) else {
            return self.score;
        };
        let observation = &seen;
        self.last_s = Some(now_s);
        let start_up_s = self.config.start_up_s;
        let pods = self.pods.get_or_insert_with(|| {
            let desired = self.bounds.clamp(Replicas { a: a.desired, b: b.desired });
            let begin = |ready: u32, desired: u32| Imagined::new((now_s, start_up_s), ready, desired);
            Pods { a: begin(a.ready, desired.a), b: begin(b.ready, desired.b) }
        });
        // After a gap, or a clock that was set back, the next step is measured from here.
        let step_s = if (0.0..=LONGEST_STEP_S).contains(&elapsed_s) { elapsed_s } else { 0.0 };
        let bounds = self.config.bounds(observation, slots.value);
        // Those that drain count on neither side: how long the shadow's would, nobody knows.
        let there = |stage: &StagePods| stage.ready.saturating_add(stage.starting);
        let live = (Replicas { a: a.ready, b: b.ready }, Replicas { a: there(a), b: there(b) });
        let own = (pods.ready(now_s), pods.there());
        let load = (step_s, arrivals.value, self.config.slo_latency_s);
        account(&mut self.score.live, &mut self.live, &bounds, live, load);
        let flow = account(&mut self.score.shadow, &mut self.own, &bounds, own, load);
        self.score.scored_s += step_s;
        self.score.arrivals += step_s * arrivals.value;

        let imagined = pods.seen(now_s, observation, &flow);
        let desired = pods.there();
        let wish = self.policy.propose(&mut self.memory, (now_s, desired), &imagined, &mut Vec::new());
        if let Ok(wish) = wish {
            let wish = self.bounds.clamp(wish);
            pods.a.scale(now_s, start_up_s, wish.a);
            pods.b.scale(now_s, start_up_s, wish.b);
        }
        self.score
    }
}

/// Moves one side on; how it then flows by the law as estimated.
fn account(
    tally: &mut Tally,
    fluids: &mut [Fluid; 3],
    bounds: &[fluid::Bounds; 3],
    (ready, there): (Replicas, Replicas),
    (step_s, arrivals_per_s, slo_s): (f64, f64, f64),
) -> Flow {
    let flows: [Flow; 3] =
        std::array::from_fn(|end| fluids[end].step(&bounds[end], ready, (step_s, arrivals_per_s)));
    let missed = |flow: &Flow| if flow.latency_s > slo_s { step_s * arrivals_per_s } else { 0.0 };
    tally.pods = Some(there);
    tally.pod_seconds += step_s * (f64::from(there.a) + f64::from(there.b));
    tally.misses.high += missed(&flows[0]);
    tally.misses.value += missed(&flows[1]);
    tally.misses.low += missed(&flows[2]);
    flows[1]
}

// === impl Pods ===

impl Pods {
    fn ready(&self, now_s: f64) -> Replicas {
        Replicas { a: self.a.ready(now_s), b: self.b.ready(now_s) }
    }

    fn there(&self) -> Replicas {
        Replicas { a: self.a.ready_s.len() as u32, b: self.b.ready_s.len() as u32 }
    }

    /// What would be seen with these pods.
    fn seen(&self, now_s: f64, real: &Observation, flow: &Flow) -> Observation {
        let signal = |value| Some(Signal { value, age_s: 0.0 });
        let queue = |waiting| signal(waiting).map(|queue| queue.map(|last| QueueLevel { mean: last, last }));
        let request = |stage: &Option<StagePods>| {
            stage.iter().flat_map(|stage| &stage.pods).find_map(|pod| pod.cpu_request)
        };
        Observation {
            answers_per_s: signal(flow.answers_per_s),
            queue_a: queue(flow.waiting_a),
            queue_proxy: queue(flow.waiting_proxy),
            queue_b: queue(flow.waiting_b),
            busy_a: signal(flow.busy_a),
            busy_slots: signal(flow.busy_slots),
            busy_b: signal(flow.busy_b),
            latency_p50_s: signal(flow.latency_s),
            latency_p95_s: signal(flow.latency_s),
            a: Some(self.a.seen(now_s, flow.busy_a, request(&real.a))),
            b: Some(self.b.seen(now_s, flow.busy_b, request(&real.b))),
            ..real.clone()
        }
    }
}

impl Imagined {
    /// As there are: so many ready, the rest about to start.
    fn new((now_s, start_up_s): (f64, f64), ready: u32, desired: u32) -> Self {
        let mut ready_s = vec![now_s; ready.min(desired) as usize];
        ready_s.resize(desired as usize, now_s + start_up_s);
        Imagined { ready_s, last_change: None }
    }

    fn ready(&self, now_s: f64) -> u32 {
        self.ready_s.iter().filter(|&&ready_s| ready_s <= now_s).count() as u32
    }

    /// What comes starts; what goes was not ready yet, if there is such.
    fn scale(&mut self, now_s: f64, start_up_s: f64, to: u32) {
        let change = i64::from(to) - self.ready_s.len() as i64;
        if change != 0 {
            self.ready_s.resize(to as usize, now_s + start_up_s);
            self.last_change = Some((now_s, change));
        }
    }

    fn seen(&self, now_s: f64, busy: f64, cpu_request: Option<f64>) -> StagePods {
        let pods = self.ready_s.iter().enumerate().map(|(pod, &ready_s)| {
            let ready = ready_s <= now_s;
            PodSample {
                pod: pod as u32,
                phase: if ready { PodPhase::Ready } else { PodPhase::Starting },
                ready_since_s: ready.then_some(ready_s),
                // A pod at work uses all that it asks for, which is its share.
                cpu_used: cpu_request.filter(|_| ready).map(|request| request * busy),
                cpu_request,
                sample_age_s: 0.0,
            }
        });
        StagePods {
            age_s: 0.0,
            desired: self.ready_s.len() as u32,
            ready: self.ready(now_s),
            starting: self.ready_s.len() as u32 - self.ready(now_s),
            draining: 0,
            pods_max: None,
            last_change: self.last_change.map(|(_, change)| change),
            last_change_age_s: self.last_change.map(|(at_s, _)| now_s - at_s),
            pods: pods.collect(),
        }
    }
}
