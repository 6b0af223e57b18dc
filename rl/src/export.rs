//! What was learnt, as a document that needs no learner.

use splitscale_policy::document_hash;
use splitscale_spec::{Bin, Policy, PolicyKind, Region, Replicas, Training};

use crate::fitted_curves::FittedCurves;
use crate::optimum::Optimum;

/// Where a policy comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin<'a> {
    /// Algorithm, such as `q-learning`.
    pub algorithm: String,
    /// Seed of the run.
    pub seed: u64,
    /// Everything that the run was told, as JSON.
    pub settings: &'a str,
}

/// The greedy policy of a run as a table over slots, one bin a level, the same pods for A and B.
///
/// The bins leave no gap between the lowest and the highest level: the border lies half-way between
/// neighbours, and slots exactly half-way belong to the upper level. Outside the levels there is no bin,
/// and the region says so.
///
/// `training.hash` covers everything the run read: its settings, the reward, the fitted times.
///
/// # Panics
/// If there are not as many actions as levels, or one that does not exist.
pub fn to_policy(curves: &FittedCurves, greedy: &[usize], from: &Origin) -> Policy {
    let slots = curves.times().slots();
    let regret = Optimum::of(curves).regret(greedy);
    let bins = (0..slots.len()).map(|level| {
        let slots_min = if level == 0 { slots[0] } else { border(slots[level - 1], slots[level]) };
        let next = slots.get(level + 1);
        let slots_max = next.map_or(slots[level], |&next| border(slots[level], next) - 1);
        let pods = curves.times().pods()[greedy[level]];
        Bin {
            name: bin_name(slots_min, slots_max),
            slots_min,
            slots_max,
            pods: Replicas { a: pods, b: pods },
        }
    });
    Policy {
        schema: Policy::SCHEMA,
        name: format!("{}, seed {}", from.algorithm, from.seed),
        kind: PolicyKind::SlotsTable(bins.collect()),
        region: Some(Region { slots_min: slots[0], slots_max: slots[slots.len() - 1] }),
        training: Some(Training {
            algorithm: from.algorithm.clone(),
            seed: from.seed,
            hash: document_hash(&(&from.settings, curves.config(), curves.noise(), curves.times())),
            regret,
        }),
    }
}

/// Fewest slots that belong to `upper` and not to `lower`.
fn border(lower: u32, upper: u32) -> u32 {
    lower + (upper - lower).div_ceil(2)
}

fn bin_name(min: u32, max: u32) -> String {
    if min == max { format!("slots {min}") } else { format!("slots {min}..{max}") }
}
