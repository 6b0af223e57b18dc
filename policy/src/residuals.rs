//! Whether the pipeline still is what was calibrated: what the laws predict beside what is seen.
//!
//! ```text
//! throughput of a stage   X = busy k / s                                              utilisation law    [1/s]
//! latency                 R = s_A + t + s_B + overhead + (L_A + L_proxy + L_B) / X    Little's law       [s]
//! ```
//!
//! `busy` share of `k` ready pods at work, `s` their calibrated service time, `t` the payload over the link as it is
//! estimated, `L` what waits as it is seen. Both are operational identities (Denning and Buzen, *The Operational Analysis of
//! Queueing Network Models*, ACM Computing Surveys 10(3), 1978, section 3): they hold at any load and for any law of arrivals
//! and service, over any window in which what comes also goes. So a residual is a change of the pipeline and not of the
//! traffic. The latency seen is the median, which skewed services hold below the mean: it is given more room.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use splitscale_spec::{Interval, Invalid, Laws, Observation, Signal, StagePods};

use crate::freshness::{Believed, Freshness};
use crate::shadow::ShadowConfig;
use crate::useful::confidence_min;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// What A's pods served, or else the answers, beside what those that are busy should make \[1/s\].
    ThroughputA,
    /// Answers beside what B's busy pods should make \[1/s\].
    ThroughputB,
    /// Median latency beside what the stages, the transfer and the queues take \[s\].
    Latency,
}

/// One quantity, predicted and seen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Residual {
    /// Which.
    pub quantity: Quantity,
    /// As it was seen.
    pub seen: f64,
    /// By the laws, with their band.
    pub predicted: Interval,
    /// Seen over predicted, geometric mean that forgets over half a minute.
    pub ratio: f64,
    /// Whether the ratio is beyond the band of the laws and what is tolerated, on enough evidence.
    pub stale: bool,
}

/// How the laws and the pipeline agree.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// Quantities that could be compared so far, as they last were.
    pub residuals: Vec<Residual>,
}

/// Follows how the laws and the pipeline agree. Pure: the time is an argument.
#[derive(Debug, Clone)]
pub struct Residuals {
    law: ShadowConfig,
    cores: [Option<f64>; 2],
    freshness: Freshness,
    /// Time, what waited and the answers of each look within [`TIME_CONSTANT_S`] \[s, requests, 1/s\].
    waited: VecDeque<[f64; 3]>,
    tracks: [Track; 3],
}

/// What is remembered of one quantity.
#[derive(Debug, Clone, Copy, Default)]
struct Track {
    /// Mean of ln(seen / predicted).
    log_ratio: f64,
    judged_s: f64,
    /// When it was last compared \[s\].
    judged_at_s: f64,
    answers: f64,
    stale: bool,
    last: Option<Residual>,
}

/// Time over which older ratios are forgotten \[s\].
const TIME_CONSTANT_S: f64 = 30.0;
/// Least time that was judged before anything is said \[s\].
const JUDGED_MIN_S: f64 = 20.0;
/// Fewest answers in it.
const ANSWERS_MIN: f64 = 50.0;
/// Pods that work less than this share of their time say little about their service.
const BUSY_MIN: f64 = 0.05;
/// What waits may differ by this share of the answers, between the most and the least.
const UNSTEADY_MAX: f64 = 0.1;
/// Signals of one comparison are this share of their window apart at most: one interval, as there are five in a window.
const APART_MAX: f64 = 0.25;
/// Least time over which that is looked at \[s\].
const SPAN_MIN_S: f64 = 10.0;
/// Longest time between two looks that belong together \[s\].
const STEP_MAX_S: f64 = 300.0;
/// For so long what was compared still counts, while nothing can be \[s\].
const KEPT_S: f64 = 600.0;

impl Quantity {
    const ALL: [Quantity; 3] = [Quantity::ThroughputA, Quantity::ThroughputB, Quantity::Latency];

    /// Its name, as in documents and labels of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Quantity::ThroughputA => "throughput_a",
            Quantity::ThroughputB => "throughput_b",
            Quantity::Latency => "latency",
        }
    }

    /// By which share it may be off, beyond the band of the laws.
    fn tolerance(self) -> f64 {
        match self {
            Quantity::ThroughputA | Quantity::ThroughputB => 0.2,
            Quantity::Latency => 0.5,
        }
    }
}

