//! The problem as a table: states are bins of what is seen, and what follows is estimated from the simulator.
//!
//! ```text
//!  exploring episodes ─▶ snapshots by state ─▶ from each, every action is tried on the same future ─▶ Mdp ─▶ values, policy
//!                             ▲                            │
//!                             └──── a state never seen ◀───┘
//! ```
//!
//! Bins hide what is in them, so the table is a model of the problem and no more: [`Errors`] says how good it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use splitscale_policy::{feature_names, features};
use splitscale_spec::{Invalid, Replicas, at_least_one};

use crate::chance::{Chance, TRIAL};
use crate::dynamic_programming::{Question, Solution, evaluate, evaluate_for, value_iteration};
use crate::environment::Environment;
use crate::mdp::{Mdp, Outcome};
use crate::scaling::{RewardKind, Scaling};

/// A feature, cut into bins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// Its name, one of [`feature_names`].
    pub feature: String,
    /// Where one bin ends and the next begins, rising; the border belongs to the upper one.
    pub edges: Vec<f64>,
}

/// How the table is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscretisedConfig {
    /// What a state is.
    pub cuts: Vec<Cut>,
    /// Episodes that explore, in the scenarios by turns, and as many that the policy is tried in.
    pub episodes: u32,
    /// Snapshots kept of each state, of some ten kilobytes each.
    pub snapshots: u32,
    /// Worth of a reward one decision later, in [0, 1).
    pub discount: f64,
    /// Seed of the first episode; the others count up.
    pub seed: u64,
}

/// How good a model the table is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Errors {
    /// Standard error of the mean reward, the mean over states and actions of two samples or more.
    pub reward_se: f64,
    /// States and actions with one sample, whose error nobody knows.
    pub alone: u64,
    /// Standard error of the optimum from the start: half of the difference between two tables of half the samples each.
    pub optimum_se: f64,
    /// By how much the optimum flatters itself: less what the policy of one half is worth in the other.
    pub optimism: f64,
    /// J of an episode under the policy, as the table foretells it; without what is overdue at its end, which no table of
    /// intervals has.
    pub foretold: f64,
    /// The same as the policy comes to it in the simulator, the mean of episodes that the table has not seen.
    pub earned: f64,
    /// Standard error of that; absent below two episodes.
    pub earned_se: Option<f64>,
    /// Samples that led to a state nobody could go on from, counted as staying.
    pub stayed: u64,
}

/// The table, solved.
#[derive(Debug, Clone)]
pub struct Discretised {
    cuts: Vec<(usize, Vec<f64>)>,
    keys: BTreeMap<Vec<u16>, usize>,
    mdp: Mdp,
    solution: Solution,
    errors: Errors,
}

/// What followed an action: the reward, the next state.
type Samples = Vec<(f64, usize)>;

/// States as they are found, with snapshots of each.
struct Found {
    cuts: Vec<(usize, Vec<f64>)>,
    keys: BTreeMap<Vec<u16>, usize>,
    snapshots: Vec<Vec<Scaling>>,
    seen: Vec<usize>,
}

/// To this part of the largest reward values are settled.
const TOLERANCE: f64 = 1e-9;

