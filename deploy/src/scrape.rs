//! From what the servers count to an [`Observation`].
//!
//! ```text
//!  A /metrics ──┐                       ┌─ rates, queue means, busy shares: differences of counters
//!  proxy ───────┼─▶ one history each ──▶│  over the window, so that no scrape is missed between
//!  B /metrics ──┘   (time, exposition)  └─ the link: the estimator of spec, fed by each new difference
//!  pods, where not the stages but a cluster keeps them ─▶ two histories more
//!  signals that somebody else was asked for            ─▶ in the place of what the servers say
//! ```
//!
//! A server that does not answer leaves its last values standing with a growing age; a counter that runs
//! backwards (a restarted server) starts its history anew. Nothing missing is ever zero.

use std::collections::{BTreeMap, VecDeque};

use splitscale_spec::{LinkEstimator, Observation, PodPhase, PodSample, QueueLevel, Signal, StagePods};

use crate::asked::{Answer, Field};
use crate::exposition::Exposition;

/// What the three servers answered to one round of scraping; absent where one did not.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// Stage A.
    pub a: Option<Exposition>,
    /// The proxy.
    pub proxy: Option<Exposition>,
    /// Stage B.
    pub b: Option<Exposition>,
    /// The pods of both stages, where a cluster keeps them; absent where each stage tells its own.
    pub kept: Option<Kept>,
    /// Signals that somebody else was asked for.
    pub asked: Vec<(Field, Answer)>,
}

/// Pods as a cluster tells them, in the metrics of a stage that has its own; absent where it does not.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// Of A.
    pub a: Option<Exposition>,
    /// Of B.
    pub b: Option<Exposition>,
}

/// Keeps a window of scrapes and turns it into observations. Pure: the time is an argument.
#[derive(Debug, Clone)]
pub struct Observer {
    window_s: f64,
    a: History,
    proxy: History,
    b: History,
    kept: Option<[History; 2]>,
    /// The last answer of each signal that was asked for, and when it was sampled \[s\]; absent where there was none.
    asked: BTreeMap<Field, Option<(f64, f64)>>,
    link: LinkEstimator,
    changes_a: Changes,
    changes_b: Changes,
}

#[derive(Debug, Clone, Default)]
struct History {
    scrapes: VecDeque<(f64, Exposition)>,
}

/// Follows the number of desired pods of a stage.
#[derive(Debug, Clone, Default)]
struct Changes {
    desired: Option<u32>,
    last: Option<(f64, i64)>,
}

// === impl Observer ===

impl Observer {
    /// Observes over a sliding window of `window_s` \[s\].
    pub fn new(window_s: f64) -> Self {
        Observer {
            window_s,
            a: History::default(),
            proxy: History::default(),
            b: History::default(),
            kept: None,
            asked: BTreeMap::new(),
            link: LinkEstimator::new(LinkEstimator::TIME_CONSTANT_S),
            changes_a: Changes::default(),
            changes_b: Changes::default(),
        }
    }

    /// Takes in a round of scrapes made at `now_s` and says what is known then.
    pub fn observe(&mut self, now_s: f64, round: Round) -> Observation {
        self.a.push(now_s, self.window_s, round.a, Some(REQUESTS));
        self.b.push(now_s, self.window_s, round.b, Some(REQUESTS));
        if let Some(Kept { a, b }) = round.kept {
            let [kept_a, kept_b] = self.kept.get_or_insert_default();
            kept_a.push(now_s, self.window_s, a, None);
            kept_b.push(now_s, self.window_s, b, None);
        }
        self.hear(now_s, round.asked);
        if self.proxy.push(now_s, self.window_s, round.proxy, Some(TRANSFER_BYTES)) {
            let bytes = self.proxy.last_difference(|e| e.sum(TRANSFER_BYTES, &[]));
            let busy_s = self.proxy.last_difference(|e| e.value(TRANSFER_SECONDS, &[]));
            if let (Some(bytes), Some(busy_s)) = (bytes, busy_s) {
                self.link.update(now_s, bytes, busy_s);
            }
        }

        let (a, b, proxy) = (&self.a, &self.b, &self.proxy);
        let [pods_a, pods_b] = self.kept.as_ref().map_or([a, b], |[a, b]| [a, b]);
        let mut seen = Observation {
            arrivals_per_s: a.rate(now_s, |e| e.value(REQUESTS, &[("stage", "a")])),
            answers_per_s: proxy.rate(now_s, |e| e.value(DURATION_COUNT, &[])),
            served_a_per_s: a.rate(now_s, |e| e.value(ANSWERS, &[("stage", "a"), ("status", "answered")])),
            queue_a: a.queue(now_s, "a"),
            queue_proxy: proxy.queue(now_s, "proxy"),
            queue_b: b.queue(now_s, "b"),
            busy_a: a.ratio(now_s, |e| (stage(e, BUSY, "a"), stage(e, READY, "a"))),
            busy_slots: proxy.ratio(now_s, |e| (e.value(SLOT_HELD, &[]), e.value(SLOT_SECONDS, &[]))),
            busy_b: b.ratio(now_s, |e| (stage(e, BUSY, "b"), stage(e, READY, "b"))),
            slots: proxy.last(now_s, |e| e.value(SLOTS, &[])).map(|s| s.map(|v| v as u32)),
            latency_p50_s: proxy.quantile(now_s, 0.50),
            latency_p95_s: proxy.quantile(now_s, 0.95),
            link: self.link.estimate(now_s),
            a: pods(pods_a, now_s, "a", &mut self.changes_a),
            b: pods(pods_b, now_s, "b", &mut self.changes_b),
            ..Observation::empty(now_s, self.window_s)
        };
        for (&field, answer) in &self.asked {
            let signal = answer.map(|(value, sampled_s)| Signal { value, age_s: now_s - sampled_s });
            field.put(&mut seen, signal);
        }
        seen
    }

