//! Knative's pod autoscaler (KPA), one for each stage: by concurrency over two windows, a stable one and a short one in
//! which it panics.
//!
//! ```text
//!  waiting + at work ─▶ buckets of 1 s ─┬▶ mean of 60 s / target ─▶ stable count ─┐
//!                                       └▶ mean of  6 s / target ─▶ panic count ──┴▶ the larger while it panics,
//!       never fewer then; at most 1000 times and at least half of the ready pods ─▶ the largest of the delay ─▶ bounds
//! ```
//!
//! Source: Knative serving as of August 2026, `pkg/autoscaler/scaling/autoscaler.go` (the rule), `pkg/autoscaler/aggregation` (the
//! windows) and `pkg/autoscaler/config/config.go` (the defaults). The concurrency of a stage is the mean number of requests
//! that wait for it plus the busy share of its ready pods; a pod works on one at a time, so its `containerConcurrency` is 1.
//!
//! Three things differ. There is no scale to zero: the fewest pods are 1 or more. A second in which nothing was heard
//! of the stage is left out of the mean; Knative counts it as a zero where later seconds were heard. And of its metrics only
//! concurrency is there, so neither requests per second nor an activator that buffers. What an observation says is a mean
//! over its own window, and is taken for every second of it.

use serde::{Deserialize, Serialize};
use splitscale_spec::{Invalid, Observation, Replicas, Signal, StagePods, not_negative, positive};

use crate::bounds::{Bounds, check_limits};
use crate::buckets::{Buckets, Window};
use crate::proposer::Silence;
use crate::stages::{Wish, answering, due, joined};

/// Knative's `config.BucketSize` \[s\].
const BUCKET_S: f64 = 1.0;

/// Two autoscalers and what Knative sets for all of them. Everything may be left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KpaConfig {
    /// That of stage A.
    pub a: KpaStage,
    /// That of stage B.
    pub b: KpaStage,
    /// Time between two decisions, `tickInterval` \[s\]. 2 by default.
    pub tick_s: f64,
    /// Most times the ready pods in one step, `max-scale-up-rate`. 1000 by default.
    pub max_scale_up_rate: f64,
    /// Into how many parts the ready pods may go in one step, `max-scale-down-rate`. 2 by default.
    pub max_scale_down_rate: f64,
}

/// The autoscaler of one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KpaStage {
    /// Fewest pods, `min-scale`; absent for the pipeline's, or for 1 where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods_min: Option<u32>,
    /// Most pods, `max-scale`; absent for the pipeline's, or for no bound where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods_max: Option<u32>,
    /// Requests at a pod, `container-concurrency-target-percentage` of `containerConcurrency`. 0.7 by default: 70 % of 1.
    pub target: f64,
    /// Stable window, `stable-window`, in whole seconds \[s\]. 60 by default.
    pub stable_window_s: f64,
    /// Panic window in percent of the stable one, `panic-window-percentage` \[%\]. 10 by default.
    pub panic_window_percent: f64,
    /// Wanted over ready pods from which it panics, `panic-threshold-percentage` \[%\]. 200 by default.
    pub panic_threshold_percent: f64,
    /// For so long the largest count counts, `scale-down-delay`, in whole seconds \[s\]. 0 by default.
    pub scale_down_delay_s: f64,
}

/// What two autoscalers remember: the buckets of their windows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KpaMemory {
    last_tick_s: Option<f64>,
    a: StageMemory,
    b: StageMemory,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StageMemory {
    concurrency: Buckets,
    /// When it was last over the threshold, while it panics \[s\].
    panic_s: Option<f64>,
    /// Most pods wanted since the panic began; absent before the first tick.
    panic_pods: Option<i64>,
    /// Tick and count of what the delay still holds: later and smaller from one to the next.
    delayed: Vec<(i64, i64)>,
}

impl Default for KpaConfig {
    fn default() -> Self {
        KpaConfig {
            a: KpaStage::default(),
            b: KpaStage::default(),
            tick_s: 2.0,
            max_scale_up_rate: 1000.0,
            max_scale_down_rate: 2.0,
        }
    }
}

