//! What a status says of a decision and of what was found.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use splitscale_deploy::Field;
use splitscale_deploy::kubernetes::{Findings, Policy as Loaded, Report, SplitPipelineStatus, resumed};
use splitscale_policy::{
    Bounds, Controller, Decision, End, Mode, Outcome, Policy, PolicyKind, Setup, ShellConfig,
};
use splitscale_spec::{Observation, Replicas, Signal, StagePods};

fn pods(desired: u32, ready: u32) -> Option<StagePods> {
    Some(StagePods {
        age_s: 0.0,
        desired,
        ready,
        starting: 0,
        draining: 0,
        pods_max: None,
        last_change: None,
        last_change_age_s: None,
        pods: Vec::new(),
    })
}

/// A decision of a policy that wants 5 and 5, within 4 of each, on two pods of each and what `change` makes of it.
fn decision(mode: Mode, change: impl FnOnce(&mut Observation)) -> Decision {
    let mut seen = Observation::empty(100.0, 5.0);
    (seen.a, seen.b) = (pods(2, 2), pods(2, 2));
    seen.arrivals_per_s = Some(Signal { value: 3.21459, age_s: 1.0 });
    seen.queue_b = Some(Signal { value: splitscale_spec::QueueLevel { mean: 0.5, last: 1.0 }, age_s: 12.5 });
    change(&mut seen);
    let setup = Setup {
        schema: Setup::SCHEMA,
        policy: Policy { kind: PolicyKind::Static(Replicas { a: 5, b: 5 }), ..Policy::hpa() },
        baseline: None,
        bounds: Bounds { pods_min: Replicas { a: 1, b: 1 }, pods_max: Replicas { a: 4, b: 4 } },
        useful: None,
        shell: ShellConfig::default(),
    };
    Controller::new(setup, mode).unwrap().decide(100.0, &seen)
}

const EXPECTED: [Field; 4] = [Field::Arrivals, Field::QueueB, Field::LatencyP95, Field::Link];

/// The status of a decision, after another one.
fn status(
    decision: Option<&Decision>,
    end: Option<End>,
    policy: &Loaded,
    findings: &Findings,
    last: &SplitPipelineStatus,
) -> SplitPipelineStatus {
    let found = findings.found();
    let report = Report {
        generation: Some(3),
        mode: decision.map_or(Mode::Auto, |decision| decision.mode),
        namespace: "far",
        decision,
        end,
        transitions: 2,
        policy,
        expected: &EXPECTED,
        max_age_s: 10.0,
        pod_seconds: [12.4, 7.6],
        calibrated: false,
        found: &found,
    };
    report.status(last, "2026-11-27T10:00:00Z".parse::<Timestamp>().unwrap())
}

fn loaded() -> Loaded {
    Loaded { loaded: Some(("hpa".to_owned(), "abc".to_owned())), problem: None }
}

/// Status, reason and message of a condition.
fn condition(status: &SplitPipelineStatus, kind: &str) -> (String, String, String) {
    let found = status.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
    (found.status.clone(), found.reason.clone(), found.message.clone())
}

#[test]
fn a_decision_is_told_in_short() {
    let taken = decision(Mode::Auto, |_| {});
    let told = status(Some(&taken), None, &loaded(), &Findings::default(), &SplitPipelineStatus::default());
    let told: Value = serde_json::to_value(&told).unwrap();
    let last = &told["lastDecision"];
    assert_eq!((&last["id"], &last["acts"], last.get("end")), (&json!("2-1"), &json!(true), None));
    assert_eq!(
        (&last["from"], &last["raw"], &last["final"]),
        (&json!({"a": 2, "b": 2}), &json!({"a": 5, "b": 5}), &json!({"a": 4, "b": 4}))
    );
    assert_eq!(last["limitedBy"], json!(["bounds"]));
    // Three digits, and what is not known is not there.
    assert_eq!(
        last["observed"],
        json!({"arrivalsPerSecond": 3.215, "queueB": 0.5, "readyA": 2, "readyB": 2})
    );
    assert_eq!((&last["oldestSignalSeconds"], &last["policySha256"]), (&json!(12.5), &json!("abc")));
    assert_eq!(
        (&told["replicas"], &told["cost"]),
        (&json!({"a": 2, "b": 2}), &json!({"podSecondsA": 12.0, "podSecondsB": 8.0}))
    );
    assert_eq!((&told["mode"], &told["observedGeneration"]), (&json!("Auto"), &json!(3)));
    // Carried out, there are others.
    let mut done = taken.clone();
    done.ended(&Outcome { of: 1, end: End::Done, why: "carried out".to_owned() });
    let told = status(
        Some(&done),
        Some(End::Done),
        &loaded(),
        &Findings::default(),
        &SplitPipelineStatus::default(),
    );
    let told = serde_json::to_value(&told).unwrap();
    assert_eq!((&told["replicas"], &told["lastDecision"]["end"]), (&json!({"a": 4, "b": 4}), &json!("done")));
}

