//! A million ticks of garbage, and decisions taken again.

use splitscale_policy::{
    Bounds, Controller, Decision, KedaConfig, Limiter, Mode, Policy, PolicyKind, Rate, Setup, ShellConfig,
    UsefulConfig,
};
use splitscale_spec::{LinkEstimate, Observation, QueueLevel, Replicas, Signal, StagePods};

use crate::greedy::tiled;
use crate::shell::{by, constant, hpa, started};
use crate::{stage, table};

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

/// Most pods that either server takes: fewer than the bounds allow.
const TAKEN: u32 = 9;

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

    /// A stage that has so many pods, or had other ones until so long ago \[s\]. Dropped scrapes leave an older answer
    /// standing, which is never a lie.
    fn stage(&mut self, now: u32, (before, changed_s): (u32, f64)) -> Option<StagePods> {
        let old = changed_s < 9.0 && self.below(3) == 0;
        let mut pods = stage(if old { before } else { now })?;
        let now = pods.desired;
        pods.age_s = if old { changed_s + self.value(0.5, false) } else { 0.0 };
        pods.ready = self.below(u64::from(now) + 1) as u32;
        pods.pods_max = Some(TAKEN);
        pods.starting = now - pods.ready;
        (self.below(20) > 0).then_some(pods)
    }

    /// What there is after both stages were told, what shrinks first: now and then one of them does not take it. Where one is to
    /// grow into what the other gives up, it is only told if the other did.
    fn taken(&mut self, now: Replicas, to: Replicas) -> Replicas {
        let against = (to.a > now.a) != (to.b > now.b) && to.a != now.a && to.b != now.b;
        let only_a = Replicas { a: to.a, b: now.b };
        let only_b = Replicas { a: now.a, b: to.b };
        match self.below(60) {
            0 if against => {
                if to.a < now.a {
                    only_a
                } else {
                    only_b
                }
            }
            0 => only_a,
            1 if !against => only_b,
            1 | 2 => now,
            _ => to,
        }
    }

    fn observation(&mut self, time_s: f64, now: Replicas, garbage: bool) -> Observation {
        self.lagging(time_s, (now, now, f64::INFINITY), garbage)
    }

    /// What is seen of pods that were others until so long ago \[s\].
    fn lagging(
        &mut self,
        time_s: f64,
        (now, before, changed_s): (Replicas, Replicas, f64),
        garbage: bool,
    ) -> Observation {
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
            slots: Some(Signal { value: 1 + self.below(9) as u32, age_s: self.value(11.0, garbage) }),
            latency_p50_s: self.signal(3.0, garbage),
            latency_p95_s: self.signal(3.0, garbage),
            link: (self.below(3) > 0).then_some(link),
            a: self.stage(now.a, (before.a, changed_s)),
            b: self.stage(now.b, (before.b, changed_s)),
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
    most_turns: usize,
}

impl Watch {
    /// The pods are to go from `now` to `to`; what there was of them before is known.
    fn moves(&mut self, at_s: f64, now: u32, to: u32, shell: &ShellConfig) {
        let (up, down) = (shell.rate_up.unwrap(), shell.rate_down.unwrap());
        self.most_turns = shell.reversals_per_hour.unwrap() as usize;
        self.had.retain(|&(at, _)| at > at_s - up.period_s.max(down.period_s));
        self.had.push((at_s, now));
        let since =
            |period_s: f64| self.had.iter().filter(move |had| had.0 > at_s - period_s).map(|had| had.1);
        let least = since(up.period_s).min().unwrap();
        let most = since(down.period_s).max().unwrap();
        assert!(to <= now || to <= least + up.pods, "{now} to {to}, and there were {least}");
        assert!(to >= now || to + down.pods >= most, "{now} to {to}, and there were {most}");
        assert!(to <= now + shell.step_up.unwrap() && to + shell.step_down.unwrap() >= now);
    }

    /// The pods went from `now` to `to`, as they were told or not.
    fn moved(&mut self, at_s: f64, now: u32, to: u32) {
        self.had.push((at_s, to));
        self.turns.retain(|&turned| turned > at_s - 3600.0);
        if to != now {
            if self.grew.is_some_and(|grew| grew != (to > now)) {
                self.turns.push(at_s);
            }
            self.grew = Some(to > now);
        }
        assert!(self.turns.len() <= self.most_turns, "{:?}", self.turns);
    }
}

