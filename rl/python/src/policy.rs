//! Networks that were trained elsewhere as policy documents, and what such a document decides.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use splitscale_policy::{
    ActionValues, FEATURES, Input, Mlp, Network, Policy, PolicyKind, document_hash, position,
};
use splitscale_rl::{Environment, Origin, to_greedy};
use splitscale_spec::{Invalid, Replicas};

use crate::env::Env;
use crate::world::World;

/// A network over all features as a policy document (JSON): `sizes` and `parameters` as [`Mlp::new`] has them, of each feature
/// what becomes -1 and what becomes 1, and where it comes from: algorithm, seed, settings.
#[pyfunction]
pub(crate) fn export(
    env: PyRef<'_, Env>,
    sizes: Vec<usize>,
    parameters: Vec<f32>,
    ranges: Vec<(f64, f64)>,
    origin: (String, u64, String),
) -> PyResult<String> {
    let World::Scaling(scaling) = &env.world else {
        return Err(PyValueError::new_err("env: only what was learnt on Scaling is written as a network"));
    };
    let mlp = Mlp::new(sizes, parameters).map_err(told)?;
    if mlp.sizes().last() != Some(&scaling.actions()) {
        let problem = format!("layers: {:?} outputs for {} actions", mlp.sizes().last(), scaling.actions());
        return Err(PyValueError::new_err(problem));
    }
    let input = |(component, (low, high))| Input { component, low, high };
    let network = Network { inputs: ranges.into_iter().enumerate().map(input).collect(), mlp };
    network.validate().map_err(told)?;
    if network.inputs.len() != FEATURES {
        let problem = format!("layers: {} inputs for {FEATURES} features", network.inputs.len());
        return Err(PyValueError::new_err(problem));
    }
    let (algorithm, seed, settings) = origin;
    // What was learnt on belongs to what the training read.
    let settings = document_hash(&(settings, scaling.config()));
    let policy =
        to_greedy(scaling, ActionValues::Mlp(network), &Origin { algorithm, seed, settings: &settings });
    policy.validate().map_err(told)?;
    serde_json::to_string_pretty(&policy).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// The pods of A and of B that a document asks for, by all the features of an observation.
#[pyfunction]
pub(crate) fn decide(document: &str, observation: [f64; FEATURES]) -> PyResult<(u32, u32)> {
    let policy: Policy = serde_json::from_str(document)
        .map_err(|error| PyValueError::new_err(format!("policy document: {error}")))?;
    policy.validate().map_err(told)?;
    let feature = |name: &str| position(name).map_or(0.0, |at| observation[at]) as u32;
    let pods = match &policy.kind {
        PolicyKind::Static(pods) => *pods,
        PolicyKind::SlotsTable(bins) => {
            let slots = feature("slots");
            let bin = bins.iter().find(|bin| (bin.slots_min..=bin.slots_max).contains(&slots));
            bin.ok_or_else(|| PyValueError::new_err(format!("no bin holds {slots} slots")))?.pods
        }
        PolicyKind::Hpa(_)
        | PolicyKind::Keda(_)
        | PolicyKind::Kpa(_)
        | PolicyKind::Numaflow(_)
        | PolicyKind::Useful(_) => {
            let problem = "policy document: a rule of an autoscaler; only a controller asks it";
            return Err(PyValueError::new_err(problem));
        }
        PolicyKind::Greedy(greedy) => {
            let desired = Replicas { a: feature("desired_a"), b: feature("desired_b") };
            greedy.actions.pods(greedy.best(&observation, desired), desired)
        }
    };
    Ok((pods.a, pods.b))
}

fn told(wrong: Invalid) -> PyErr {
    PyValueError::new_err(wrong.to_string())
}
