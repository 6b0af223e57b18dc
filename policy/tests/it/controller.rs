//! What is decided, held and said.

use splitscale_policy::{
    Bin, Controller, Freshness, Limiter, Mode, Policy, PolicyKind, Setup, ShellConfig, document_hash, start,
};
use splitscale_spec::{Observation, Replicas, Signal, StagePods};

use crate::{one_slot, pipeline, signal, stage, table};

/// Decides once, at the time of the observation.
fn decide(policy: &Policy, bounds: (u32, u32), observation: &Observation) -> splitscale_policy::Decision {
    let mut controller = start(policy, &pipeline(bounds.0, bounds.1), Freshness::default()).unwrap();
    controller.decide(observation.time_s, observation)
}

/// Holds, and says so with these words.
#[track_caller]
fn assert_holds(observation: &Observation, now_s: f64, words: &[&str]) {
    let mut controller = start(&table(), &pipeline(2, 8), Freshness::default()).unwrap();
    let decision = controller.decide(now_s, observation);
    assert_eq!(decision.why, words);
    assert_eq!((decision.raw, decision.pods), (None, None));
}

#[test]
fn a_decision_line_is_golden() {
    let mut controller = start(&table(), &pipeline(2, 8), Freshness::default()).unwrap();
    insta::assert_json_snapshot!("scale_down", controller.decide(40.0, &one_slot()));
    let up =
        Observation { slots: Some(Signal { value: 8, age_s: 0.1 }), a: stage(2), b: stage(5), ..one_slot() };
    insta::assert_json_snapshot!("scale_up", controller.decide(40.5, &up));
    insta::assert_json_snapshot!("hold", controller.decide(60.0, &up));
}

#[test]
fn it_says_what_it_saw_what_the_table_says_and_what_changes() {
    let decision = decide(&table(), (2, 8), &one_slot());
    assert_eq!(decision.why, ["slots 1, age 0.2 s", "bin `slots 1`: a 2, b 2", "a 6 -> 2, b 6 -> 2"]);
    assert_eq!(decision.raw, Some(Replicas { a: 2, b: 2 }));
    assert_eq!(decision.pods, decision.raw);

    let settled = Observation { a: stage(2), b: stage(2), ..one_slot() };
    assert_eq!(decide(&table(), (2, 8), &settled).why.last().unwrap(), "no change");
    let half = Observation { a: stage(6), b: stage(2), ..one_slot() };
    assert_eq!(decide(&table(), (2, 8), &half).why.last().unwrap(), "a 6 -> 2, b 2");
}

#[test]
fn bounds_clamp_and_say_so() {
    let decision = decide(&table(), (3, 5), &one_slot());
    assert_eq!(decision.raw, Some(Replicas { a: 2, b: 2 }));
    assert_eq!(decision.pods, Some(Replicas { a: 3, b: 3 }));
    assert_eq!(
        decision.why[2..],
        ["a clamped from 2 to 3 (allowed 3..5), b clamped from 2 to 3 (allowed 3..5)", "a 6 -> 3, b 6 -> 3"]
    );

    let eight = Observation { slots: Some(Signal { value: 8, age_s: 0.0 }), ..one_slot() };
    let decision = decide(&table(), (3, 5), &eight);
    assert_eq!(decision.pods, Some(Replicas { a: 5, b: 5 }));
    assert_eq!(decision.why[2], "a clamped from 6 to 5 (allowed 3..5)");
}

#[test]
fn a_missing_or_stale_signal_holds() {
    const OLD: [&str; 2] =
        ["slots 10.5 s old, more than the 10.0 s that are believed", "slots missing: hold"];
    let with = |slots| Observation { slots, ..one_slot() };
    assert_holds(&with(None), 40.0, &["slots missing: hold"]);
    let aged = |age_s| with(Some(Signal { value: 1, age_s }));
    assert_holds(&aged(10.5), 40.0, &OLD);
    // The observation itself grows old too.
    assert_holds(&aged(2.0), 48.5, &OLD);
    assert_holds(
        &aged(f64::NAN),
        40.0,
        &["slots observed at 40.0 s with age NaN s, which cannot be at 40.0 s", "slots missing: hold"],
    );
    assert_holds(
        &aged(1.0),
        39.0,
        &[
            "stage a does not answer, its pods are observed at 40.0 s with age 0.0 s, which cannot be at 39.0 s: hold",
        ],
    );
    assert_eq!(decide(&table(), (2, 8), &aged(10.0)).pods, Some(Replicas { a: 2, b: 2 }));
}

