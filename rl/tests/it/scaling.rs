//! The simulator behind the trait.

use splitscale_policy::{
    ActionKind, FEATURES, Freshness, Policy, PolicyKind, feature_names, features, start,
};
use splitscale_rl::scaling::{Controlled, RewardKind, Scaling, ScalingConfig};
use splitscale_rl::{Environment, RewardConfig, Space, check_env};
use splitscale_sim::{
    Arrivals, Bandwidth, LinkSetup, Payload, Setup, SlotsChange, SlotsStep, StageSetup, Transfer,
};
use splitscale_spec::{
    Balancer, CostConfig, CutConfig, LinkConfig, Observation, Pipeline, PipelineConfig, Replicas, ServiceLaw,
    SloConfig, StageConfig,
};

pub(crate) const BOTH: fn(u32) -> Replicas = |pods| Replicas { a: pods, b: pods };

/// A and B take 0.2 s a request, a transfer of 1 MB 0.08 s; 10 requests/s come.
pub(crate) fn setup(pods: u32, slots: u32) -> Setup {
    let stage = || StageSetup {
        start_up: ServiceLaw::Deterministic { value_s: 3.0 },
        ..StageSetup::new(pods, ServiceLaw::Exponential { mean_s: 0.2 })
    };
    Setup {
        a: stage(),
        link: LinkSetup {
            slots,
            slots_change: None,
            transfer: Transfer::Bytes { bandwidth: Bandwidth::PerSlotMbitS(100.0), rtt_s: 0.0 },
            payload: Some(Payload::Bytes(1_000_000)),
            queue_limit: None,
            release_after_transfer: false,
            hold_a: false,
        },
        b: stage(),
        overhead: ServiceLaw::default(),
        arrivals: Arrivals::Poisson { rate_per_s: 10.0, requests: splitscale_sim::MAX_REQUESTS },
        deadline_s: None,
        slo_s: None,
        one_node: false,
        horizon_s: Some(1.0),
        warm_up_s: 0.0,
        scrape: None,
        records: false,
    }
}

pub(crate) fn config() -> ScalingConfig {
    ScalingConfig {
        pods_min: BOTH(1),
        pods_max: BOTH(8),
        decide_every_s: 5.0,
        decisions: 40,
        scrape_every_s: 1.0,
        window_s: 5.0,
        slo_s: 1.5,
        cost: CostConfig { miss_weight: 2.0, churn_weight: 1.0 },
        actions: ActionKind::Absolute,
        reward: RewardKind::Cost,
    }
}

/// 1 to 8 pods, as the problem has them.
pub(crate) fn pipeline() -> Pipeline {
    let stage = StageConfig { pods_min: 1, pods_max: 8, cpu_share: 1.0, cores: 8 };
    PipelineConfig {
        schema: PipelineConfig::SCHEMA,
        a: stage.clone(),
        b: stage,
        cut: CutConfig { name: "layer2".into(), payload_bytes: 1_000_000 },
        link: LinkConfig { slots: 8, bandwidth: splitscale_spec::Bandwidth::PerSlot(100.0), rtt_s: 0.0 },
        balancer: Balancer::CentralQueue,
        slo: SloConfig { latency_s: 1.5, target: 0.99 },
        cost: CostConfig { miss_weight: 2.0, churn_weight: 1.0 },
    }
    .validate()
    .unwrap()
}

fn scaling(config: ScalingConfig) -> Scaling {
    let mut moving = setup(4, 8);
    let steps = vec![SlotsStep { at_s: 60.0, slots: 2 }, SlotsStep { at_s: 120.0, slots: 8 }];
    moving.link.slots_change = Some(SlotsChange::Schedule { steps, period_s: None });
    Scaling::new(config, vec![("steady".into(), setup(4, 8)), ("moving".into(), moving)]).unwrap()
}

#[test]
fn it_keeps_the_contract() {
    check_env(&scaling(config())).unwrap();
    check_env(&scaling(ScalingConfig { actions: ActionKind::Step, ..config() })).unwrap();
    let original = RewardKind::Original(RewardConfig::default());
    check_env(&scaling(ScalingConfig { reward: original, scrape_every_s: 2.5, ..config() })).unwrap();
}

