//! KEDA: formulas of its documentation and tests, fallbacks of `fallback_test.go`, and what its HPA makes of them.

use splitscale_policy::hpa::{Behavior, Change, RatePolicy, Rules};
use splitscale_policy::keda::{
    Formula, KedaFallback, KedaFallbackBehavior, KedaModifiers, KedaStage, KedaTrigger,
};
use splitscale_policy::{KedaConfig, KedaMemory};
use splitscale_spec::{Observation, QueueLevel, Replicas, Signal};

use crate::{signal, stage};

const ONE_TWO_THREE: [&str; 3] = ["one", "two", "three"];

fn value(text: &str, values: [Option<f64>; 3]) -> Result<Option<f64>, String> {
    Formula::parse(text, &ONE_TWO_THREE).unwrap_or_else(|why| panic!("{text}: {why}")).value(&values)
}

/// With one 3, two 5, three 0.5.
#[track_caller]
fn comes_to(text: &str, expected: f64) {
    assert_eq!(value(text, [Some(3.0), Some(5.0), Some(0.5)]), Ok(Some(expected)), "{text}");
}

#[test]
fn formulas_of_its_documentation_come_to_what_it_says() {
    comes_to("(one + two)/2", 4.0);
    comes_to("one > 2 ? one + two : 1", 8.0);
    comes_to("one < 2 ? one + two : 1", 1.0);
    comes_to("count([one,two,three],{#>1}) > 1 ? 5 : 0", 5.0);
    comes_to("count([one,two,three],{#>4}) > 1 ? 5 : 0", 0.0);
    let nested = "one < 2 ? one+two >= 2 ? 5 : 10 : 0";
    let of = |one, two| value(nested, [Some(one), Some(two), None]);
    assert_eq!([of(1.0, 1.0), of(0.5, 1.0), of(2.0, 9.0)], [Ok(Some(5.0)), Ok(Some(10.0)), Ok(Some(0.0))]);
    comes_to("float(float(two < 5 ? one + two : 5))", 5.0);
    comes_to("float(one + 1)", 4.0);
    // The failover of the documentation and of `fallback_scaling_modifiers_test.go`.
    let failover = |one, two| value("one ?? two ?? 8", [one, two, None]);
    assert_eq!(failover(Some(3.0), Some(5.0)), Ok(Some(3.0)));
    assert_eq!(failover(None, Some(5.0)), Ok(Some(5.0)));
    assert_eq!(failover(None, None), Ok(Some(8.0)));
    assert_eq!(value("one ?? two", [None, None, Some(1.0)]), Ok(None), "nil: the fallback's replicas");
}

#[test]
fn operators_bind_as_in_expr() {
    comes_to("1 + 2 * 3", 7.0);
    comes_to("(1 + 2) * 3", 9.0);
    comes_to("8 - 2 - 1", 5.0);
    comes_to("16 / 4 / 2", 2.0);
    comes_to("7 / 2", 3.5);
    comes_to("7 % 4 * 2", 6.0);
    comes_to("int(two + 0.9) % 3", 2.0);
    comes_to("-one * -2", 6.0);
    comes_to("+one - -two", 8.0);
    comes_to("1e2 + .5 + 2E-1", 100.7);
    // Comparisons before `&&`, and that before `||`; `!` after comparisons' operands only.
    comes_to("one > 2 || two > 9 && three > 9 ? 1 : 0", 1.0);
    comes_to("(one > 2 or two > 9) and three > 9 ? 1 : 0", 0.0);
    comes_to("!(one > 2) ? 1 : not (one == 4) ? 2 : 3", 2.0);
    comes_to("one != 3 ? 1 : one <= 3 ? 2 : 3", 2.0);
    comes_to("min(two, one, 4) + max(one, 4) + abs(-2)", 9.0);
    comes_to("floor(2.7) + ceil(2.2) + round(2.5) + int(-2.7)", 6.0);
    comes_to("count([one, two], # >= 3)", 2.0);
    // `??` is the tightest: -(one ?? 4), and 1 + (one ?? two) + 2.
    assert_eq!(value("-one ?? 4", [None, None, None]), Ok(Some(-4.0)));
    assert_eq!(value("1 + one ?? two + 2", [None, Some(5.0), None]), Ok(Some(8.0)));
    assert_eq!(value("(one ?? two) * 2", [None, Some(5.0), None]), Ok(Some(10.0)));
}

