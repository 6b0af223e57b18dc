//! The HPA against Kubernetes' own rules: every count here was worked out by hand from them.

use splitscale_policy::hpa::{Behavior, Change, HpaMetric, HpaStage, RatePolicy, Rules, Select};
use splitscale_policy::{HpaConfig, HpaMemory};
use splitscale_spec::{Observation, PodPhase, PodSample, Replicas, Signal, StagePods};

use crate::{pipeline, signal};

/// Ready for long, using so many percent of the 1 core it asks for.
fn used(pod: u32, percent: f64) -> PodSample {
    PodSample {
        pod,
        phase: PodPhase::Ready,
        ready_since_s: Some(0.0),
        cpu_used: Some(percent / 100.0),
        cpu_request: Some(1.0),
        sample_age_s: 0.0,
    }
}

fn unsampled(pod: u32) -> PodSample {
    PodSample { cpu_used: None, ..used(pod, 0.0) }
}

fn starting(pod: u32) -> PodSample {
    PodSample { phase: PodPhase::Starting, ready_since_s: None, cpu_used: None, ..used(pod, 0.0) }
}

fn stage(pods: Vec<PodSample>) -> StagePods {
    let count = |phase| pods.iter().filter(|pod| pod.phase == phase).count() as u32;
    let (ready, starting) = (count(PodPhase::Ready), count(PodPhase::Starting));
    StagePods {
        age_s: 0.0,
        desired: ready + starting,
        ready,
        starting,
        draining: count(PodPhase::Draining),
        pods_max: None,
        last_change: None,
        last_change_age_s: None,
        pods,
    }
}

/// So many pods, each using so many percent.
fn all(count: u32, percent: f64) -> StagePods {
    stage((0..count).map(|pod| used(pod, percent)).collect())
}

/// Stage A as given, B where nothing is to be done, a window of 10 s.
fn see(time_s: f64, a: StagePods) -> Observation {
    Observation { a: Some(a), b: Some(all(2, 80.0)), ..Observation::empty(time_s, 10.0) }
}

fn with(behavior: Option<Behavior>, metrics: &[HpaMetric]) -> HpaConfig {
    let stage = HpaStage { behavior, metrics: metrics.to_vec(), ..HpaStage::default() };
    HpaConfig { a: stage, ..HpaConfig::default() }
}

fn at(percent: u32) -> HpaConfig {
    with(Some(Behavior::default()), &[HpaMetric::CpuPercent(percent)])
}

/// Pods of A at 1000 s, by an HPA that has just begun.
#[track_caller]
fn once(config: &HpaConfig, a: StagePods) -> u32 {
    config.validate().unwrap();
    config.decide(&mut HpaMemory::default(), 1_000.0, &see(1_000.0, a)).unwrap().0.a
}

/// Without windows and limits, so that what the metrics want is seen.
fn free(metrics: &[HpaMetric]) -> HpaConfig {
    let rules = || Rules {
        window_s: Some(0.0),
        policies: Some(vec![RatePolicy { change: Change::Pods(1_000), period_s: 1.0 }]),
        ..Rules::default()
    };
    with(Some(Behavior { up: rules(), down: rules() }), metrics)
}

fn cpu(target: u32, pods: Vec<PodSample>) -> u32 {
    once(&free(&[HpaMetric::CpuPercent(target)]), stage(pods))
}

#[test]
fn ratios_within_the_tolerance_change_nothing() {
    let of_ten = |percent| once(&free(&[HpaMetric::CpuPercent(100)]), all(10, percent));
    assert_eq!([110.0, 111.0, 90.0, 89.0].map(of_ten), [10, 12, 10, 9]);
    // The percentage is cut off before it is divided: 111.9 % is 111 %, and 110.9 % is still kept.
    assert_eq!([111.9, 110.9, 89.9].map(of_ten), [12, 10, 9]);
    let own = |up, down| {
        let mut config = free(&[HpaMetric::CpuPercent(100)]);
        let behavior = config.a.behavior.as_mut().unwrap();
        (behavior.up.tolerance, behavior.down.tolerance) = (up, down);
        config
    };
    assert_eq!(once(&own(Some(0.0), None), all(10, 101.0)), 11);
    assert_eq!(once(&own(Some(0.5), None), all(10, 149.0)), 10);
    assert_eq!(once(&own(Some(0.5), Some(0.0)), all(10, 90.0)), 9);
}

