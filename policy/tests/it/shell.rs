//! What holds a controller back, one limit at a time.

use splitscale_policy::hpa::{HpaMetric, HpaStage};
use splitscale_policy::{
    Bounds, Controller, Decision, HpaConfig, Limiter, Mode, Policy, PolicyKind, Rate, Setup, ShellConfig,
};
use splitscale_spec::{Observation, Replicas};

use crate::{signal, stage, table};

pub(crate) fn constant(a: u32, b: u32) -> Policy {
    Policy { name: "constant".into(), kind: PolicyKind::Static(Replicas { a, b }), region: None, ..table() }
}

pub(crate) fn hpa() -> Policy {
    Policy {
        name: "hpa".into(),
        kind: PolicyKind::Hpa(Box::new(HpaConfig::of_both(HpaStage {
            metrics: vec![HpaMetric::ArrivalsPerPod(3.0)],
            ..HpaStage::default()
        }))),
        region: None,
        ..table()
    }
}

pub(crate) fn started(policy: Policy, baseline: Option<Policy>, shell: ShellConfig) -> Controller {
    let bounds = Bounds { pods_min: Replicas { a: 1, b: 1 }, pods_max: Replicas { a: 10, b: 10 } };
    let setup = Setup { schema: Setup::SCHEMA, policy, baseline, bounds, useful: None, shell };
    Controller::new(setup, Mode::Auto).unwrap()
}

/// Both stages with so many pods, nothing else known.
fn pods(time_s: f64, a: u32, b: u32) -> Observation {
    Observation { a: stage(a), b: stage(b), ..Observation::empty(time_s, 5.0) }
}

/// A slots table that wants 2 at one slot and 6 at eight; it turns as the slots do.
fn turning(time_s: f64, slots: u32, now: Replicas) -> Observation {
    Observation { slots: signal(slots), ..pods(time_s, now.a, now.b) }
}

pub(crate) fn by(decision: &Decision) -> Vec<Limiter> {
    decision.limits.iter().map(|limit| limit.by).collect()
}

#[test]
fn rates_hold_over_their_period_and_steps_in_one_decision() {
    let shell = ShellConfig {
        rate_up: Some(Rate { pods: 3, period_s: 10.0 }),
        step_up: Some(2),
        rate_down: Some(Rate { pods: 1, period_s: 10.0 }),
        ..ShellConfig::bare(10.0)
    };
    let mut up = started(constant(9, 1), None, shell.clone());
    let mut a = 2;
    let mut way = Vec::new();
    for second in 0..22 {
        let decision = up.decide(f64::from(second), &pods(f64::from(second), a, 1));
        a = decision.pods.unwrap().a;
        way.push(a);
        assert_eq!(decision.raw, Some(Replicas { a: 9, b: 1 }));
    }
    // Two at once, a third within the ten seconds; what was there at 0 s counts until then.
    assert_eq!(way[..12], [4, 5, 5, 5, 5, 5, 5, 5, 5, 5, 7, 8]);
    assert_eq!(way[20..], [9, 9]);
    let mut down = started(constant(1, 1), None, shell);
    let first = down.decide(0.0, &pods(0.0, 6, 6));
    assert_eq!((first.pods, by(&first)), (Some(Replicas { a: 5, b: 5 }), vec![Limiter::Rate]));
    assert!(first.why.iter().any(|why| why == "a 5 in place of 1 (rate), b 5 in place of 1 (rate)"));
}

#[test]
fn what_others_did_within_the_period_is_no_licence() {
    let rate = Some(Rate { pods: 2, period_s: 60.0 });
    let shell = ShellConfig { rate_up: rate, rate_down: rate, ..ShellConfig::bare(10.0) };
    let mut controller = started(constant(9, 9), None, shell);
    assert_eq!(controller.decide(0.0, &pods(0.0, 8, 8)).pods, Some(Replicas { a: 9, b: 9 }));
    // Somebody took nearly all of A away. Two more of it would still be six less than a moment ago: it stays.
    let robbed = controller.decide(5.0, &pods(5.0, 1, 9));
    assert_eq!(robbed.pods, Some(Replicas { a: 1, b: 9 }));
    assert_eq!(controller.decide(66.0, &pods(66.0, 1, 9)).pods, Some(Replicas { a: 3, b: 9 }));
}