#[test]
fn nil_is_an_error_where_a_number_is_needed() {
    let nil = |text| value(text, [None, Some(5.0), Some(0.5)]);
    for text in ["one + 1", "one > 2 ? 1 : 2", "min(one, two)", "-one", "count([one], {# > 1})", "float(one)"]
    {
        assert!(nil(text).is_err(), "{text}");
    }
    assert_eq!(nil("two * one").unwrap_err(), "`one` is missing outside of `??`");
    // What is not asked does not fail, and nothing but nil is equal to nil.
    assert_eq!(nil("two > 2 ? two : one"), Ok(Some(5.0)));
    assert_eq!(nil("two > 2 || one > 2 ? 1 : 0"), Ok(Some(1.0)));
    assert_eq!(nil("two < 2 && one > 2 ? 1 : 0"), Ok(Some(0.0)));
    assert_eq!(nil("one == 5 ? 1 : 0"), Ok(Some(0.0)));
    assert_eq!(nil("one != two ? 1 : 0"), Ok(Some(1.0)));
    assert_eq!(nil("two < 2 ? two : one").unwrap_err(), "nil where a number is needed");
    assert_eq!(nil("two < 2 ? two : one ?? one"), Ok(None));
    assert_eq!(nil("7 % int(two - 5)").unwrap_err(), "a remainder by zero");
}

#[test]
fn what_is_no_formula_is_refused_at_its_column() {
    let problem = |text: &str| Formula::parse(text, &ONE_TWO_THREE).unwrap_err();
    assert_eq!(problem(""), "column 1: the formula ends too early");
    assert_eq!(problem("one + "), "column 7: the formula ends too early");
    assert_eq!(problem("one + four"), "column 7: `four` is no trigger of this stage");
    assert_eq!(problem("one one"), "column 5: `one` was not expected here");
    assert_eq!(problem("(one + two"), "column 11: `)` is missing");
    assert_eq!(problem("one > 2 ? 1"), "column 12: `:` is missing");
    assert_eq!(problem("one $ 2"), "column 5: `$` has no meaning here");
    assert_eq!(problem("1.2.3"), "column 1: `1.2.3` is no number");
    assert_eq!(problem("2x"), "column 1: `2x` is no number");
    assert_eq!(problem("one ** 2"), "column 6: `*` was not expected here");
    assert_eq!(problem("one > 2"), "column 1: the formula is true or false, and no number");
    assert_eq!(problem("one ? 1 : 2"), "column 5: what stands before `?` is a number, and not true or false");
    assert_eq!(problem("one && two > 1 ? 1 : 2"), "column 5: `&&` takes what is true or false on both sides");
    assert_eq!(problem("one > 1 + (two > 1) ? 1 : 2"), "column 9: `+` takes numbers on both sides");
    assert_eq!(problem("!one > 2 ? 1 : 2"), "column 1: `!` takes what is true or false");
    assert_eq!(problem("one % 2"), "column 5: `%` takes whole numbers; make one of a trigger by int(..)");
    assert_eq!(
        problem("one ?? 1 + 2"),
        "column 10: `??` and `+` side by side; put one of them in parentheses"
    );
    assert_eq!(problem("sqrt(one)"), "column 1: `sqrt` is no function that is known here");
    assert_eq!(problem("abs(one, two)"), "column 1: `abs` does not take 2 numbers");
    assert_eq!(problem("min()"), "column 1: `min` does not take 0 numbers");
    assert_eq!(problem("# + 1"), "column 1: `#` was not expected here");
    assert_eq!(problem("count([one], {#})"), "column 14: `count` takes a condition, such as {# > 1}");
    assert!(problem(&"(".repeat(900)).ends_with("nested deeper than 64"));
    assert!(problem(&"-".repeat(900)).ends_with("nested deeper than 64"));
    assert_eq!(problem(&"1".repeat(1_001)), "column 1000: longer than 1000 characters");
    comes_to(&format!("1{}", "+1".repeat(499)), 500.0);
}

fn queue(last: f64) -> Option<Signal<QueueLevel>> {
    signal(QueueLevel { mean: 0.0, last })
}

/// So many pods of A, one of B, and nothing that waits.
fn see(time_s: f64, a: u32) -> Observation {
    Observation {
        queue_a: queue(0.0),
        queue_b: queue(0.0),
        busy_slots: signal(0.2),
        a: stage(a),
        b: stage(1),
        ..Observation::empty(time_s, 2.0)
    }
}

