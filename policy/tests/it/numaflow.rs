//! Numaflow's autoscaler against the vectors of its own tests (`scaling_test.go`) and the rules of `scaleOneVertex`.

use splitscale_policy::numaflow::{NumaflowBuffer, NumaflowStage};
use splitscale_policy::{NumaflowConfig, NumaflowMemory};
use splitscale_spec::{Observation, QueueLevel, Signal, StagePods};

use crate::signal;

fn waiting(mean: f64) -> Option<Signal<QueueLevel>> {
    signal(QueueLevel { mean, last: 0.0 })
}

fn pods(desired: u32, ready: u32) -> Option<StagePods> {
    Some(StagePods { ready, starting: desired - ready, ..crate::stage(desired).unwrap() })
}

/// Nothing to do for 10 s; 3 pods a stage, of which 2 are ready.
fn quiet(time_s: f64) -> Observation {
    Observation {
        queue_a: waiting(0.0),
        queue_proxy: waiting(0.0),
        queue_b: waiting(0.0),
        busy_a: signal(0.0),
        busy_slots: signal(0.0),
        slots: signal(8),
        answers_per_s: signal(100.0),
        a: pods(3, 2),
        b: pods(3, 2),
        ..Observation::empty(time_s, 10.0)
    }
}

/// Goes where it wants in one step: 5 s to be done in, 90 % of the buffer to be free.
fn free() -> NumaflowConfig {
    let stage = NumaflowStage {
        target_processing_s: 5.0,
        target_buffer_availability_percent: 90.0,
        replicas_per_scale_up: 100,
        replicas_per_scale_down: 100,
        ..NumaflowStage::default()
    };
    NumaflowConfig { a: stage.clone(), b: stage, ..NumaflowConfig::default() }
}

fn first(config: &NumaflowConfig, seen: &Observation) -> Result<(u32, u32), String> {
    config.validate().unwrap();
    let decided = config.decide(&mut NumaflowMemory::default(), seen.time_s, seen);
    decided.map(|(to, _)| (to.a, to.b)).map_err(|silence| silence.words().to_owned())
}

#[test]
fn a_source_gets_done_in_its_time_what_is_pending() {
    // Test_desiredReplicasSinglePartition, "test src": a partition is a vertex here, and the largest counts.
    let one = |(rate, pending)| {
        let seen = Observation { queue_a: waiting(pending), answers_per_s: signal(rate), ..quiet(100.0) };
        first(&free(), &seen).unwrap().0
    };
    let most = |partitions: [(f64, f64); 3]| partitions.map(one).into_iter().max().unwrap();
    assert_eq!(one((0.0, 0.0)), 1);
    assert_eq!(most([(250.0, 10010.0), (500.0, 800.0), (750.0, 1200.0)]), 16);
    assert_eq!(most([(450.0, 10010.0), (500.0, 800.0), (750.0, 1200.0)]), 9);
    assert_eq!(most([(450.0, 10010.0), (20.0, 800.0), (750.0, 1200.0)]), 16);
    assert_eq!(most([(450.0, 18932.0), (20.0, 800.0), (750.0, 1200.0)]), 17);
    assert_eq!(most([(800.0, 18932.0), (200.0, 800.0), (750.0, 24988.0)]), 13);
    assert_eq!(most([(800.0, 18932.0), (21.0, 800.0), (750.0, 24988.0)]), 15);
    // Its document: 60 000 pending at 10 000 a second of 2 pods in 3 s are 4.
    let mut config = free();
    config.a.target_processing_s = 3.0;
    let seen = Observation {
        queue_a: waiting(60_000.0),
        answers_per_s: signal(10_000.0),
        a: pods(2, 2),
        ..quiet(100.0)
    };
    assert_eq!(first(&config, &seen).unwrap().0, 4);
    // Never more than there is pending, and what is at work is pending: 1 waits and half of 2 pods work.
    let few = Observation { queue_a: waiting(1.0), busy_a: signal(0.5), ..quiet(100.0) };
    let slow = |rate| first(&free(), &Observation { answers_per_s: signal(rate), ..few.clone() }).unwrap().0;
    assert_eq!([0.01, 0.3].map(slow), [2, 2]);
}

