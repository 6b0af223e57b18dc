//! The exported document: its bins, and that it decides as the agent does.

use splitscale_policy::{Freshness, PolicyKind, Region, start};
use splitscale_rl::{
    FittedCurves, Length, Noise, Optimum, Origin, RewardConfig, Settings, TimeTable, to_policy,
};
use splitscale_spec::{
    Balancer, Bandwidth, CostConfig, CutConfig, LinkConfig, Observation, PipelineConfig, Replicas, Signal,
    SloConfig, StageConfig, StagePods,
};

use crate::{calibration, demo, greedy, learn};

fn origin(settings: &str) -> Origin<'_> {
    Origin { algorithm: "q-learning".into(), seed: 21, settings }
}

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
        let curves = FittedCurves::new(times, RewardConfig::default(), Noise::None).unwrap();
        let policy = to_policy(&curves, &vec![0; slots.len()], &origin("{}"));
        policy.validate().unwrap();
        let PolicyKind::SlotsTable(table) = policy.kind else { panic!("a table") };
        let found: Vec<_> =
            table.iter().map(|bin| (bin.name.as_str(), bin.slots_min, bin.slots_max)).collect();
        assert_eq!(found, bins);
        let region = Region::of_slots(slots[0], slots[slots.len() - 1]);
        assert_eq!(policy.region, Some(region));
    }
}

#[test]
fn it_decides_the_agents_greedy_action_at_every_level() {
    let curves = demo();
    let actions = greedy(&learn(&curves, &Settings::default(), Length::default(), 6));
    let policy = to_policy(&curves, &actions, &origin("{}"));
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
        pods_max: None,
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
        let greedy = curves.times().pods()[actions[level]];
        let decision = controller.decide(1.0, &observation);
        assert_eq!(decision.pods, Some(Replicas { a: greedy, b: greedy }), "{:?}", decision.why);
    }
}

#[test]
fn the_training_is_named_with_everything_it_read() {
    let curves = demo();
    let length = Length { episodes: 40, ..Length::default() };
    let actions = greedy(&learn(&curves, &Settings::default(), length, 21));
    let training = to_policy(&curves, &actions, &origin("{\"episodes\":40}")).training.unwrap();
    assert_eq!((training.algorithm.as_str(), training.seed), ("q-learning", 21));
    let regret = training.regret.unwrap();
    assert_eq!(regret, Optimum::of(&curves).regret(&actions));
    assert!(regret > 0.0, "40 episodes cannot have tried the 16 cells often enough");

    let hash = |curves: &FittedCurves, settings: &str| {
        to_policy(curves, &actions, &origin(settings)).training.unwrap().hash
    };
    assert_eq!(hash(&curves, "{\"episodes\":40}"), training.hash);
    assert_ne!(hash(&curves, "{\"episodes\":50}"), training.hash);
    let reward = RewardConfig { alpha: 0.7, ..RewardConfig::default() };
    let other = FittedCurves::new(curves.times().clone(), reward, Noise::None).unwrap();
    assert_ne!(hash(&other, "{\"episodes\":40}"), training.hash);
}