#[test]
fn what_a_leader_has_noted_another_one_goes_on_with() {
    let taken = decision(Mode::Auto, |_| {});
    let told = status(Some(&taken), None, &loaded(), &Findings::default(), &SplitPipelineStatus::default());
    let (again, half) = resumed(told.last_decision.as_ref().unwrap());
    let half = half.expect("nobody knows what came of it");
    assert_eq!((half.decision, half.from, half.to), (1, Replicas { a: 2, b: 2 }, Replicas { a: 4, b: 4 }));
    assert_eq!((again.id, again.now_s, &again.memory), (1, 100.0, &taken.memory));
    for (end, open) in
        [(End::Half, true), (End::Done, false), (End::GivenUp, false), (End::RolledBack, false)]
    {
        let mut ended = taken.clone();
        ended.ended(&Outcome { of: 1, end, why: String::new() });
        let told =
            status(Some(&ended), Some(end), &loaded(), &Findings::default(), &SplitPipelineStatus::default());
        assert_eq!(resumed(told.last_decision.as_ref().unwrap()).1.is_some(), open, "{end:?}");
    }
    // What was only recommended is nobody's to finish.
    let told = decision(Mode::Recommend, |_| {});
    let told = status(Some(&told), None, &loaded(), &Findings::default(), &SplitPipelineStatus::default());
    assert_eq!(resumed(told.last_decision.as_ref().unwrap()).1, None);
}

#[test]
fn conditions_say_what_is_wrong_and_since_when() {
    let (fine, none) = (Findings::default(), SplitPipelineStatus::default());
    let told = |decision: &Decision| status(Some(decision), None, &loaded(), &fine, &none);
    let taken = told(&decision(Mode::Auto, |_| {}));
    assert_eq!(condition(&taken, "Ready").1, "Deciding");
    // One is too old; that nothing was answered and nothing sent is no fault.
    let (fresh, reason, words) = condition(&taken, "SignalsFresh");
    assert_eq!((fresh.as_str(), reason.as_str()), ("False", "SignalsStale"), "{words}");
    assert_eq!(words, "older than the 10 s that are believed: queue_b 12 s");
    let young = |seen: &mut Observation| seen.queue_b.as_mut().unwrap().age_s = 0.0;
    assert_eq!(condition(&told(&decision(Mode::Auto, young)), "SignalsFresh").1, "Fresh");
    // Where something is answered, it took a time.
    let answered = |seen: &mut Observation| {
        young(seen);
        seen.answers_per_s = Some(Signal { value: 1.0, age_s: 0.0 });
    };
    let (_, reason, words) = condition(&told(&decision(Mode::Auto, answered)), "SignalsFresh");
    assert_eq!((reason.as_str(), words.as_str()), ("SignalsMissing", "missing: latency_p95_s"));
    let empty = |seen: &mut Observation| (seen.a, seen.arrivals_per_s) = (pods(2, 0), None);
    let words = condition(&told(&decision(Mode::Auto, empty)), "SignalsFresh").2;
    assert!(words.contains("missing: arrivals_per_s") && words.contains("no pod of a is ready"), "{words}");
    let gone = told(&decision(Mode::Auto, |seen| seen.a = None));
    let (ready, reason, words) = condition(&gone, "Ready");
    assert_eq!((ready.as_str(), reason.as_str()), ("False", "Holding"));
    assert!(words.contains("stage a does not answer"), "{words}");
    assert_eq!(condition(&told(&decision(Mode::Paused, |_| {})), "Ready").1, "Paused");
    assert_eq!(condition(&told(&decision(Mode::Emergency, |_| {})), "Ready").1, "Emergency");
    assert_eq!(condition(&status(None, None, &loaded(), &fine, &none), "Ready").0, "Unknown");
    assert!(
        taken.conditions.iter().all(|condition| condition.type_ != "CalibrationStale"),
        "there is no calibration"
    );
    // A condition that stays keeps its time, whatever else it says.
    let mut before = taken.clone();
    for condition in &mut before.conditions {
        condition.last_transition_time.0 = "2026-11-27T09:00:00Z".parse().unwrap();
    }
    let after = status(Some(&decision(Mode::Auto, |seen| seen.a = None)), None, &loaded(), &fine, &before);
    let since = |kind: &str| {
        let found = after.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
        found.last_transition_time.0.to_string()
    };
    assert_eq!(since("PolicyLoaded"), "2026-11-27T09:00:00Z");
    assert_eq!(since("Ready"), "2026-11-27T10:00:00Z");
}