#[test]
fn outside_the_trained_region_it_holds_and_names_the_region() {
    let with = |value| Observation { slots: Some(Signal { value, age_s: 0.2 }), ..one_slot() };
    for slots in [9, u32::MAX] {
        let seen = format!("slots {slots}, age 0.2 s");
        let region = format!("slots {slots} outside the trained region, slots 1..8: hold");
        assert_holds(&with(slots), 40.0, &[&seen, &region]);
    }
}

#[test]
fn outside_of_all_bins_it_holds() {
    let policy = Policy { region: None, ..table() };
    let nine = Observation { slots: Some(Signal { value: 9, age_s: 0.2 }), ..one_slot() };
    let decision = decide(&policy, (2, 8), &nine);
    assert_eq!(decision.pods, None);
    assert_eq!(decision.why, ["slots 9, age 0.2 s", "no bin holds slots 9: hold"]);
}

#[test]
fn bins_that_overlap_or_leave_a_hole_are_refused_by_field() {
    let changed = |change: fn(&mut Vec<Bin>)| {
        let mut policy = table();
        if let PolicyKind::SlotsTable(bins) = &mut policy.kind {
            change(bins);
        }
        policy.validate().map_err(|wrong| wrong.to_string())
    };
    assert_eq!(changed(|bins| bins.reverse()), Ok(()), "in any order");
    assert_eq!(
        changed(|bins| drop(bins.remove(1))).unwrap_err(),
        "kind.slots_table[1].slots_min: 6 leaves slots 2..5 to no bin; begin at 2"
    );
    let overlap = "kind.slots_table[2].slots_min: 6 stands in bin [1] `slots 2..5` too, 2..6; a number of slots stands in one bin";
    assert_eq!(changed(|bins| bins[1].slots_max = 6).unwrap_err(), overlap);
    assert!(changed(|bins| bins[1].slots_max = u32::MAX).is_err());
    assert!(changed(|bins| bins.push(bins[0].clone())).is_err());
}

/// A stage says how many pods it takes: of more it would refuse all, for as long as they are asked for.
#[test]
fn no_stage_is_asked_for_more_than_its_server_takes() {
    let takes = |desired, pods_max| stage(desired).map(|pods| StagePods { pods_max, ..pods });
    let eight = |a, b| Observation { slots: signal(8), a, b, ..one_slot() };
    let seen = eight(takes(2, Some(4)), takes(2, None));
    let decision = decide(&table(), (1, 8), &seen);
    assert_eq!((decision.raw, decision.pods), (Some(Replicas { a: 6, b: 5 }), Some(Replicas { a: 4, b: 5 })));
    let limit = decision.limits.iter().find(|limit| limit.by == Limiter::Server).unwrap();
    assert_eq!((limit.from.a, limit.to.a), (6, 4));
    assert!(decision.why.contains(&"a 4 in place of 6 (its server takes no more: --pods-max 4)".to_owned()));

    let mut emergency = start(&table(), &pipeline(1, 8), Freshness::default()).unwrap();
    emergency.set_mode(Mode::Emergency);
    let decision = emergency.decide(40.0, &seen);
    assert_eq!(decision.pods, Some(Replicas { a: 4, b: 8 }), "{:?}", decision.why);
    assert_eq!(decision.limits[0].by, Limiter::Server);
    let explained = decision.explained(emergency.setup());
    assert!(explained.iter().any(|line| line.contains("takes no more pods (--pods-max)")), "{explained:?}");
    // A stage that is not heard any more takes what it took.
    let mut deaf = takes(2, Some(4));
    deaf.as_mut().unwrap().age_s = 60.0;
    let decision = emergency.decide(41.0, &eight(deaf, None));
    assert_eq!(decision.pods, Some(Replicas { a: 4, b: 8 }));
}

#[test]
fn a_baseline_that_holds_is_told_as_the_one_that_did() {
    let keeps = Policy { kind: PolicyKind::Static(Replicas { a: 3, b: 3 }), region: None, ..table() };
    let bins = |bins: &mut Policy| {
        if let PolicyKind::SlotsTable(bins) = &mut bins.kind {
            bins.truncate(1);
        }
    };
    // Neither knows nine slots: the policy for its region, the baseline for its table.
    let mut baseline = Policy { region: None, name: "small".to_owned(), ..table() };
    bins(&mut baseline);
    let nine = Observation { slots: signal(9), ..one_slot() };
    for (baseline, pods) in [(baseline, None), (keeps, Some(Replicas { a: 3, b: 3 }))] {
        let setup = Setup {
            schema: Setup::SCHEMA,
            policy: table(),
            baseline: Some(baseline),
            bounds: (&pipeline(2, 8)).into(),
            useful: None,
            shell: ShellConfig::bare(10.0),
        };
        let mut controller = Controller::new(setup, Mode::Auto).unwrap();
        let decision = controller.decide(40.0, &nine);
        assert_eq!(decision.pods, pods, "{:?}", decision.why);
        assert_eq!(decision.limits[0].by, Limiter::Baseline);
        let holds = "The policy was not trusted here; the baseline `small` holds.".to_owned();
        assert_eq!(decision.explained(controller.setup()).contains(&holds), pods.is_none());
    }
}

