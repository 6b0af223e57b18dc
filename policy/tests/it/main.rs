//! Tests of splitscale-policy.

mod bottleneck;
mod controller;
mod explain;
mod garbage;
mod greedy;
mod hpa;
mod hpa_cluster;
mod keda;
mod kpa;
mod mlp;
mod numaflow;
mod residuals;
mod shadow;
mod shell;
mod ticks;
mod useful;

use splitscale_policy::{Bin, Policy, PolicyKind, Region};
use splitscale_spec::{
    Balancer, Bandwidth, CostConfig, CutConfig, LinkConfig, Observation, Pipeline, PipelineConfig,
    QueueLevel, Replicas, Signal, SloConfig, StageConfig, StagePods,
};

/// A pipeline with these bounds for both stages.
fn pipeline(pods_min: u32, pods_max: u32) -> Pipeline {
    let stage = StageConfig { pods_min, pods_max, cpu_share: 0.1, cores: 1 };
    PipelineConfig {
        schema: PipelineConfig::SCHEMA,
        a: stage.clone(),
        b: stage,
        cut: CutConfig { name: "layer3".to_owned(), payload_bytes: 802_816 },
        link: LinkConfig { slots: 8, bandwidth: Bandwidth::PerSlot(50.0), rtt_s: 0.0 },
        balancer: Balancer::CentralQueue,
        slo: SloConfig { latency_s: 2.0, target: 0.99 },
        cost: CostConfig { miss_weight: 10.0, churn_weight: 1.0 },
    }
    .validate()
    .unwrap()
}

/// Slots 1: 2 pods; 2..5: 4 pods; 6..8: 6 pods of A and 5 of B.
fn table() -> Policy {
    let bin = |name: &str, slots_min, slots_max, a, b| Bin {
        name: name.to_owned(),
        slots_min,
        slots_max,
        pods: Replicas { a, b },
    };
    Policy {
        schema: Policy::SCHEMA,
        name: "by hand".to_owned(),
        kind: PolicyKind::SlotsTable(vec![
            bin("slots 1", 1, 1, 2, 2),
            bin("slots 2..5", 2, 5, 4, 4),
            bin("slots 6..8", 6, 8, 6, 5),
        ]),
        region: Some(Region::of_slots(1, 8)),
        training: None,
    }
}

fn signal<T>(value: T) -> Option<Signal<T>> {
    Some(Signal { value, age_s: 0.2 })
}

fn stage(desired: u32) -> Option<StagePods> {
    Some(StagePods {
        age_s: 0.0,
        desired,
        ready: desired,
        starting: 0,
        draining: 0,
        pods_max: None,
        last_change: None,
        last_change_age_s: None,
        pods: Vec::new(),
    })
}

/// One slot, held all the time, six pods a stage with little to do.
fn one_slot() -> Observation {
    let queue = |mean, last| signal(QueueLevel { mean, last });
    Observation {
        arrivals_per_s: signal(2.8),
        queue_a: queue(0.0, 0.0),
        queue_proxy: queue(9.5, 10.0),
        queue_b: queue(0.0, 0.0),
        busy_a: signal(0.31),
        busy_slots: signal(1.0),
        busy_b: signal(0.11),
        slots: signal(1),
        a: stage(6),
        b: stage(6),
        ..Observation::empty(40.0, 2.0)
    }
}