impl Discretised {
    /// Estimates and solves it.
    ///
    /// # Errors
    /// A reward that is not the cost, a feature that there is none of, edges that do not rise, no episodes or snapshots, episodes of one decision, a
    /// discount outside of [0, 1).
    pub fn of(scaling: &Scaling, config: &DiscretisedConfig) -> Result<Self, Invalid> {
        let cuts = config.validate(scaling)?;
        let mut found = Found { cuts, keys: BTreeMap::new(), snapshots: Vec::new(), seen: Vec::new() };
        let starts = found.explore(scaling, config);
        let (samples, stayed) = found.try_all(scaling.actions(), config.snapshots as usize);
        let question = Question::of(config.discount);
        let table = |keep: &dyn Fn(usize) -> bool| table(&samples, scaling.actions(), &starts, keep);
        let mdp = table(&|_| true);
        let solution = value_iteration(&mdp, question, TOLERANCE)?;
        let halves = [0, 1].map(|half| table(&|at| at % 2 == half));
        let [even, odd] = &halves;
        let (of_even, of_odd) =
            (value_iteration(even, question, TOLERANCE)?, value_iteration(odd, question, TOLERANCE)?);
        let worth = |mdp: &Mdp, policy: &[usize]| -> Result<f64, Invalid> {
            Ok(mdp.from_start(&evaluate(mdp, policy, question, TOLERANCE)?))
        };
        let crossed = (worth(odd, &of_even.policy)? + worth(even, &of_odd.policy)?) / 2.0;
        let own = (even.from_start(&of_even.values) + odd.from_start(&of_odd.values)) / 2.0;
        let decisions = scaling.config().decisions as usize;
        let foretold = evaluate_for(&mdp, &solution.policy, Question::of(1.0), decisions)?;
        let (reward_se, alone) = reward_se(&samples);
        let errors = Errors {
            reward_se,
            alone,
            optimum_se: (even.from_start(&of_even.values) - odd.from_start(&of_odd.values)).abs() / 2.0,
            optimism: own - crossed,
            foretold: -mdp.from_start(&foretold),
            earned: 0.0,
            earned_se: None,
            stayed,
        };
        let mut made = Discretised { cuts: found.cuts, keys: found.keys, mdp, solution, errors };
        made.try_out(scaling, config);
        Ok(made)
    }

    /// The state that is seen; absent where nothing of its kind was ever met.
    pub fn state(&self, scaling: &Scaling) -> Option<usize> {
        self.keys.get(&key(&self.cuts, scaling)).copied()
    }

    /// What the best policy of the table asks for; in a state that is not in it, what there is.
    pub fn decide(&self, scaling: &Scaling) -> Replicas {
        let Some(state) = self.state(scaling) else { return scaling.desired() };
        // Bins may hold states in which an action may not be taken: the best of those that may.
        let row = self.solution.q.row(state);
        let may = (0..row.len()).filter(|&action| scaling.allows(action));
        let best = may.reduce(|best, action| if row[action] > row[best] { action } else { best });
        best.map_or(scaling.desired(), |action| scaling.pods(action))
    }

    /// What is lost by asking for these pods instead of the best, by the table's values \[J\]; absent where it knows nothing of
    /// it.
    pub fn lost(&self, scaling: &Scaling, pods: Replicas) -> Option<(usize, f64)> {
        let state = self.state(scaling)?;
        let row = self.solution.q.row(state);
        let may = || (0..row.len()).filter(|&action| scaling.allows(action) && row[action].is_finite());
        let chosen = may().find(|&action| scaling.pods(action) == pods)?;
        let best = may().map(|action| row[action]).fold(f64::NEG_INFINITY, f64::max);
        Some((state, best - row[chosen]))
    }

    /// The table.
    pub fn mdp(&self) -> &Mdp {
        &self.mdp
    }

    /// Its values and its best policy.
    pub fn solution(&self) -> &Solution {
        &self.solution
    }

    /// How good a model it is.
    pub fn errors(&self) -> Errors {
        self.errors
    }

    /// Every state by name: the bin of each feature.
    pub fn labels(&self) -> Vec<String> {
        let names = feature_names();
        let mut labels = vec![String::new(); self.keys.len()];
        for (key, &state) in &self.keys {
            let part = |(bin, (component, edges)): (&u16, &(usize, Vec<f64>))| {
                let low = bin.checked_sub(1).map(|below| edges[usize::from(below)]);
                let high = edges.get(usize::from(*bin));
                match (low, high) {
                    (Some(low), Some(high)) => format!("{} {low}..{high}", names[*component]),
                    (Some(low), None) => format!("{} from {low}", names[*component]),
                    (None, Some(high)) => format!("{} below {high}", names[*component]),
                    (None, None) => names[*component].clone(),
                }
            };
            labels[state] = key.iter().zip(&self.cuts).map(part).collect::<Vec<_>>().join(", ");
        }
        labels
    }