    /// Takes in what was asked for.
    fn hear(&mut self, now_s: f64, asked: Vec<(Field, Answer)>) {
        for (field, answer) in asked {
            let known = self.asked.entry(field).or_default();
            match answer {
                Answer::Value(Signal { value, age_s }) => *known = Some((value, now_s - age_s)),
                Answer::Nothing => *known = None,
                Answer::Silence => {}
            }
        }
    }
}

pub(crate) const REQUESTS: &str = "split_requests_total";
pub(crate) const ANSWERS: &str = "split_answers_total";
pub(crate) const DURATION_COUNT: &str = "split_pipeline_duration_seconds_count";
pub(crate) const DURATION_BUCKET: &str = "split_pipeline_duration_seconds_bucket";
pub(crate) const QUEUE: &str = "split_queue_depth";
pub(crate) const QUEUE_SECONDS: &str = "split_queue_depth_seconds_total";
pub(crate) const PODS: &str = "split_pods";
pub(crate) const PODS_MAX: &str = "split_pods_max";
pub(crate) const BUSY: &str = "split_pod_busy_seconds_total";
pub(crate) const READY: &str = "split_pod_ready_seconds_total";
pub(crate) const CPU: &str = "split_pod_cpu_seconds_total";
pub(crate) const POD_PHASE: &str = "split_pod_phase";
pub(crate) const POD_READY_AGE: &str = "split_pod_ready_age_seconds";
pub(crate) const POD_CPU_REQUEST: &str = "split_pod_cpu_request_cores";
pub(crate) const SLOTS: &str = "split_transfer_slots";
pub(crate) const SLOT_SECONDS: &str = "split_transfer_slot_seconds_total";
pub(crate) const SLOT_HELD: &str = "split_transfer_slot_held_seconds_total";
pub(crate) const TRANSFER_SECONDS: &str = "split_transfer_seconds_total";
pub(crate) const TRANSFER_BYTES: &str = "split_transfer_bytes_total";

fn stage(exposition: &Exposition, name: &str, stage: &str) -> Option<f64> {
    exposition.value(name, &[("stage", stage)])
}

/// Pods that a stage says it was told to have.
pub(crate) fn desired(scrape: &Exposition, stage: &str) -> Option<u32> {
    scrape.value(PODS, &[("stage", stage), ("state", "desired")]).map(|v| v as u32)
}

fn pods(history: &History, now_s: f64, stage: &str, changes: &mut Changes) -> Option<StagePods> {
    let (time_s, latest) = history.scrapes.back()?;
    let count = |state| latest.value(PODS, &[("stage", stage), ("state", state)]).map(|v| v as u32);
    let desired = desired(latest, stage)?;
    changes.follow(*time_s, desired);
    Some(StagePods {
        age_s: now_s - time_s,
        desired,
        ready: count("ready")?,
        starting: count("starting")?,
        draining: count("draining")?,
        pods_max: self::stage(latest, PODS_MAX, stage).map(|v| v as u32),
        last_change: changes.last.map(|(_, by)| by),
        last_change_age_s: changes.last.map(|(at, _)| now_s - at),
        pods: latest
            .by_label(POD_PHASE, "pod")
            .filter_map(|(pod, _)| sample(history, now_s, stage, pod))
            .collect(),
    })
}

fn sample(history: &History, now_s: f64, stage: &str, pod: &str) -> Option<PodSample> {
    let (time_s, latest) = history.scrapes.back()?;
    let labels = [("stage", stage), ("pod", pod)];
    let phase = match latest.value(POD_PHASE, &labels)? as u32 {
        0 => PodPhase::Starting,
        1 => PodPhase::Ready,
        _ => PodPhase::Draining,
    };
    Some(PodSample {
        pod: pod.parse().ok()?,
        phase,
        ready_since_s: latest.value(POD_READY_AGE, &labels).map(|age_s| time_s - age_s),
        cpu_used: history.slope(|e| e.value(CPU, &labels)),
        cpu_request: latest.value(POD_CPU_REQUEST, &labels),
        sample_age_s: now_s - time_s,
    })
}

