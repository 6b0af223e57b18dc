//! The figures of a load.
//!
//! All latencies count from when a request was due, not from when it was sent: one that had to wait because this
//! machine, or its own retries, held it back waited all the same. They are those of answered requests.

use std::collections::BTreeMap;

use serde::Serialize;
use splitscale_serving::load::{Ended, Reason};
use splitscale_sim::analysis::{QuantileInterval, batch_means};
use splitscale_spec::{PHASES, Status};

use crate::cli::{Load, Shape};

/// A request that was sent so much later than it was due was sent late \[s\].
pub const LATE_S: f64 = 0.005;
/// The quantiles that are told.
pub const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999)];
/// Batches of the mean's interval, and the fewest answers of one.
const BATCHES: usize = 20;
const BATCH: usize = 10;
const CONFIDENCE: f64 = 0.95;

/// What is kept of the requests that ended.
#[derive(Debug)]
pub struct Tally {
    warm_up_s: f64,
    slo_s: Option<f64>,
    /// Those of the warm-up.
    left_out: u32,
    due: u32,
    within_slo: u32,
    retries: u32,
    late: Late,
    misses: BTreeMap<Reason, MissCount>,
    /// Number and latency of each that was answered.
    latencies_s: Vec<(u32, f64)>,
    /// Sums of the wait until it was sent, then of each phase.
    phases_s: [f64; PHASES.len() + 1],
    /// When the last was due or answered \[s\].
    end_s: f64,
}

/// Everything that is printed.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The load, as it was typed.
    pub load: String,
    /// Seed of its arrival times.
    pub seed: u64,
    /// What was due before is left out of all but the CPU times \[s\].
    pub warm_up_s: f64,
    /// Requests left out for it.
    pub left_out: u32,
    /// From the end of the warm-up to when the last was due or answered \[s\].
    pub span_s: f64,
    /// Requests that should have been sent.
    pub due: u32,
    /// Those that were.
    pub sent: u32,
    /// With a class.
    pub answered: u32,
    /// Those that got none, by reason.
    pub unanswered: BTreeMap<String, MissCount>,
    /// How often a request was sent again.
    pub retries: u32,
    /// Requests that this machine sent late.
    pub late: Late,
    /// Answers a second \[1/s\].
    pub throughput_per_s: f64,
    /// Goodput, where a bound was given.
    pub slo: Option<Slo>,
    /// From when a request was due to its answer; absent where none was answered.
    pub latency: Option<Latency>,
    /// Means over answered requests \[s\]: the wait until a request was sent (last), then the phases of a record.
    pub phases_s: Vec<(&'static str, f64)>,
    /// CPU time of each server over the whole load \[s\]; absent where it does not say.
    pub cpu_s: BTreeMap<&'static str, Option<f64>>,
}

/// Requests with one reason.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MissCount {
    /// How many.
    pub count: u32,
    /// What the first of them was told.
    pub first: String,
}

/// Requests sent more than [`LATE_S`] after they were due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Late {
    /// How many.
    pub count: u32,
    /// The most that any request was late \[s\].
    pub largest_s: f64,
}

/// Answers in time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Slo {
    /// What in time is \[s\].
    pub within_s: f64,
    /// Those answers a second \[1/s\].
    pub goodput_per_s: f64,
    /// Their share of all that were due, dropped ones included.
    pub attainment: f64,
}

/// Latencies \[s\].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Latency {
    /// Mean, with the interval of batch means.
    pub mean: Estimate,
    /// The quantiles, with intervals between order statistics.
    pub quantiles: Vec<(&'static str, Estimate)>,
    /// The largest.
    pub max_s: f64,
}

/// A number, and how far off it may be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// The number \[s\].
    pub value_s: f64,
    /// The 95 % interval \[s\].
    pub interval_s: Option<(f64, f64)>,
    /// Why there is none.
    pub none_because: Option<String>,
}

// === impl Tally ===

impl Tally {
    /// Of a load of which nothing ended yet.
    pub fn new(warm_up_s: f64, slo_s: Option<f64>) -> Self {
        Tally {
            warm_up_s,
            slo_s,
            left_out: 0,
            due: 0,
            within_slo: 0,
            retries: 0,
            late: Late::default(),
            misses: BTreeMap::new(),
            latencies_s: Vec::new(),
            phases_s: [0.0; PHASES.len() + 1],
            end_s: warm_up_s,
        }
    }