#[test]
fn a_sink_keeps_room_in_the_buffer_it_reads() {
    // Test_desiredReplicasSinglePartition, "test udf": 30 000 long, 24 000 usable, 27 000 wanted free.
    let one = |ready, rate, pending| {
        let seen = Observation {
            queue_proxy: waiting(pending),
            answers_per_s: signal(rate),
            b: pods(ready, ready),
            ..quiet(100.0)
        };
        first(&free(), &seen).unwrap().1
    };
    let most = |ready, partitions: [(f64, f64); 3]| {
        partitions.map(|(rate, pending)| one(ready, rate, pending)).into_iter().max().unwrap()
    };
    assert_eq!(one(2, 0.0, 0.0), 1);
    assert_eq!(most(2, [(250.0, 2789.0), (500.0, 800.0), (750.0, 1200.0)]), 4);
    assert_eq!(most(2, [(250.0, 2999.0), (500.0, 800.0), (750.0, 1200.0)]), 5);
    assert_eq!(most(5, [(250.0, 3001.0), (500.0, 800.0), (750.0, 1200.0)]), 6);
    assert_eq!(most(6, [(250.0, 8001.0), (500.0, 800.0), (750.0, 1200.0)]), 10);
    assert_eq!(most(9, [(250.0, 8001.0), (500.0, 3882.0), (750.0, 4002.0)]), 15);
    assert_eq!(most(9, [(250.0, 6000.0), (500.0, 3882.0), (750.0, 4002.0)]), 14);
    assert_eq!(most(11, [(650.0, 3100.0), (570.0, 3001.0), (790.0, 3223.0)]), 14);
    assert_eq!(most(13, [(650.0, 2998.0), (570.0, 2998.0), (790.0, 2998.0)]), 14);
    assert_eq!(most(14, [(650.0, 2501.0), (570.0, 1283.0), (790.0, 2044.0)]), 11);
    // A full buffer: what there is and a step; and what is under way is pending too: 23 992 and 8 slots.
    let mut config = free();
    config.b.replicas_per_scale_up = 7;
    let full = Observation { queue_proxy: waiting(23_992.0), busy_slots: signal(1.0), ..quiet(100.0) };
    assert_eq!(first(&config, &full).unwrap().1, 10);
    // One less leaves room for one: 27 000 / (1 / 2) in a step of 7.
    let nearly = Observation { queue_proxy: waiting(23_991.0), ..full };
    assert_eq!(first(&config, &nearly).unwrap().1, 10);
    // 63 of 90 should be free, so 48 at 3 ready wants 63 / (42 / 3) = 4.5.
    (config.b.target_buffer_availability_percent, config.b.replicas_per_scale_up) = (70.0, 9);
    config.edge = NumaflowBuffer { length: 90, usage_limit: 1.0 };
    let seventy = Observation { queue_proxy: waiting(48.0), b: pods(3, 3), ..quiet(100.0) };
    assert_eq!(first(&config, &seventy).unwrap().1, 5);
}

/// An edge of 40 that may be used, full from 36 on; A wants many pods.
fn wants_up(on_edge: f64) -> (NumaflowConfig, Observation) {
    let edge = NumaflowBuffer { length: 50, usage_limit: 0.8 };
    let config = NumaflowConfig { edge, ..NumaflowConfig::default() };
    let seen = Observation { queue_a: waiting(90_000.0), queue_proxy: waiting(on_edge), ..quiet(100.0) };
    (config, seen)
}