#[test]
fn a_pod_without_a_sample_never_turns_the_direction() {
    // (3 * 50 + 100) / 4 = 62 % of 80 %: 0.775 * 4 = 3.1, so 4.
    let three = |percent| (0..3).map(move |pod| used(pod, percent));
    assert_eq!(cpu(80, three(50.0).chain([unsampled(3)]).collect()), 4);
    // Without it 3 pods at 50 % of 80 % would be 2.
    assert_eq!(cpu(80, three(50.0).collect()), 2);
    // Up: 3 * 160 / 4 = 120 % of 80 %: 1.5 * 4 = 6.
    assert_eq!(cpu(80, three(160.0).chain([unsampled(3)]).collect()), 6);
    // 3 * 100 / 4 = 75 % of 80 %: that would be down, so it stays.
    assert_eq!(cpu(80, three(100.0).chain([unsampled(3)]).collect()), 4);
    // Targets above 100 % are what a missing pod uses: (3 * 100 + 200) / 4 = 125 % of 200 %: 0.625 * 4 = 2.5.
    assert_eq!(cpu(200, three(100.0).chain([unsampled(3)]).collect()), 3);
}

#[test]
fn pods_that_are_not_ready_count_as_idle_on_the_way_up_and_not_at_all_down() {
    let two = |percent| vec![used(0, percent), used(1, percent), starting(2), starting(3)];
    // 2 * 240 / 4 = 120 % of 80 %: 1.5 * 4 = 6, where 2 pods at 3 times the target would be 6 too.
    assert_eq!(cpu(80, two(240.0)), 6);
    // 2 * 160 / 4 = 80 %: kept at 4.
    assert_eq!(cpu(80, two(160.0)), 4);
    // 2 * 120 / 4 = 60 %: the direction would turn, so 4.
    assert_eq!(cpu(80, two(120.0)), 4);
    // Down by the ready alone: 0.5 * 2 = 1.
    assert_eq!(cpu(80, two(40.0)), 1);
    // A draining pod is not there: 1.5 * 2 = 3.
    let draining = PodSample { phase: PodPhase::Draining, ..used(2, 900.0) };
    assert_eq!(cpu(80, vec![used(0, 120.0), used(1, 120.0), draining]), 3);
}

#[test]
fn a_young_pod_is_believed_a_window_after_it_became_ready() {
    let fresh = |ready_since_s| PodSample { ready_since_s: Some(ready_since_s), ..used(1, 400.0) };
    // Ready for 9 s of a window of 10 s: idle, so 160 % over 2 pods is the target and 2 are kept.
    assert_eq!(cpu(80, vec![used(0, 160.0), fresh(991.0)]), 2);
    // For 10 s: (160 + 400) / 2 = 280 % of 80 %: 3.5 * 2 = 7.
    assert_eq!(cpu(80, vec![used(0, 160.0), fresh(990.0)]), 7);
    // An older sample began before it was ready.
    let old = PodSample { sample_age_s: 1.0, ..fresh(990.0) };
    assert_eq!(cpu(80, vec![used(0, 160.0), old]), 2);
    // Without an initialisation period it is believed at once.
    let mut config = free(&[HpaMetric::CpuPercent(80)]);
    config.cpu_initialization_period_s = 0.0;
    assert_eq!(once(&config, stage(vec![used(0, 160.0), fresh(991.0)])), 7);
}

#[test]
fn a_crashed_pod_counts_once_it_is_old_enough() {
    // Both are ready at 100 s; the second falls over, and its container starts again and again.
    let why = |crashed_s: f64, now_s: f64| {
        let config = free(&[HpaMetric::CpuPercent(80)]);
        let mut memory = HpaMemory::default();
        let ready = |pod| PodSample { ready_since_s: Some(100.0), ..used(pod, 160.0) };
        config.decide(&mut memory, 110.0, &see(110.0, stage(vec![ready(0), ready(1)]))).unwrap();
        let down = PodSample { cpu_used: Some(0.0), ..starting(1) };
        let one = stage(vec![ready(0), down]);
        let _ = config.decide(&mut memory, crashed_s, &see(crashed_s, one.clone()));
        config.decide(&mut memory, now_s, &see(now_s, one)).unwrap().1
    };
    let unready = "a cpu 160 % of 80 %, 1 unready, 0 missing wants 2";
    // Within 300 s of its start it is unready, after that its zero counts, unless it fell over within 30 s.
    assert!(why(200.0, 399.0).starts_with(unready), "{}", why(200.0, 399.0));
    assert!(why(200.0, 401.0).starts_with("a cpu 80 % of 80 % wants 2"), "{}", why(200.0, 401.0));
    assert!(why(120.0, 450.0).starts_with(unready), "{}", why(120.0, 450.0));
}

