//! Learnt policies as documents: what they choose, where they may be trusted, what is refused.

use splitscale_policy::Decision;
use splitscale_policy::{
    ActionKind, ActionValues, Actions, Axis, Freshness, Greedy, Input, Mlp, Network, Policy, PolicyKind,
    Region, Tiles, features, start,
};
use splitscale_spec::{Observation, QueueLevel, Replicas, Signal};

use crate::{one_slot, pipeline, signal, stage};

fn actions(kind: ActionKind) -> Actions {
    Actions { kind, pods_min: Replicas { a: 2, b: 1 }, pods_max: Replicas { a: 4, b: 2 } }
}

/// Six actions, a 2..4 by b 1..2, over the proxy's queue from 0 to 10 in two halves: below, the last is best, above the
/// first.
pub(crate) fn tiled() -> Policy {
    let axes = vec![Axis { component: 0, low: 0.0, high: 10.0, intervals: 2 }];
    let mut tiles = Tiles::filled(axes, 1, 6, 0.0).unwrap();
    tiles.weights_mut()[5] = 1.0;
    tiles.weights_mut()[6] = 1.0;
    policy(vec!["queue_proxy".into()], ActionKind::Absolute, ActionValues::Tiles(tiles))
}

/// Nine actions; what is worth most is the step of A by the sign of the queue minus 5, B by nothing.
pub(crate) fn network() -> Policy {
    let mut parameters = vec![0.0; 2 * 9 + 9];
    // A down, B as it is (action 1): queue. A up, B as it is (action 7): minus queue. The second input counts for nothing.
    (parameters[1], parameters[7]) = (1.0, -1.0);
    let mlp = Mlp::new(vec![2, 9], parameters).unwrap();
    let input = |component| Input { component, low: 0.0, high: 10.0 };
    let values = ActionValues::Mlp(Network { inputs: vec![input(1), input(0)], mlp });
    policy(vec!["slots".into(), "queue_proxy".into()], ActionKind::Step, values)
}

fn policy(features: Vec<String>, kind: ActionKind, values: ActionValues) -> Policy {
    let kind = PolicyKind::Greedy(Greedy { features, actions: actions(kind), values });
    let region = Some(Region(
        [("queue_proxy".to_string(), (0.0, 20.0)), ("no_queue_proxy".into(), (0.0, 0.0))].into(),
    ));
    Policy { schema: Policy::SCHEMA, name: "learnt".into(), kind, region, training: None }
}

fn queue(last: f64) -> Observation {
    let queue_proxy = signal(QueueLevel { mean: last, last });
    Observation { queue_proxy, a: stage(3), b: stage(2), ..one_slot() }
}

fn decide(policy: &Policy, observation: &Observation) -> Decision {
    let mut controller = start(policy, &pipeline(1, 8), Freshness::default()).unwrap();
    controller.decide(observation.time_s, observation)
}

#[test]
fn tiles_choose_the_best_action_where_they_are() {
    let of = |last| decide(&tiled(), &queue(last)).raw.unwrap();
    assert_eq!(of(0.0), Replicas { a: 4, b: 2 });
    assert_eq!(of(4.9), Replicas { a: 4, b: 2 });
    assert_eq!(of(5.0), Replicas { a: 2, b: 1 });
    assert_eq!(of(20.0), Replicas { a: 2, b: 1 });
    assert_eq!(decide(&tiled(), &queue(7.0)).why, ["best of 6 actions: a 2, b 1", "a 3 -> 2, b 2 -> 1"]);
}

#[test]
fn a_network_chooses_among_the_steps_that_may_be_taken() {
    let of = |last, desired| {
        let observation = Observation { a: stage(desired), ..queue(last) };
        decide(&network(), &observation).raw.unwrap()
    };
    assert_eq!(of(9.0, 3), Replicas { a: 2, b: 2 });
    assert_eq!(of(1.0, 3), Replicas { a: 4, b: 2 });
    // At the bound the best step may not be taken; what is left is worth nothing or less, and the first of it is A as it is.
    assert_eq!(of(9.0, 2), Replicas { a: 2, b: 1 });
    assert_eq!(of(5.0, 3).a + 1, 3, "of equals the first: one less of both");
}

