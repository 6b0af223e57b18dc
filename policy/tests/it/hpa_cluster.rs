//! The HPA against the one that it stands for: what the controller of Kubernetes 1.35.4 was told at each of its syncs on a cluster,
//! and the replicas it made of it (docs/traffic/hpa.md tells of that run, and how the table was made).

use std::collections::BTreeMap;

use splitscale_policy::hpa::{HpaMetric, HpaStage};
use splitscale_policy::{HpaConfig, HpaMemory};
use splitscale_spec::{Observation, QueueLevel, Signal, Stage, StagePods};

/// `stage,time_s,value,before,after`: a row a sync; the external metric, its target 0.8 a pod.
const SYNCS: &str = include_str!("hpa_cluster.csv");

struct Sync {
    time_s: f64,
    value: f64,
    before: u32,
    after: u32,
}

fn syncs() -> BTreeMap<&'static str, Vec<Sync>> {
    let mut all = BTreeMap::<_, Vec<Sync>>::new();
    for line in SYNCS.lines().skip(1) {
        let [stage, time_s, value, before, after] = line.split(',').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let number = |text: &str| text.parse::<f64>().unwrap();
        let sync = Sync {
            time_s: number(time_s),
            value: number(value),
            before: number(before) as u32,
            after: number(after) as u32,
        };
        all.entry(stage).or_default().push(sync);
    }
    all
}

fn pods(count: u32) -> StagePods {
    StagePods {
        age_s: 0.0,
        desired: count,
        pods_max: None,
        ready: count,
        starting: 0,
        draining: 0,
        last_change: None,
        last_change_age_s: None,
        pods: Vec::new(),
    }
}

/// Pods of a stage as its HPA would have them, sync after sync; the other stage stays at what it has.
fn replay(of: Stage, syncs: &[Sync]) -> Vec<u32> {
    let stage = HpaStage {
        pods_min: Some(1),
        pods_max: Some(12),
        metrics: vec![HpaMetric::QueuePerPod(0.8)],
        behavior: None,
    };
    // Syncs come as they came: each is due.
    let config = HpaConfig { sync_period_s: 1.0, ..HpaConfig::of_both(stage) };
    config.validate().unwrap();
    let mut memory = HpaMemory::default();
    let level = |value: f64| Signal { value: QueueLevel { mean: value, last: value }, age_s: 0.0 };
    let run = syncs.iter().map(|sync| {
        let (own, other) = (pods(sync.before), pods(1));
        let (a, b) = if of == Stage::A { (own, other) } else { (other, own) };
        let (queue_a, queue_b) = if of == Stage::A { (sync.value, 0.8) } else { (0.8, sync.value) };
        let observation = Observation {
            a: Some(a),
            b: Some(b),
            queue_a: Some(level(queue_a)),
            queue_b: Some(level(queue_b)),
            ..Observation::empty(sync.time_s, 1.0)
        };
        let (to, _) = config.decide(&mut memory, sync.time_s, &observation).unwrap();
        if of == Stage::A { to.a } else { to.b }
    });
    run.collect()
}

#[test]
fn every_sync_of_the_controller_comes_to_the_same_replicas() {
    let all = syncs();
    for (name, of) in [("a", Stage::A), ("b", Stage::B)] {
        let syncs = &all[name];
        assert!(syncs.len() >= 70, "{} syncs of {name}", syncs.len());
        let turns = syncs.windows(2).filter(|two| two[0].after != two[1].after).count();
        assert!(turns > 1, "the HPA of {name} never moved");
        let ours = replay(of, syncs);
        let theirs: Vec<u32> = syncs.iter().map(|sync| sync.after).collect();
        assert_eq!(ours, theirs, "{name}");
    }
}