#[test]
fn a_stage_that_does_not_answer_holds() {
    assert_holds(&Observation { a: None, ..one_slot() }, 40.0, &["stage a does not answer: hold"]);
    assert_holds(&Observation { b: None, ..one_slot() }, 40.0, &["stage b does not answer: hold"]);
    let none = Observation { b: stage(0), ..one_slot() };
    assert_holds(&none, 40.0, &["stage b says that it is to have no pods, which nobody asked for: hold"]);
}

#[test]
fn a_static_policy_needs_no_signal_but_the_stages() {
    let kind = PolicyKind::Static(Replicas { a: 4, b: 3 });
    let policy = Policy { kind, region: None, ..table() };
    let blind = Observation { a: stage(4), b: stage(4), ..Observation::empty(5.0, 2.0) };
    assert_eq!(decide(&policy, (2, 8), &blind).why, ["static: a 4, b 3", "a 4, b 4 -> 3"]);
    let deaf = Observation { b: None, ..blind };
    assert_eq!(decide(&policy, (2, 8), &deaf).why, ["stage b does not answer: hold"]);
}

#[test]
fn decisions_count_from_one_and_name_the_policy() {
    let policy = table();
    let mut controller = start(&policy, &pipeline(2, 8), Freshness::default()).unwrap();
    let first = controller.decide(40.0, &one_slot());
    let mut copy = controller.clone();
    let second = controller.decide(41.0, &one_slot());
    assert_eq!((first.id, second.id), (1, 2));
    assert_eq!(copy.decide(41.0, &one_slot()), second, "a clone goes on alike");
    assert_eq!(first.policy, document_hash(&policy));
    assert_eq!(controller.policy_hash(), first.policy);
    assert_ne!(document_hash(&Policy { name: "another".to_owned(), ..policy }), first.policy);
}

#[test]
fn what_cannot_be_started_names_the_field() {
    let problem = |policy: &Policy, max_age_s| {
        start(policy, &pipeline(2, 8), Freshness { max_age_s }).unwrap_err().to_string()
    };
    let zero = Policy { kind: PolicyKind::Static(Replicas { a: 0, b: 1 }), ..table() };
    assert_eq!(problem(&zero, 10.0), "kind.static.a: zero; it takes at least 1");
    assert!(problem(&Policy { schema: 7, ..table() }, 10.0).starts_with("schema: this policy has schema 7"));
    assert!(problem(&table(), f64::NAN).starts_with("max_age_s: NaN is not a finite number above zero"));
}

#[test]
fn a_stage_that_stopped_answering_holds() {
    let mut dead = stage(6);
    dead.as_mut().unwrap().age_s = 11.0;
    let observation = Observation { a: dead, ..one_slot() };
    let decision = decide(&table(), (2, 8), &observation);
    assert_eq!((decision.raw, decision.pods), (None, None));
    assert!(decision.why.last().unwrap().starts_with("stage a does not answer"), "{:?}", decision.why);
}

#[test]
fn an_hpa_is_a_policy_and_holds_between_its_syncs() {
    use splitscale_policy::{
        HpaConfig,
        hpa::{HpaMetric, HpaStage},
    };
    let stage_of = |metrics| HpaStage { metrics, ..HpaStage::default() };
    let kind = |metrics| PolicyKind::Hpa(Box::new(HpaConfig::of_both(stage_of(metrics))));
    let policy = Policy { kind: kind(vec![HpaMetric::ArrivalsPerPod(0.7)]), region: None, ..table() };
    let mut controller = start(&policy, &pipeline(2, 3), Freshness::default()).unwrap();
    let at = |time_s| Observation { a: stage(2), b: stage(2), time_s, ..one_slot() };
    // 2.8 requests/s over 0.7 a pod: four, and the pipeline allows three.
    let first = controller.decide(100.0, &at(100.0));
    assert_eq!(first.pods, Some(Replicas { a: 3, b: 3 }), "{:?}", first.why);
    let between = controller.decide(105.0, &at(105.0));
    assert_eq!((between.raw, between.why.last().unwrap().as_str()), (None, "next sync in 10.0 s: hold"));
    assert!(controller.decide(115.0, &at(115.0)).raw.is_some());

    let none = Policy { kind: kind(Vec::new()), ..policy };
    let error = start(&none, &pipeline(2, 3), Freshness::default()).unwrap_err();
    assert_eq!(error.field, "kind.hpa.a.metrics");
}