#[test]
fn down_goes_no_further_than_the_most_that_was_wanted_lately() {
    let shell = ShellConfig { down_window_s: 60.0, ..ShellConfig::bare(10.0) };
    let mut controller = started(table(), None, shell);
    let now = Replicas { a: 6, b: 5 };
    assert_eq!(controller.decide(0.0, &turning(0.0, 8, now)).pods, Some(now));
    let held = controller.decide(59.0, &turning(59.0, 1, now));
    assert_eq!((held.pods, by(&held)), (Some(now), vec![Limiter::Stabilisation]));
    assert_eq!(controller.decide(60.0, &turning(60.0, 1, now)).pods, Some(Replicas { a: 2, b: 2 }));
}

#[test]
fn the_first_window_after_a_start_or_a_new_lead_only_grows() {
    let shell = ShellConfig { settle_s: 15.0, ..ShellConfig::bare(10.0) };
    let mut controller = started(table(), None, shell);
    let six = Replicas { a: 6, b: 6 };
    let first = controller.decide(100.0, &turning(100.0, 1, six));
    assert_eq!((first.pods, by(&first)), (Some(six), vec![Limiter::Settling]));
    let two = Replicas { a: 2, b: 2 };
    assert_eq!(controller.decide(101.0, &turning(101.0, 8, two)).pods, Some(Replicas { a: 6, b: 5 }));
    assert_eq!(controller.decide(115.0, &turning(115.0, 1, six)).pods, Some(two));
    controller.lead();
    assert_eq!(controller.decide(116.0, &turning(116.0, 1, six)).pods, Some(six));
}

#[test]
fn turns_are_counted_by_the_hour_and_up_is_always_possible() {
    let shell = ShellConfig { reversals_per_hour: Some(4), ..ShellConfig::bare(10.0) };
    let mut controller = started(table(), None, shell);
    let (mut now, mut turns, mut grew) = (Replicas { a: 3, b: 3 }, 0, None);
    for minute in 0..59 {
        let at_s = f64::from(minute) * 60.0;
        let slots = if minute % 2 == 0 { 1 } else { 8 };
        let to = controller.decide(at_s, &turning(at_s, slots, now)).pods.unwrap();
        if to.a != now.a {
            turns += u32::from(grew == Some(to.a < now.a));
            grew = Some(to.a > now.a);
        }
        now = to;
    }
    assert_eq!(turns, 3, "a fourth would leave none to turn up again");
    assert_eq!(now.a, 6, "it ended with more");
    let later = controller.decide(3_700.0, &turning(3_700.0, 1, now));
    assert_eq!(later.pods, Some(Replicas { a: 2, b: 2 }), "an hour on there is room again");
}

#[test]
fn a_budget_is_shared_and_one_grows_into_what_the_other_gives_up() {
    let budget = |shell| ShellConfig { budget: Some(9), ..shell };
    let mut controller = started(constant(8, 4), None, budget(ShellConfig::bare(10.0)));
    let both = controller.decide(0.0, &pods(0.0, 4, 4));
    assert_eq!((both.pods, by(&both)), (Some(Replicas { a: 6, b: 3 }), vec![Limiter::Budget]));
    // B may lose one pod in this time, and A grows by one in place of four into what B gives up; at length it gets there.
    let slow = ShellConfig { rate_down: Some(Rate { pods: 1, period_s: 30.0 }), ..ShellConfig::bare(10.0) };
    let mut legs = started(constant(8, 1), None, budget(slow));
    let first = legs.decide(0.0, &pods(0.0, 4, 5));
    assert_eq!(first.pods, Some(Replicas { a: 5, b: 4 }));
    assert_eq!(by(&first), [Limiter::Rate, Limiter::Budget]);
    let mut now = first.pods.unwrap();
    for tick in 1..5 {
        let at_s = 30.0 * f64::from(tick);
        now = legs.decide(at_s, &pods(at_s, now.a, now.b)).pods.unwrap();
        assert_eq!(now.a + now.b, 9);
    }
    assert_eq!(now, Replicas { a: 8, b: 1 });
    // Above the budget already: only down.
    let slow = ShellConfig { rate_down: Some(Rate { pods: 1, period_s: 30.0 }), ..ShellConfig::bare(10.0) };
    let mut above = started(constant(9, 9), None, budget(slow));
    assert_eq!(above.decide(0.0, &pods(0.0, 10, 2)).pods, Some(Replicas { a: 9, b: 2 }));
}

