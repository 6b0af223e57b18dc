//! What holds a controller back, one limit at a time, and all of them over a million ticks of garbage.

use splitscale_policy::hpa::{HpaMetric, HpaStage};
use splitscale_policy::{
    Bounds, Controller, Decision, HpaConfig, Limiter, Mode, Policy, PolicyKind, Rate, Setup, ShellConfig,
};
use splitscale_spec::{LinkEstimate, Observation, QueueLevel, Replicas, Signal, StagePods};

use crate::greedy::tiled;
use crate::{signal, stage, table};

fn constant(a: u32, b: u32) -> Policy {
    Policy { name: "constant".into(), kind: PolicyKind::Static(Replicas { a, b }), region: None, ..table() }
}

fn hpa() -> Policy {
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

fn started(policy: Policy, baseline: Option<Policy>, shell: ShellConfig) -> Controller {
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

fn by(decision: &Decision) -> Vec<Limiter> {
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
fn a_budget_is_shared_and_moves_both_stages_or_neither() {
    let budget = |shell| ShellConfig { budget: Some(9), ..shell };
    let mut controller = started(constant(8, 4), None, budget(ShellConfig::bare(10.0)));
    let both = controller.decide(0.0, &pods(0.0, 4, 4));
    assert_eq!((both.pods, by(&both)), (Some(Replicas { a: 6, b: 3 }), vec![Limiter::Budget]));
    // B may lose one pod in this time, and A would grow by four into what B has not given up yet.
    let slow = ShellConfig { rate_down: Some(Rate { pods: 1, period_s: 30.0 }), ..ShellConfig::bare(10.0) };
    let mut legs = started(constant(8, 1), None, budget(slow));
    let neither = legs.decide(0.0, &pods(0.0, 4, 5));
    assert_eq!(neither.pods, Some(Replicas { a: 4, b: 5 }));
    assert_eq!(by(&neither), [Limiter::Rate, Limiter::Budget]);
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
    assert_eq!(first.why, ["slots are missing, the baseline decides in 30.0 s: hold"]);
    assert_eq!(controller.decide(29.0, &blind(29.0)).pods, None);
    let then = controller.decide(30.0, &blind(30.0));
    assert_eq!((then.pods, by(&then)), (Some(Replicas { a: 4, b: 4 }), vec![Limiter::Baseline]));
    assert_eq!(then.why[0], "slots are missing: by the baseline `constant`");
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
    assert_eq!(controller.decide(2.0, &pods(2.0, 7, 8)).mode, Mode::Recommend);
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
fn a_decision_is_taken_again_from_its_memory() {
    let mut controller = started(table(), Some(hpa()), ShellConfig::default());
    let mut now = Replicas { a: 4, b: 4 };
    let mut chance = Chance(7);
    let mut lines = Vec::new();
    for tick in 0..500 {
        let at_s = 2.0 * f64::from(tick);
        let seen = chance.observation(at_s, now, false);
        let decision = controller.decide(at_s, &seen);
        now = decision.pods.unwrap_or(now);
        lines.push(serde_json::to_string(&decision).unwrap());
    }
    assert!(lines.iter().any(|line| line.contains("stabilisation")));
    for line in lines.iter().rev() {
        let logged: Decision = serde_json::from_str(line).unwrap();
        controller.rewind(&logged);
        assert_eq!(controller.decide(logged.now_s, &logged.observed), logged);
    }
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
    let mut setup = started(table(), None, ShellConfig::default()).setup().clone();
    setup.shell.rate_down = rate;
    assert!(setup.validate().unwrap_err().to_string().starts_with("shell.rate_down.pods: zero"));
}

/// splitmix64 (Steele, Lea and Flood, 2014): enough chance for a million ticks in a second.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Mostly plausible, and now and then whatever a float can be.
    fn value(&mut self, most: f64, garbage: bool) -> f64 {
        match self.below(400) {
            0 if garbage => f64::from_bits(self.next()),
            1 if garbage => [f64::NAN, f64::INFINITY, -1.0, 0.0][self.below(4) as usize],
            _ => most * self.below(1 << 20) as f64 / f64::from(1 << 20),
        }
    }

    fn signal(&mut self, most: f64, garbage: bool) -> Option<Signal<f64>> {
        let (value, age_s) = (self.value(most, garbage), self.value(11.0, garbage));
        (self.below(20) > 0).then_some(Signal { value, age_s })
    }

    fn queue(&mut self, garbage: bool) -> Option<Signal<QueueLevel>> {
        let last = self.value(40.0, garbage);
        Some(self.signal(40.0, garbage)?.map(|mean| QueueLevel { mean, last }))
    }

    /// A stage that has so many pods. Dropped scrapes leave an older answer standing, which is never a lie.
    fn stage(&mut self, now: u32) -> Option<StagePods> {
        let mut pods = stage(now)?;
        pods.ready = self.below(u64::from(now) + 1) as u32;
        pods.starting = now - pods.ready;
        (self.below(20) > 0).then_some(pods)
    }

    fn observation(&mut self, time_s: f64, now: Replicas, garbage: bool) -> Observation {
        let link = LinkEstimate {
            mbit_s: self.value(100.0, garbage),
            confidence: self.value(1.0, garbage),
            age_s: self.value(9.0, garbage),
        };
        Observation {
            arrivals_per_s: self.signal(30.0, garbage),
            answers_per_s: self.signal(30.0, garbage),
            queue_a: self.queue(garbage),
            queue_proxy: self.queue(garbage),
            queue_b: self.queue(garbage),
            busy_a: self.signal(1.0, garbage),
            busy_slots: self.signal(1.0, garbage),
            busy_b: self.signal(1.0, garbage),
            slots: Some(Signal { value: self.below(10) as u32, age_s: self.value(11.0, garbage) }),
            latency_p50_s: self.signal(3.0, garbage),
            latency_p95_s: self.signal(3.0, garbage),
            link: (self.below(3) > 0).then_some(link),
            a: self.stage(now.a),
            b: self.stage(now.b),
            ..Observation::empty(time_s, 5.0)
        }
    }
}

/// What is checked of one stage: the pods it really had, on a clock that never goes back.
#[derive(Default)]
struct Watch {
    had: Vec<(f64, u32)>,
    grew: Option<bool>,
    turns: Vec<f64>,
}

impl Watch {
    /// The pods go from `now` to `to`; what there was of them before is known.
    fn moves(&mut self, at_s: f64, now: u32, to: u32, shell: &ShellConfig) {
        let (up, down) = (shell.rate_up.unwrap(), shell.rate_down.unwrap());
        self.had.retain(|&(at, _)| at > at_s - up.period_s.max(down.period_s));
        self.had.push((at_s, now));
        let since =
            |period_s: f64| self.had.iter().filter(move |had| had.0 > at_s - period_s).map(|had| had.1);
        let least = since(up.period_s).min().unwrap();
        let most = since(down.period_s).max().unwrap();
        assert!(to <= now || to <= least + up.pods, "{now} to {to}, and there were {least}");
        assert!(to >= now || to + down.pods >= most, "{now} to {to}, and there were {most}");
        assert!(to <= now + shell.step_up.unwrap() && to + shell.step_down.unwrap() >= now);
        self.had.push((at_s, to));
        self.turns.retain(|&turned| turned > at_s - 3600.0);
        if to != now {
            if self.grew.is_some_and(|grew| grew != (to > now)) {
                self.turns.push(at_s);
            }
            self.grew = Some(to > now);
        }
        assert!(self.turns.len() <= shell.reversals_per_hour.unwrap() as usize, "{:?}", self.turns);
    }
}

/// A million ticks of garbage, dropped scrapes and clocks that jump, over five policies: no limit is ever broken.
#[test]
fn a_million_ticks_of_garbage_break_no_limit() {
    let shell = ShellConfig {
        rate_up: Some(Rate { pods: 3, period_s: 20.0 }),
        rate_down: Some(Rate { pods: 2, period_s: 40.0 }),
        step_up: Some(2),
        step_down: Some(2),
        budget: Some(14),
        reversals_per_hour: Some(20),
        down_window_s: 20.0,
        ..ShellConfig::default()
    };
    let anywhere = |policy: Policy| Policy { region: None, ..policy };
    let policies = [table(), anywhere(table()), tiled(), constant(10, 10), hpa()];
    let (mut ticks, mut changes, mut by_baseline, mut turns) = (0, 0, 0, 0);
    for (seed, policy) in policies.into_iter().enumerate() {
        let mut chance = Chance(seed as u64);
        let mut controller = started(policy, Some(hpa()), shell.clone());
        let (mut now, mut watch) = (Replicas { a: 4, b: 4 }, [Watch::default(), Watch::default()]);
        let (mut clock_s, mut true_s) = (0.0, 0.0);
        for _ in 0..200_000 {
            ticks += 1;
            let step_s = match chance.below(1_000) {
                0 => -chance.value(5_000.0, false),
                1 => chance.value(5_000.0, false),
                _ => chance.value(4.0, false),
            };
            clock_s += step_s;
            true_s += f64::max(step_s, 0.0);
            let observation = chance.observation(clock_s, now, true);
            let now_s = if chance.below(500) == 0 { f64::NAN } else { clock_s };
            let decision = controller.decide(now_s, &observation);
            by_baseline += u32::from(by(&decision).contains(&Limiter::Baseline));
            let Some(to) = decision.pods else { continue };
            assert!((1..=10).contains(&to.a) && (1..=10).contains(&to.b) && to.a + to.b <= 14, "{to:?}");
            watch[0].moves(true_s, now.a, to.a, &shell);
            watch[1].moves(true_s, now.b, to.b, &shell);
            changes += u32::from(to != now);
            now = to;
        }
        turns += watch[0].turns.len() + watch[1].turns.len();
    }
    println!("{ticks} ticks, {changes} changes, {by_baseline} by the baseline");
    assert_eq!(ticks, 1_000_000);
    assert!(changes > 2_000 && by_baseline > 2_000 && turns > 0, "{changes} {by_baseline} {turns}");
}