    /// Takes in one that ended.
    pub fn add(&mut self, ended: &Ended) {
        let record = &ended.record;
        let [due_s, sent_s, done_s] =
            [record.scheduled_ns, record.sent_ns, record.done_ns].map(|ns| ns as f64 * 1e-9);
        if due_s < self.warm_up_s {
            self.left_out += 1;
            return;
        }
        self.due += 1;
        self.retries += ended.retries;
        let late_s = ended.late.as_secs_f64();
        self.late.count += u32::from(late_s > LATE_S);
        self.late.largest_s = self.late.largest_s.max(late_s);
        self.end_s = self.end_s.max(due_s);
        if record.status != Status::Answered {
            let miss = ended.miss.as_ref();
            let reason = miss.map_or(Reason::Broken, |miss| miss.reason);
            let entry = self.misses.entry(reason).or_default();
            if entry.count == 0 {
                entry.first = miss.map_or_else(String::new, |miss| miss.said.clone());
            }
            entry.count += 1;
            return;
        }
        let latency_s = done_s - due_s;
        self.end_s = self.end_s.max(done_s);
        self.within_slo += u32::from(self.slo_s.is_some_and(|slo_s| latency_s <= slo_s));
        self.latencies_s.push((record.request_id, latency_s));
        for (sum, phase) in
            self.phases_s.iter_mut().zip([sent_s - due_s].into_iter().chain(record.phases_s()))
        {
            *sum += phase;
        }
    }

    /// How many there were, those of the warm-up included.
    pub fn ended(&self) -> u32 {
        self.due + self.left_out
    }

    /// How many of them were answered after the warm-up.
    pub fn answered(&self) -> usize {
        self.latencies_s.len()
    }
}

// === impl Summary ===

impl Summary {
    /// Of a load that ended; the servers' CPU times are those before and after it.
    pub fn of(tally: &Tally, args: &Load, (before, after): ([Option<f64>; 3], [Option<f64>; 3])) -> Self {
        let answered = tally.answered();
        let span_s = tally.end_s - tally.warm_up_s;
        let per_s = |count: f64| if span_s > 0.0 { count / span_s } else { 0.0 };
        let dropped = tally.misses.get(&Reason::Dropped).map_or(0, |miss| miss.count);
        let mean = |sum: &f64| sum / answered as f64;
        let cpu_s = |i: usize| Some(after[i]? - before[i]?);
        let names = ["until sent"].into_iter().chain(PHASES);
        let share = |count: u32, of: u32| if of > 0 { f64::from(count) / f64::from(of) } else { 0.0 };
        Summary {
            load: words(&args.load),
            seed: args.seed,
            warm_up_s: tally.warm_up_s,
            left_out: tally.left_out,
            span_s,
            due: tally.due,
            sent: tally.due - dropped,
            answered: answered as u32,
            unanswered: tally
                .misses
                .iter()
                .map(|(reason, miss)| (reason.to_string(), miss.clone()))
                .collect(),
            retries: tally.retries,
            late: tally.late,
            throughput_per_s: per_s(answered as f64),
            slo: tally.slo_s.map(|within_s| Slo {
                within_s,
                goodput_per_s: per_s(f64::from(tally.within_slo)),
                attainment: share(tally.within_slo, tally.due),
            }),
            latency: Latency::of(&tally.latencies_s, !matches!(args.load, Shape::Burst(..))),
            phases_s: match answered {
                0 => Vec::new(),
                _ => names.zip(tally.phases_s.iter().map(mean)).collect(),
            },
            cpu_s: ["a", "proxy", "b"].into_iter().zip((0..3).map(cpu_s)).collect(),
        }
    }
}

/// A load as it is typed.
fn words(shape: &Shape) -> String {
    use crate::cli::Trace;
    match shape {
        Shape::Burst(size, None) => format!("burst:{size}"),
        Shape::Burst(size, Some(every_s)) => format!("burst:{size},{every_s}"),
        Shape::Closed(clients) => format!("closed:{clients}"),
        Shape::Poisson(rate) => format!("poisson:{rate}"),
        Shape::Gamma(rate, cv) => format!("gamma:{rate},{cv}"),
        Shape::Recorded(Trace::Times, path) => format!("trace:{}", path.display()),
        Shape::Recorded(Trace::Rates, path) => format!("rates:{}", path.display()),
        Shape::Recorded(Trace::Counts, path) => format!("counts:{}", path.display()),
    }
}

// === impl Latency ===