#[test]
fn what_is_missing_holds_for_a_while_and_then_the_baseline_decides() {
    let shell = ShellConfig { hold_s: 30.0, ..ShellConfig::bare(10.0) };
    let mut controller = started(table(), Some(constant(4, 4)), shell);
    let blind = |at_s: f64| pods(at_s, 6, 6);
    let first = controller.decide(0.0, &blind(0.0));
    assert_eq!(first.pods, None);
    assert_eq!(first.why, ["slots missing, the baseline decides in 30.0 s: hold"]);
    assert_eq!(controller.decide(29.0, &blind(29.0)).pods, None);
    let then = controller.decide(30.0, &blind(30.0));
    assert_eq!((then.pods, by(&then)), (Some(Replicas { a: 4, b: 4 }), vec![Limiter::Baseline]));
    assert_eq!(then.why[0], "slots missing: by the baseline `constant`");
    // Seen once, and the time begins anew.
    let six = Replicas { a: 6, b: 6 };
    assert_eq!(controller.decide(31.0, &turning(31.0, 1, six)).pods, Some(Replicas { a: 2, b: 2 }));
    assert_eq!(controller.decide(32.0, &blind(32.0)).pods, None);
}

#[test]
fn outside_of_the_region_and_on_nonsense_the_baseline_decides_at_once() {
    let shell = || ShellConfig { hold_s: 30.0, ..ShellConfig::bare(10.0) };
    let four = Some(Replicas { a: 4, b: 4 });
    let mut controller = started(table(), Some(constant(4, 4)), shell());
    let outside = controller.decide(0.0, &turning(0.0, 9, Replicas { a: 6, b: 6 }));
    assert_eq!((outside.pods, by(&outside)), (four, vec![Limiter::Baseline]));
    for busy in [f64::NAN, f64::INFINITY, -0.1, 3.0] {
        let mut controller = started(table(), Some(constant(4, 4)), shell());
        let seen = Observation { busy_b: signal(busy), ..turning(0.0, 1, Replicas { a: 6, b: 6 }) };
        let decision = controller.decide(0.0, &seen);
        assert_eq!(decision.pods, four, "{busy}");
        assert_eq!(decision.why[0], format!("busy_b {busy} is no measurement: by the baseline `constant`"));
    }
}

#[test]
fn modes_pause_and_hold_at_the_most() {
    let shell = ShellConfig { rate_up: Some(Rate { pods: 1, period_s: 60.0 }), ..ShellConfig::bare(10.0) };
    let mut controller = started(constant(3, 3), None, ShellConfig { budget: Some(15), ..shell });
    controller.set_mode(Mode::Paused);
    let paused = controller.decide(0.0, &pods(0.0, 2, 2));
    assert_eq!((paused.pods, paused.why), (None, vec!["paused: hold".to_owned()]));
    controller.set_mode(Mode::Emergency);
    let most = controller.decide(1.0, &pods(1.0, 2, 2));
    assert_eq!(most.pods, Some(Replicas { a: 7, b: 8 }), "no rate, but the budget");
    controller.set_mode(Mode::Recommend);
    // What was recommended was not told: no rate is used up, and nothing is a turn.
    for second in 2..80 {
        let at_s = f64::from(second);
        let decision = controller.decide(at_s, &pods(at_s, 2, 2));
        assert_eq!((decision.mode, decision.pods.is_some()), (Mode::Recommend, true));
    }
    let then = controller.decide(200.0, &pods(200.0, 2, 2));
    assert_eq!(then.pods, Some(Replicas { a: 3, b: 3 }));
}

#[test]
fn an_emergency_needs_to_see_nothing() {
    let mut controller = started(constant(3, 3), None, ShellConfig::default());
    controller.set_mode(Mode::Emergency);
    let blind = controller.decide(0.0, &Observation::empty(0.0, 5.0));
    assert_eq!((blind.from, blind.pods), (None, Some(Replicas { a: 10, b: 10 })));
    // A stage that answered once and is dead since is not known either.
    let mut dead = pods(100.0, 10, 10);
    dead.b.as_mut().unwrap().age_s = 60.0;
    let decision = controller.decide(100.0, &dead);
    assert_eq!((decision.from, decision.pods), (None, blind.pods));
}

#[test]
fn a_rule_that_syncs_seldom_is_replaced_as_one_that_always_decides() {
    // No pod has a CPU sample: every 15 s the HPA sees nothing, and waits in between.
    let shell = ShellConfig { hold_s: 30.0, ..ShellConfig::bare(10.0) };
    let mut controller = started(Policy::hpa(), Some(constant(4, 4)), shell);
    let first = (0..120).find(|&second| {
        let at_s = f64::from(second);
        controller.decide(at_s, &pods(at_s, 6, 6)).pods.is_some()
    });
    assert_eq!(first, Some(30));
}

