//! What a policy came to: its requests, its pods, its cost.
//!
//! Nothing is left out: a request that was due and not answered in time is a miss, whatever became of it, and pods count
//! from when they start until they are drained.

use std::ops::Range;

use serde::Serialize;
use splitscale_policy::Decision;
use splitscale_spec::{CostConfig, PipelineConfig, RequestRecord, StagePods, Status};

use super::plan::Phase;

/// A look of the scaler at its pipeline, and what it changed then. A row of `contest-timeline.csv`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Look {
    /// Whose pipeline.
    pub policy: String,
    /// Since the start \[s\].
    pub time_s: f64,
    /// Transfer slots.
    pub slots: Option<u32>,
    /// Pods of A that were asked for.
    pub desired_a: Option<u32>,
    /// Pods of B.
    pub desired_b: Option<u32>,
    /// Pods of A that there were: starting, ready, draining.
    pub pods_a: Option<u32>,
    /// Pods of B.
    pub pods_b: Option<u32>,
    /// Pods of both stages by which what is asked for was changed then.
    pub changes: u32,
    /// Answered over the window \[1/s\].
    pub throughput_per_s: Option<f64>,
    /// Median latency of what was answered in the window \[s\].
    pub latency_p50_s: Option<f64>,
    /// Its 95th percentile \[s\].
    pub latency_p95_s: Option<f64>,
    /// The promise \[s\].
    pub slo_s: f64,
}

/// What one policy came to in one phase, or in all. A row of `contest.csv`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// Its name.
    pub policy: String,
    /// Number of the phase from 1; absent for all of them.
    pub phase: Option<usize>,
    /// Transfer slots of the phase.
    pub slots: Option<u32>,
    /// Its length \[s\].
    pub seconds: f64,
    /// Requests due in it.
    pub due: u32,
    /// Those that were sent.
    pub sent: u32,
    /// With a result.
    pub answered: u32,
    /// Turned away.
    pub refused: u32,
    /// With an error.
    pub failed: u32,
    /// Without any answer.
    pub lost: u32,
    /// Answered within the promise.
    pub in_time: u32,
    /// Their share of those due; absent where none was.
    pub attainment: Option<f64>,
    /// From due to answered, of the answered \[s\].
    pub p50_s: Option<f64>,
    /// The same \[s\].
    pub p95_s: Option<f64>,
    /// The same \[s\].
    pub p99_s: Option<f64>,
    /// Pods of A that there were, over time \[s\].
    pub pod_seconds_a: f64,
    /// Pods of B \[s\].
    pub pod_seconds_b: f64,
    /// Pods of both stages, mean over time.
    pub mean_pods: f64,
    /// Pods that were asked for more or less.
    pub changes: u32,
    /// J = pod-seconds + `miss_weight` * misses + `churn_weight` * changes.
    pub cost: f64,
}

/// Everything of a policy that counts.
#[derive(Debug)]
pub struct Played {
    /// Its name.
    pub policy: String,
    /// Requests that have ended.
    pub records: Vec<RequestRecord>,
    /// Looks, in the order of time.
    pub looks: Vec<Look>,
}

// === impl Look ===

impl Look {
    /// What a decision saw.
    pub fn of(policy: &str, decision: &Decision, slo_s: f64) -> Self {
        let seen = &decision.observed;
        let there = |stage: &StagePods| stage.ready + stage.starting + stage.draining;
        Look {
            policy: policy.into(),
            time_s: seen.time_s,
            slots: seen.slots.map(|slots| slots.value),
            desired_a: seen.a.as_ref().map(|a| a.desired),
            desired_b: seen.b.as_ref().map(|b| b.desired),
            pods_a: seen.a.as_ref().map(there),
            pods_b: seen.b.as_ref().map(there),
            changes: 0,
            throughput_per_s: seen.answers_per_s.map(|s| s.value),
            latency_p50_s: seen.latency_p50_s.map(|s| s.value),
            latency_p95_s: seen.latency_p95_s.map(|s| s.value),
            slo_s,
        }
    }

    /// The same, after what was seen before: changes are those of the pods that the stages say they are to have, whoever made
    /// them and however late.
    pub fn after(self, before: &[Look]) -> Self {
        let moved = |of: fn(&Look) -> Option<u32>| {
            let was = before.iter().rev().find_map(of);
            was.zip(of(&self)).map_or(0, |(was, now)| was.abs_diff(now))
        };
        Look { changes: moved(|look| look.desired_a) + moved(|look| look.desired_b), ..self }
    }
}

// === impl Played ===