    /// Plays its policy in episodes that it was not made of.
    fn try_out(&mut self, scaling: &Scaling, config: &DiscretisedConfig) {
        let mut world = scaling.clone();
        let scenarios = scaling.scenarios().len();
        let weight = scaling.config().cost.miss_weight;
        let costs: Vec<f64> = (0..config.episodes)
            .map(|episode| {
                let seed = config.seed.wrapping_add(u64::from(config.episodes + episode));
                world.begin_in(episode as usize % scenarios, seed);
                let cost = world.episode(|now| self.decide(now)).cost;
                cost - weight * world.simulation().overdue() as f64
            })
            .collect();
        (self.errors.earned, self.errors.earned_se) = mean_and_se(costs.iter().copied());
    }
}

impl DiscretisedConfig {
    /// Which component each cut is of, and its edges.
    fn validate(&self, scaling: &Scaling) -> Result<Vec<(usize, Vec<f64>)>, Invalid> {
        at_least_one("episodes", self.episodes)?;
        at_least_one("snapshots", self.snapshots)?;
        if scaling.config().reward != RewardKind::Cost {
            return Err(Invalid::new("reward", "not the cost; a table counts what cost says, take cost"));
        }
        if scaling.config().decisions < 2 {
            return Err(Invalid::new("decisions", "1; a table takes episodes of at least 2"));
        }
        if !(0.0..1.0).contains(&self.discount) {
            return Err(Invalid::new("discount", format!("{} is not in [0, 1)", self.discount)));
        }
        let names = feature_names();
        let cut = |(at, cut): (usize, &Cut)| {
            let component = names.iter().position(|name| *name == cut.feature).ok_or_else(|| {
                let problem = format!("{} is no feature; there are {}", cut.feature, names.join(", "));
                Invalid::new(format!("cuts[{at}].feature"), problem)
            })?;
            let rise = cut.edges.windows(2).all(|pair| pair[0] < pair[1]);
            if !rise || cut.edges.iter().any(|edge| !edge.is_finite()) || cut.edges.len() > 10_000 {
                return Err(Invalid::new(
                    format!("cuts[{at}].edges"),
                    "not rising finite numbers, 10000 at most",
                ));
            }
            Ok((component, cut.edges.clone()))
        };
        self.cuts.iter().enumerate().map(cut).collect()
    }
}

impl Found {
    /// The state that is seen.
    fn state(&mut self, scaling: &Scaling) -> usize {
        let next = self.keys.len();
        let state = *self.keys.entry(key(&self.cuts, scaling)).or_insert(next);
        if state == next {
            self.snapshots.push(Vec::new());
            self.seen.push(0);
        }
        state
    }

    /// Plays at random, every other time as before; where episodes begin, by probability.
    fn explore(&mut self, scaling: &Scaling, config: &DiscretisedConfig) -> Vec<(usize, f64)> {
        let mut chance = Chance::new(config.seed, TRIAL);
        let mut world = scaling.clone();
        let mut starts: BTreeMap<usize, f64> = BTreeMap::new();
        for episode in 0..config.episodes {
            let scenario = episode as usize % scaling.scenarios().len();
            world.begin_in(scenario, config.seed.wrapping_add(u64::from(episode)));
            let start = self.state(&world);
            *starts.entry(start).or_default() += 1.0 / f64::from(config.episodes);
            // The last decision is left out: what is overdue at the end is another reward.
            for _ in 1..scaling.config().decisions {
                let state = self.state(&world);
                self.seen[state] += 1;
                // Each that was seen is as likely to be kept (Vitter, Random Sampling with a Reservoir, 1985).
                let kept = &mut self.snapshots[state];
                if kept.len() < config.snapshots as usize {
                    kept.push(world.clone());
                } else if let Some(old) = kept.get_mut(chance.below(self.seen[state])) {
                    *old = world.clone();
                }
                let may: Vec<usize> = (0..world.actions()).filter(|&action| world.allows(action)).collect();
                let at_random = world.pods(may[chance.below(may.len())]);
                let pods = if chance.below(2) == 0 { world.desired() } else { at_random };
                world.decide(pods);
            }
        }
        starts.into_iter().collect()
    }