#[test]
fn who_has_looked_and_stays_is_not_replaced() {
    // Every pod is starting, by which Numaflow skips a vertex on purpose, and for as long as it takes.
    let shell = ShellConfig { hold_s: 30.0, ..ShellConfig::bare(10.0) };
    let kind = PolicyKind::Numaflow(Box::default());
    let policy = Policy { kind, region: None, ..table() };
    let mut controller = started(policy, Some(constant(4, 4)), shell);
    let seen = |time_s: f64| {
        let mut seen = pods(time_s, 6, 6);
        for stage in [&mut seen.a, &mut seen.b].into_iter().flatten() {
            stage.ready = 2;
        }
        seen
    };
    for second in 0..300 {
        let decision = controller.decide(f64::from(second), &seen(f64::from(second)));
        assert_eq!(decision.pods, None, "{:?}", decision.why);
    }
}

#[test]
fn another_process_goes_on_with_what_was_remembered() {
    let rate = Some(Rate { pods: 2, period_s: 60.0 });
    let shell = ShellConfig { rate_up: rate, settle_s: 15.0, ..ShellConfig::bare(10.0) };
    let mut controller = started(constant(9, 9), None, shell.clone());
    controller.decide(1_000.0, &pods(1_000.0, 2, 2));
    let last = controller.decide(1_010.0, &pods(1_010.0, 4, 4));
    assert_eq!(last.pods, Some(Replicas { a: 4, b: 4 }));
    let mut next = started(constant(9, 9), None, shell.clone());
    next.resume(&last);
    let first = next.decide(1_011.0, &pods(1_011.0, 4, 4));
    assert_eq!((first.id, first.pods), (3, Some(Replicas { a: 4, b: 4 })), "the rate still counts");
    assert_eq!(next.decide(1_072.0, &pods(1_072.0, 4, 4)).pods, Some(Replicas { a: 6, b: 6 }));

    // What was carried out last counts too, whatever another policy would have made of it; what there is now the stages say.
    let mut controller = started(constant(9, 9), None, shell.clone());
    let last = controller.decide(0.0, &pods(0.0, 2, 2));
    let carried_out = Decision { carried_out: Some(true), ..last };
    let mut next = started(constant(5, 5), None, shell);
    next.resume(&carried_out);
    let first = next.decide(0.0, &pods(0.0, 3, 3));
    assert_eq!((first.from, first.pods), (Some(Replicas { a: 3, b: 3 }), Some(Replicas { a: 4, b: 4 })));
}

#[test]
fn what_was_told_counts_until_the_stage_has_answered_since() {
    let mut controller = started(table(), None, ShellConfig::bare(10.0));
    let six = Replicas { a: 6, b: 6 };
    assert_eq!(controller.decide(10.0, &turning(10.0, 1, six)).pods, Some(Replicas { a: 2, b: 2 }));
    let mut old = turning(12.0, 1, six);
    old.a.as_mut().unwrap().age_s = 3.0;
    // A's number is from before it was told; B's is from after: someone else has changed B.
    let decision = controller.decide(12.0, &old);
    assert_eq!(decision.why.last().unwrap(), "a 2, b 6 -> 2");
}

#[test]
fn a_setup_that_cannot_be_names_the_field() {
    let problem = |change: fn(&mut Setup)| {
        let mut setup = started(table(), None, ShellConfig::default()).setup().clone();
        change(&mut setup);
        setup.validate().unwrap_err().to_string()
    };
    let rate = Some(Rate { pods: 0, period_s: 1.0 });
    assert!(problem(|s| s.schema = 9).starts_with("schema: "));
    assert!(problem(|s| s.shell.budget = Some(1)).starts_with("shell.budget: 1 is below the fewest"));
    assert!(problem(|s| s.shell.reversals_per_hour = Some(1)).starts_with("shell.reversals_per_hour: 1; "));
    assert!(problem(|s| s.bounds.pods_max.b = 0).starts_with("bounds.pods_max.b: 0 is below"));
    assert!(problem(|s| s.baseline = Some(constant(0, 1))).starts_with("baseline.kind.static.a: zero"));
    assert!(problem(|s| s.shell.hold_s = f64::NAN).starts_with("shell.hold_s: NaN"));
    assert!(problem(|s| s.shell.max_age_s = f64::INFINITY).starts_with("shell.max_age_s: inf"));
    let mut setup = started(table(), None, ShellConfig::default()).setup().clone();
    setup.shell.rate_down = rate;
    assert!(setup.validate().unwrap_err().to_string().starts_with("shell.rate_down.pods: zero"));
}