/// Without windows and limits, so that what the metrics want is seen.
fn free() -> Option<Behavior> {
    let rules = || Rules {
        window_s: Some(0.0),
        policies: Some(vec![RatePolicy { change: Change::Pods(1_000), period_s: 1.0 }]),
        ..Rules::default()
    };
    Some(Behavior { up: rules(), down: rules() })
}

fn triggered(signals: &[&str], target: Option<f64>) -> KedaStage {
    let trigger = |signal: &&str| KedaTrigger { signal: (*signal).to_owned(), target };
    KedaStage { triggers: signals.iter().map(trigger).collect(), behavior: free(), ..KedaStage::default() }
}

fn folded(signals: &[&str], formula: &str, target: f64) -> KedaStage {
    let modifiers = Some(KedaModifiers { formula: formula.to_owned(), target });
    KedaStage { scaling_modifiers: modifiers, ..triggered(signals, None) }
}

fn with(a: KedaStage) -> KedaConfig {
    let config = KedaConfig { a, ..KedaConfig::default() };
    config.validate().unwrap();
    config
}

fn once(config: &KedaConfig, seen: &Observation) -> (u32, String) {
    let (to, why) = config.decide(&mut KedaMemory::default(), seen.time_s, seen).unwrap();
    (to.a, why)
}

#[test]
fn its_hpa_goes_as_far_as_it_may() {
    // 95 at 10 a pod: 10 are wanted of 3. By the default behavior 7 now and 10 in the next period.
    let stage = |behavior| KedaStage { behavior, ..triggered(&["arrivals_per_s"], Some(10.0)) };
    let play = |behavior, times: &[f64]| -> Vec<u32> {
        let (config, mut memory, mut pods) = (with(stage(behavior)), KedaMemory::default(), 3);
        let mut step = |&time_s: &f64| {
            let seen = Observation { arrivals_per_s: signal(95.0), ..see(time_s, pods) };
            pods = config.decide(&mut memory, time_s, &seen).unwrap().0.a;
            pods
        };
        times.iter().map(&mut step).collect()
    };
    assert_eq!(play(Some(Behavior::default()), &[0.0, 15.0]), [7, 10]);
    // As KEDA creates it, without one: twice the pods.
    assert_eq!(play(None, &[0.0, 15.0]), [6, 10]);
    let wants = |total, pods| {
        let seen = Observation { arrivals_per_s: signal(total), ..see(0.0, pods) };
        once(&with(stage(free())), &seen).0
    };
    assert_eq!(wants(33.0, 3), 3, "1.1 is kept");
    assert_eq!(wants(33.1, 3), 4);
    // Cut off at thousandths: 33.0009 is 33.000.
    assert_eq!(wants(33.0009, 3), 3);
    assert_eq!(wants(1e7, 3), 100, "KEDA's most");
    let seen = see(0.0, 3);
    let why = KedaConfig::default().decide(&mut KedaMemory::default(), 0.0, &seen).unwrap().1;
    assert_eq!(
        why,
        "a queue_a 0.0 at 2 a pod wants 0, may have 3; b queue_b 0.0 at 2 a pod wants 0, may have 1"
    );
}

#[test]
fn of_several_triggers_the_largest_counts_and_a_missing_one_bars_the_way_down() {
    let config = with(triggered(&["queue_a", "arrivals_per_s"], Some(2.0)));
    let a = |waiting, arrivals| {
        once(&config, &Observation { queue_a: queue(waiting), arrivals_per_s: arrivals, ..see(0.0, 4) })
    };
    assert_eq!(a(12.0, signal(18.0)).0, 9);
    assert_eq!(a(12.0, None).0, 6);
    let (held, why) = a(2.0, None);
    assert_eq!(held, 4);
    assert!(
        why.starts_with("a stays, queue_a 2.0 at 2 a pod wants 1 but arrivals_per_s is missing; b"),
        "{why}"
    );
    // A signal that says of another that it is missing.
    let none = with(triggered(&["no_arrivals_per_s"], Some(0.25)));
    assert_eq!(once(&none, &see(0.0, 1)).0, 4);
}