#[test]
fn rewards_add_up_to_minus_the_cost_that_the_simulator_counts() {
    let mut world = scaling(config());
    for scenario in 0..2 {
        world.begin_in(scenario, 5);
        let begin = world.simulation().totals();
        let mut total = 0.0;
        let mut pods = [2, 6, 3, 1, 8].into_iter().cycle();
        loop {
            let step = world.decide(BOTH(pods.next().unwrap()));
            total += step.reward;
            if step.truncated {
                break;
            }
        }
        let bill = world.bill(&begin);
        assert!((total + bill.cost).abs() < 1e-6 * bill.cost, "{total} {bill:?}");
        assert!(bill.misses > 0 && bill.changes > 100, "{bill:?}");
        let outcome = world.outcome().unwrap();
        let pod_seconds = outcome.pods_a.pod_seconds + outcome.pods_b.pod_seconds;
        // The first interval, at 4 + 4 pods, is everybody's.
        assert!((pod_seconds - bill.pod_seconds - 40.0).abs() < 1e-6, "{pod_seconds} {bill:?}");
        assert_eq!(bill.changes, outcome.pods_a.changes + outcome.pods_b.changes);
    }
}

#[test]
fn policies_under_one_seed_face_the_same_requests() {
    let mut world = scaling(config());
    let mut sent = |pods: u32, seed| {
        world.begin_in(0, seed);
        world.episode(|_| BOTH(pods))
    };
    let (few, many) = (sent(2, 7), sent(8, 7));
    assert_eq!(few.sent, many.sent);
    assert_ne!(many.sent, sent(8, 8).sent);
    // 2 pods carry 10 requests/s by a hair and not within 1.5 s; 8 do, at a price.
    assert!(few.misses > 10 * many.misses.max(1), "{few:?} {many:?}");
    assert!(many.pod_seconds > few.pod_seconds);
}

#[test]
fn a_pod_that_is_asked_for_is_paid_and_starts_before_it_works() {
    let mut world = scaling(config());
    world.begin_in(0, 1);
    world.decide(BOTH(6));
    let seen = world.observation().a.clone().unwrap();
    assert_eq!((seen.desired, seen.ready, seen.starting), (6, 6, 0), "they were ready after 3 s of 5");
    world.begin_in(0, 1);
    let mut quick = scaling(ScalingConfig { decide_every_s: 2.0, ..config() });
    quick.begin_in(0, 1);
    let paid = quick.simulation().totals().pod_seconds;
    quick.decide(BOTH(6));
    let seen = quick.observation().a.clone().unwrap();
    assert_eq!((seen.desired, seen.ready, seen.starting), (6, 4, 2));
    assert!((quick.simulation().totals().pod_seconds - paid - 24.0).abs() < 1e-6, "12 pods for 2 s");
}

#[test]
fn actions_are_joint_and_those_that_leave_the_bounds_are_masked() {
    let world = scaling(config());
    assert_eq!((world.action_space(), world.actions()), (Space::MultiDiscrete(vec![8, 8]), 64));
    assert_eq!(world.pods(world.action_space().join(&[2, 6]).unwrap()), Replicas { a: 3, b: 7 });
    assert!(!world.masked());
    let step = ScalingConfig { actions: ActionKind::Step, pods_min: BOTH(4), ..config() };
    let mut world = Scaling::new(step, vec![("steady".into(), setup(4, 8))]).unwrap();
    world.reset(Some(1));
    assert_eq!(world.action_space(), Space::MultiDiscrete(vec![3, 3]));
    let allowed: Vec<usize> = (0..9).filter(|&action| world.allows(action)).collect();
    assert_eq!(allowed, [4, 5, 7, 8], "none may go");
    world.step(8);
    assert_eq!(world.desired(), BOTH(5));
    assert!((0..9).all(|action| world.allows(action)));
    world.step(1);
    assert_eq!(world.desired(), Replicas { a: 4, b: 5 });
}