#[test]
fn a_full_edge_takes_one_pod_from_who_wants_more() {
    let (config, full) = wants_up(36.0);
    let a = |config: &NumaflowConfig, seen: &Observation| first(config, seen).map(|(a, _)| a);
    assert_eq!(a(&config, &wants_up(35.9).1), Ok(5), "at most 2 a step");
    assert_eq!(a(&config, &full), Ok(2));
    // Never to none, nor below the fewest: it stays.
    assert_eq!(a(&config, &Observation { a: pods(1, 1), ..full.clone() }), Ok(1));
    let (_, why) = config.decide(&mut NumaflowMemory::default(), 100.0, &full).unwrap();
    // B is past the half that should be free: 25 over (40 - 36) / 2.
    let words = "a pending 90000 at 100.00 /s wants 90, but the edge to b is full: one fewer; \
                 b pending 36 at 100.00 /s wants 13";
    assert_eq!(why, words);
    let mut bounded = config.clone();
    (bounded.a.pods_min, bounded.a.pods_max) = (Some(3), Some(9));
    assert_eq!(a(&bounded, &full), Ok(3));
    // Who does not want more is left alone.
    assert_eq!(a(&config, &Observation { queue_a: waiting(3_000.0), ..full }), Ok(3));
}

#[test]
fn an_edge_further_down_that_is_full_holds() {
    let (mut config, seen) = wants_up(0.0);
    let at_b = |mean| Observation { queue_b: waiting(mean), ..seen.clone() };
    assert_eq!(first(&config, &at_b(7.0)).unwrap().0, 5, "nothing comes after a sink");
    config.further = Some(NumaflowBuffer { length: 10, usage_limit: 0.8 });
    let held = |mean| config.decide(&mut NumaflowMemory::default(), 100.0, &at_b(mean)).unwrap().1;
    assert!(
        held(8.0)
            .starts_with("a stays, pending 90000 at 100.00 /s wants 90, but an edge further down is full")
    );
    // 7.2 are full, but what is pending is whole: 7 are not.
    assert!(held(7.9).starts_with("a pending 90000 at 100.00 /s wants 90; b"), "{}", held(7.9));
}

#[test]
fn pressure_is_what_was_last_found_at_the_sink() {
    // `vertexMetricsCache` is written where B is looked at closely, and that is not while B cools down.
    let (config, full) = wants_up(40.0);
    let mut memory = NumaflowMemory::default();
    let mut a = |seen: &Observation| config.decide(&mut memory, seen.time_s, seen).unwrap().0.a;
    assert_eq!(a(&full), 2);
    let empty = |time_s, age_s| Observation {
        time_s,
        b: pods(3, 3).map(|pods| StagePods { last_change_age_s: Some(age_s), ..pods }),
        ..wants_up(0.0).1
    };
    assert_eq!(a(&empty(400.0, 30.0)), 2);
    assert_eq!(a(&empty(460.0, 90.0)), 5);
}

#[test]
fn cooldowns_count_from_the_last_change_in_either_direction() {
    let mut config = free();
    let a = |config: &NumaflowConfig, age_s, pending| {
        let scaled = pods(3, 2).map(|pods| StagePods { last_change_age_s: age_s, ..pods });
        let seen = Observation { a: scaled, queue_a: waiting(pending), ..quiet(100.0) };
        config.decide(&mut NumaflowMemory::default(), 100.0, &seen).unwrap()
    };
    // 2 000 at 100 a second in 5 s: 8 of 2 ready; nothing pending is 1.
    let both = |config: &NumaflowConfig, age_s| [2_000.0, 0.0].map(|pending| a(config, age_s, pending).0.a);
    assert_eq!(both(&config, None), [8, 1]);
    assert_eq!(both(&config, Some(90.0)), [8, 1]);
    assert_eq!(both(&config, Some(89.9)), [3, 3]);
    (config.a.scale_up_cooldown_s, config.a.scale_down_cooldown_s) = (90.0, 30.0);
    assert_eq!(both(&config, Some(60.0)), [3, 1]);
    (config.a.scale_up_cooldown_s, config.a.scale_down_cooldown_s) = (30.0, 90.0);
    assert_eq!(both(&config, Some(60.0)), [8, 3]);
    assert!(a(&config, Some(20.0), 0.0).1.starts_with("a stays, scaled 20 s ago;"));
}