#[test]
fn plain_metrics_of_pods_use_the_target_itself() {
    let cores = |pods| once(&free(&[HpaMetric::CpuCores(0.5)]), stage(pods));
    assert_eq!(cores(vec![used(0, 75.0), used(1, 75.0)]), 3);
    // Down, the missing pod uses 500 m: (2 * 250 + 500) / 3 = 333 m of 500 m: 0.666 * 3 = 2.
    assert_eq!(cores(vec![used(0, 25.0), used(1, 25.0), unsampled(2)]), 2);
    // Up, nothing: 2 * 1000 / 3 = 666 m of 500 m: 1.332 * 3 = 4.
    assert_eq!(cores(vec![used(0, 100.0), used(1, 100.0), unsampled(2)]), 4);
}

#[test]
fn external_metrics_average_over_the_pods_there_are_or_scale_the_ready_ones() {
    let external = |metric, total: Option<Signal<f64>>, pods| {
        let observation =
            Observation { arrivals_per_s: total, latency_p95_s: total, ..see(1_000.0, stage(pods)) };
        let decided = free(&[metric]).decide(&mut HpaMemory::default(), 1_000.0, &observation);
        decided.unwrap().0.a
    };
    let three = || vec![used(0, 1.0), used(1, 1.0), starting(2)];
    assert_eq!(external(HpaMetric::ArrivalsPerPod(10.0), signal(95.0), three()), 10);
    assert_eq!(external(HpaMetric::ArrivalsPerPod(10.0), signal(33.0), three()), 3, "1.1 is kept");
    assert_eq!(external(HpaMetric::ArrivalsPerPod(10.0), signal(33.1), three()), 4);
    // A value scales the two that are ready: ceil(2 * 2.0) = 4.
    assert_eq!(external(HpaMetric::LatencyP95(0.5), signal(1.0), three()), 4);
    assert_eq!(external(HpaMetric::LatencyP95(0.5), signal(0.54), three()), 3);
    assert_eq!(external(HpaMetric::ArrivalsPerPod(10.0), None, three()), 3, "missing is not zero");
}

#[test]
fn of_several_metrics_the_largest_counts_and_a_missing_one_bars_the_way_down() {
    let both = free(&[HpaMetric::CpuPercent(80), HpaMetric::ArrivalsPerPod(10.0)]);
    let decide = |percent, arrivals| {
        let seen = Observation { arrivals_per_s: arrivals, ..see(1_000.0, all(4, percent)) };
        both.decide(&mut HpaMemory::default(), 1_000.0, &seen).unwrap()
    };
    assert_eq!(decide(40.0, signal(55.0)).0.a, 6);
    assert_eq!(decide(160.0, signal(55.0)).0.a, 8);
    assert_eq!(decide(160.0, None).0.a, 8, "up goes on");
    let (held, why) = decide(40.0, None);
    assert_eq!(held.a, 4);
    assert_eq!(why, "a stays, cpu 40 % of 80 % wants 2 but arrivals is missing; b cpu 80 % of 80 % wants 2");
}

#[test]
fn the_default_behavior_goes_up_by_the_larger_of_four_and_double_each_period() {
    let config = with(Some(Behavior::default()), &[HpaMetric::ArrivalsPerPod(10.0)]);
    let mut memory = HpaMemory::default();
    let mut decide = |now_s, pods, total| {
        let seen = Observation { arrivals_per_s: signal(total), ..see(now_s, all(pods, 1.0)) };
        config.decide(&mut memory, now_s, &seen).map(|(to, _)| to.a)
    };
    assert_eq!(decide(0.0, 3, 95.0), Ok(7), "3 + 4");
    assert_eq!(decide(14.0, 7, 95.0).unwrap_err().words(), "next sync in 1.0 s");
    assert_eq!(decide(15.0, 7, 95.0), Ok(10));
    assert_eq!(decide(30.0, 10, 400.0), Ok(20), "twice");
    // Down waits until the largest recommendation, 40, is 300 s old.
    assert_eq!(decide(45.0, 20, 10.0), Ok(20));
    assert_eq!(decide(329.0, 20, 10.0), Ok(20));
    assert_eq!(decide(344.0, 20, 10.0), Ok(1));
}

