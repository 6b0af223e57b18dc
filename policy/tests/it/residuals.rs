//! Whether the laws and what is seen agree: a pipeline whose service times are known, and one in which they moved.

use splitscale_policy::{Agreement, Freshness, Quantity, Residuals};
use splitscale_spec::{Interval, Laws, LinkEstimate, Observation, QueueLevel, ServiceLaw, Signal, SlotLaw};

use crate::{signal, stage};

/// A 0.4 s, B 0.2 s, 1 MB a transfer.
fn laws() -> Laws {
    let law = |value_s| ServiceLaw::Deterministic { value_s };
    let slot =
        SlotLaw { bytes: 1e6, seconds_per_byte: None, fixed_s: None, shared: false, held_until_answer: true };
    Laws { service_a: law(0.4), service_b: law(0.2), slot: Some(slot), ..Laws::default() }
}

/// Eight A pods and four B pods under 10/s, their services `a` and `b` times as long as calibrated.
fn seen(time_s: f64, (a, b): (f64, f64)) -> Observation {
    let queue = |mean: f64| signal(QueueLevel { mean, last: mean });
    Observation {
        arrivals_per_s: signal(10.0),
        answers_per_s: signal(10.0),
        queue_a: queue(5.0),
        queue_proxy: queue(1.0),
        queue_b: queue(0.0),
        busy_a: signal(10.0 * 0.4 * a / 8.0),
        busy_b: signal(10.0 * 0.2 * b / 4.0),
        // 0.1 s a transfer at 80 Mbit/s, six that wait 0.6 s.
        latency_p50_s: signal(0.4 * a + 0.1 + 0.2 * b + 0.6),
        link: Some(LinkEstimate { mbit_s: 80.0, confidence: 0.9, age_s: 0.0 }),
        a: stage(8),
        b: stage(4),
        ..Observation::empty(time_s, 5.0)
    }
}

fn follow(
    residuals: &mut Residuals,
    from_s: u32,
    seconds: u32,
    of: impl Fn(f64) -> Observation,
) -> Agreement {
    let times = (from_s..=from_s + seconds).map(f64::from);
    times.map(|time_s| residuals.observe(time_s, &of(time_s))).last().unwrap()
}

fn begun(laws: &Laws) -> Residuals {
    Residuals::new(laws, Freshness::default()).unwrap()
}

#[test]
fn what_is_as_calibrated_agrees_by_little_and_the_utilisation_law() {
    let agreement = follow(&mut begun(&laws()), 0, 60, |time_s| seen(time_s, (1.0, 1.0)));
    assert_eq!(agreement.residuals.len(), 3);
    for residual in &agreement.residuals {
        assert!((residual.ratio - 1.0).abs() < 1e-9, "{residual:?}");
        assert!((residual.seen - residual.predicted.value).abs() < 1e-9, "{residual:?}");
    }
    assert_eq!(agreement.stale(), None);
}

#[test]
fn a_stage_that_became_slower_is_named_once_there_is_evidence_and_taken_back_when_it_is_not() {
    let mut residuals = begun(&laws());
    let slow = |time_s: f64| seen(time_s, (1.5, 1.0));
    let early = follow(&mut residuals, 0, 20, slow);
    assert_eq!(early.stale(), None, "twenty seconds are not enough: {early:?}");
    let agreement = follow(&mut residuals, 21, 20, slow);
    let stale = agreement.stale().unwrap();
    assert_eq!(stale, "pods of A take 1.50 times what was calibrated");
    let of_b =
        agreement.residuals.iter().find(|residual| residual.quantity == Quantity::ThroughputB).unwrap();
    assert!(!of_b.stale && (of_b.ratio - 1.0).abs() < 1e-9);
    // It forgets over half a minute: ln 1.5 has to fall below ln 1.1.
    let agreement = follow(&mut residuals, 42, 30, |time_s| seen(time_s, (1.0, 1.0)));
    assert!(agreement.stale().is_some(), "taken back only well within what is tolerated: {agreement:?}");
    let agreement = follow(&mut residuals, 73, 60, |time_s| seen(time_s, (1.0, 1.0)));
    assert_eq!(agreement.stale(), None);
}

#[test]
fn a_band_of_the_laws_is_added_to_what_is_tolerated() {
    let mut wide = laws();
    wide.intervals.insert("service_a.mean_s".to_owned(), Interval { value: 0.4, low: 0.3, high: 0.55 });
    let agreement = follow(&mut begun(&wide), 0, 60, |time_s| seen(time_s, (1.5, 1.0)));
    assert_eq!(agreement.stale(), None, "0.6 s is 0.55 s and a tenth: {agreement:?}");
}

#[test]
fn latency_beyond_what_stages_link_and_queues_take_is_told() {
    let late = |time_s| Observation { latency_p50_s: signal(2.2), ..seen(time_s, (1.0, 1.0)) };
    let agreement = follow(&mut begun(&laws()), 0, 60, late);
    assert_eq!(agreement.stale().unwrap(), "answers take 1.69 times what was predicted");
}

