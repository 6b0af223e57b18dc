//! `Scaling` from files, and what is learnt on it as a document.

use std::collections::BTreeMap;

use splitscale_policy::{
    ActionKind, ActionValues, Axis, Freshness, Input, Mlp, Network, PolicyKind, Room, Tiles, feature_names,
    position, start,
};
use splitscale_rl::{
    Agent, Environment, Origin, QLearning, Scaling, ScalingProblem, Schedule, Settings, TiledValues, Values,
    check_env, to_greedy,
};
use splitscale_sim::trace::TraceError;
use splitscale_sim::{ExperimentError, SimError};

use crate::scaling::{BOTH, config, pipeline};

#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error(transparent)]
    Experiment(#[from] ExperimentError),
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error(transparent)]
    Sim(#[from] SimError),
    #[error("there is no {0}")]
    Absent(String),
}

const EXPERIMENT: &str = r#"
schema = 1
name = "windows"
title = "two windows of a trace"
replications = 1
seed = 1
[setup]
arrivals = { stamps = { trace = { file = "data/stamps.csv" } } }
[setup.a]
pods = 4
service = { exponential = { mean_s = 0.2 } }
[setup.link]
slots = 4
transfer = { law = { exponential = { mean_s = 0.08 } } }
payload = { bytes = 1000000 }
[setup.b]
pods = 4
service = { exponential = { mean_s = 0.2 } }
[[sweep]]
name = "from"
fields = ["arrivals.stamps.trace.from_s"]
values = [0.0, 100.0]
"#;

/// A request every 0.1 s, from 100 s on every 0.05 s.
fn stamps() -> String {
    let times = (0..1_000).map(|n| f64::from(n) * 0.1).chain((0..8_000).map(|n| 100.0 + f64::from(n) * 0.05));
    times.fold("t\n".into(), |text, at| format!("{text}{at:.2}\n"))
}

fn build(experiment: &str) -> Result<(Scaling, String), Wrong> {
    let files: BTreeMap<&str, String> =
        [("there/windows.toml", experiment.to_string()), ("there/data/stamps.csv", stamps())].into();
    let problem = ScalingProblem { experiments: vec!["there/windows.toml".into()], problem: config() };
    problem.build(&mut |name| files.get(name).cloned().ok_or(Wrong::Absent(name.into())))
}

#[test]
fn points_of_experiments_are_scenarios() {
    let (mut scaling, hash) = build(EXPERIMENT).unwrap();
    check_env(&scaling).unwrap();
    let names: Vec<&str> = scaling.scenarios().iter().map(|scenario| scenario.name.as_str()).collect();
    assert_eq!(names, ["windows from=0.0", "windows from=100.0"]);
    // 10 requests/s over the first 100 s, 20 then; the bill begins after the first 5 s.
    let mut sent = |scenario| {
        scaling.begin_in(scenario, 1);
        scaling.episode(|_| BOTH(8)).sent
    };
    assert_eq!((sent(0), sent(1)), (950 + 2_100, 4_000));
    // The hash follows what stands in the files.
    assert_eq!(build(EXPERIMENT).unwrap().1, hash);
    assert_ne!(build(&EXPERIMENT.replace("100.0]", "101.0]")).unwrap().1, hash);
}

#[test]
fn what_is_wrong_is_named() {
    let error = |from: &str, to: &str| build(&EXPERIMENT.replace(from, to)).unwrap_err().to_string();
    assert_eq!(error("stamps.csv", "stamp.csv"), "there is no there/data/stamp.csv");
    assert!(
        error("pods = 4", "pod = 4").starts_with("there/windows.toml:"),
        "{}",
        error("pods = 4", "pod = 4")
    );
    let changes = "[setup]\npods_change = [{ at_s = 1.0, a = 2, b = 2 }]";
    assert!(error("[setup]", changes).contains("whoever plays changes the pods"));
    assert!(error("pods = 4", "pods = 9").contains("outside of the bounds"));
    assert!(error("100.0]", "900.0]").contains("not within the trace"));
}

/// Q-learning over queue and slots, a little.
fn learnt(kind: ActionKind) -> (Scaling, TiledValues<48>) {
    let (world, _) = build(EXPERIMENT).unwrap();
    let problem = splitscale_rl::ScalingConfig { actions: kind, ..world.config().clone() };
    let files = [("there/windows.toml", EXPERIMENT.to_string()), ("there/data/stamps.csv", stamps())];
    let files: BTreeMap<&str, String> = files.into();
    let problem = ScalingProblem { experiments: vec!["there/windows.toml".into()], problem };
    let (mut world, _) =
        problem.build(&mut |name| files.get(name).cloned().ok_or(Wrong::Absent(name.into()))).unwrap();
    let axis = |name: &str, high| Axis { component: position(name).unwrap(), low: 0.0, high, intervals: 4 };
    let axes = vec![axis("queue_a", 40.0), axis("arrivals_per_s", 30.0), axis("link_mbit_s", 200.0)];
    let values = TiledValues(Tiles::filled(axes, 4, world.actions(), -50.0).unwrap());
    let settings = Settings { exploration: Schedule::Constant(0.3), ..Settings::default() };
    let mut agent = QLearning::new(values, &settings, 3).unwrap();
    world.reset(Some(3));
    for _ in 0..20 {
        agent.episode(&mut world);
    }
    let values = Agent::<Scaling>::values(&agent).clone();
    (world, values)
}