impl Agreement {
    /// In words what no longer agrees; absent while everything does, as far as is known.
    pub fn stale(&self) -> Option<String> {
        let stale = self.residuals.iter().filter(|residual| residual.stale);
        let words: Vec<String> = stale
            .map(|Residual { quantity, ratio, .. }| match quantity {
                Quantity::ThroughputA => {
                    format!("pods of A take {:.2} times what was calibrated", 1.0 / ratio)
                }
                Quantity::ThroughputB => {
                    format!("pods of B take {:.2} times what was calibrated", 1.0 / ratio)
                }
                Quantity::Latency => format!("answers take {ratio:.2} times what was predicted"),
            })
            .collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

impl Residuals {
    /// Begins to follow. Signals that are too old are not compared.
    ///
    /// # Errors
    /// Without `laws.slot` the payload is unknown.
    pub fn new(laws: &Laws, freshness: Freshness) -> Result<Self, Invalid> {
        Ok(Residuals {
            // A promise has no part in it.
            law: ShadowConfig::of_laws(laws, 1.0)?,
            cores: [laws.cores_a, laws.cores_b],
            freshness,
            waited: VecDeque::new(),
            tracks: Default::default(),
        })
    }

    /// Takes in what was seen at `now_s` and says how both agree \[s\].
    pub fn observe(&mut self, now_s: f64, observation: &Observation) -> Agreement {
        let Believed { seen, .. } = self.freshness.believed(now_s, observation);
        let steady = self.steady(now_s, &seen);
        // Pods that share cores slow each other down; the laws are of pods that do not.
        if let Some((step_s, answers_per_s)) = steady.filter(|_| !self.crowded(&seen)) {
            for (track, quantity) in self.tracks.iter_mut().zip(Quantity::ALL) {
                let compared = match quantity {
                    Quantity::ThroughputA => of_stage(
                        served_a_per_s(&seen).unwrap_or(answers_per_s),
                        (seen.busy_a, &seen.a),
                        self.law.service_a_s,
                    ),
                    Quantity::ThroughputB => {
                        of_stage(answers_per_s, (seen.busy_b, &seen.b), self.law.service_b_s)
                    }
                    Quantity::Latency => of_latency(answers_per_s, &seen, &self.law),
                };
                if let Some((value, predicted)) = compared {
                    track.judge(quantity, (value, predicted), (step_s, answers_per_s));
                    track.judged_at_s = now_s;
                }
            }
        }
        for track in &mut self.tracks {
            if now_s - track.judged_at_s > KEPT_S {
                *track = Track::default();
            }
        }
        Agreement { residuals: self.tracks.iter().filter_map(|track| track.last).collect() }
    }

    /// Time since the last look, and the answers, where what comes also goes: what waits is never more than a tenth of the
    /// answers above what it was at the least \[s, 1/s\].
    fn steady(&mut self, now_s: f64, seen: &Observation) -> Option<(f64, f64)> {
        let Some((waiting, answers)) = together(seen) else {
            // Nor is what was told before compared with what is told afterwards.
            self.waited.clear();
            return None;
        };
        // After a gap, or a clock that was set back, all begins anew.
        let last_s = self.waited.back().map_or(now_s, |[at_s, ..]| *at_s);
        let step_s = now_s - last_s;
        if !(0.0..=STEP_MAX_S).contains(&step_s) {
            self.waited.clear();
        }
        self.waited.push_back([now_s, waiting, answers]);
        // One look older than the span stays, so that it is always covered.
        while self.waited.len() > 2 && self.waited[1][0] <= now_s - TIME_CONSTANT_S.max(seen.window_s) {
            self.waited.pop_front();
        }
        let span_s = now_s - self.waited.front()?[0];
        // Not before nothing in the window behind the signals is of before that.
        let long = span_s >= SPAN_MIN_S.max(seen.window_s) && step_s > 0.0 && answers > 0.0;
        // All of it counts: a queue that rose and drained is as long at the end as it was at the beginning.
        let waited = self.waited.iter().map(|&[_, waiting, _]| waiting);
        let (most, least) = (waited.clone().fold(waiting, f64::max), waited.fold(waiting, f64::min));
        // While a queue drains there are more answers than otherwise.
        let mean = self.waited.iter().map(|&[_, _, answers]| answers).sum::<f64>() / self.waited.len() as f64;
        // Two requests more or fewer say nothing, however few come.
        let calm = most - least <= (UNSTEADY_MAX * mean * span_s).max(2.0);
        let settled = [&seen.a, &seen.b].into_iter().all(|stage| {
            stage.as_ref().is_some_and(|pods| {
                pods.starting == 0
                    && pods.draining == 0
                    && pods.last_change_age_s.is_none_or(|age_s| age_s > seen.window_s)
            })
        });
        (long && calm && settled).then_some((step_s, answers))
    }

    /// Whether pods of a stage slow each other down.
    fn crowded(&self, seen: &Observation) -> bool {
        let at_work = |busy: Option<Signal<f64>>, pods: &Option<StagePods>| {
            busy.map_or(0.0, |busy| busy.value) * pods.as_ref().map_or(0.0, |pods| f64::from(pods.ready))
        };
        let works = [at_work(seen.busy_a, &seen.a), at_work(seen.busy_b, &seen.b)];
        self.cores.iter().zip(works).any(|(cores, at_work)| cores.is_some_and(|cores| at_work > cores))
    }
}

/// What waits, and the answers, where all were told in the same round: signals of other times are of other requests. Where a
/// stage does not answer, what it counted last ages beside what is told now \[requests, 1/s\].
fn together(seen: &Observation) -> Option<(f64, f64)> {
    let queues = [seen.queue_a, seen.queue_proxy, seen.queue_b];
    let waiting = queues.iter().map(|queue| queue.map(|queue| queue.value.last)).sum::<Option<f64>>()?;
    let answers = seen.answers_per_s?;
    let stages = [seen.a.as_ref()?.age_s, seen.b.as_ref()?.age_s];
    let others =
        [seen.busy_a, seen.busy_b, seen.latency_p50_s].into_iter().flatten().map(|signal| signal.age_s);
    let queues = queues.into_iter().flatten().map(|queue| queue.age_s);
    let ages = stages.into_iter().chain(others).chain(queues);
    let (newest, oldest) = ages.fold((answers.age_s, answers.age_s), |(newest, oldest), age_s| {
        (newest.min(age_s), oldest.max(age_s))
    });
    let one_round = oldest - newest <= APART_MAX * seen.window_s && oldest <= seen.window_s;
    one_round.then_some((waiting, answers.value))
}

/// What A's pods served: a request that fails behind A cost them as much as one that is answered. Absent where A does not tell,
/// or did at another time than the rest.
fn served_a_per_s(seen: &Observation) -> Option<f64> {
    let age_s = seen.a.as_ref()?.age_s;
    let told =
        seen.served_a_per_s.filter(|signal| (signal.age_s - age_s).abs() <= APART_MAX * seen.window_s)?;
    (told.value.is_finite() && told.value >= 0.0).then_some(told.value)
}

/// What the busy pods of a stage should answer, beside the answers; absent where they say too little.
fn of_stage(
    answers_per_s: f64,
    (busy, pods): (Option<Signal<f64>>, &Option<StagePods>),
    service_s: Interval,
) -> Option<(f64, Interval)> {
    let busy = busy?.value;
    let at_work = busy * f64::from(pods.as_ref()?.ready);
    if busy < BUSY_MIN {
        return None;
    }
    // The slower the service, the fewer.
    let of = |service_s: f64| at_work / service_s;
    Some((
        answers_per_s,
        Interval { value: of(service_s.value), low: of(service_s.high), high: of(service_s.low) },
    ))
}

/// What a request should take, beside the median of what they took; absent where the link is unknown.
fn of_latency(answers_per_s: f64, seen: &Observation, law: &ShadowConfig) -> Option<(f64, Interval)> {
    let link = seen.link.filter(|link| link.mbit_s > 0.0 && link.confidence >= confidence_min())?;
    let waiting = seen.queue_a?.value.mean + seen.queue_proxy?.value.mean + seen.queue_b?.value.mean;
    let besides_s = law.payload_bytes as f64 * 8e-6 / link.mbit_s + law.overhead_s + waiting / answers_per_s;
    let of = |end: fn(&Interval) -> f64| end(&law.service_a_s) + end(&law.service_b_s) + besides_s;
    let predicted = Interval { value: of(|i| i.value), low: of(|i| i.low), high: of(|i| i.high) };
    Some((seen.latency_p50_s?.value, predicted))
}

impl Track {
    fn judge(
        &mut self,
        quantity: Quantity,
        (seen, predicted): (f64, Interval),
        (step_s, answers_per_s): (f64, f64),
    ) {
        if !(seen > 0.0 && predicted.value > 0.0) {
            return;
        }
        let log_ratio = (seen / predicted.value).ln();
        // At first a plain mean, later one that forgets.
        self.judged_s += step_s;
        self.answers += answers_per_s * step_s;
        let weight = (step_s / self.judged_s).max(1.0 - (-step_s / TIME_CONSTANT_S).exp());
        self.log_ratio += weight * (log_ratio - self.log_ratio);
        let ratio = self.log_ratio.exp();
        // Told once, it is only taken back well within what is tolerated.
        let tolerance = quantity.tolerance() * if self.stale { 0.5 } else { 1.0 };
        let most = predicted.high / predicted.value * (1.0 + tolerance);
        let least = predicted.low / predicted.value / (1.0 + tolerance);
        let evidence = self.judged_s >= JUDGED_MIN_S && self.answers >= ANSWERS_MIN;
        self.stale = evidence && !(least..=most).contains(&ratio);
        self.last = Some(Residual { quantity, seen, predicted, ratio, stale: self.stale });
    }
}
