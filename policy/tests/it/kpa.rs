//! Knative's autoscaler against the vectors of its own tests (`autoscaler_test.go`, `bucketing_test.go`).

use serde_json::{Value, json};
use splitscale_policy::kpa::KpaStage;
use splitscale_policy::{KpaConfig, KpaMemory};
use splitscale_spec::{Observation, QueueLevel, Replicas, Signal, StagePods};

use crate::signal;

fn pods(ready: u32) -> Option<StagePods> {
    Some(StagePods { ready, ..crate::stage(ready).unwrap() })
}

/// As Knative's tests have it: so much a pod, ten times up and down.
fn tested(target: f64) -> KpaConfig {
    let stage = KpaStage { target, ..KpaStage::default() };
    KpaConfig { a: stage, max_scale_up_rate: 10.0, max_scale_down_rate: 10.0, ..KpaConfig::default() }
}

/// An autoscaler whose windows are given: stage A, B silent.
struct Given {
    config: KpaConfig,
    memory: Value,
}

impl Given {
    /// Begun with one ready pod, so not in a panic, at 0 s.
    fn new(config: KpaConfig) -> Given {
        config.validate().unwrap();
        Given { config, memory: serde_json::to_value(KpaMemory::default()).unwrap() }.remember(None, 1)
    }

    fn remember(mut self, panic_s: Option<f64>, panic_pods: u32) -> Given {
        self.memory["a"]["panic_s"] = json!(panic_s);
        self.memory["a"]["panic_pods"] = json!(panic_pods);
        self
    }

    /// Pods at a time, with so many ready, where the windows hold these means.
    #[track_caller]
    fn at(&mut self, now_s: i64, ready: u32, stable: f64, panic: f64) -> u32 {
        let before = (60.0 * stable - 6.0 * panic) / 54.0;
        let bucket = |ago: i64| json!([now_s - ago, if ago < 6 { panic } else { before }]);
        self.memory["a"]["concurrency"] = (0..60).rev().map(bucket).collect();
        let mut memory: KpaMemory = serde_json::from_value(self.memory.take()).unwrap();
        let seen = Observation { a: pods(ready), b: pods(1), ..Observation::empty(now_s as f64, 2.0) };
        let (to, _) = self.config.decide(&mut memory, now_s as f64, &seen).unwrap();
        self.memory = serde_json::to_value(memory).unwrap();
        to.a
    }

    fn panic_s(&self) -> Option<f64> {
        self.memory["a"]["panic_s"].as_f64()
    }
}

#[test]
fn one_step_is_as_in_the_table_of_knative() {
    let once = |config, ready, stable, panic| Given::new(config).at(1_000, ready, stable, panic);
    assert_eq!(once(tested(10.0), 1, 50.0, 50.0), 5, "AutoscalerStableModeNoChange");
    assert_eq!(once(tested(10.0), 5, 50.0, 50.0), 5, "AutoscalerStableModeNoChangeAlreadyScaled");
    assert_eq!(once(tested(181.0), 1, 21.0, 26.0), 1, "AutoscalerStableModeUnlimitedTBC");
    assert_eq!(once(tested(10.0), 1, 50.0, 100.0), 10, "AutoscalerPanicModeDoublePodCount");
    let slow_up = KpaConfig { max_scale_up_rate: 1.1, ..tested(1.0) };
    assert_eq!(once(slow_up, 2, 3.0, 3.1), 3, "AutoscalerStableModeIncreaseWithSmallScaleUpRate");
    let slow_down = KpaConfig { max_scale_down_rate: 1.1, ..tested(10.0) };
    assert_eq!(once(slow_down, 100, 1.0, 1.0), 90, "AutoscalerStableModeDecreaseWithSmallScaleDownRate");
    assert_eq!(once(tested(10.0), 0, 1000.0, 888.0), 10, "AutoscalerUseOnePodAsMinimumIfEndpointsNotFound");
    let panicking = |stable, panic| {
        let mut given = Given::new(tested(1.0)).remember(Some(995.0), 5);
        given.at(1_000, 5, stable, panic)
    };
    assert_eq!(panicking(50.0, 30.0), 50, "AutoscalerPanicStableLargerThanPanic");
    assert_eq!(panicking(20.0, 30.0), 30, "AutoscalerPanicStableLessThanPanic");
}