#[test]
fn a_document_decides_as_the_agent_does() {
    for kind in [ActionKind::Absolute, ActionKind::Step] {
        let (mut world, values) = learnt(kind);
        let from = Origin { algorithm: "q-learning".into(), seed: 3, settings: "" };
        let policy = to_greedy(&world, ActionValues::Tiles(values.0.clone()), &from);
        let PolicyKind::Greedy(greedy) = &policy.kind else { panic!() };
        assert_eq!(greedy.features, ["arrivals_per_s", "queue_a", "link_mbit_s"]);
        let region = policy.region.as_ref().unwrap();
        let watched: Vec<&str> = region.0.keys().map(String::as_str).collect();
        let missing = ["no_arrivals_per_s", "no_link_mbit_s", "no_queue_a"];
        assert_eq!(
            watched,
            [&["arrivals_per_s", "link_age_s", "link_mbit_s"], &missing[..], &["queue_a"]].concat()
        );

        let fresh = start(&policy, &pipeline(), Freshness::default()).unwrap();
        let (mut decided, mut held, mut seen) = (0, 0, std::collections::BTreeSet::new());
        let mut features = world.reset(Some(77));
        for _ in 0..40 {
            // What it told the pods of one episode it did not tell those of the next.
            let mut controller = fresh.clone();
            loop {
                let state = values.state(&features);
                let (action, _) = values.best_of(state, |action| world.allows(action));
                let now_s = world.simulation().now().as_secs_f64();
                match controller.decide(now_s, world.observation()).raw {
                    Some(raw) => {
                        assert_eq!(raw, world.pods(action));
                        seen.insert((raw.a, raw.b));
                        decided += 1;
                    }
                    None => held += 1,
                }
                let step = world.step(action);
                if step.over() {
                    break;
                }
                features = step.observation;
            }
            features = world.reset(None);
        }
        assert!(decided > 1_500 && held < 100 && seen.len() > 4, "{decided} {held} {seen:?}");
        // The same again: the same document.
        assert_eq!(to_greedy(&world, ActionValues::Tiles(values.0.clone()), &from), policy);
    }
}

#[test]
fn names_of_components_are_features() {
    use splitscale_rl::{AxisConfig, Component, TilesConfig};
    let axis = |component| AxisConfig { component, low: 0.0, high: 1.0, intervals: 1 };
    let tiles = |component| TilesConfig { tilings: 1, axes: vec![axis(component)] };
    let names = feature_names();
    let name = |name: &str| tiles(Component::Name(name.into()));
    assert_eq!(name("slots").axes(&names, 48).unwrap()[0].component, position("slots").unwrap());
    assert_eq!(tiles(Component::Number(3)).axes(&[], 4).unwrap()[0].component, 3);
    for (tiles, names, words) in [
        (name("slot"), &names[..], "axes[0].component: `slot` is none of arrivals_per_s, "),
        (
            name("slots"),
            &[][..],
            "axes[0].component: `slots`, and these components have numbers alone, 0 to 3",
        ),
        (tiles(Component::Number(4)), &[][..], "axes[0].component: 4, and an observation has 0 to 3"),
    ] {
        let error = tiles.axes(names, 4).unwrap_err().to_string();
        assert!(error.starts_with(words), "{error}");
    }
}

#[test]
fn a_network_as_a_document_chooses_as_the_network_does_on_10_000_observations() {
    let (world, _) = build(EXPERIMENT).unwrap();
    let mut chance = splitscale_rl::Chance::new(5, 0);
    let sizes = vec![48, 16, world.actions()];
    let parameters = (0..Mlp::parameters_of(&sizes)).map(|_| chance.fraction() as f32 - 0.5).collect();
    let mlp = Mlp::new(sizes, parameters).unwrap();
    let inputs: Vec<Input> =
        (0..48).map(|component| Input { component, low: 0.0, high: 1.0 + component as f64 }).collect();
    let network = Network { inputs: inputs.clone(), mlp: mlp.clone() };
    let from = Origin { algorithm: "by chance".into(), seed: 5, settings: "" };
    let policy = to_greedy(&world, ActionValues::Mlp(network), &from);
    policy.validate().unwrap();
    let PolicyKind::Greedy(greedy) = policy.kind else { panic!() };
    let (mut room, mut chosen) = (Room::default(), std::collections::BTreeSet::new());
    for _ in 0..10_000 {
        let features: [f64; 48] = std::array::from_fn(|at| chance.fraction() * (1.0 + at as f64));
        let seen: Vec<f32> = inputs.iter().map(|input| input.of(&features)).collect();
        let values = mlp.forward(&seen, &mut room);
        let best = (0..values.len()).reduce(|best, at| if values[at] > values[best] { at } else { best });
        let action = greedy.best(&features, world.desired());
        assert_eq!(Some(action), best);
        chosen.insert(action);
    }
    assert!(chosen.len() > 5, "{chosen:?}");
}