// === impl Changes ===

impl Changes {
    fn follow(&mut self, now_s: f64, desired: u32) {
        if let Some(before) = self.desired.replace(desired)
            && before != desired
        {
            self.last = Some((now_s, i64::from(desired) - i64::from(before)));
        }
    }
}

// === impl History ===

impl History {
    /// Appends a scrape and forgets what the window no longer needs. `counter`, where there is one, tells a restart: where it
    /// ran backwards, nothing of before can be compared. True where the scrape came.
    fn push(&mut self, now_s: f64, window_s: f64, scrape: Option<Exposition>, counter: Option<&str>) -> bool {
        let Some(scrape) = scrape else { return false };
        if let Some((_, before)) = self.scrapes.back()
            && counter.is_some_and(|counter| scrape.sum(counter, &[]) < before.sum(counter, &[]))
        {
            self.scrapes.clear();
        }
        self.scrapes.push_back((now_s, scrape));
        // One scrape older than the window stays, so that the window is always covered.
        while self.scrapes.len() > 2 && self.scrapes[1].0 <= now_s - window_s {
            self.scrapes.pop_front();
        }
        true
    }

    fn last<T>(&self, now_s: f64, of: impl Fn(&Exposition) -> Option<T>) -> Option<Signal<T>> {
        let (time_s, scrape) = self.scrapes.back()?;
        of(scrape).map(|value| Signal { value, age_s: now_s - time_s })
    }

    /// Growth over the window per second.
    fn slope(&self, of: impl Fn(&Exposition) -> Option<f64>) -> Option<f64> {
        let ((from_s, from), (to_s, to)) = (self.scrapes.front()?, self.scrapes.back()?);
        let growth = of(to)? - of(from)?;
        (to_s > from_s && growth >= 0.0).then(|| growth / (to_s - from_s))
    }

    fn rate(&self, now_s: f64, of: impl Fn(&Exposition) -> Option<f64>) -> Option<Signal<f64>> {
        let value = self.slope(of)?;
        self.last(now_s, |_| Some(value))
    }

    /// Growth of one counter over the growth of another.
    fn ratio(
        &self,
        now_s: f64,
        of: impl Fn(&Exposition) -> (Option<f64>, Option<f64>),
    ) -> Option<Signal<f64>> {
        let part = self.slope(|e| of(e).0)?;
        let whole = self.slope(|e| of(e).1)?;
        self.last(now_s, |_| (whole > 0.0).then(|| (part / whole).min(1.0)))
    }

    fn queue(&self, now_s: f64, queue: &str) -> Option<Signal<QueueLevel>> {
        let labels = [("queue", queue)];
        let mean = self.slope(|e| e.value(QUEUE_SECONDS, &labels))?;
        self.last(now_s, |e| Some(QueueLevel { mean, last: e.value(QUEUE, &labels)? }))
    }

    /// Growth between the last two scrapes.
    fn last_difference(&self, of: impl Fn(&Exposition) -> Option<f64>) -> Option<f64> {
        let before = &self.scrapes.get(self.scrapes.len().checked_sub(2)?)?.1;
        Some(of(&self.scrapes.back()?.1)? - of(before)?)
    }

    /// Quantile of the durations that ended in the window, linear within a bucket (as PromQL's
    /// `histogram_quantile`); absent where none ended.
    fn quantile(&self, now_s: f64, q: f64) -> Option<Signal<f64>> {
        let (from, to) = (&self.scrapes.front()?.1, &self.scrapes.back()?.1);
        let mut buckets: Vec<(f64, f64)> = to
            .by_label(DURATION_BUCKET, "le")
            .filter_map(|(le, count)| {
                let upper = if le == "+Inf" { f64::INFINITY } else { le.parse().ok()? };
                Some((upper, count - from.value(DURATION_BUCKET, &[("le", le)]).unwrap_or(0.0)))
            })
            .collect();
        buckets.sort_by(|x, y| x.0.total_cmp(&y.0));
        let rank = q * buckets.last()?.1;
        if rank <= 0.0 || self.scrapes.len() < 2 {
            return None;
        }
        let (mut lower, mut below) = (0.0, 0.0);
        for (upper, count) in buckets {
            if count >= rank && upper.is_finite() {
                let value = lower + (upper - lower) * (rank - below) / (count - below);
                return self.last(now_s, |_| Some(value));
            }
            if upper.is_finite() {
                (lower, below) = (upper, count);
            }
        }
        self.last(now_s, |_| Some(lower))
    }
}