impl Played {
    /// The whole, then each phase. A request belongs to the phase in which it was due.
    pub fn scores(&self, phases: &[Phase], pipeline: &PipelineConfig) -> Vec<Score> {
        let mut spans = Vec::new();
        let mut begin_s = 0.0;
        for (at, phase) in phases.iter().enumerate() {
            let end_s = begin_s + phase.seconds;
            spans.push((Some((at + 1, phase.slots)), begin_s..end_s));
            begin_s = end_s;
        }
        spans.insert(0, (None, 0.0..begin_s));
        spans.into_iter().map(|(phase, span)| self.score(phase, &span, pipeline)).collect()
    }

    fn score(&self, phase: Option<(usize, u32)>, span: &Range<f64>, pipeline: &PipelineConfig) -> Score {
        let due_s = |record: &RequestRecord| record.scheduled_ns as f64 * 1e-9;
        let records: Vec<_> = self.records.iter().filter(|record| span.contains(&due_s(record))).collect();
        let count = |status| records.iter().filter(|record| record.status == status).count() as u32;
        let (due, dropped) = (records.len() as u32, count(Status::Dropped));
        let answered = records.iter().filter(|record| record.status == Status::Answered);
        let mut latencies_s: Vec<f64> =
            answered.map(|record| record.done_ns.saturating_sub(record.scheduled_ns) as f64 * 1e-9).collect();
        latencies_s.sort_by(f64::total_cmp);
        let in_time = latencies_s.partition_point(|&latency_s| latency_s <= pipeline.slo.latency_s) as u32;
        let pod_seconds = |pods: fn(&Look) -> Option<u32>| {
            integral(self.looks.iter().filter_map(|look| Some((look.time_s, pods(look)?))), span)
        };
        let (pod_seconds_a, pod_seconds_b) =
            (pod_seconds(|look| look.pods_a), pod_seconds(|look| look.pods_b));
        let seen = self.looks.iter().filter(|look| span.contains(&look.time_s));
        let changes: u32 = seen.map(|look| look.changes).sum();
        let CostConfig { miss_weight, churn_weight } = pipeline.cost;
        let (seconds, pods_s) = (span.end - span.start, pod_seconds_a + pod_seconds_b);
        Score {
            policy: self.policy.clone(),
            phase: phase.map(|(number, _)| number),
            slots: phase.map(|(_, slots)| slots),
            seconds,
            due,
            sent: due - dropped,
            answered: count(Status::Answered),
            refused: count(Status::Refused),
            failed: count(Status::Failed),
            lost: count(Status::Lost),
            in_time,
            attainment: (due > 0).then(|| f64::from(in_time) / f64::from(due)),
            p50_s: percentile(&latencies_s, 0.5),
            p95_s: percentile(&latencies_s, 0.95),
            p99_s: percentile(&latencies_s, 0.99),
            pod_seconds_a,
            pod_seconds_b,
            mean_pods: pods_s / seconds,
            changes,
            cost: pods_s + miss_weight * f64::from(due - in_time) + churn_weight * f64::from(changes),
        }
    }
}

/// Integral over `span` of what holds from each time until the next; the first held before, the last holds on.
fn integral(steps: impl Iterator<Item = (f64, u32)>, span: &Range<f64>) -> f64 {
    let (mut sum, mut held, mut since_s) = (0.0, None, span.start);
    for (at_s, value) in steps {
        let until_s = at_s.clamp(since_s, span.end);
        sum += f64::from(held.unwrap_or(value)) * (until_s - since_s);
        (held, since_s) = (Some(value), until_s);
    }
    sum + f64::from(held.unwrap_or(0)) * (span.end - since_s)
}

