//! Logged decisions, told and taken again; every kind of policy among them.

use splitscale_policy::{
    Controller, Decision, KedaConfig, Line, Mode, Policy, PolicyKind, Score, Setup, ShellConfig, Tally,
    UsefulConfig,
};
use splitscale_spec::{Interval, LinkEstimate, Observation, Replicas, Signal};

use crate::{one_slot, pipeline, stage, table};

fn setup(policy: Policy) -> Setup {
    Setup {
        schema: Setup::SCHEMA,
        policy,
        baseline: Some(Policy::hpa()),
        bounds: (&pipeline(1, 8)).into(),
        useful: Some(useful()),
        shell: ShellConfig::default(),
    }
}

fn useful() -> UsefulConfig {
    serde_json::from_str(r#"{"service_a_s": 0.66, "service_b_s": 0.23, "payload_bytes": 802816}"#).unwrap()
}

fn policy(name: &str, kind: PolicyKind) -> Policy {
    Policy { name: name.to_owned(), kind, region: None, ..table() }
}

#[test]
fn another_policy_keeps_the_cap_that_was_measured_and_not_that_of_the_one_before() {
    let rule = |drain_s| policy("rule", PolicyKind::Useful(UsefulConfig { drain_s, ..useful() }));
    let caps = |useful, was: Policy, now: &Policy| {
        Setup { useful, ..setup(was) }.with_policy(now.clone()).useful.map(|useful| useful.drain_s)
    };
    let (measured, own) = (Some(useful()), Some(UsefulConfig { drain_s: 3.0, ..useful() }));
    assert_eq!(caps(measured.clone(), rule(3.0), &table()), Some(useful().drain_s));
    assert_eq!(caps(measured, table(), &rule(4.0)), Some(useful().drain_s));
    assert_eq!(caps(own.clone(), rule(3.0), &table()), None);
    assert_eq!(caps(own, rule(3.0), &rule(4.0)), Some(4.0));
    assert_eq!(caps(None, table(), &rule(4.0)), Some(4.0));
    // A log of before a rule capped what decides in its place.
    assert_eq!(caps(None, rule(3.0), &rule(4.0)), None);
}

#[test]
fn a_decision_is_told_in_sentences() {
    let mut controller = Controller::new(setup(table()), Mode::Recommend).unwrap();
    let link = Some(LinkEstimate { mbit_s: 50.0, confidence: 0.9, age_s: 0.1 });
    let eight = Observation { slots: Some(Signal { value: 8, age_s: 0.2 }), link, ..one_slot() };
    controller.decide(20.0, &Observation { time_s: 20.0, ..eight });
    let decision = controller.decide(40.0, &Observation { link, ..one_slot() });
    let told = decision.explained(controller.setup());
    insta::assert_snapshot!("told", told.join("\n"));

    // So long was scored: it is no time of day.
    let misses = |value: f64| Interval { value, low: value, high: value };
    let tally = |pod_seconds, late| Tally { pods: None, pod_seconds, misses: misses(late) };
    let score = Score { scored_s: 91.0, arrivals: 910.0, live: tally(728.0, 3.0), shadow: tally(546.0, 9.0) };
    let scored = Decision { shadow: Some(score), ..decision };
    let told = scored.explained(controller.setup()).join("\n");
    assert!(
        told.contains("the mean of its window, over 91 s: 728 pod-seconds and 3 late (3 to 3); the shadow"),
        "{told}"
    );

    let blind = controller.decide(41.0, &Observation { a: None, ..one_slot() });
    let told = blind.explained(controller.setup()).join("\n");
    assert!(told.contains("A does not answer"), "{told}");
    assert!(told.contains("The pods stay as they are."), "{told}");
}

#[test]
fn lines_survive_and_are_told_apart() {
    let mut controller = Controller::new(setup(table()), Mode::Auto).unwrap();
    let decision = controller.decide(40.0, &one_slot());
    let text = serde_json::to_string(&decision).unwrap();
    assert_eq!(Line::parse(&text).unwrap(), Line::Decision(Box::new(decision)));
    let text = serde_json::to_string(controller.setup()).unwrap();
    assert_eq!(Line::parse(&text).unwrap(), Line::Setup(Box::new(controller.setup().clone())));
    let unknown = text.replacen("\"policy\"", "\"polcy\"", 1);
    assert!(Line::parse(&unknown).unwrap_err().to_string().contains("unknown field `polcy`"));
}

#[test]
fn another_policy_or_a_changed_line_is_found_out() {
    let mut controller = Controller::new(setup(table()), Mode::Auto).unwrap();
    controller.decide(20.0, &Observation { time_s: 20.0, ..one_slot() });
    let decision = controller.decide(40.0, &one_slot());
    let again = controller.again(&decision).unwrap();
    assert_eq!((decision.differs(&again), &again), (Vec::new(), &decision));
    let other = setup(Policy { name: "another".to_owned(), ..table() });
    let mut other = Controller::new(other, Mode::Auto).unwrap();
    assert_eq!(other.again(&decision).unwrap_err().field, "policy");
    let changed = Decision { pods: Some(Replicas { a: 8, b: 8 }), ..decision.clone() };
    let again = controller.again(&changed).unwrap();
    assert_eq!(changed.differs(&again), ["final A 4, B 4 in place of A 8, B 8"]);
}

/// Six minutes of traffic that comes, fills the link and goes: every policy of every kind decides, and each of its decisions
/// is taken again from a line of text.
#[test]
fn every_kind_decides_and_is_taken_again() {
    let read = |name: &str| -> Policy {
        let file = format!("{}/policies/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let policy: Policy = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        policy.validate().unwrap();
        assert_eq!(policy.name, name);
        policy
    };
    let documents = ["hpa", "keda-queue", "keda-veto", "kpa", "numaflow"].map(read);
    assert_eq!(documents[0], Policy::hpa());
    let built = [
        policy("keda", PolicyKind::Keda(Box::new(KedaConfig::veto(2.0, 0.9)))),
        policy("kpa", PolicyKind::Kpa(Box::default())),
        policy("numaflow", PolicyKind::Numaflow(Box::default())),
        policy("useful", PolicyKind::Useful(useful())),
    ];
    for policy in documents.into_iter().chain(built) {
        let name = policy.name.clone();
        let mut controller = Controller::new(setup(policy), Mode::Auto).unwrap();
        let (mut now, mut lines, mut moved) = (Replicas { a: 3, b: 3 }, Vec::new(), 0);
        for second in 0..360 {
            let time_s = f64::from(second);
            let load = (time_s / 120.0 * std::f64::consts::PI).sin().abs();
            let decision = controller.decide(time_s, &moving(time_s, load, now));
            moved += u32::from(decision.pods.is_some_and(|pods| pods != now));
            now = decision.pods.unwrap_or(now);
            lines.push(serde_json::to_string(&decision).unwrap());
        }
        assert!(moved > 0, "{name} never moved");
        let longest = lines.iter().map(String::len).max().unwrap();
        assert!(longest < 20_000, "{name} remembers {longest} bytes");
        for line in &lines {
            let Line::Decision(logged) = Line::parse(line).unwrap() else { panic!("{line}") };
            assert_eq!(controller.again(&logged).unwrap(), *logged, "{name}");
        }
    }
}

/// The pipeline under so much load, from 0 to 1, with every signal that any rule goes by.
fn moving(time_s: f64, load: f64, now: Replicas) -> Observation {
    let share = |value: f64| Some(Signal { value: value.min(1.0), age_s: 0.1 });
    let queue = |mean: f64| {
        Some(Signal { value: splitscale_spec::QueueLevel { mean, last: mean.round() }, age_s: 0.1 })
    };
    let pods = |desired: u32, busy: f64| {
        let mut stage = stage(desired).unwrap();
        stage.pods = (0..desired)
            .map(|pod| splitscale_spec::PodSample {
                pod,
                phase: splitscale_spec::PodPhase::Ready,
                ready_since_s: Some(-1_000.0),
                cpu_used: Some(0.1 * busy.min(1.0)),
                cpu_request: Some(0.1),
                sample_age_s: 0.0,
            })
            .collect();
        Some(stage)
    };
    let (busy_a, busy_b) = (5.0 * load / f64::from(now.a), 5.0 * load / f64::from(now.b));
    Observation {
        arrivals_per_s: Some(Signal { value: 8.0 * load, age_s: 0.1 }),
        answers_per_s: Some(Signal { value: 7.5 * load, age_s: 0.1 }),
        queue_a: queue(20.0 * load),
        queue_proxy: queue(12.0 * load),
        queue_b: queue(9.0 * load),
        busy_a: share(busy_a),
        busy_slots: share(load),
        busy_b: share(busy_b),
        slots: Some(Signal { value: 6, age_s: 0.1 }),
        latency_p50_s: Some(Signal { value: 1.0 + load, age_s: 0.1 }),
        latency_p95_s: Some(Signal { value: 1.0 + 3.0 * load, age_s: 0.1 }),
        link: Some(LinkEstimate { mbit_s: 60.0 - 30.0 * load, confidence: 0.9, age_s: 0.2 }),
        a: pods(now.a, busy_a),
        b: pods(now.b, busy_b),
        ..Observation::empty(time_s, 5.0)
    }
}