#[test]
fn nothing_is_judged_that_would_tell_of_the_traffic_and_not_of_the_pipeline() {
    let nothing = |of: &dyn Fn(f64) -> Observation| {
        let agreement = follow(&mut begun(&laws()), 0, 60, of);
        assert!(agreement.residuals.is_empty(), "{agreement:?}");
    };
    let slow = |time_s: f64| seen(time_s, (3.0, 3.0));
    // A queue that grows: what comes does not go. A's own pods then do more than is answered.
    nothing(&|time_s| {
        let last = 2.5 * time_s;
        let queue_proxy = signal(QueueLevel { mean: last, last });
        Observation { arrivals_per_s: signal(12.5), queue_proxy, ..slow(time_s) }
    });
    // One that rose and drained, so that as many wait as half a minute before.
    nothing(&|time_s| {
        let last = 20.0 * (15.0 - (time_s % 30.0 - 15.0).abs());
        Observation { queue_proxy: signal(QueueLevel { mean: last, last }), ..slow(time_s) }
    });
    // One that drains at once: 28 answers a second are not those of the eight that came.
    nothing(&|time_s| {
        let since_s = time_s % 30.0;
        let drains = since_s > 27.0;
        let last = if drains { 20.0 * (30.0 - since_s) } else { since_s * 60.0 / 27.0 };
        Observation {
            queue_proxy: signal(QueueLevel { mean: last, last }),
            answers_per_s: signal(if drains { 28.0 } else { 8.0 }),
            ..slow(time_s)
        }
    });
    // Too old, or missing.
    nothing(&|time_s| Observation {
        answers_per_s: Some(Signal { value: 10.0, age_s: 11.0 }),
        ..slow(time_s)
    });
    nothing(&|time_s| Observation { queue_b: None, ..slow(time_s) });
    // Pods that come or go within the window.
    nothing(&|time_s| {
        let mut observation = slow(time_s);
        observation.a.as_mut().unwrap().starting = 1;
        observation
    });
    // The link of an idle pipeline is unknown, and pods that hardly work say nothing of their service.
    let idle =
        |time_s| Observation { busy_a: signal(0.01), busy_b: signal(0.01), link: None, ..slow(time_s) };
    nothing(&idle);
    // Pods that share cores slow each other: that is no change of the law.
    let crowded = Laws { cores_a: Some(2.0), ..laws() };
    let agreement = follow(&mut begun(&crowded), 0, 60, slow);
    assert!(agreement.residuals.is_empty(), "{agreement:?}");
    // What was compared is forgotten where nothing can be for long.
    let mut residuals = begun(&laws());
    assert!(follow(&mut residuals, 0, 60, slow).stale().is_some());
    let idle = |time_s| Observation { answers_per_s: None, ..slow(time_s) };
    assert!(follow(&mut residuals, 61, 500, idle).stale().is_some());
    assert!(follow(&mut residuals, 562, 200, idle).residuals.is_empty());
}

#[test]
fn a_stage_that_did_not_answer_is_not_compared_with_what_others_tell_meanwhile() {
    // B's last values stand and age, while requests fail that A was busy with.
    let silent = |time_s: f64, age_s: f64| {
        let mut observation = seen(time_s, (3.0, 3.0));
        observation.busy_b.as_mut().unwrap().age_s = age_s;
        observation.queue_b.as_mut().unwrap().age_s = age_s;
        observation.b.as_mut().unwrap().age_s = age_s;
        observation
    };
    // One round that was missed is no matter.
    let agreement = follow(&mut begun(&laws()), 0, 60, |time_s| silent(time_s, 1.2));
    assert!(agreement.stale().is_some(), "{agreement:?}");
    let agreement = follow(&mut begun(&laws()), 0, 60, |time_s| silent(time_s, 3.0));
    assert!(agreement.residuals.is_empty(), "{agreement:?}");
}

#[test]
fn after_a_stage_that_was_gone_nothing_is_compared_before_the_window_is_of_afterwards() {
    let mut residuals = begun(&laws());
    let before = follow(&mut residuals, 0, 30, |time_s| seen(time_s, (1.0, 1.0)));
    let gone = |time_s| Observation { queue_b: None, busy_b: None, ..seen(time_s, (3.0, 3.0)) };
    assert_eq!(follow(&mut residuals, 31, 29, gone), before);
    let slow = |time_s| seen(time_s, (3.0, 3.0));
    assert_eq!(follow(&mut residuals, 61, 9, slow), before, "the window spans what came before");
    let agreement = follow(&mut residuals, 71, 30, slow);
    assert!(agreement.stale().is_some(), "{agreement:?}");
    // A window that is longer takes longer.
    let wide = |time_s: f64| Observation { window_s: 30.0, ..slow(time_s) };
    let mut residuals = begun(&laws());
    assert!(follow(&mut residuals, 0, 29, wide).residuals.is_empty());
    assert!(!follow(&mut residuals, 30, 0, wide).residuals.is_empty());
}

/// A request that fails behind A keeps A's pods as busy as one that is answered.
#[test]
fn requests_that_fail_behind_a_do_not_make_its_pods_look_slow() {
    // Ten a second come and A serves them all; four of them fail at the proxy or at B.
    let failing = |served_a_per_s| {
        move |time_s| Observation {
            answers_per_s: signal(6.0),
            served_a_per_s,
            busy_b: signal(6.0 * 0.2 / 4.0),
            ..seen(time_s, (1.0, 1.0))
        }
    };
    let told = follow(&mut begun(&laws()), 0, 60, failing(signal(10.0)));
    let of_a = told.residuals.iter().find(|residual| residual.quantity == Quantity::ThroughputA).unwrap();
    assert!((of_a.ratio - 1.0).abs() < 1e-9 && !of_a.stale, "{of_a:?}");
    // Where A does not tell what it served, there are the answers alone.
    let untold = follow(&mut begun(&laws()), 0, 60, failing(None));
    assert_eq!(
        untold.stale().unwrap().split(", ").next(),
        Some("pods of A take 1.67 times what was calibrated")
    );
    // So are there where what it told is of another time.
    let old = Some(Signal { value: 10.0, age_s: 4.0 });
    assert!(follow(&mut begun(&laws()), 0, 60, failing(old)).stale().is_some());
}
