//! The useful-replica cap as a controller: every count here was worked out by hand.

use proptest::num::f64::ANY;
use proptest::option;
use proptest::prelude::*;
use splitscale_policy::UsefulConfig;
use splitscale_spec::{Laws, LinkEstimate, Observation, QueueLevel, Replicas, ServiceLaw, Signal, SlotLaw};

use crate::signal;

/// ResNet-50 after layer3 on pods of a tenth of a core.
fn layer3() -> UsefulConfig {
    let text = r#"{"service_a_s": 0.71, "service_b_s": 0.17, "payload_bytes": 802816}"#;
    let config: UsefulConfig = serde_json::from_str(text).unwrap();
    config.validate().unwrap();
    config
}

fn waiting(requests: f64) -> Option<Signal<QueueLevel>> {
    // The mean is never asked: what waits now has to be served.
    signal(QueueLevel { mean: 1e6, last: requests })
}

/// 4 requests a second, 12 waiting for A and 10 for a slot of 50 Mbit/s.
fn busy(slots: u32) -> Observation {
    Observation {
        arrivals_per_s: signal(4.0),
        queue_a: waiting(12.0),
        queue_proxy: waiting(10.0),
        queue_b: waiting(0.0),
        slots: signal(slots),
        link: Some(LinkEstimate { mbit_s: 50.0, confidence: 0.9, age_s: 0.5 }),
        ..Observation::empty(40.0, 2.0)
    }
}

fn linked(mbit_s: f64, confidence: f64, age_s: f64) -> Observation {
    Observation { link: Some(LinkEstimate { mbit_s, confidence, age_s }), ..busy(1) }
}

#[test]
fn the_cap_is_what_the_slots_keep_at_work() {
    // A slot is held 0.1285 + 0.17 s: 3.35 a second keep 2.38 pods of A and 0.57 of B at work.
    assert_eq!(layer3().cap(40.0, &busy(1), u32::MAX), Some(Replicas { a: 3, b: 1 }));
    // Eight times as much: 19.03 and 4.56. The 20th pod of A would add 0.2 %.
    assert_eq!(layer3().cap(40.0, &busy(8), u32::MAX), Some(Replicas { a: 19, b: 5 }));
    // One B pod carries 1 / 0.17 = 5.9/s, which is what 4.2 A pods do.
    assert_eq!(layer3().cap(40.0, &busy(8), 1), Some(Replicas { a: 5, b: 1 }));
    // Free after the transfer a slot carries 7.79 a second: 5.53 pods, and 1.32.
    let freed = UsefulConfig { held_until_answer: false, ..layer3() };
    assert_eq!(freed.cap(40.0, &busy(1), u32::MAX), Some(Replicas { a: 6, b: 2 }));
    // Where a pod has to add 30 %: the step from 3 to 4 adds 33 %, that from 4 to 5 adds 25 %.
    let coarse = UsefulConfig { gain: 0.3, ..layer3() };
    assert_eq!(coarse.cap(40.0, &busy(8), u32::MAX), Some(Replicas { a: 4, b: 4 }));
}

#[test]
fn what_is_unknown_is_no_cap() {
    let cap = |observation: &Observation| layer3().cap(40.0, observation, u32::MAX);
    assert_eq!(cap(&Observation { slots: None, ..busy(1) }), None);
    assert_eq!(cap(&Observation { link: None, ..busy(1) }), None);
    assert_eq!(cap(&linked(50.0, 0.5, 60.0)), Some(Replicas { a: 3, b: 1 }));
    for (mbit_s, confidence, age_s) in [
        (50.0, 0.49, 0.5),
        (50.0, f64::NAN, 0.5),
        (50.0, 0.9, 60.5),
        (50.0, 0.9, f64::INFINITY),
        (0.0, 0.9, 0.5),
        (f64::NAN, 0.9, 0.5),
        (f64::INFINITY, 0.9, 0.5),
    ] {
        assert_eq!(cap(&linked(mbit_s, confidence, age_s)), None, "{mbit_s} {confidence} {age_s}");
    }
    // The estimate was 0.5 s old when it was observed at 40 s.
    let (_, why) = layer3().decide(101.0, &busy(1)).unwrap();
    assert!(why.contains("no cap, the link is unknown, idle for 62 s, more than 60 s"), "{why}");
}