#[test]
fn a_formula_folds_all_triggers_into_one_metric() {
    let config = with(folded(&["queue_a", "busy_slots"], "queue_a * (1 - busy_slots)", 2.0));
    let a = |waiting, busy| {
        let slots = Observation { busy_slots: busy, ..see(0.0, 4) };
        once(&config, &Observation { queue_a: queue(waiting), ..slots })
    };
    assert_eq!(a(30.0, signal(0.2)).0, 12);
    assert_eq!(a(30.0, signal(0.9)).0, 2);
    assert_eq!(a(30.0, signal(3.0)).0, 1, "below zero is the fewest");
    assert!(a(30.0, None).1.starts_with("a stays, busy_slots is missing; b"));
    // Without a fallback none is nil, whatever the formula does with it; and what is no number is an error.
    let coalesced = with(folded(&["queue_a", "arrivals_per_s"], "arrivals_per_s ?? queue_a", 2.0));
    assert!(once(&coalesced, &see(0.0, 4)).1.starts_with("a stays, arrivals_per_s is missing; b"));
    let divided = with(folded(&["queue_a"], "1 / queue_a", 2.0));
    assert!(once(&divided, &see(0.0, 4)).1.starts_with("a stays, inf is no quantity; b"));
}

/// Pods after so many times 15 s without the signal of arrivals, each poll and each sync being a failure.
fn fallen(stage: KedaStage, pods: u32, syncs: u32) -> (u32, String) {
    let (config, mut memory) = (with(stage), KedaMemory::default());
    let mut decide = |n: u32| {
        let seen = Observation { queue_a: queue(9.0), ..see(f64::from(n) * 15.0, pods) };
        config.decide(&mut memory, seen.time_s, &seen).unwrap()
    };
    let (to, why) = (0..syncs).map(&mut decide).last().unwrap();
    (to.a, why)
}

#[test]
fn a_fallback_stands_in_for_a_trigger_that_failed_more_often_than_its_threshold() {
    use KedaFallbackBehavior::{CurrentReplicas, CurrentReplicasIfHigher, CurrentReplicasIfLower, Static};
    let with_fallback = |behavior, failure_threshold| KedaStage {
        fallback: Some(KedaFallback { failure_threshold, replicas: 10, behavior }),
        ..triggered(&["arrivals_per_s"], Some(2.5))
    };
    let pods = |behavior, current| fallen(with_fallback(behavior, 0), current, 1).0;
    // `fallback_test.go`: 10 for any, the current, and 10 of 4, the larger; 6 of 10, the smaller.
    assert_eq!(pods(Static, 5), 10);
    assert_eq!(pods(Static, 15), 10);
    assert_eq!(pods(CurrentReplicas, 6), 6);
    assert_eq!(pods(CurrentReplicasIfHigher, 4), 10);
    assert_eq!(pods(CurrentReplicasIfHigher, 15), 15);
    assert_eq!(pods(CurrentReplicasIfLower, 6), 6);
    assert_eq!(pods(CurrentReplicasIfLower, 15), 10);
    // Syncs fail at 0, 15 and 30 s, polls at 0 and 30 s: the fourth failure is at 30 s.
    let after = |syncs| fallen(with_fallback(Static, 3), 5, syncs);
    assert!(after(2).1.starts_with("a stays, arrivals_per_s is missing; b"), "{}", after(2).1);
    let (to, why) = after(3);
    assert_eq!(to, 10);
    assert!(why.starts_with("a arrivals_per_s (fallback) 25.0 at 2.5 a pod wants 10; b"), "{why}");
}

#[test]
fn one_that_answers_again_has_not_failed() {
    let fallback =
        Some(KedaFallback { failure_threshold: 3, replicas: 10, behavior: KedaFallbackBehavior::Static });
    let config = with(KedaStage { fallback, ..triggered(&["arrivals_per_s"], Some(2.0)) });
    let mut memory = KedaMemory::default();
    let mut a = |n: u32, arrivals| {
        let seen = Observation { arrivals_per_s: arrivals, ..see(f64::from(n) * 15.0, 5) };
        config.decide(&mut memory, seen.time_s, &seen).unwrap().0.a
    };
    assert_eq!([a(0, None), a(1, None)], [5, 5], "three failures");
    assert_eq!(a(2, signal(12.0)), 6);
    assert_eq!([a(3, None), a(4, None)], [5, 5], "three again");
    assert_eq!(a(5, None), 10);
}

#[test]
fn with_a_formula_a_fallback_stands_for_all_or_makes_a_trigger_nil() {
    let names = ["arrivals_per_s", "queue_a"];
    let fallback = |formula, behavior| KedaStage {
        fallback: Some(KedaFallback { failure_threshold: 0, replicas: 7, behavior }),
        ..folded(&names, formula, 3.0)
    };
    // A static one is 7 pods, whatever the formula would be.
    let (to, why) = fallen(fallback("arrivals_per_s + queue_a", KedaFallbackBehavior::Static), 2, 1);
    assert_eq!(to, 7);
    assert!(why.starts_with("a composite (fallback) 21.0 at 3 a pod wants 7; b"), "{why}");
    let nil = |formula| fallen(fallback(formula, KedaFallbackBehavior::ScalingModifiers), 2, 1);
    assert_eq!(nil("arrivals_per_s ?? queue_a").0, 3, "the queue of 9");
    assert_eq!(nil("arrivals_per_s ?? arrivals_per_s").0, 7, "a formula that is nil is 7 pods");
    let (held, why) = nil("arrivals_per_s + queue_a");
    assert_eq!(held, 2);
    let words = "a stays, the formula fails: `arrivals_per_s` is missing outside of `??`; b";
    assert!(why.starts_with(words), "{why}");
}