impl Default for KpaStage {
    fn default() -> Self {
        KpaStage {
            pods_min: None,
            pods_max: None,
            target: 0.7,
            stable_window_s: 60.0,
            panic_window_percent: 10.0,
            panic_threshold_percent: 200.0,
            scale_down_delay_s: 0.0,
        }
    }
}

impl KpaConfig {
    /// The same with these bounds where none are given.
    pub fn within(mut self, bounds: Bounds) -> Self {
        let (a, b) = (&mut self.a, &mut self.b);
        bounds.fill([&mut a.pods_min, &mut a.pods_max], [&mut b.pods_min, &mut b.pods_max]);
        self
    }

    /// Checks every field, by the ranges that Knative allows.
    ///
    /// # Errors
    /// The first field that is out of range, by its path.
    pub fn validate(&self) -> Result<(), Invalid> {
        for (name, stage) in [("a", &self.a), ("b", &self.b)] {
            stage
                .validate()
                .map_err(|Invalid { field, problem }| Invalid::new(format!("{name}.{field}"), problem))?;
        }
        positive("tick_s", self.tick_s)?;
        let rates = [
            ("max_scale_up_rate", self.max_scale_up_rate),
            ("max_scale_down_rate", self.max_scale_down_rate),
        ];
        for (field, rate) in rates {
            positive(field, rate)?;
            if rate <= 1.0 {
                return Err(Invalid::new(field, format!("{rate} is not above 1")));
            }
        }
        Ok(())
    }

    /// Pods of both stages and in words why. `now_s` is on the clock of `observation.time_s` and not before it \[s\]. Every
    /// observation goes into the windows; a decision is made at a tick.
    ///
    /// # Errors
    /// Why to hold: a stage does not answer, the next tick is not due, or nothing was heard of either stage for a
    /// stable window. Where only one of them is silent it stays as it is, and the other goes on: they are two.
    pub fn decide(
        &self,
        memory: &mut KpaMemory,
        now_s: f64,
        observation: &Observation,
    ) -> Result<(Replicas, String), Silence> {
        if !now_s.is_finite() {
            return Err(Silence::Unseen(format!("{now_s} s is no time")));
        }
        let (a, b) = answering(observation)?;
        let waiting =
            [observation.queue_a, observation.queue_b].map(|queue| Some(queue?.map(|level| level.mean)));
        memory.a.hear(self.a.stable(), (waiting[0], observation.busy_a), a, observation);
        memory.b.hear(self.b.stable(), (waiting[1], observation.busy_b), b, observation);
        due(&mut memory.last_tick_s, self.tick_s, now_s)
            .map_err(|left_s| Silence::Waiting(format!("next tick in {left_s:.1} s")))?;
        let to_a = self.tick(&self.a, &mut memory.a, now_s, a);
        let to_b = self.tick(&self.b, &mut memory.b, now_s, b);
        joined((to_a, a), (to_b, b))
    }

    /// One tick of one autoscaler: `autoscaler.Scale`, then the bounds.
    fn tick(&self, of: &KpaStage, memory: &mut StageMemory, now_s: f64, pods: &StagePods) -> Wish {
        let ready = f64::from(pods.ready.max(1));
        // It starts in a panic where there is more than one pod, so that what was forgotten scales nothing down.
        if memory.panic_pods.is_none() {
            memory.panic_s = (pods.ready > 1).then_some(now_s);
            memory.panic_pods = Some(pods.ready.into());
        }
        let stable = memory.concurrency.mean(of.stable(), now_s).map(rounded);
        let stable = stable.ok_or_else(|| format!("no data in the last {:.0} s", of.stable_window_s))?;
        let panic = memory.concurrency.mean(of.panic(), now_s).map_or(0.0, rounded);
        let most = (self.max_scale_up_rate * ready).ceil().min(f64::from(i32::MAX));
        let least = (ready / self.max_scale_down_rate).floor();
        let within = |wanted: f64| wanted.max(least).min(most) as i64;
        let panic_wants = (panic / of.target).ceil();
        let wanted = within((stable / of.target).ceil());
        let mut why = format!("concurrency {stable:.2} stable, {panic:.2} panic at {} a pod", of.target);

        if panic_wants / ready >= of.panic_threshold_percent / 100.0 {
            memory.panic_s = Some(now_s);
        } else if memory.panic_s.is_some_and(|over_s| over_s + of.stable_window_s < now_s) {
            memory.panic_s = None;
            memory.panic_pods = Some(0);
        }
        let wanted = if memory.panic_s.is_some() {
            let largest = wanted.max(within(panic_wants)).max(memory.panic_pods.unwrap_or(0));
            memory.panic_pods = Some(largest);
            why.push_str(", in panic");
            largest
        } else {
            wanted
        };
        let delayed = memory.delay(of, (now_s / self.tick_s).floor() as i64, self.tick_s, wanted);
        let pods_max = of.pods_max.map_or(i64::from(i32::MAX), i64::from);
        let bounded = delayed.max(of.pods_min.unwrap_or(1).into()).min(pods_max);
        why.push_str(&format!(" wants {wanted}"));
        if delayed != wanted {
            why.push_str(&format!(", delayed at {delayed}"));
        }
        if bounded != delayed {
            why.push_str(&format!(", may have {bounded}"));
        }
        Ok((u32::try_from(bounded).unwrap_or(u32::MAX), why))
    }
}