impl Latency {
    /// Of the answered, each with its number; absent where there are none. A run that settles has intervals; the
    /// latencies of a burst, each of which waits for those before it, are no sample of anything.
    fn of(numbered: &[(u32, f64)], settles: bool) -> Option<Self> {
        let mut in_order = numbered.to_vec();
        in_order.sort_by_key(|(number, _)| *number);
        let series: Vec<f64> = in_order.iter().map(|(_, latency_s)| *latency_s).collect();
        let mut sorted = series.clone();
        sorted.sort_by(f64::total_cmp);
        let max_s = *sorted.last()?;
        let mean_s = series.iter().sum::<f64>() / series.len() as f64;
        let burst = || Err("a burst is no sample".to_string());
        let mean = match settles {
            false => burst(),
            true if series.len() < BATCHES * BATCH => Err(format!("takes {} answers", BATCHES * BATCH)),
            true => batch_means(&series, BATCHES, CONFIDENCE)
                .map(|interval| (mean_s - interval.half_width, mean_s + interval.half_width))
                .map_err(|e| e.to_string()),
        };
        let quantile = |p: f64| {
            let middle = ((p * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
            let interval = match settles {
                false => burst(),
                true => QuantileInterval::of(&sorted, p, CONFIDENCE)
                    .map(|interval| (interval.low, interval.high))
                    .map_err(|_| format!("takes {} answers", fewest(p))),
            };
            Estimate::new(sorted[middle - 1], interval)
        };
        let quantiles = QUANTILES.map(|(name, p)| (name, quantile(p))).into();
        Some(Latency { mean: Estimate::new(mean_s, mean), quantiles, max_s })
    }
}

/// The fewest values that have an interval of this quantile: so many miss it all on one side seldom enough.
fn fewest(p: f64) -> u64 {
    ((0.5 * (1.0 - CONFIDENCE)).ln() / p.max(1.0 - p).ln()).ceil() as u64
}

// === impl Estimate ===

impl Estimate {
    fn new(value_s: f64, interval: Result<(f64, f64), String>) -> Self {
        let (interval_s, none_because) = match interval {
            Ok(interval) => (Some(interval), None),
            Err(why) => (None, Some(why)),
        };
        Estimate { value_s, interval_s, none_because }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1, 2, ..., n, of which each value is its own rank, in an order that is not theirs.
    fn ranks(n: u32) -> Vec<(u32, f64)> {
        (0..n).map(|i| (i, f64::from((i * 7919) % n + 1))).collect()
    }

    #[test]
    fn intervals_of_quantiles_are_those_of_binomial_ranks() {
        // scipy 1.17.1: (binom.ppf(0.025, n, p), binom.ppf(0.975, n, p) + 1), none of them at a step.
        let known = [
            (1000, "p50", (469.0, 532.0)),
            (1000, "p90", (881.0, 919.0)),
            (1000, "p95", (936.0, 964.0)),
            (1000, "p99", (983.0, 997.0)),
            (4000, "p99.9", (3992.0, 4000.0)),
            (400, "p99", (392.0, 400.0)),
            (100, "p95", (90.0, 100.0)),
        ];
        for (n, name, interval) in known {
            let latency = Latency::of(&ranks(n), true).unwrap();
            let (_, estimate) = latency.quantiles.iter().find(|(quantile, _)| *quantile == name).unwrap();
            assert_eq!(estimate.interval_s, Some(interval), "{name} of {n}");
            let p = QUANTILES.iter().find(|(quantile, _)| *quantile == name).unwrap().1;
            assert_eq!(estimate.value_s, (f64::from(n) * p).ceil());
        }
    }

    #[test]
    fn where_there_are_too_few_values_it_says_how_many_it_takes() {
        let latency = Latency::of(&ranks(100), true).unwrap();
        let why: Vec<Option<&str>> =
            latency.quantiles.iter().map(|(_, estimate)| estimate.none_because.as_deref()).collect();
        // 0.99^368 and 0.999^3688 are the first powers below 0.025.
        assert_eq!(why, [None, None, None, Some("takes 368 answers"), Some("takes 3688 answers")]);
        assert_eq!(latency.mean.none_because.as_deref(), Some("takes 200 answers"));
        assert_eq!((latency.max_s, latency.mean.value_s), (100.0, 50.5));
        let enough = |p: f64, n: u32| QuantileInterval::of(&vec![1.0; n as usize], p, CONFIDENCE).is_ok();
        assert!(enough(0.99, 368) && !enough(0.99, 367) && enough(0.999, 3688) && !enough(0.999, 3687));
        let burst = Latency::of(&ranks(4000), false).unwrap();
        assert!(burst.quantiles.iter().all(|(_, estimate)| estimate.interval_s.is_none()));
        assert_eq!(Latency::of(&[], true), None);
    }

    #[test]
    fn the_interval_of_a_mean_is_that_of_its_batches_in_the_order_of_time() {
        // Twenty batches of ten, whose means are 0 and 2 in turn: the half-width is t(0.975, 19) s / sqrt(20) with
        // s^2 = 20 / 19, where t = 2.093024 (scipy 1.17.1, t.ppf). In another order it would be another.
        let mut series: Vec<(u32, f64)> = (0..200).map(|i| (i, f64::from(i / 10 % 2) * 2.0)).collect();
        series.reverse();
        let mean = Latency::of(&series, true).unwrap().mean;
        let half = 2.093_024 * (20.0 / 19.0 / 20.0_f64).sqrt();
        let (low, high) = mean.interval_s.unwrap();
        assert!((low - (1.0 - half)).abs() < 1e-6 && (high - (1.0 + half)).abs() < 1e-6, "{low} {high}");
    }
}