/// The value that a share `p` of the sorted values does not exceed; absent where there is none.
pub fn percentile(sorted: &[f64], p: f64) -> Option<f64> {
    let rank = (p * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use splitscale_spec::{Balancer, Bandwidth, CutConfig, Encoding, LinkConfig, SloConfig, StageConfig};

    use super::*;

    fn pipeline() -> PipelineConfig {
        let stage = StageConfig { pods_min: 1, pods_max: 9, cpu_share: 1.0, cores: 1 };
        PipelineConfig {
            schema: PipelineConfig::SCHEMA,
            a: stage.clone(),
            b: stage,
            cut: CutConfig { name: "layer3".into(), payload_bytes: 1 },
            link: LinkConfig { slots: 1, bandwidth: Bandwidth::PerSlot(1.0), rtt_s: 0.0 },
            balancer: Balancer::CentralQueue,
            slo: SloConfig { latency_s: 2.0, target: 0.9 },
            cost: CostConfig { miss_weight: 10.0, churn_weight: 0.5 },
        }
    }

    fn record(due_s: f64, latency_s: f64, status: Status) -> RequestRecord {
        let ns = |s: f64| (s * 1e9).round() as u64;
        RequestRecord {
            run_id: 0,
            request_id: 0,
            scheduled_ns: ns(due_s),
            sent_ns: ns(due_s + latency_s / 2.0),
            done_ns: ns(due_s + latency_s),
            status,
            http_status: None,
            cut: String::new(),
            encoding: Encoding::F32,
            bytes: 1,
            slots: 1,
            bandwidth_mbit_s: None,
            pods_a: 1,
            pods_b: 1,
            pod_a: None,
            pod_b: None,
            queue_a_s: 0.0,
            decode_s: 0.0,
            forward_a_s: 0.0,
            encode_s: 0.0,
            rest_a_s: 0.0,
            queue_proxy_s: 0.0,
            transfer_s: 0.0,
            queue_b_s: 0.0,
            decode_b_s: 0.0,
            forward_b_s: 0.0,
            rest_b_s: 0.0,
            back_s: 0.0,
            emulated: true,
        }
    }

    fn look(time_s: f64, (pods_a, pods_b): (Option<u32>, Option<u32>), changes: u32) -> Look {
        Look {
            policy: "ours".into(),
            time_s,
            slots: Some(8),
            desired_a: pods_a,
            desired_b: pods_b,
            pods_a,
            pods_b,
            changes,
            throughput_per_s: None,
            latency_p50_s: None,
            latency_p95_s: None,
            slo_s: 2.0,
        }
    }

    #[test]
    fn every_request_that_was_due_counts_and_latency_is_from_then() {
        let records = vec![
            record(0.0, 1.0, Status::Answered),
            record(1.0, 2.0, Status::Answered),
            // Its half before it was sent counts too.
            record(2.0, 3.0, Status::Answered),
            record(3.0, 0.1, Status::Refused),
            record(5.0, 0.1, Status::Failed),
            record(6.0, 9.0, Status::Lost),
            record(7.0, 0.0, Status::Dropped),
            record(8.0, 0.5, Status::Answered),
        ];
        let looks = vec![look(0.0, (Some(2), Some(1)), 0), look(4.0, (Some(2), Some(1)), 3)];
        let phases = [Phase { slots: 8, seconds: 4.0 }, Phase { slots: 1, seconds: 6.0 }];
        let played = Played { policy: "ours".into(), records, looks };
        let [all, first, second] = played.scores(&phases, &pipeline()).try_into().unwrap();
        let counts = |s: &Score| [s.due, s.sent, s.answered, s.refused, s.failed, s.lost, s.in_time];
        assert_eq!(counts(&all), [8, 7, 4, 1, 1, 1, 3]);
        assert_eq!(counts(&first), [4, 4, 3, 1, 0, 0, 2]);
        assert_eq!(counts(&second), [4, 3, 1, 0, 1, 1, 1]);
        assert_eq!((all.phase, second.phase, second.slots), (None, Some(2), Some(1)));
        assert_eq!((all.attainment, first.attainment), (Some(0.375), Some(0.5)));
        assert_eq!((all.p50_s, all.p95_s, all.p99_s), (Some(1.0), Some(3.0), Some(3.0)));
        // Changes belong to the phase in which they were made, and the phases add up to the whole.
        assert_eq!((first.changes, second.changes), (0, 3));
        assert_eq!(all.cost, 30.0 + 10.0 * 5.0 + 0.5 * 3.0);
        assert_eq!(first.cost + second.cost, all.cost);
    }

    #[test]
    fn pods_hold_until_the_next_look_and_what_was_not_seen_is_not_zero() {
        let looks = vec![
            look(0.5, (Some(4), Some(2)), 0),
            look(2.0, (None, Some(3)), 0),
            look(3.0, (Some(6), None), 0),
            // After the end: it says nothing of before.
            look(11.0, (Some(9), Some(9)), 0),
        ];
        let played = Played { policy: "ours".into(), records: Vec::new(), looks };
        let phases = [Phase { slots: 8, seconds: 2.5 }, Phase { slots: 1, seconds: 7.5 }];
        let [all, first, second] = played.scores(&phases, &pipeline()).try_into().unwrap();
        assert_eq!((all.pod_seconds_a, all.pod_seconds_b), (4.0 * 3.0 + 6.0 * 7.0, 2.0 * 2.0 + 3.0 * 8.0));
        assert_eq!((first.pod_seconds_a, first.pod_seconds_b), (10.0, 2.0 * 2.0 + 3.0 * 0.5));
        assert_eq!((second.pod_seconds_a, second.pod_seconds_b), (4.0 * 0.5 + 6.0 * 7.0, 3.0 * 7.5));
        assert_eq!(second.mean_pods, (44.0 + 22.5) / 7.5);
        assert_eq!((all.attainment, all.p50_s, all.cost), (None, None, 82.0));
    }

    #[test]
    fn percentiles_are_values_that_there_were() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        let of = |p| percentile(&values, p);
        assert_eq!([of(0.5), of(0.95), of(0.99), of(1.0)], [50.0, 95.0, 99.0, 100.0].map(Some));
        assert_eq!((percentile(&[7.0], 0.5), percentile(&[], 0.5)), (Some(7.0), None));
    }
}