    /// From every snapshot every action; by state and action what followed, and how often nobody could go on. What is come to on
    /// the way is a snapshot of its state where there are not as many yet.
    fn try_all(&mut self, actions: usize, most: usize) -> (Vec<Vec<Samples>>, u64) {
        let (mut samples, mut stayed): (Vec<Vec<Samples>>, u64) = (Vec::new(), 0);
        while samples.len() < self.snapshots.len() {
            let state = samples.len();
            let snapshots = std::mem::take(&mut self.snapshots[state]);
            let mut row = vec![Samples::new(); actions];
            for snapshot in &snapshots {
                for action in (0..actions).filter(|&action| snapshot.allows(action)) {
                    let mut world = snapshot.clone();
                    let step = world.step(action);
                    let known = self.keys.contains_key(&key(&self.cuts, &world));
                    let last = world.decided() + 1 >= world.config().decisions;
                    stayed += u64::from(!known && last);
                    let next = if known || !last { self.state(&world) } else { state };
                    if next > state && !last && self.snapshots[next].len() < most {
                        self.snapshots[next].push(world);
                    }
                    row[action].push((step.reward, next));
                }
            }
            samples.push(row);
        }
        (samples, stayed)
    }
}

/// The bins of what is seen.
fn key(cuts: &[(usize, Vec<f64>)], scaling: &Scaling) -> Vec<u16> {
    let seen = features(scaling.observation());
    cuts.iter()
        .map(|(component, edges)| edges.partition_point(|&edge| edge <= seen[*component]) as u16)
        .collect()
}

/// The table of those samples that are kept, by number; where that leaves none, of all.
fn table(
    samples: &[Vec<Samples>],
    actions: usize,
    starts: &[(usize, f64)],
    keep: &dyn Fn(usize) -> bool,
) -> Mdp {
    let total: f64 = starts.iter().map(|start| start.1).sum();
    let starts = starts.iter().map(|&(state, share)| (state, share / total)).collect();
    Mdp::new(samples.len(), actions, starts, |state, action| {
        let all = &samples[state][action];
        let some: Samples = all.iter().enumerate().filter(|(at, _)| keep(*at)).map(|(_, s)| *s).collect();
        let used = if some.is_empty() { all } else { &some };
        let mut by_next: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
        for (reward, next) in used {
            let (sum, count) = by_next.entry(*next).or_default();
            (*sum, *count) = (*sum + reward, *count + 1.0);
        }
        let outcome = |(next, (sum, count)): (usize, (f64, f64))| Outcome {
            probability: count / used.len() as f64,
            next,
            reward: sum / count,
            reward_sd: 0.0,
            terminated: false,
        };
        by_next.into_iter().map(outcome).collect()
    })
}

/// Mean standard error of the rewards, and how many had one sample.
fn reward_se(samples: &[Vec<Samples>]) -> (f64, u64) {
    let (mut errors, mut alone) = (Vec::new(), 0);
    for rewards in samples.iter().flatten() {
        match rewards.len() {
            0 => {}
            1 => alone += 1,
            _ => errors.extend(mean_and_se(rewards.iter().map(|sample| sample.0)).1),
        }
    }
    (errors.iter().sum::<f64>() / errors.len().max(1) as f64, alone)
}

/// The standard error is absent below two values.
pub(super) fn mean_and_se(values: impl Iterator<Item = f64> + Clone) -> (f64, Option<f64>) {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    let squares: f64 = values.map(|value| (value - mean) * (value - mean)).sum();
    (mean, (count > 1.0).then(|| libm::sqrt(squares / (count - 1.0) / count)))
}