#[test]
fn steps_are_limited_by_the_ready_pods() {
    // TestAutoscalerRateLimitScaleUp and TestAutoscalerRateLimitScaleDown: ten times, and a tenth.
    let mut up = Given::new(tested(10.0));
    assert_eq!(up.at(1_000, 1, 1000.0, 1001.0), 10);
    assert_eq!(up.at(1_002, 10, 1000.0, 1001.0), 100);
    let mut down = Given::new(tested(10.0));
    assert_eq!(down.at(1_000, 100, 1.0, 1.0), 10);
    assert_eq!(down.at(1_002, 10, 1.0, 1.0), 1);
    // As Knative is set up: half of 7 is 3.
    let stage = KpaStage { target: 10.0, ..KpaStage::default() };
    let mut half = Given::new(KpaConfig { a: stage, ..KpaConfig::default() });
    assert_eq!(half.at(1_000, 7, 1.0, 1.0), 3);
}

#[test]
fn a_panic_never_decreases_and_ends_a_stable_window_after_the_last_surge() {
    // TestAutoscalerPanicThenUnPanicScaleDown.
    let mut given = Given::new(tested(10.0));
    assert_eq!(given.at(1_000, 1, 100.0, 100.0), 10);
    assert_eq!(given.at(1_002, 10, 100.0, 900.0), 90);
    assert_eq!(given.at(1_032, 10, 1.0, 1.0), 90);
    assert_eq!(given.at(1_062, 10, 1.0, 1.0), 90, "60 s are not more than the window");
    assert_eq!(given.at(1_064, 10, 1.0, 1.0), 1);
    assert_eq!(given.panic_s(), None);

    // TestAutoscalerUnpanicAfterSlowIncrease: 41 of 40 ready is growth, and no surge.
    let mut slow = Given::new(tested(1.0));
    assert_eq!(slow.at(1_000, 10, 11.0, 25.0), 25);
    assert_eq!(slow.at(1_030, 40, 30.0, 41.0), 41);
    assert_eq!(slow.panic_s(), Some(1_000.0));
    assert_eq!(slow.at(1_062, 55, 50.0, 56.0), 50, "by the stable window again");
    assert_eq!(slow.panic_s(), None);

    // TestAutoscalerExtendPanicWindow: 80 of 40 is.
    let mut surge = Given::new(tested(1.0));
    assert_eq!(surge.at(1_000, 10, 11.0, 25.0), 25);
    assert_eq!(surge.at(1_030, 40, 30.0, 80.0), 80);
    assert_eq!(surge.panic_s(), Some(1_030.0));
}

#[test]
fn the_delay_holds_the_largest_count_of_its_window() {
    // TestAutoscalerScaleDownDelay, with the panic out of the way and 1 for its 0.
    let mut config = tested(10.0);
    config.max_scale_down_rate = 1e6;
    (config.a.scale_down_delay_s, config.a.panic_threshold_percent) = (300.0, 1_000.0);
    let mut given = Given::new(config);
    assert_eq!(given.at(2, 1, 40.0, 40.0), 4);
    assert_eq!(given.at(300, 1, 0.0, 0.0), 4);
    assert_eq!(given.at(302, 1, 0.0, 0.0), 1);
    assert_eq!(given.at(540, 1, 40.0, 40.0), 4);
    assert_eq!(given.at(600, 1, 30.0, 30.0), 4);
    assert_eq!(given.at(660, 1, 0.0, 0.0), 4);
    assert_eq!(given.at(840, 1, 0.0, 0.0), 3, "4 scrolls out");
    assert_eq!(given.at(900, 1, 0.0, 0.0), 1);
}