#[test]
fn without_behavior_it_goes_to_twice_or_four_at_most_and_forgets_later() {
    let config = with(None, &[HpaMetric::ArrivalsPerPod(10.0)]);
    let mut memory = HpaMemory::default();
    let mut decide = |now_s, pods, total| {
        let seen = Observation { arrivals_per_s: signal(total), ..see(now_s, all(pods, 1.0)) };
        config.decide(&mut memory, now_s, &seen).unwrap().0.a
    };
    assert_eq!(decide(0.0, 1, 950.0), 4);
    assert_eq!(decide(15.0, 4, 950.0), 8);
    assert_eq!(decide(30.0, 8, 60.0), 16, "the largest of the window, 95, and twice the pods");
    assert_eq!(decide(315.0, 16, 60.0), 32, "95 is 300 s old and still counts");
    assert_eq!(decide(330.1, 32, 60.0), 6);
}

#[test]
fn a_restart_scales_nothing_down_before_a_window_has_passed() {
    let config = at(80);
    let mut memory = HpaMemory::default();
    let mut decide = |now_s| config.decide(&mut memory, now_s, &see(now_s, all(10, 8.0))).unwrap().0.a;
    assert_eq!([1_000.0, 1_285.0].map(&mut decide), [10, 10]);
    assert_eq!(decide(1_300.0), 1);
}

#[test]
fn the_up_window_takes_the_least_recommendation() {
    let mut config = with(None, &[HpaMetric::ArrivalsPerPod(10.0)]);
    let up = Rules { window_s: Some(60.0), ..Rules::default() };
    config.a.behavior = Some(Behavior { up, ..Behavior::default() });
    let mut memory = HpaMemory::default();
    let mut decide = |now_s, total| {
        let seen = Observation { arrivals_per_s: signal(total), ..see(now_s, all(4, 1.0)) };
        config.decide(&mut memory, now_s, &seen).unwrap().0.a
    };
    assert_eq!(decide(0.0, 80.0), 4, "what there was is the first recommendation");
    assert_eq!(decide(45.0, 60.0), 4);
    assert_eq!(decide(60.0, 80.0), 6, "those at 0 s are out of the window");
    assert_eq!(decide(105.0, 80.0), 8);
}

#[test]
fn rate_policies_count_from_the_pods_at_the_start_of_their_period() {
    let policies = |changes: &[Change]| {
        Some(changes.iter().map(|&change| RatePolicy { change, period_s: 60.0 }).collect())
    };
    let config = |select, changes: &[Change]| {
        let rules = || Rules { window_s: Some(0.0), policies: policies(changes), select, tolerance: None };
        with(Some(Behavior { up: rules(), down: rules() }), &[HpaMetric::ArrivalsPerPod(10.0)])
    };
    let play = |config: &HpaConfig, wanted: &[f64]| -> Vec<u32> {
        let (mut memory, mut pods) = (HpaMemory::default(), 10);
        let mut step = |(n, &total): (usize, &f64)| {
            let now_s = n as f64 * 15.0;
            let seen = Observation { arrivals_per_s: signal(total * 10.0), ..see(now_s, all(pods, 1.0)) };
            pods = config.decide(&mut memory, now_s, &seen).unwrap().0.a;
            pods
        };
        wanted.iter().enumerate().map(&mut step).collect()
    };
    let up = [50.0; 6];
    // 3 pods each 60 s: at 0 s and at 60 s.
    assert_eq!(play(&config(Select::Max, &[Change::Pods(3)]), &up), [13, 13, 13, 13, 16, 16]);
    let two = [Change::Pods(3), Change::Percent(50)];
    assert_eq!(play(&config(Select::Max, &two), &up[..5]), [15, 15, 15, 15, 23], "22.5 is rounded up");
    assert_eq!(play(&config(Select::Min, &two), &up[..5]), [13, 13, 13, 13, 16]);
    assert_eq!(play(&config(Select::Disabled, &two), &up[..2]), [10, 10]);
    let down = [1.0; 5];
    assert_eq!(play(&config(Select::Max, &two), &down), [5, 5, 5, 5, 2]);
    assert_eq!(play(&config(Select::Min, &two), &down), [7, 7, 7, 7, 4]);
    assert_eq!(play(&config(Select::Max, &[Change::Percent(25)]), &down), [7, 7, 7, 7, 5], "7.5, 5.25");
    assert_eq!(play(&config(Select::Disabled, &two), &down[..2]), [10, 10]);
    // The base takes both directions: 10, up to 13, down to 10 again, and 3 more from the 10 at the start.
    assert_eq!(play(&config(Select::Max, &[Change::Pods(3)]), &[50.0, 5.0, 50.0]), [13, 7, 13]);
}

