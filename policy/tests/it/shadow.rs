//! What another policy would have come to, by the law.

use splitscale_policy::hpa::{HpaMetric, HpaStage};
use splitscale_policy::{Bounds, Freshness, HpaConfig, Policy, PolicyKind, Score, Shadow, ShadowConfig};
use splitscale_spec::{Interval, LinkEstimate, Observation, Replicas, Signal};

use crate::{signal, stage, table};

const BOUNDS: Bounds = Bounds { pods_min: Replicas { a: 1, b: 1 }, pods_max: Replicas { a: 8, b: 8 } };

/// A 0.5 s, B 0.2 s, 0.1 s a transfer at 80 Mbit/s, 0.9 s promised, give or take a tenth.
fn law() -> ShadowConfig {
    let about = |value: f64| Interval { value, low: 0.9 * value, high: 1.1 * value };
    ShadowConfig {
        service_a_s: about(0.5),
        service_b_s: about(0.2),
        payload_bytes: 1_000_000,
        shared: false,
        held_until_answer: true,
        overhead_s: 0.05,
        start_up_s: 3.0,
        slo_latency_s: 1.0,
    }
}

fn constant(a: u32, b: u32) -> Policy {
    Policy { kind: PolicyKind::Static(Replicas { a, b }), region: None, ..table() }
}

fn by_arrivals(per_pod: f64) -> Policy {
    let of = HpaStage { metrics: vec![HpaMetric::ArrivalsPerPod(per_pod)], ..HpaStage::default() };
    Policy { kind: PolicyKind::Hpa(Box::new(HpaConfig::of_both(of))), region: None, ..table() }
}

/// So much arrives while there are four pods of each stage and eight slots at 80 Mbit/s.
fn seen(time_s: f64, arrivals_per_s: f64) -> Observation {
    Observation {
        arrivals_per_s: signal(arrivals_per_s),
        slots: signal(8),
        link: Some(LinkEstimate { mbit_s: 80.0, confidence: 0.9, age_s: 0.0 }),
        a: stage(4),
        b: stage(4),
        ..Observation::empty(time_s, 5.0)
    }
}

fn run(policy: &Policy, seconds: u32, arrivals_per_s: impl Fn(f64) -> f64) -> Score {
    let mut shadow = Shadow::new(policy, BOUNDS, Freshness::default(), law()).unwrap();
    let mut score = None;
    for second in 0..=seconds {
        let time_s = f64::from(second);
        score = Some(shadow.observe(time_s, &seen(time_s, arrivals_per_s(time_s))));
    }
    score.unwrap()
}

#[test]
fn below_capacity_nobody_is_late_and_pods_are_what_they_cost() {
    // Four A pods carry 8/s; two of them 4/s, which is more than the 3 that arrive.
    let score = run(&constant(2, 1), 100, |_| 3.0);
    assert_eq!((score.scored_s, score.arrivals), (100.0, 300.0));
    assert_eq!((score.live.pod_seconds, score.live.misses.high), (800.0, 0.0));
    // It decides at the first look and has three from then on.
    assert_eq!(score.shadow.pod_seconds, 300.0);
    assert_eq!(score.shadow.pods, Some(Replicas { a: 2, b: 1 }));
    assert_eq!(score.shadow.misses.high, 0.0);
}

#[test]
fn above_capacity_it_is_late_from_the_second_at_which_the_backlog_says_so() {
    // One A pod carries 2/s of 3: a backlog of t after t seconds, a wait of t / 2. Late as soon as 0.05 + 0.5 + 0.1 + 0.2 +
    // t / 2 > 1, that is above 0.3 s: from the first second on.
    let score = run(&constant(1, 4), 100, |_| 3.0);
    assert_eq!(score.live.misses.value, 0.0);
    assert_eq!(score.shadow.misses.value, 300.0);
    // A tenth faster 2.22/s are carried, and a backlog of 0.78 t is a wait of 0.35 t: 0.05 + 0.45 + 0.1 + 0.18 + 0.35 > 1.
    assert_eq!(score.shadow.misses.low, 300.0);
    // At 2.1/s the fast end of the band carries it, and the slow end is late from early on.
    let band = run(&constant(1, 4), 100, |_| 2.1).shadow.misses;
    assert!(band.low < band.value && band.value < band.high, "{band:?}");
    assert_eq!(band.low, 0.0);
}

#[test]
fn the_link_is_the_same_for_both_and_pods_do_not_help_there() {
    // One slot carries 1 / (0.1 + 0.2) = 3.33/s.
    let one_slot = |time_s: f64| Observation { slots: signal(1), ..seen(time_s, 5.0) };
    let mut shadow = Shadow::new(&constant(8, 8), BOUNDS, Freshness::default(), law()).unwrap();
    let mut score = None;
    for second in 0..=60 {
        score = Some(shadow.observe(f64::from(second), &one_slot(f64::from(second))));
    }
    let score = score.unwrap();
    assert_eq!(score.live.misses, score.shadow.misses);
    assert!(score.live.misses.value > 250.0, "{score:?}");
    assert!(score.shadow.pod_seconds > 1.9 * score.live.pod_seconds);
}

