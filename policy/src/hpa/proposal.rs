//! How many pods the metrics want.

use splitscale_spec::{Observation, PodSample, QueueLevel, Signal, Stage, StagePods};

use super::behavior::Rules;
use super::census::{Census, Patience, milli, usage};
use super::config::{HpaConfig, HpaMetric, HpaStage};
use super::memory::StageMemory;

/// What one HPA sees at a sync.
pub(super) struct Seen<'a> {
    pub(super) config: &'a HpaConfig,
    pub(super) now_s: f64,
    pub(super) observation: &'a Observation,
    pub(super) stage: Stage,
    pub(super) pods: &'a StagePods,
    pub(super) of: &'a HpaStage,
    pub(super) memory: &'a StageMemory,
}

/// What one metric wants, and its words.
pub(super) type Proposal = Result<(i64, String), String>;

/// What the metrics want of one HPA that has so many pods.
pub(super) type Proposals<'a> = dyn FnMut(&Seen, i64) -> Vec<Proposal> + 'a;

/// An external metric with an average value, as an adapter hands it over.
pub(crate) struct External {
    pub(crate) name: String,
    /// In whole thousandths, below zero too; or in words why there is none.
    pub(crate) milli: Result<i64, String>,
    /// So much for each pod.
    pub(crate) target: f64,
}

/// What a pod should use.
#[derive(Clone, Copy)]
enum Target {
    /// Of its request \[%\].
    Percent(i64),
    /// \[1/1000 cores\].
    Milli(i64),
}

impl Seen<'_> {
    /// What one of the metrics of the document wants.
    pub(super) fn by(&self, metric: HpaMetric, current: i64) -> Proposal {
        let queue = match self.stage {
            Stage::A => self.observation.queue_a,
            Stage::B => self.observation.queue_b,
        };
        let last = |queue: Signal<QueueLevel>| queue.map(|level| level.last);
        match metric {
            HpaMetric::CpuPercent(percent) => self.resource(Target::Percent(percent.into()), current),
            HpaMetric::CpuCores(cores) => {
                let target = milli(cores).ok_or("cpu target is no number")?;
                self.resource(Target::Milli(target), current)
            }
            HpaMetric::QueuePerPod(target) => self.average(("queue", queue.map(last)), target),
            HpaMetric::ArrivalsPerPod(target) => {
                self.average(("arrivals", self.observation.arrivals_per_s), target)
            }
            HpaMetric::LatencyP95(target) => {
                let value = value(("p95", self.observation.latency_p95_s))?;
                let words = format!("p95 {value:.3} s of {target}");
                let ratio = thousandths(value)? / thousandths(target)?;
                let ready = i64::from(self.pods.ready);
                Ok((if self.tolerates(ratio) { current } else { times(ratio, ready) }, words))
            }
        }
    }

    /// External metric with an average value: so much for each pod there is.
    fn average(&self, (name, signal): (&str, Option<Signal<f64>>), target: f64) -> Proposal {
        let total = value((name, signal))?;
        let words = format!("{name} {total:.1} at {target} a pod");
        Ok((self.spread(thousandths(total)?, thousandths(target)?), words))
    }

    /// The same with a value from outside.
    pub(super) fn external(&self, metric: External) -> Proposal {
        let External { name, milli, target } = metric;
        let total = milli? as f64;
        let words = format!("{name} {:.1} at {target} a pod", total / 1000.0);
        Ok((self.spread(total, thousandths(target)?), words))
    }

    /// Pods for a total, both in thousandths. What is kept is what there is, not what was asked for.
    fn spread(&self, total: f64, target: f64) -> i64 {
        let pods = i64::from(self.pods.ready) + i64::from(self.pods.starting);
        let kept = self.tolerates(total / (target * pods as f64));
        if kept { pods } else { times(total / target, 1) }
    }

    /// Resource metric: unready and missing pods are put in only where they cannot lead the other way.
    fn resource(&self, target: Target, current: i64) -> Proposal {
        let patience = Patience {
            now_s: self.now_s,
            observed_s: self.observation.time_s,
            window_s: self.observation.window_s,
            initialization_s: self.config.cpu_initialization_period_s,
            readiness_delay_s: self.config.initial_readiness_delay_s,
        };
        let census = Census::of(self.pods, &self.memory.pods, &patience);
        let request = |cores: Option<f64>| cores.and_then(milli).ok_or("a pod without a cpu request");
        let requests = |pods: &[&PodSample]| -> Result<Vec<i64>, &str> {
            pods.iter().map(|pod| request(pod.cpu_request)).collect()
        };
        let ready = census.ready.len();
        let mut counted: Vec<(i64, i64)> =
            census.ready.iter().filter_map(|pod| usage(pod)).zip(requests(&census.ready)?).collect();
        if counted.is_empty() {
            return Err("no ready pod with a cpu sample".to_owned());
        }
        let (ratio, words) = target.ratio(&counted)?;
        let unready = if ratio > 1.0 { requests(&census.unready)? } else { Vec::new() };
        let missing = requests(&census.missing)?;
        if missing.is_empty() && unready.is_empty() {
            let wanted = if self.tolerates(ratio) { current } else { times(ratio, ready as i64) };
            return Ok((wanted, words));
        }
        let words = format!("{words}, {} unready, {} missing", census.unready.len(), missing.len());
        // A pod nothing is known of uses what it is there for on the way down, and nothing on the way up.
        let full = |request: i64| if ratio < 1.0 { target.full(request) } else { 0 };
        if ratio != 1.0 || matches!(target, Target::Milli(_)) {
            counted.extend(missing.iter().map(|&request| (full(request), request)));
        }
        counted.extend(unready.iter().map(|&request| (0, request)));
        let (again, _) = target.ratio(&counted)?;
        let flipped = (ratio < 1.0 && again > 1.0) || (ratio > 1.0 && again < 1.0);
        let wanted = times(again, counted.len() as i64);
        let backwards = (again < 1.0 && wanted > current) || (again > 1.0 && wanted < current);
        Ok((if self.tolerates(again) || flipped || backwards { current } else { wanted }, words))
    }

    fn tolerates(&self, ratio: f64) -> bool {
        let of = |rules: fn(&super::Behavior) -> &Rules| {
            let own = self.of.behavior.as_ref().and_then(|behavior| rules(behavior).tolerance);
            own.unwrap_or(self.config.tolerance)
        };
        let (down, up) = (of(|behavior| &behavior.down), of(|behavior| &behavior.up));
        (1.0 - down..=1.0 + up).contains(&ratio)
    }
}