#[test]
fn the_veto_scales_on_the_queue_but_not_up_while_the_link_is_full() {
    let config = KedaConfig::veto(2.0, 0.95);
    config.validate().unwrap();
    let (mut memory, mut pods) = (KedaMemory::default(), 3);
    let mut step = |n: u32, waiting, busy| {
        let now_s = f64::from(n) * 15.0;
        let seen = Observation { queue_a: queue(waiting), busy_slots: busy, ..see(now_s, pods) };
        pods = config.decide(&mut memory, now_s, &seen).map_or(pods, |(to, _)| to.a);
        pods
    };
    assert_eq!(step(0, 40.0, signal(0.5)), 7);
    // 20 are wanted, and the link is full: no more, though the wish of before is in the window.
    assert_eq!([step(1, 40.0, signal(0.95)), step(2, 40.0, signal(1.0))], [7, 7]);
    assert_eq!(step(3, 40.0, None), 7, "an unknown link is no empty one");
    assert_eq!(step(4, 40.0, signal(0.9)), 14, "it goes on where there is room again");
    // Down it may go all along, once 300 s have passed.
    assert_eq!([step(5, 10.0, signal(1.0)), step(25, 10.0, signal(1.0))], [14, 5]);

    // As without `behavior` it would not do: the largest of the window is what was wanted before.
    let mut without = config.clone();
    without.a.behavior = None;
    let (mut memory, mut pods) = (KedaMemory::default(), 3);
    let mut step = |n: u32, busy| {
        let now_s = f64::from(n) * 15.0;
        let seen = Observation { queue_a: queue(40.0), busy_slots: busy, ..see(now_s, pods) };
        pods = without.decide(&mut memory, now_s, &seen).unwrap().0.a;
        pods
    };
    assert_eq!([step(0, signal(0.5)), step(1, signal(1.0)), step(2, signal(1.0))], [6, 12, 20]);
}

#[test]
fn it_holds_between_syncs_and_remembers_what_its_document_says() {
    let fallback =
        Some(KedaFallback { failure_threshold: 2, replicas: 4, behavior: KedaFallbackBehavior::Static });
    let config = with(KedaStage { fallback, ..triggered(&["queue_a", "arrivals_per_s"], Some(2.0)) })
        .within((&crate::pipeline(2, 8)).into());
    assert_eq!((config.a.pods_min, config.b.pods_max), (Some(2), Some(8)));
    let (mut memory, mut pods) = (KedaMemory::default(), Replicas { a: 3, b: 2 });
    for n in 0..600u32 {
        let now_s = f64::from(n) * 3.0;
        let arrivals = if n % 50 < 25 { None } else { signal(f64::from(n % 7)) };
        let seen = Observation {
            queue_a: queue(f64::from(n * 7919 % 23)),
            arrivals_per_s: arrivals,
            b: stage(pods.b),
            ..see(now_s, pods.a)
        };
        let text = serde_json::to_string(&memory).unwrap();
        let mut read: KedaMemory = serde_json::from_str(&text).unwrap();
        let decided = config.decide(&mut memory, now_s, &seen);
        assert_eq!(config.decide(&mut read, now_s, &seen), decided);
        assert_eq!(read, memory);
        assert_eq!(decided.is_err(), n % 5 != 0, "{decided:?}");
        pods = decided.map_or(pods, |(to, _)| to);
        assert!((2..=8).contains(&pods.a), "{pods:?}");
    }
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<KedaConfig>(&text).unwrap(), config);
    assert_eq!(serde_json::from_str::<KedaConfig>("{}").unwrap(), KedaConfig::default());
}

