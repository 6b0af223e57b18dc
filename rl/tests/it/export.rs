//! The exported document: its bins, and that it decides as the agent does.

use splitscale_policy::{Freshness, start};
use splitscale_rl::{FittedCurves, Optimum, QLearningConfig, RewardConfig, TimeTable, to_policy};
use splitscale_spec::{
    Balancer, Bandwidth, CostConfig, CutConfig, LinkConfig, Observation, PipelineConfig, PolicyKind, Region,
    Replicas, Signal, SloConfig, StageConfig, StagePods,
};

use crate::{calibration, demo, learn};

#[test]
fn bins_cover_every_slot_count_between_the_levels() {
    for (slots, bins) in [
        (
            vec![1, 2, 4, 8],
            vec![("slots 1", 1, 1), ("slots 2", 2, 2), ("slots 3..5", 3, 5), ("slots 6..8", 6, 8)],
        ),
        (vec![1, 4], vec![("slots 1..2", 1, 2), ("slots 3..4", 3, 4)]),
        (vec![5], vec![("slots 5", 5, 5)]),
        (
            vec![u32::MAX - 1, u32::MAX],
            vec![("slots 4294967294", u32::MAX - 1, u32::MAX - 1), ("slots 4294967295", u32::MAX, u32::MAX)],
        ),
    ] {
        let times_s = vec![vec![2.0, 1.0]; slots.len()];
        let times = TimeTable::from_calibration(&calibration(&slots, &[2, 4], &times_s)).unwrap();
        let curves = FittedCurves::new(times, RewardConfig::default()).unwrap();
        let policy = to_policy(&curves, &learn(&curves, &QLearningConfig::default(), 0));
        policy.validate().unwrap();
        let PolicyKind::SlotsTable(table) = policy.kind else { panic!("a table") };
        let found: Vec<_> =
            table.iter().map(|bin| (bin.name.as_str(), bin.slots_min, bin.slots_max)).collect();
        assert_eq!(found, bins);
        let region = Region { slots_min: slots[0], slots_max: slots[slots.len() - 1] };
        assert_eq!(policy.region, Some(region));
    }
}

#[test]
fn it_decides_the_agents_greedy_action_at_every_level() {
    let curves = demo();
    let trained = learn(&curves, &QLearningConfig::default(), 6);
    let policy = to_policy(&curves, &trained);
    let stage = StageConfig { pods_min: 1, pods_max: 8, cpu_share: 0.1, cores: 1 };
    let pipeline = PipelineConfig {
        schema: PipelineConfig::SCHEMA,
        a: stage.clone(),
        b: stage,
        cut: CutConfig { name: "layer3".to_owned(), payload_bytes: 802_816 },
        link: LinkConfig { slots: 8, bandwidth: Bandwidth::PerSlot(50.0), rtt_s: 0.0 },
        balancer: Balancer::CentralQueue,
        slo: SloConfig { latency_s: 2.0, target: 0.99 },
        cost: CostConfig { miss_weight: 10.0, churn_weight: 1.0 },
    };
    let mut controller = start(&policy, &pipeline.validate().unwrap(), Freshness::default()).unwrap();
    let pods = StagePods {
        age_s: 0.0,
        desired: 3,
        ready: 3,
        starting: 0,
        draining: 0,
        last_change: None,
        last_change_age_s: None,
        pods: Vec::new(),
    };
    for (level, &slots) in curves.times().slots().iter().enumerate() {
        let observation = Observation {
            slots: Some(Signal { value: slots, age_s: 0.0 }),
            a: Some(pods.clone()),
            b: Some(pods.clone()),
            ..Observation::empty(1.0, 1.0)
        };
        let greedy = curves.times().pods()[trained.greedy[level]];
        let decision = controller.decide(1.0, &observation);
        assert_eq!(decision.capped, Some(Replicas { a: greedy, b: greedy }), "{:?}", decision.why);
    }
}

#[test]
fn the_training_is_named_with_everything_it_read() {
    let curves = demo();
    let config = QLearningConfig { episodes: 40, ..QLearningConfig::default() };
    let trained = learn(&curves, &config, 21);
    let training = to_policy(&curves, &trained).training.unwrap();
    assert_eq!((training.algorithm.as_str(), training.seed), ("q-learning", 21));
    assert_eq!(training.regret, Optimum::of(&curves).regret(&trained.greedy));
    assert!(training.regret > 0.0, "40 episodes cannot have tried the 16 cells often enough");

    let hash = |curves: &FittedCurves, config: &QLearningConfig| {
        to_policy(curves, &learn(curves, config, 21)).training.unwrap().hash
    };
    assert_eq!(hash(&curves, &config), training.hash);
    assert_ne!(hash(&curves, &QLearningConfig { discount: 0.8, ..config.clone() }), training.hash);
    let reward = RewardConfig { alpha: 0.7, ..RewardConfig::default() };
    assert_ne!(hash(&FittedCurves::new(curves.times().clone(), reward).unwrap(), &config), training.hash);
}