#[test]
fn it_takes_the_smaller_of_need_and_cap_and_says_both() {
    // A: (4 + 12 / 10) * 0.71 / 0.8 = 4.6. B: what 3 pods of A let through, 4.2, and 10 / 10: 5.2 * 0.17 / 0.8 = 1.1.
    let (pods, why) = layer3().decide(40.0, &busy(1)).unwrap();
    assert_eq!(pods, Replicas { a: 3, b: 1 });
    assert_eq!(
        why,
        "4.00/s and 12 waiting need 5 of a, 10 waiting past it 2 of b; 1 slots at 50.0 Mbit/s (confidence 0.90) \
         carry 3.35/s, useful are a 3, b 1"
    );
    // The link has eased, and the pods that are needed are useful again.
    assert_eq!(layer3().decide(40.0, &busy(8)).unwrap().0, Replicas { a: 5, b: 2 });
    let quiet = Observation { queue_a: waiting(0.0), queue_proxy: waiting(0.0), ..busy(8) };
    // 4 * 0.71 / 0.8 = 3.55 and 4 * 0.17 / 0.8 = 0.85.
    assert_eq!(layer3().decide(40.0, &quiet).unwrap().0, Replicas { a: 4, b: 1 });
    let nothing = Observation { arrivals_per_s: signal(0.0), ..quiet };
    assert_eq!(layer3().decide(40.0, &nothing).unwrap().0, Replicas { a: 1, b: 1 });
}

#[test]
fn without_a_cap_it_follows_the_need_and_no_more_pods_of_b_than_slots() {
    let blind = Observation { link: None, ..busy(1) };
    let (pods, why) = layer3().decide(40.0, &blind).unwrap();
    assert_eq!(pods, Replicas { a: 5, b: 1 });
    assert!(
        why.ends_with("no cap, the link is unknown, nothing was sent yet; b has 1 slots to serve"),
        "{why}"
    );
    // Past A: 5.2 a second and 100 / 10 that wait for B, 15.2 * 0.17 / 0.8 = 3.2.
    let behind = Observation { queue_proxy: waiting(0.0), queue_b: waiting(100.0), ..blind };
    let freed = UsefulConfig { held_until_answer: false, ..layer3() };
    assert_eq!(freed.decide(40.0, &behind).unwrap().0, Replicas { a: 5, b: 4 });
    assert_eq!(layer3().decide(40.0, &Observation { slots: None, ..behind }).unwrap().0.b, 4);
}

#[test]
fn what_is_missing_is_never_zero() {
    let why = |observation: Observation| layer3().decide(40.0, &observation).unwrap_err().words().to_owned();
    assert_eq!(why(Observation { arrivals_per_s: None, ..busy(8) }), "arrivals missing");
    assert_eq!(why(Observation { queue_a: None, ..busy(8) }), "queue of a missing");
    assert_eq!(why(Observation { queue_proxy: None, ..busy(8) }), "queue of the proxy missing");
    assert_eq!(why(Observation { queue_b: None, ..busy(8) }), "queue of b missing");
    let bad = Observation { arrivals_per_s: signal(-1.0), ..busy(8) };
    assert_eq!(why(bad), "arrivals -1 is no number of zero or more");
}

#[test]
fn a_shared_link_is_freed_of_the_transfers_that_were_under_way() {
    let shared = UsefulConfig { shared: true, held_until_answer: false, ..layer3() };
    let seen = |mbit_s, answers_per_s| Observation {
        answers_per_s: signal(answers_per_s),
        slots: signal(4),
        link: Some(LinkEstimate { mbit_s, confidence: 0.9, age_s: 0.0 }),
        ..busy(4)
    };
    // 100 Mbit/s carry 15.57 a second, 11.05 pods of A. Four that always send have 25 each; one alone has all.
    let full = shared.cap(40.0, &seen(25.0, 15.57), u32::MAX).unwrap();
    assert_eq!(full, Replicas { a: 11, b: 3 });
    assert_eq!(shared.cap(40.0, &seen(100.0, 0.01), u32::MAX), Some(full));
    assert_eq!(shared.cap(40.0, &Observation { answers_per_s: None, ..seen(25.0, 15.57) }, u32::MAX), None);
    // A link a slot at 25 Mbit/s: four of them carry the same.
    let own = UsefulConfig { shared: false, ..shared };
    assert_eq!(own.cap(40.0, &seen(25.0, 15.57), u32::MAX), Some(full));
}