/// A million ticks of garbage, dropped scrapes, stages that do not take their pods, clocks that jump and leads that change, over
/// ten policies: no bound, budget,
/// step, rate or count of turns is ever broken, nothing goes down while it settles, and every limit had work.
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
    let useful: UsefulConfig =
        serde_json::from_str(r#"{"service_a_s": 0.66, "service_b_s": 0.23, "payload_bytes": 802816}"#)
            .unwrap();
    let of = |kind| Policy { kind, region: None, ..table() };
    let policies = [
        table(),
        Policy { region: None, ..table() },
        tiled(),
        constant(12, 12),
        hpa(),
        Policy::hpa(),
        of(PolicyKind::Keda(Box::new(KedaConfig::veto(2.0, 0.9)))),
        of(PolicyKind::Kpa(Box::default())),
        of(PolicyKind::Numaflow(Box::default())),
        of(PolicyKind::Useful(useful.clone())),
    ];
    let (mut ticks, mut changes, mut failures, mut worked) = (0, 0, 0, std::collections::BTreeMap::new());
    for (seed, policy) in policies.into_iter().enumerate() {
        let mut chance = Chance(seed as u64);
        let bounds = Bounds { pods_min: Replicas { a: 1, b: 1 }, pods_max: Replicas { a: 10, b: 10 } };
        let useful = (seed % 2 == 0).then(|| useful.clone());
        let setup = Setup {
            schema: Setup::SCHEMA,
            policy,
            baseline: Some(hpa()),
            bounds,
            useful,
            shell: shell.clone(),
        };
        let mut controller = Controller::new(setup, Mode::Auto).unwrap();
        let (mut now, mut watch) = (Replicas { a: 4, b: 4 }, [Watch::default(), Watch::default()]);
        let (mut before, mut changed_s, mut settled_s) = (now, f64::NEG_INFINITY, None);
        let (mut clock_s, mut true_s) = (0.0, 0.0);
        for _ in 0..100_000 {
            ticks += 1;
            let step_s = match chance.below(1_000) {
                0 => -chance.value(5_000.0, false),
                1 => chance.value(5_000.0, false),
                _ => chance.value(4.0, false),
            };
            clock_s += step_s;
            true_s += f64::max(step_s, 0.0);
            if chance.below(2_000) == 0 {
                controller.lead();
                settled_s = None;
            }
            let observation = chance.lagging(clock_s, (now, before, true_s - changed_s), true);
            let now_s = if chance.below(500) == 0 { f64::NAN } else { clock_s };
            let decision = controller.decide(now_s, &observation);
            for limiter in by(&decision) {
                *worked.entry(limiter).or_insert(0) += 1;
            }
            let Some(to) = decision.pods else { continue };
            assert!(
                (1..=TAKEN).contains(&to.a) && (1..=TAKEN).contains(&to.b) && to.a + to.b <= 14,
                "{to:?}"
            );
            watch[0].moves(true_s, now.a, to.a, &shell);
            watch[1].moves(true_s, now.b, to.b, &shell);
            let until_s = *settled_s.get_or_insert(true_s + shell.settle_s);
            assert!(
                true_s >= until_s || (to.a >= now.a && to.b >= now.b),
                "{now:?} to {to:?} while it settles"
            );
            if to == now {
                continue;
            }
            changes += 1;
            let had = chance.taken(now, to);
            if had != to {
                // One stage did not take it: what the other did was taken back, or given up.
                failures += 1;
                match had == now {
                    true => controller.untold(now),
                    false => controller.unsure(),
                }
            }
            if had != now {
                (before, changed_s) = (now, true_s);
            }
            watch[0].moved(true_s, now.a, had.a);
            watch[1].moved(true_s, now.b, had.b);
            now = had;
        }
    }
    println!("{ticks} ticks, {changes} changes, {failures} of them failed in part, {worked:?}");
    assert_eq!(ticks, 1_000_000);
    assert!(changes > 2_000 && failures > 100, "{changes}, {failures}");
    for limiter in Limiter::ALL {
        assert!(worked.get(&limiter).is_some_and(|&times| times > 20), "{limiter:?}: {worked:?}");
    }
}