#[test]
fn it_begins_in_a_panic_where_there_is_more_than_one_pod() {
    // TestStartInPanicMode, and what it is for: nothing is known yet, so nothing is taken away.
    let idle = |time_s: f64, ready| Observation {
        queue_a: signal(QueueLevel { mean: 0.0, last: 0.0 }),
        busy_a: signal(0.0),
        a: pods(ready),
        b: pods(1),
        ..Observation::empty(time_s, 2.0)
    };
    let pods_after = |ready, later_s: f64| {
        let (config, mut memory) = (KpaConfig::default(), KpaMemory::default());
        config.decide(&mut memory, 500.0, &idle(500.0, ready)).unwrap();
        config.decide(&mut memory, 500.0 + later_s, &idle(500.0 + later_s, ready)).unwrap().0.a
    };
    assert_eq!([8, 2, 1].map(|ready| pods_after(ready, 60.0)), [8, 2, 1]);
    assert_eq!(pods_after(8, 62.0), 4, "half, once the panic is over");
}

/// Stage A with a mean queue and one of two pods at work, observed with a window and an age.
fn busy(time_s: f64, (window_s, age_s): (f64, f64), waiting: f64) -> Observation {
    Observation {
        queue_a: Some(Signal { value: QueueLevel { mean: waiting, last: 99.0 }, age_s }),
        busy_a: Some(Signal { value: 0.5, age_s }),
        a: pods(2),
        b: pods(1),
        ..Observation::empty(time_s, window_s)
    }
}

#[test]
fn windows_take_the_seconds_that_were_observed() {
    let config = KpaConfig::default();
    let mut memory = KpaMemory::default();
    let mut see = |observation: Observation| {
        let (_, why) = config.decide(&mut memory, observation.time_s, &observation).unwrap();
        let words: Vec<&str> = why.split([' ', ';']).collect();
        (words[2].parse::<f64>().unwrap(), words[4].parse::<f64>().unwrap())
    };
    // Half of two pods at work and 2 waiting: a partial window is averaged over what there is.
    assert_eq!(see(busy(1_000.0, (2.0, 0.0), 2.0)), (3.0, 3.0));
    // 2 s more at 5: four buckets.
    assert_eq!(see(busy(1_002.0, (2.0, 0.0), 4.0)), (4.0, 4.0));
    // The same scrape again, older by now, is not heard twice: 3, 3, 5, 5, and the panic window lost the first.
    assert_eq!(see(busy(1_005.0, (2.0, 3.0), 4.0)), (4.0, 4.33));
    // 30 s of silence are no zeros, and 2 s at 11 are all that the panic window has.
    assert_eq!(see(busy(1_035.0, (2.0, 0.0), 10.0)), (6.33, 11.0));
    // After 60 s the first four have gone.
    assert_eq!(see(busy(1_064.0, (2.0, 0.0), 0.0)), (6.0, 1.0));
}

#[test]
fn no_data_is_no_change() {
    let config = KpaConfig::default();
    let mut memory = KpaMemory::default();
    let mut decide = |now_s, seen: &Observation| config.decide(&mut memory, now_s, seen);
    let silent = |time_s| Observation { a: pods(2), b: pods(3), ..Observation::empty(time_s, 2.0) };
    let nothing = "a stays, no data in the last 60 s; b stays, no data in the last 60 s";
    assert_eq!(decide(1_000.0, &silent(1_000.0)).unwrap_err().words(), nothing);
    assert_eq!(decide(1_001.0, &silent(1_001.0)).unwrap_err().words(), "next tick in 1.0 s");
    // What was heard counts until it leaves the window; B stays as it is.
    let (to, why) = decide(1_002.0, &busy(1_002.0, (2.0, 0.0), 2.5)).unwrap();
    assert_eq!(to, Replicas { a: 5, b: 1 });
    let heard = "a concurrency 3.50 stable, 3.50 panic at 0.7 a pod, in panic wants 5; b stays, no data in the last 60 s";
    assert_eq!(why, heard);
    assert_eq!(decide(1_060.0, &silent(1_060.0)).unwrap().0, Replicas { a: 5, b: 3 });
    assert_eq!(decide(1_062.0, &silent(1_062.0)).unwrap_err().words(), nothing);
    let deaf = Observation { a: None, ..silent(1_064.0) };
    assert_eq!(decide(1_064.0, &deaf).unwrap_err().words(), "stage a does not answer");
}