#[test]
fn an_hpa_sees_its_own_pods_and_waits_for_those_that_start() {
    // 3/s at 1.5 a pod are two pods of each stage; from 60 s on 12/s are eight, three seconds later.
    let score = run(&by_arrivals(1.5), 300, |time_s| if time_s < 60.0 { 3.0 } else { 12.0 });
    assert_eq!(score.shadow.pods, Some(Replicas { a: 8, b: 8 }));
    assert!(score.shadow.misses.value > 0.0, "it was late until they were ready");
    assert!(score.shadow.misses.value < score.live.misses.value, "four A pods carry 8/s of 12");
}

/// Four slots that share 100 Mbit/s, and are full: each transfer was seen at 25.
#[test]
fn a_link_that_is_shared_is_taken_for_what_it_carries_in_all() {
    let config = ShadowConfig { shared: true, held_until_answer: false, ..law() };
    let mut shadow = Shadow::new(&constant(8, 8), BOUNDS, Freshness::default(), config).unwrap();
    let full = |time_s: f64, arrivals_per_s: f64| Observation {
        answers_per_s: signal(12.5),
        slots: signal(4),
        link: Some(LinkEstimate { mbit_s: 25.0, confidence: 0.9, age_s: 0.0 }),
        a: stage(8),
        b: stage(8),
        ..seen(time_s, arrivals_per_s)
    };
    // 100 Mbit/s are 12.5 transfers of 1 MB a second, and not the 3.1 that four at 25 would be.
    let mut score = shadow.observe(0.0, &full(0.0, 12.0));
    for second in 1..=60 {
        score = shadow.observe(f64::from(second), &full(f64::from(second), 12.0));
    }
    assert_eq!((score.live.misses.value, score.shadow.misses.value), (0.0, 0.0), "{score:?}");
}

#[test]
fn what_is_not_known_is_not_scored_on_either_side() {
    let mut shadow = Shadow::new(&constant(2, 2), BOUNDS, Freshness::default(), law()).unwrap();
    // A rate takes two looks: at the first nobody knows the pods of either side by the law.
    let none = shadow.observe(0.0, &Observation { arrivals_per_s: None, ..seen(0.0, 3.0) });
    assert_eq!((none.live.pods, none.shadow.pods), (None, None));
    let logged = serde_json::to_value(none).unwrap();
    assert_eq!((logged["live"].get("pods"), logged["shadow"].get("pods")), (None, None), "{logged}");
    assert_eq!(serde_json::from_value::<Score>(logged).unwrap(), none);
    let first = shadow.observe(0.0, &seen(0.0, 3.0));
    assert_eq!(first.live.pods, Some(Replicas { a: 4, b: 4 }));
    let before = shadow.observe(1.0, &seen(1.0, 3.0));
    for blind in [
        Observation { arrivals_per_s: None, ..seen(2.0, 3.0) },
        Observation { a: None, ..seen(2.0, 3.0) },
        Observation { slots: None, ..seen(2.0, 3.0) },
        Observation { arrivals_per_s: Some(Signal { value: 3.0, age_s: 11.0 }), ..seen(2.0, 3.0) },
        Observation { arrivals_per_s: Some(Signal { value: f64::NAN, age_s: 0.0 }), ..seen(2.0, 3.0) },
    ] {
        assert_eq!(shadow.observe(2.0, &blind), before);
    }
    // After a gap of an hour the next step begins anew.
    assert_eq!(shadow.observe(3_661.0, &seen(3_661.0, 3.0)).scored_s, 1.0);
    assert_eq!(shadow.observe(3_662.0, &seen(3_662.0, 3.0)).scored_s, 2.0);
    assert_eq!(shadow.observe(10.0, &seen(10.0, 3.0)).scored_s, 2.0, "a clock that was set back");
}

#[test]
fn a_law_that_cannot_be_names_the_field() {
    let problem = |change: fn(&mut ShadowConfig)| {
        let mut config = law();
        change(&mut config);
        Shadow::new(&constant(1, 1), BOUNDS, Freshness::default(), config).unwrap_err().field
    };
    assert_eq!(problem(|law| law.service_a_s.low = 0.0), "service_a_s.low");
    assert_eq!(problem(|law| law.slo_latency_s = f64::NAN), "slo_latency_s");
    assert_eq!(problem(|law| law.start_up_s = -1.0), "start_up_s");
}