impl Target {
    /// Used over wanted. Both are whole numbers, cut off before they are divided, as Kubernetes does.
    fn ratio(self, counted: &[(i64, i64)]) -> Result<(f64, String), String> {
        let used: i64 = counted.iter().map(|&(used, _)| used).sum();
        match self {
            Target::Percent(target) => {
                let requested: i64 = counted.iter().map(|&(_, request)| request).sum();
                let percent = (used * 100).checked_div(requested).ok_or("the cpu requests are zero")?;
                Ok((percent as f64 / target as f64, format!("cpu {percent} % of {target} %")))
            }
            Target::Milli(target) => {
                let mean = used / counted.len() as i64;
                Ok((mean as f64 / target as f64, format!("cpu {mean} m of {target} m")))
            }
        }
    }

    /// What a pod is taken to use on the way down, of which there is no sample.
    fn full(self, request: i64) -> i64 {
        match self {
            Target::Percent(target) => request * target.max(100) / 100,
            Target::Milli(target) => target,
        }
    }
}

/// The largest count that any metric wants, and its words. With a metric missing there is no way down.
pub(super) fn largest(proposals: Vec<Proposal>, current: i64) -> Proposal {
    let (mut best, mut problem): (Option<(i64, String)>, Option<String>) = (None, None);
    for proposal in proposals {
        match proposal {
            Ok(wanted) if best.as_ref().is_none_or(|best| wanted.0 > best.0) => best = Some(wanted),
            Ok(_) => {}
            Err(missing) => problem = problem.or(Some(missing)),
        }
    }
    match (best, problem) {
        (Some((wanted, words)), Some(problem)) if wanted < current => {
            Err(format!("{words} wants {wanted} but {problem}"))
        }
        (Some(best), _) => Ok(best),
        (None, problem) => Err(problem.unwrap_or_else(|| "no metrics".to_owned())),
    }
}

/// The value of an external metric.
fn value((name, signal): (&str, Option<Signal<f64>>)) -> Result<f64, String> {
    signal.map(|signal| signal.value).ok_or_else(|| format!("{name} is missing"))
}

fn thousandths(value: f64) -> Result<f64, String> {
    milli(value).map(|milli| milli as f64).ok_or_else(|| format!("{value} is no quantity"))
}

fn times(ratio: f64, pods: i64) -> i64 {
    ((ratio * pods as f64).ceil() as i64).min(i64::from(i32::MAX))
}