#[test]
fn what_is_unknown_or_under_way_is_skipped() {
    let config = NumaflowConfig::default();
    let why = |seen: &Observation| config.decide(&mut NumaflowMemory::default(), 100.0, seen);
    let skipped = |seen: &Observation| why(seen).unwrap().1;
    let silent = Observation { answers_per_s: None, ..quiet(100.0) };
    assert_eq!(
        why(&silent).unwrap_err().words(),
        "a stays, the rate is unknown; b stays, the rate is unknown"
    );
    let unseen = Observation { queue_a: None, ..quiet(100.0) };
    assert!(
        skipped(&unseen).starts_with("a stays, what is pending is unknown; b pending 0 at 100.00 /s wants 1")
    );
    // One sample is not enough: an observation of 5 s is one.
    let short = Observation { window_s: 5.0, ..quiet(100.0) };
    assert!(why(&short).unwrap_err().words().starts_with("a stays, the rate is unknown"));
    // One pod was asked for and is not there yet.
    let rollout = Observation { a: pods(3, 2).map(|pods| StagePods { desired: 4, ..pods }), ..quiet(100.0) };
    assert!(skipped(&rollout).starts_with("a stays, 2 ready and 1 starting of 4; b"));
    let starting = Observation { a: pods(3, 0), ..quiet(100.0) };
    assert!(skipped(&starting).starts_with("a stays, no pod is ready; b"));
    let mut fixed = NumaflowConfig::default();
    (fixed.a.pods_min, fixed.a.pods_max) = (Some(3), Some(3));
    let (_, words) = fixed.decide(&mut NumaflowMemory::default(), 100.0, &quiet(100.0)).unwrap();
    assert!(words.starts_with("a stays, the fewest and the most are both 3; b"), "{words}");
    // Someone set 60, and the most are 50: at once, not by 2.
    let many = Observation { a: pods(60, 60), queue_a: waiting(90_000.0), ..quiet(100.0) };
    assert_eq!(first(&NumaflowConfig::default(), &many).unwrap().0, 50);
}

#[test]
fn pending_and_rate_are_averaged_over_the_lookback() {
    let config = free();
    let mut memory = NumaflowMemory::default();
    let mut why = |time_s: f64, pending, answers, on_edge| {
        let seen = Observation {
            queue_a: waiting(pending),
            queue_proxy: waiting(on_edge),
            answers_per_s: signal(answers),
            ..quiet(time_s)
        };
        config.decide(&mut memory, time_s, &seen).map(|(_, why)| why)
    };
    assert!(why(100.0, 100.0, 10.0, 0.0).unwrap().starts_with("a pending 100 at 10.00 /s wants 4;"));
    assert_eq!(why(110.0, 300.0, 30.0, 0.0).unwrap_err().words(), "next task in 20.0 s");
    why(120.0, 300.0, 30.0, 0.0).unwrap_err();
    // Two samples each of 100, 300, 300 and 500; the edge grew by 90 from the first to the last, 35 s apart.
    let words = why(130.0, 500.0, 30.0, 90.0).unwrap();
    assert!(words.starts_with(&format!("a pending 300 at {:.2} /s", 25.0 + 90.0 / 35.0)), "{words}");
    // What is out of the lookback is forgotten.
    let words = why(260.0, 40.0, 8.0, 0.0).unwrap();
    assert!(words.starts_with("a pending 40 at 8.00 /s wants 2;"), "{words}");
}