#[test]
fn what_is_wrong_is_named() {
    let problem = |a: KedaStage| {
        let config = KedaConfig { a, ..KedaConfig::default() };
        config.validate().unwrap_err().to_string()
    };
    assert!(problem(KedaStage::default()).starts_with("a.triggers: empty; name at least one"));
    assert_eq!(
        problem(triggered(&["queue_c"], Some(1.0))),
        "a.triggers[0].signal: `queue_c` is no signal of an observation"
    );
    assert_eq!(
        problem(triggered(&["queue_a", "queue_a"], Some(1.0))),
        "a.triggers[1].signal: `queue_a` is named twice"
    );
    assert!(problem(triggered(&["queue_a"], Some(0.0))).starts_with("a.triggers[0].target: 0 is not"));
    assert_eq!(
        problem(triggered(&["queue_a"], None)),
        "a.triggers[0].target: missing; only a formula can do without"
    );
    assert_eq!(
        problem(folded(&["queue_a"], "queue_a + queue_b", 2.0)),
        "a.scaling_modifiers.formula: column 11: `queue_b` is no trigger of this stage"
    );
    assert_eq!(
        problem(folded(&["queue_a"], "1 % int(queue_a + 1)", 2.0)),
        "a.scaling_modifiers.formula: a remainder by zero, with every trigger at -1, by which KEDA tries it"
    );
    let fallback = |behavior, stage| KedaStage {
        fallback: Some(KedaFallback { failure_threshold: 3, replicas: 2, behavior }),
        ..stage
    };
    assert!(
        problem(fallback(KedaFallbackBehavior::ScalingModifiers, triggered(&["queue_a"], Some(1.0))))
            .starts_with("a.fallback.behavior: scaling_modifiers needs a formula")
    );
    assert_eq!(
        problem(fallback(KedaFallbackBehavior::Static, folded(&["queue_a"], "queue_a", 2.5))),
        "a.scaling_modifiers.target: 2.5 is no whole number, and KEDA has no fallback then"
    );
    assert!(
        problem(KedaStage { pods_min: Some(101), ..triggered(&["queue_a"], Some(1.0)) })
            .starts_with("a.pods_max: 100 is below pods_min 101")
    );
    assert!(serde_json::from_str::<KedaConfig>(r#"{"a": {"trigger": []}}"#).is_err());
}

proptest::proptest! {
    #[test]
    fn whatever_is_observed_it_stays_within_the_bounds_and_never_panics(
        ticks in proptest::collection::vec(
            (proptest::num::f64::ANY, crate::garbage::observation()), 1..8),
        now_s in 0.0..1e4,
    ) {
        let fallback =
            Some(KedaFallback { failure_threshold: 1, replicas: 3, behavior: KedaFallbackBehavior::Static });
        let formula = folded(&["queue_a", "link_mbit_s"], "queue_a / link_mbit_s + int(queue_a) % 7", 2.0);
        let a = KedaStage { fallback, ..formula };
        for config in [with(a).within((&crate::pipeline(2, 9)).into()), KedaConfig::veto(2.0, 0.9)] {
            let mut memory = KedaMemory::default();
            for (n, (any_s, observation)) in ticks.iter().enumerate() {
                let now_s = if n % 2 == 0 { now_s + 15.0 * n as f64 } else { *any_s };
                if let Ok((to, _)) = config.decide(&mut memory, now_s, observation) {
                    let a = observation.a.as_ref().unwrap();
                    proptest::prop_assert!((1..=100).contains(&to.a) || to.a == a.desired, "{to:?}");
                }
            }
        }
    }

    #[test]
    fn whatever_is_written_it_is_a_formula_or_is_not(
        text in "(one|two|[0-9.]{1,3}|min\\(|count\\(\\[|[-+*/%<>=!&|?:(),#\\[\\]{} ]{1,2}){0,20}",
        garbage in "\\PC{0,40}",
        values in proptest::array::uniform3(proptest::option::of(proptest::num::f64::ANY)),
    ) {
        for text in [text, garbage] {
            match Formula::parse(&text, &ONE_TWO_THREE) {
                Ok(formula) => drop(formula.value(&values)),
                Err(problem) => proptest::prop_assert!(problem.starts_with("column "), "{problem}"),
            }
        }
    }
}

#[test]
fn the_documents_are_its_two_constructors() {
    let read = |text| -> KedaConfig {
        let document: serde_json::Value = serde_json::from_str(text).unwrap();
        serde_json::from_value(document["kind"]["keda"].clone()).unwrap()
    };
    assert_eq!(read(include_str!("../../policies/keda-queue.json")), KedaConfig::queue(2.0));
    assert_eq!(read(include_str!("../../policies/keda-veto.json")), KedaConfig::veto(2.0, 0.95));
}