#[test]
fn it_comes_from_laws_and_refuses_what_it_cannot_use() {
    let constant = |value_s| ServiceLaw::Deterministic { value_s };
    let slot = SlotLaw {
        bytes: 802_815.6,
        seconds_per_byte: None,
        fixed_s: None,
        shared: true,
        held_until_answer: true,
    };
    let laws = Laws {
        service_a: ServiceLaw::Lognormal { mean_s: 0.71, cv: 0.1 },
        service_b: constant(0.17),
        slot: Some(slot),
        ..Laws::default()
    };
    assert_eq!(UsefulConfig::of_laws(&laws).unwrap(), UsefulConfig { shared: true, ..layer3() });
    let field = |laws: Laws| UsefulConfig::of_laws(&laws).unwrap_err().field;
    assert_eq!(field(Laws { slot: None, ..laws.clone() }), "laws.slot");
    assert_eq!(field(Laws { service_b: constant(0.0), ..laws }), "service_b_s");
    let unknown = r#"{"service_a_s": 1, "service_b_s": 1, "payload_bytes": 1, "gian": 0.02}"#;
    assert!(serde_json::from_str::<UsefulConfig>(unknown).is_err());
    let refused = |config: UsefulConfig| config.validate().unwrap_err().field;
    assert_eq!(refused(UsefulConfig { payload_bytes: 0, ..layer3() }), "payload_bytes");
    assert_eq!(refused(UsefulConfig { gain: 0.0, ..layer3() }), "gain");
    assert_eq!(refused(UsefulConfig { confidence_min: 1.0, ..layer3() }), "confidence_min");
    assert_eq!(refused(UsefulConfig { idle_max_s: f64::NAN, ..layer3() }), "idle_max_s");
    assert_eq!(refused(UsefulConfig { utilisation: 1.1, ..layer3() }), "utilisation");
    assert_eq!(refused(UsefulConfig { drain_s: 0.0, ..layer3() }), "drain_s");
}

proptest! {
    #[test]
    fn whatever_is_observed_there_is_a_pod_and_the_cap_is_kept(
        (signals, link) in (prop::array::uniform5(option::weighted(0.9, prop_oneof![0.0..1e3, ANY])), [ANY, ANY, ANY]),
        (slots, now_s, shared, held_until_answer) in (option::of(any::<u32>()), ANY, any::<bool>(), any::<bool>()),
    ) {
        let config = UsefulConfig { shared, held_until_answer, ..layer3() };
        let [arrivals_per_s, answers_per_s, a, proxy, b] =
            signals.map(|value| value.map(|value| Signal { value, age_s: 0.0 }));
        let queue = |level: Option<Signal<f64>>| level.map(|l| l.map(|last| QueueLevel { mean: last, last }));
        let [mbit_s, confidence, age_s] = link;
        let observation = Observation {
            arrivals_per_s,
            answers_per_s,
            queue_a: queue(a),
            queue_proxy: queue(proxy),
            queue_b: queue(b),
            slots: slots.map(|value| Signal { value, age_s: 0.0 }),
            link: Some(LinkEstimate { mbit_s: mbit_s.abs(), confidence, age_s }),
            ..Observation::empty(0.0, 2.0)
        };
        let cap = config.cap(observation.time_s, &observation, u32::MAX);
        if let Ok((pods, _)) = config.decide(0.0, &observation) {
            prop_assert!(pods.a >= 1 && pods.b >= 1);
            if let Some(cap) = cap {
                prop_assert!(pods.a <= cap.a && pods.b <= cap.b);
            }
        }
        let _ = config.decide(now_s, &observation);
    }
}
