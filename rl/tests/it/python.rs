//! What Python must see, bit for bit: `rl/python/tests/golden.json`, which the Python package's tests hold it against too.

use std::error::Error;
use std::path::Path;

use serde_json::{Value, json};
use splitscale_rl::{Environment, FittedCurves, Noise, RewardConfig, Scaling, ScalingProblem, Step};

use crate::published::published;

const GOLDEN: &str = include_str!("../../python/tests/golden.json");

/// The problem that is compiled into the Python package.
fn scaling() -> Scaling {
    let problem: ScalingProblem =
        toml::from_str(include_str!("../../python/src/default/problem.toml")).unwrap();
    let tide = include_str!("../../python/src/default/tide.toml");
    problem.build::<Box<dyn Error>>(&mut |_| Ok(tide.to_owned())).unwrap().0
}

fn noisy() -> FittedCurves {
    FittedCurves::new(published().0.times().clone(), RewardConfig::default(), Noise::Cv(0.1)).unwrap()
}

/// A seeded reset, `steps` steps by a rule, a reset without a seed wherever an episode is over.
fn trajectory<E: Environment>(mut world: E, steps: usize, shown: fn(&E::Observation) -> Value) -> Value {
    let (mut observations, mut rewards, mut over) =
        (vec![shown(&world.reset(Some(7)))], Vec::new(), Vec::new());
    for at in 0..steps {
        let step: Step<E::Observation> = world.step(at * 13 % world.actions());
        observations.push(shown(&step.observation));
        rewards.push(step.reward);
        if step.over() {
            over.push(at);
            observations.push(shown(&world.reset(None)));
        }
    }
    json!({ "observations": observations, "rewards": rewards, "over": over })
}

#[test]
fn python_sees_these_steps() {
    let made = json!({
        "curves": trajectory(noisy(), 20, |level| json!(level)),
        "scaling": trajectory(scaling(), 65, |features| json!(features.as_slice())),
    });
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    if made != golden {
        let now = Path::new(env!("CARGO_TARGET_TMPDIR")).join("golden.json");
        std::fs::write(&now, made.to_string() + "\n").unwrap();
        panic!("other steps than in rl/python/tests/golden.json; if they are meant, take {}", now.display());
    }
}