#[test]
fn what_is_missing_is_a_feature_of_its_own() {
    let names = feature_names();
    let at = |name: &str| names.iter().position(|n| n == name).unwrap();
    let nothing = features(&Observation::empty(1.0, 1.0));
    assert_eq!((nothing[at("queue_a")], nothing[at("no_queue_a")]), (0.0, 1.0));
    assert!(nothing[..FEATURES / 2].iter().all(|&value| value == 0.0));
    let mut world = scaling(config());
    let seen = world.reset(Some(3));
    assert_eq!((seen[at("no_queue_a")], seen[at("no_link_mbit_s")]), (0.0, 0.0));
    assert_eq!((seen[at("desired_a")], seen[at("slots")]), (4.0, 8.0));
    assert_eq!(seen[at("no_change_age_a_s")], 1.0, "nothing was changed yet");
    // The bandwidth is what was estimated from what was sent.
    assert!((seen[at("link_mbit_s")] - 100.0).abs() < 1e-6, "{}", seen[at("link_mbit_s")]);
    let quiet = Setup {
        arrivals: Arrivals::Poisson { rate_per_s: 1e-9, requests: splitscale_sim::MAX_REQUESTS },
        ..setup(4, 8)
    };
    let seen = Scaling::new(config(), vec![("quiet".into(), quiet)]).unwrap().reset(Some(1));
    assert_eq!((seen[at("link_mbit_s")], seen[at("no_link_mbit_s")]), (0.0, 1.0), "an idle link is unknown");
    assert_eq!((seen[at("latency_p50_s")], seen[at("no_latency_p50_s")]), (0.0, 1.0));
}

#[test]
fn a_controller_plays_it_and_is_cloned_with_it() {
    let policy = Policy {
        schema: Policy::SCHEMA,
        name: "static".into(),
        kind: PolicyKind::Static(BOTH(5)),
        region: None,
        training: None,
    };
    let controller = start(&policy, &pipeline(), Freshness::default()).unwrap();
    let mut played = Controlled { scaling: scaling(config()), controller };
    played.scaling.begin_in(1, 9);
    for _ in 0..10 {
        played.step();
    }
    assert_eq!(played.scaling.desired(), BOTH(5));
    let mut copy = played.clone();
    for _ in 0..20 {
        assert_eq!(played.step(), copy.step());
    }
    assert_eq!(played.scaling.simulation().fingerprint(), copy.scaling.simulation().fingerprint());
    // It is what a constant is.
    let mut by_hand = scaling(config());
    by_hand.begin_in(1, 9);
    for _ in 0..30 {
        by_hand.decide(BOTH(5));
    }
    assert_eq!(by_hand.simulation().fingerprint(), played.scaling.simulation().fingerprint());
}

#[test]
fn a_step_allocates_nothing_once_it_is_under_way() {
    // Queues and histograms grow to their largest first.
    let mut world = scaling(ScalingConfig { decisions: 400, ..config() });
    world.reset(Some(1));
    for pods in [2, 8, 7, 6, 8].into_iter().cycle().take(300) {
        world.decide(BOTH(pods));
    }
    let counted = allocation_counter::measure(|| {
        for pods in [8, 7, 8, 6, 8].into_iter().cycle().take(50) {
            world.decide(BOTH(pods));
        }
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn what_cannot_be_posed_is_told_by_its_field() {
    let problem = |config: ScalingConfig| {
        Scaling::new(config, vec![("s".into(), setup(4, 8))]).unwrap_err().to_string()
    };
    for (config, words) in [
        (ScalingConfig { pods_min: BOTH(0), ..config() }, "pods_min.a, pods_max.a: 0 to 8"),
        (ScalingConfig { pods_max: BOTH(3), ..config() }, "s begins with"),
        (ScalingConfig { decide_every_s: 0.0, ..config() }, "decide_every_s: 0 is not"),
        (ScalingConfig { decisions: 0, ..config() }, "decisions: zero"),
        (ScalingConfig { slo_s: f64::NAN, ..config() }, "slo_s: NaN"),
    ] {
        let said = problem(config);
        assert!(said.contains(words), "{said}");
    }
    assert!(Scaling::new(config(), Vec::new()).unwrap_err().to_string().contains("scenarios: empty"));
}