#[test]
fn what_it_remembers_goes_through_its_document_and_stays_small() {
    let config = NumaflowConfig::default().within((&crate::pipeline(2, 8)).into());
    assert_eq!((config.a.pods_min, config.b.pods_max), (Some(2), Some(8)));
    let (mut memory, mut longest) = (NumaflowMemory::default(), 0);
    for n in 0..3_000u32 {
        let time_s = f64::from(n) * 0.5;
        let seen = Observation { queue_a: waiting(f64::from(n * 7919 % 211)), ..quiet(time_s) };
        let text = serde_json::to_string(&memory).unwrap();
        longest = longest.max(text.len());
        let mut read: NumaflowMemory = serde_json::from_str(&text).unwrap();
        let decided = config.decide(&mut memory, time_s, &seen);
        assert_eq!(config.decide(&mut read, time_s, &seen), decided);
        assert_eq!(read, memory);
    }
    // Four signals of 24 samples, each under 20 bytes.
    assert!(longest < 2_000, "{longest} bytes");
}

#[test]
fn what_is_wrong_is_named() {
    let problem = |change: fn(&mut NumaflowConfig)| {
        let mut config = NumaflowConfig::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    assert!(problem(|c| c.a.lookback_s = 601.0).starts_with("a.lookback_s: 601 is not in 10..=600"));
    assert!(problem(|c| c.b.target_processing_s = 0.0).starts_with("b.target_processing_s: 0 is not"));
    assert_eq!(
        problem(|c| c.a.replicas_per_scale_up = 0),
        "a.replicas_per_scale_up: zero; it takes at least 1"
    );
    assert_eq!(problem(|c| c.edge.usage_limit = 1.5), "edge.usage_limit: 1.5 is above 1");
    assert_eq!(problem(|c| c.edge.length = 1), "edge.length: 0.8 of 1 is less than one request");
    assert_eq!(
        problem(|c| (c.b.pods_min, c.b.pods_max) = (Some(4), Some(3))),
        "b.pods_max: 3 is below pods_min 4"
    );
    assert_eq!(serde_json::from_str::<NumaflowConfig>("{}").unwrap(), NumaflowConfig::default());
    assert!(serde_json::from_str::<NumaflowConfig>(r#"{"lookback": 1}"#).is_err());
}

#[test]
fn its_document_is_how_numaflow_is_set_up_but_for_the_length_of_the_edge() {
    let text = include_str!("../../policies/numaflow.json");
    let document: serde_json::Value = serde_json::from_str(text).unwrap();
    let read: NumaflowConfig = serde_json::from_value(document["kind"]["numaflow"].clone()).unwrap();
    let edge = NumaflowBuffer { length: 50, ..NumaflowBuffer::default() };
    assert_eq!(read, NumaflowConfig { edge, ..NumaflowConfig::default() });
    read.validate().unwrap();
}

proptest::proptest! {
    #[test]
    fn whatever_is_observed_it_stays_within_the_bounds_and_never_panics(
        ticks in proptest::collection::vec(
            (proptest::num::f64::ANY, crate::garbage::observation()), 1..8),
        now_s in 0.0..1e4,
    ) {
        let mut config = NumaflowConfig::default().within((&crate::pipeline(2, 9)).into());
        config.edge.length = 40;
        let mut memory = NumaflowMemory::default();
        for (n, (any_s, observation)) in ticks.iter().enumerate() {
            let now_s = if n % 2 == 0 { now_s + 30.0 * n as f64 } else { *any_s };
            let mut observation = observation.clone();
            // No rollout and no cooldown, half of the time, so that it gets as far as the numbers.
            for stage in [&mut observation.a, &mut observation.b].into_iter().flatten().filter(|_| n % 2 == 0) {
                (stage.ready, stage.starting, stage.last_change_age_s) = (stage.desired, 0, None);
            }
            if let Ok((to, _)) = config.decide(&mut memory, now_s, &observation) {
                let (a, b) = (observation.a.as_ref().unwrap(), observation.b.as_ref().unwrap());
                proptest::prop_assert!((2..=9).contains(&to.a) || to.a == a.desired, "{to:?}");
                proptest::prop_assert!((2..=9).contains(&to.b) || to.b == b.desired, "{to:?}");
            }
        }
    }
}