#[test]
fn bounds_come_first_and_last() {
    let mut config = free(&[HpaMetric::CpuPercent(80)]);
    (config.a.pods_min, config.a.pods_max) = (Some(3), Some(6));
    assert_eq!(once(&config, all(9, 80.0)), 6);
    assert_eq!(once(&config, all(2, 80.0)), 3);
    assert_eq!(once(&config, all(4, 400.0)), 6);
    assert_eq!(once(&config, all(4, 4.0)), 3);
    // Outside of the bounds no metric is asked.
    assert_eq!(once(&config, stage((0..9).map(unsampled).collect())), 6);
    let zero = once(&config, StagePods { desired: 0, ..all(0, 0.0) });
    assert_eq!(zero, 0, "zero pods are a pause");
    let bounded = HpaConfig::default().within((&pipeline(2, 8)).into());
    assert_eq!((bounded.a.pods_min, bounded.b.pods_max), (Some(2), Some(8)));
    assert_eq!(once(&bounded, all(4, 800.0)), 8);
}

#[test]
fn two_hpas_know_nothing_of_each_other_and_hold_together_only_if_both_are_blind() {
    let config = at(80);
    let blind = |pods| stage((0..pods).map(unsampled).collect());
    let mut seen = see(1_000.0, blind(3));
    seen.b = Some(all(2, 160.0));
    let (to, why) = config.decide(&mut HpaMemory::default(), 1_000.0, &seen).unwrap();
    assert_eq!(to, Replicas { a: 3, b: 4 });
    assert_eq!(why, "a stays, no ready pod with a cpu sample; b cpu 160 % of 80 % wants 4");
    seen.b = Some(blind(2));
    let why = config.decide(&mut HpaMemory::default(), 1_000.0, &seen).unwrap_err();
    assert_eq!(
        why.words(),
        "a stays, no ready pod with a cpu sample; b stays, no ready pod with a cpu sample"
    );
    seen.b = None;
    assert_eq!(
        config.decide(&mut HpaMemory::default(), 1_000.0, &seen).unwrap_err().words(),
        "stage b does not answer"
    );
    let no_request = stage(vec![PodSample { cpu_request: None, ..used(0, 80.0) }]);
    let (_, why) = config.decide(&mut HpaMemory::default(), 1_000.0, &see(1_000.0, no_request)).unwrap();
    assert!(why.starts_with("a stays, a pod without a cpu request"), "{why}");
}

