//! Whatever is observed: never outside the bounds, never a panic.

use proptest::num::f64::ANY;
use proptest::option;
use proptest::prelude::*;
use splitscale_policy::hpa::{HpaMetric, HpaStage};
use splitscale_policy::{Freshness, HpaConfig, Policy, PolicyKind, start};
use splitscale_spec::{LinkEstimate, Observation, QueueLevel, Replicas, Signal, StagePods};

use crate::greedy::{network, tiled};
use crate::{pipeline, table};

/// Ages: anything a float can be, and often something plausible, so that decisions are reached too.
fn age() -> impl Strategy<Value = f64> {
    prop_oneof![3 => 0.0..12.0, 1 => ANY]
}

/// Values: seldom such as no measurement can be, as one of them is enough.
fn some() -> impl Strategy<Value = f64> {
    prop_oneof![40 => 0.0..1.0, 1 => ANY]
}

fn share() -> impl Strategy<Value = Option<Signal<f64>>> {
    option::of((some(), age()).prop_map(|(value, age_s)| Signal { value, age_s }))
}

fn queue() -> impl Strategy<Value = Option<Signal<QueueLevel>>> {
    option::of(
        (some(), some(), age())
            .prop_map(|(mean, last, age_s)| Signal { value: QueueLevel { mean, last }, age_s }),
    )
}

fn slots() -> impl Strategy<Value = Option<Signal<u32>>> {
    let value = prop_oneof![3 => 0..12u32, 1 => any::<u32>()];
    option::weighted(0.9, (value, age()).prop_map(|(value, age_s)| Signal { value, age_s }))
}

fn stage() -> impl Strategy<Value = Option<StagePods>> {
    let counts = any::<(u32, u32, u32, u32, Option<i64>)>();
    option::weighted(
        0.9,
        (counts, option::of(ANY)).prop_map(|((desired, ready, starting, draining, last_change), age)| {
            StagePods {
                age_s: 0.0,
                desired,
                ready,
                starting,
                draining,
                pods_max: None,
                last_change,
                last_change_age_s: age,
                pods: Vec::new(),
            }
        }),
    )
}

pub(crate) fn observation() -> impl Strategy<Value = Observation> {
    let link = option::of((some(), some(), some()).prop_map(|(mbit_s, confidence, age_s)| LinkEstimate {
        mbit_s,
        confidence,
        age_s,
    }));
    let stages = ((queue(), queue(), queue()), (share(), share(), share()), (stage(), stage()));
    (age(), ANY, share(), slots(), link, stages).prop_map(
        |(time_s, window_s, arrivals_per_s, slots, link, rest)| {
            let ((queue_a, queue_proxy, queue_b), (busy_a, busy_slots, busy_b), (a, b)) = rest;
            Observation {
                arrivals_per_s,
                answers_per_s: arrivals_per_s,
                queue_a,
                queue_proxy,
                queue_b,
                busy_a,
                busy_slots,
                busy_b,
                slots,
                link,
                a,
                b,
                ..Observation::empty(time_s, window_s)
            }
        },
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    let fixed = (1..u32::MAX, 1..u32::MAX).prop_map(|(a, b)| Policy {
        kind: PolicyKind::Static(Replicas { a, b }),
        region: None,
        ..table()
    });
    let hpa = |metric| {
        let stage = HpaStage { metrics: vec![metric], ..HpaStage::default() };
        Policy { kind: PolicyKind::Hpa(Box::new(HpaConfig::of_both(stage))), region: None, ..table() }
    };
    let anywhere = |policy| Policy { region: None, ..policy };
    prop_oneof![
        2 => Just(table()),
        1 => Just(anywhere(table())),
        1 => fixed,
        1 => Just(tiled()),
        1 => Just(anywhere(tiled())),
        1 => Just(anywhere(network())),
        1 => Just(hpa(HpaMetric::CpuPercent(80))),
        1 => Just(hpa(HpaMetric::QueuePerPod(2.0))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bounds_hold_and_nothing_panics(
        policy in policy(),
        bounds in (1..10u32, 0..10u32),
        ticks in proptest::collection::vec((age(), observation()), 1..10),
    ) {
        let (min, max) = (bounds.0, bounds.0 + bounds.1);
        let mut controller = start(&policy, &pipeline(min, max), Freshness::default()).unwrap();
        for (tick, (now_s, observation)) in ticks.iter().enumerate() {
            let decision = controller.decide(*now_s, observation);
            prop_assert_eq!(decision.id, tick as u64 + 1);
            prop_assert_eq!(decision.raw.is_some(), decision.pods.is_some());
            if let Some(pods) = decision.pods {
                prop_assert!((min..=max).contains(&pods.a) && (min..=max).contains(&pods.b), "{:?}", pods);
                prop_assert!(observation.a.is_some() && observation.b.is_some());
            } else {
                prop_assert!(decision.why.last().unwrap().ends_with(": hold"));
            }
        }
    }
}

#[test]
fn garbage_often_gets_as_far_as_a_decision() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut controller = start(&table(), &pipeline(2, 8), Freshness::default()).unwrap();
    let decided = (0..2_000).filter(|_| {
        let observation = observation().new_tree(&mut runner).unwrap().current();
        controller.decide(observation.time_s, &observation).pods.is_some()
    });
    let decided = decided.count();
    assert!((200..1_800).contains(&decided), "{decided} of 2000");
}