impl KpaStage {
    fn stable(&self) -> Window {
        Window::of(self.stable_window_s, BUCKET_S)
    }

    fn panic(&self) -> Window {
        let length_s = (self.stable_window_s * self.panic_window_percent / 100.0).round();
        Window::of(length_s.max(BUCKET_S), BUCKET_S)
    }

    fn validate(&self) -> Result<(), Invalid> {
        check_limits(self.pods_min, self.pods_max)?;
        let ranges = [
            ("target", self.target, 0.01, 1e6),
            ("stable_window_s", self.stable_window_s, 6.0, 3_600.0),
            ("panic_window_percent", self.panic_window_percent, 1.0, 100.0),
            ("panic_threshold_percent", self.panic_threshold_percent, 110.0, 1_000.0),
            ("scale_down_delay_s", self.scale_down_delay_s, 0.0, 3_600.0),
        ];
        for (field, value, low, high) in ranges {
            not_negative(field, value)?;
            if !(low..=high).contains(&value) {
                return Err(Invalid::new(field, format!("{value} is not in {low}..={high}")));
            }
            if field.ends_with("_s") && value.fract() != 0.0 {
                return Err(Invalid::new(field, format!("{value} is not in whole seconds")));
            }
        }
        Ok(())
    }
}

impl StageMemory {
    /// Puts what an observation says of the concurrency into the seconds that it speaks of. A server that does not answer
    /// leaves its last values with a growing age: these are in the buckets already.
    fn hear(
        &mut self,
        window: Window,
        (waiting, busy): (Option<Signal<f64>>, Option<Signal<f64>>),
        pods: &StagePods,
        observation: &Observation,
    ) {
        let Some((waiting, busy)) = waiting.zip(busy) else { return };
        let age_s = waiting.age_s.max(busy.age_s);
        let concurrency = waiting.value + busy.value * f64::from(pods.ready);
        if age_s >= 0.0 && waiting.value >= 0.0 && busy.value >= 0.0 {
            self.concurrency.record(window, (observation.time_s - age_s, observation.window_s), concurrency);
        }
    }

    /// The largest count of the delay, with this one.
    fn delay(&mut self, of: &KpaStage, tick: i64, tick_s: f64, wanted: i64) -> i64 {
        if of.scale_down_delay_s == 0.0 {
            return wanted;
        }
        let ticks = (of.scale_down_delay_s / tick_s).ceil() as i64;
        self.delayed.retain(|&(at, pods)| pods > wanted && tick.saturating_sub(at) < ticks);
        // Of two in one tick the larger counts.
        if self.delayed.last().is_none_or(|&(at, _)| at < tick) {
            self.delayed.push((tick, wanted));
        }
        self.delayed[0].1
    }
}

/// To six digits after the point, as the windows of Knative are.
fn rounded(mean: f64) -> f64 {
    let millionths = (mean * 1e6).round() / 1e6;
    if millionths.is_finite() { millionths } else { mean }
}