#[test]
fn it_holds_outside_of_the_region_and_where_what_it_needs_is_missing() {
    let held = |observation: &Observation, words: &str| {
        let decision = decide(&tiled(), observation);
        assert_eq!((decision.raw, decision.pods), (None, None));
        assert_eq!(decision.why.last().unwrap(), words);
    };
    held(&queue(21.0), "queue_proxy 21 outside the trained region, queue_proxy 0..20: hold");
    let missing = "queue_proxy missing, as it never was in training: hold";
    held(&Observation { queue_proxy: None, ..queue(1.0) }, missing);
    // What is too old is missing.
    let stale = Some(Signal { value: QueueLevel { mean: 1.0, last: 1.0 }, age_s: 11.0 });
    held(&Observation { queue_proxy: stale, ..queue(1.0) }, missing);
    held(&queue(f64::NAN), "queue_proxy NaN is no measurement: hold");
    held(&Observation { a: None, ..queue(1.0) }, "stage a does not answer: hold");
}

#[test]
fn documents_survive_json() {
    for policy in [tiled(), network()] {
        policy.validate().unwrap();
        let text = serde_json::to_string(&policy).unwrap();
        let read: Policy = serde_json::from_str(&text).unwrap();
        assert_eq!(read, policy);
        for last in 0..=20 {
            assert_eq!(decide(&read, &queue(f64::from(last))), decide(&policy, &queue(f64::from(last))));
        }
    }
}

#[test]
fn what_is_wrong_is_named() {
    let refused = |policy: &Policy, words: &str| {
        let error = start(policy, &pipeline(1, 8), Freshness::default()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    let of = |change: &dyn Fn(&mut Greedy), policy: Policy| {
        let mut policy = policy;
        let PolicyKind::Greedy(greedy) = &mut policy.kind else { panic!() };
        change(greedy);
        policy
    };
    refused(
        &of(&|greedy| greedy.features = vec!["queue".into()], tiled()),
        "kind.greedy.features: `queue` is no feature of an observation",
    );
    refused(
        &of(&|greedy| greedy.actions.pods_max.a = 5, tiled()),
        "kind.greedy.values.tiles: values 6 actions, and there are 8",
    );
    refused(
        &of(&|greedy| greedy.actions.pods_min.b = 0, tiled()),
        "kind.greedy.actions.pods_min.b, pods_max.b: 0 to 2 is no range",
    );
    refused(
        &of(&|greedy| greedy.features = Vec::new(), tiled()),
        "kind.greedy.values.tiles: component 0 of 0 features",
    );
    let spoil = |greedy: &mut Greedy| {
        let ActionValues::Tiles(tiles) = &mut greedy.values else { panic!() };
        tiles.weights_mut()[3] = f64::NAN;
    };
    refused(&of(&spoil, tiled()), "kind.greedy.values.tiles.weights[3]: not a finite number");
    let narrow = |greedy: &mut Greedy| {
        let ActionValues::Mlp(network) = &mut greedy.values else { panic!() };
        network.inputs[1].high = 0.0;
    };
    refused(&of(&narrow, network()), "kind.greedy.values.mlp.inputs[1]: from 0 to 0 is no range");
    let fewer = |greedy: &mut Greedy| {
        let ActionValues::Mlp(network) = &mut greedy.values else { panic!() };
        network.inputs.pop();
    };
    refused(&of(&fewer, network()), "kind.greedy.values.mlp.inputs: 1, and the network takes 2");
    let region = |name: &str, low, high| {
        let region = Some(Region([(name.to_string(), (low, high))].into()));
        Policy { region, ..tiled() }
    };
    refused(&region("queue", 0.0, 1.0), "region.queue: no feature of an observation");
    refused(&region("slots", 2.0, 1.0), "region.slots: 2 to 1 is no range");
    refused(&Policy { schema: 1, ..tiled() }, "this policy has schema 1, this splitscale reads schema 2");
}

#[test]
fn every_feature_has_its_place() {
    for (at, name) in splitscale_policy::feature_names().iter().enumerate() {
        assert_eq!(splitscale_policy::position(name), Some(at));
    }
    assert_eq!(splitscale_policy::position("no_no_slots"), None);
    let slots = splitscale_policy::position("slots").unwrap();
    assert_eq!(features(&one_slot())[slots], 1.0);
}