#[test]
fn bounds_come_last_and_the_memory_stays_small() {
    let bounded = KpaConfig::default().within((&crate::pipeline(2, 6)).into());
    assert_eq!((bounded.a.pods_min, bounded.b.pods_max), (Some(2), Some(6)));
    let (mut memory, mut longest) = (KpaMemory::default(), 0);
    let delayed = KpaStage { scale_down_delay_s: 30.0, ..bounded.a.clone() };
    let config = KpaConfig { a: delayed, ..bounded };
    for n in 0..6_000u32 {
        let now_s = f64::from(n) * 0.1;
        let seen = busy(now_s, (2.0, 0.0), f64::from(n * 7919 % 13));
        let text = serde_json::to_string(&memory).unwrap();
        longest = longest.max(text.len());
        let mut read: KpaMemory = serde_json::from_str(&text).unwrap();
        let decided = config.decide(&mut memory, now_s, &seen);
        assert_eq!(config.decide(&mut read, now_s, &seen), decided);
        assert_eq!(read, memory);
        if let Ok((to, _)) = decided {
            assert!((2..=6).contains(&to.a), "{to:?}");
        }
    }
    // 60 buckets of under 30 bytes each, and less than 15 ticks that are delayed.
    assert!(longest < 2_500, "{longest} bytes");
}

#[test]
fn what_is_wrong_is_named() {
    let problem = |change: fn(&mut KpaConfig)| {
        let mut config = KpaConfig::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    assert_eq!(problem(|c| c.a.target = 0.0), "a.target: 0 is not in 0.01..=1000000");
    assert_eq!(problem(|c| c.b.stable_window_s = 5.0), "b.stable_window_s: 5 is not in 6..=3600");
    assert_eq!(problem(|c| c.b.stable_window_s = 6.5), "b.stable_window_s: 6.5 is not in whole seconds");
    assert!(
        problem(|c| c.a.panic_threshold_percent = f64::NAN).starts_with("a.panic_threshold_percent: NaN")
    );
    assert_eq!(problem(|c| c.max_scale_down_rate = 1.0), "max_scale_down_rate: 1 is not above 1");
    assert_eq!(problem(|c| c.a.pods_min = Some(0)), "a.pods_min: zero; it takes at least 1");
    assert_eq!(serde_json::from_str::<KpaConfig>("{}").unwrap(), KpaConfig::default());
    assert!(serde_json::from_str::<KpaConfig>(r#"{"target": 1}"#).is_err());
}

#[test]
fn its_document_is_how_knative_is_set_up() {
    let document: Value = serde_json::from_str(include_str!("../../policies/kpa.json")).unwrap();
    let read: KpaConfig = serde_json::from_value(document["kind"]["kpa"].clone()).unwrap();
    assert_eq!(read, KpaConfig::default());
    read.validate().unwrap();
}

proptest::proptest! {
    #[test]
    fn whatever_is_observed_it_stays_within_the_bounds_and_never_panics(
        ticks in proptest::collection::vec(
            (proptest::num::f64::ANY, crate::garbage::observation()), 1..8),
        now_s in 0.0..1e4,
    ) {
        let config = KpaConfig::default().within((&crate::pipeline(2, 9)).into());
        let mut memory = KpaMemory::default();
        for (n, (any_s, observation)) in ticks.iter().enumerate() {
            // Half of the times are plausible, so that decisions are reached too.
            let now_s = if n % 2 == 0 { now_s + n as f64 } else { *any_s };
            if let Ok((to, _)) = config.decide(&mut memory, now_s, observation) {
                let (a, b) = (observation.a.as_ref().unwrap(), observation.b.as_ref().unwrap());
                proptest::prop_assert!((2..=9).contains(&to.a) || to.a == a.desired, "{to:?}");
                proptest::prop_assert!((2..=9).contains(&to.b) || to.b == b.desired, "{to:?}");
            }
        }
    }
}