#[test]
fn what_it_remembers_goes_through_its_document_and_stays_small() {
    let config = with(Some(Behavior::default()), &[HpaMetric::ArrivalsPerPod(10.0)]);
    let (mut memory, mut pods) = (HpaMemory::default(), 5);
    let mut longest = 0;
    for n in 0..2_000u32 {
        let now_s = f64::from(n) * 5.0;
        let load = f64::from(n * 7919 % 211);
        let seen = Observation { arrivals_per_s: signal(load), ..see(now_s, all(pods, 1.0)) };
        let text = serde_json::to_string(&memory).unwrap();
        longest = longest.max(text.len());
        let mut read: HpaMemory = serde_json::from_str(&text).unwrap();
        let decided = config.decide(&mut memory, now_s, &seen);
        assert_eq!(config.decide(&mut read, now_s, &seen), decided);
        assert_eq!(read, memory);
        pods = decided.map_or(pods, |(to, _)| to.a);
    }
    assert!(longest < 4_000, "{longest} bytes");
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<HpaConfig>(&text).unwrap(), config);
    assert_eq!(serde_json::from_str::<HpaConfig>("{}").unwrap(), HpaConfig::default());
    assert!(serde_json::from_str::<HpaConfig>(r#"{"sync_s": 1}"#).is_err());
}

#[test]
fn what_is_wrong_is_named() {
    let problem = |change: fn(&mut HpaConfig)| {
        let mut config = at(80);
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    assert_eq!(problem(|c| c.sync_period_s = 0.0), "sync_period_s: 0 is not a finite number above zero");
    assert!(problem(|c| c.tolerance = f64::NAN).starts_with("tolerance: NaN is not"));
    assert_eq!(problem(|c| c.a.pods_min = Some(0)), "a.pods_min: zero; it takes at least 1");
    assert_eq!(
        problem(|c| (c.b.pods_min, c.b.pods_max) = (Some(4), Some(3))),
        "b.pods_max: 3 is below pods_min 4"
    );
    assert!(problem(|c| c.a.metrics.clear()).starts_with("a.metrics: empty; name at least one"));
    assert_eq!(
        problem(|c| c.b.metrics = vec![HpaMetric::CpuPercent(0)]),
        "b.metrics[0].cpu_percent: zero; it takes at least 1"
    );
    let down = |policies: Vec<RatePolicy>| {
        let down = Rules { policies: Some(policies), ..Rules::default() };
        let behavior = Some(Behavior { down, ..Behavior::default() });
        with(behavior, &[HpaMetric::CpuPercent(80)]).validate().unwrap_err().to_string()
    };
    assert!(down(Vec::new()).starts_with("a.behavior.down.policies: empty; name at least one"));
    let still = RatePolicy { change: Change::Pods(1), period_s: 0.0 };
    assert!(down(vec![still]).starts_with("a.behavior.down.policies[0].period_s: 0 is not"));
}

#[test]
fn its_document_is_how_kubernetes_is_set_up() {
    let document: serde_json::Value = serde_json::from_str(include_str!("../../policies/hpa.json")).unwrap();
    let read: HpaConfig = serde_json::from_value(document["kind"]["hpa"].clone()).unwrap();
    assert_eq!(read, HpaConfig::default());
}

proptest::proptest! {
    #[test]
    fn whatever_is_observed_it_stays_within_the_bounds_and_never_panics(
        pods in proptest::collection::vec(
            (0u32..6, proptest::num::f64::ANY, proptest::num::f64::ANY, 0u8..4), 0..6),
        times in proptest::collection::vec(proptest::num::f64::ANY, 1..4),
        desired in proptest::num::u32::ANY,
        signal in proptest::num::f64::ANY,
    ) {
        let sample = |&(pod, used, request, kind): &(u32, f64, f64, u8)| PodSample {
            pod,
            phase: [PodPhase::Ready, PodPhase::Starting, PodPhase::Draining, PodPhase::Ready][kind as usize],
            ready_since_s: (kind != 1).then_some(used),
            cpu_used: (kind != 3).then_some(used),
            cpu_request: Some(request),
            sample_age_s: used,
        };
        let pods: Vec<PodSample> = pods.iter().map(sample).collect();
        let metrics = [HpaMetric::CpuPercent(80), HpaMetric::ArrivalsPerPod(2.0), HpaMetric::LatencyP95(1.0)];
        for behavior in [None, Some(Behavior::default())] {
            let mut config = with(behavior, &metrics);
            (config.a.pods_min, config.a.pods_max) = (Some(2), Some(9));
            let mut memory = HpaMemory::default();
            for &now_s in &times {
                let a = StagePods { desired, ready: desired, starting: desired, ..stage(pods.clone()) };
                let value = Some(Signal { value: signal, age_s: 0.0 });
                let seen = Observation { arrivals_per_s: value, latency_p95_s: value, ..see(now_s, a) };
                if let Ok((to, _)) = config.decide(&mut memory, now_s, &seen) {
                    proptest::prop_assert!((2..=9).contains(&to.a) || to.a == desired, "{to:?}");
                }
            }
        }
    }
}
