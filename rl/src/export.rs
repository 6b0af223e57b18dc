//! What was learnt, as a document that needs no learner.

use std::collections::{BTreeMap, BTreeSet};

use splitscale_policy::{
    ActionValues, Bin, FEATURES, Greedy, Input, Network, Policy, PolicyKind, Region, Training, document_hash,
    feature_names, position,
};
use splitscale_spec::Replicas;

use crate::chance::{AGENT, Chance, probability};
use crate::environment::Environment;
use crate::fitted_curves::FittedCurves;
use crate::optimum::Optimum;
use crate::scaling::Scaling;

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
        region: Some(Region::of_slots(slots[0], slots[slots.len() - 1])),
        training: Some(Training {
            algorithm: from.algorithm.clone(),
            seed: from.seed,
            hash: document_hash(&(&from.settings, curves.config(), curves.noise(), curves.times())),
            regret: Some(regret),
            optimum: Some("the exact optimum on these curves".to_string()),
        }),
    }
}

/// Episodes in which is seen where a policy goes.
const EPISODES: u64 = 64;
/// Share of random actions in them: a policy must be trusted a little off its own way, where chance leads it.
const ASTRAY: f64 = 0.1;

/// What was learnt on [`Scaling`], as a document. Components of `values` are numbers of [features](feature_names).
///
/// Its region is where it goes on the scenarios it was trained on: the least and the greatest of each feature it goes by,
/// over 64 episodes with a tenth of random actions. Where it goes by the bandwidth, the age of that estimate belongs to it,
/// and of each feature whether it is missing.
///
/// # Panics
/// If there is no such component, or not one value an action.
pub fn to_greedy(scaling: &Scaling, values: ActionValues, from: &Origin) -> Policy {
    let names = feature_names();
    let of = |components: &mut dyn Iterator<Item = usize>| -> Vec<usize> {
        components.collect::<BTreeSet<usize>>().into_iter().collect()
    };
    let read = match &values {
        ActionValues::Tiles(tiles) => of(&mut tiles.axes().iter().map(|axis| axis.component)),
        ActionValues::Mlp(network) => of(&mut network.inputs.iter().map(|input| input.component)),
    };
    let place = |component: usize| read.binary_search(&component).expect("each was read");
    let values = match values {
        ActionValues::Tiles(tiles) => ActionValues::Tiles(tiles.renumbered(place)),
        ActionValues::Mlp(Network { inputs, mlp }) => {
            let renumber = |input: Input| Input { component: place(input.component), ..input };
            ActionValues::Mlp(Network { inputs: inputs.into_iter().map(renumber).collect(), mlp })
        }
    };
    let features = read.iter().map(|&component| names[component].clone()).collect();
    let greedy = Greedy { features, actions: scaling.config().actions(), values };
    let region = region(scaling, &greedy, &read, from.seed);
    Policy {
        schema: Policy::SCHEMA,
        name: format!("{}, seed {}", from.algorithm, from.seed),
        kind: PolicyKind::Greedy(greedy),
        region: Some(region),
        training: Some(Training {
            algorithm: from.algorithm.clone(),
            seed: from.seed,
            hash: from.settings.to_string(),
            regret: None,
            optimum: None,
        }),
    }
}

fn region(scaling: &Scaling, greedy: &Greedy, read: &[usize], seed: u64) -> Region {
    let (names, mut world) = (feature_names(), scaling.clone());
    let mut watched: BTreeSet<usize> = read.iter().copied().collect();
    watched.extend(read.iter().filter_map(|&at| position(&format!("no_{}", names[at]))));
    if position("link_mbit_s").is_some_and(|at| watched.contains(&at)) {
        watched.extend(position("link_age_s"));
    }
    let mut seen: BTreeMap<usize, (f64, f64)> =
        watched.into_iter().map(|at| (at, (f64::INFINITY, f64::NEG_INFINITY))).collect();
    let mut look = |features: &[f64; FEATURES]| {
        for (&at, (low, high)) in &mut seen {
            (*low, *high) = (low.min(features[at]), high.max(features[at]));
        }
    };
    let (mut chance, astray) = (Chance::new(seed, AGENT), probability(ASTRAY));
    let mut features = world.reset(Some(seed));
    for _ in 0..EPISODES {
        loop {
            look(&features);
            let action = match chance.happens(astray) {
                true => {
                    let allowed: Vec<usize> =
                        (0..world.actions()).filter(|&action| world.allows(action)).collect();
                    allowed[chance.below(allowed.len())]
                }
                false => greedy.best(&features, world.desired()),
            };
            let step = world.step(action);
            if step.over() {
                break;
            }
            features = step.observation;
        }
        features = world.reset(None);
    }
    Region(seen.into_iter().map(|(at, ends)| (names[at].clone(), ends)).collect())
}

/// Fewest slots that belong to `upper` and not to `lower`.
fn border(lower: u32, upper: u32) -> u32 {
    lower + (upper - lower).div_ceil(2)
}

fn bin_name(min: u32, max: u32) -> String {
    if min == max { format!("slots {min}") } else { format!("slots {min}..{max}") }
}
