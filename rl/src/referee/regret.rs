//! How much more a policy costs than what was possible: in total against each yardstick, and where it loses it.
//!
//! ```text
//! regret = (J - J*) / |J*|      J* of the same episode, named: the bound, the best found, the best static allocation
//! ```
//!
//! J* is the same for every policy. A policy that beats what the search found, or the static allocations, has a regret below
//! zero against that; against the bound none has.

use serde::{Deserialize, Serialize};
use splitscale_spec::{Invalid, Replicas};

use crate::evaluate::Workers;
use crate::referee::discretised::{Discretised, mean_and_se};
use crate::referee::search::{Found, SearchConfig};
use crate::scaling::{Bill, Scaling};

/// Episodes with their yardsticks, for as many policies as one likes.
#[derive(Debug, Clone)]
pub struct Referee {
    scaling: Scaling,
    episodes: Vec<Episode>,
}

/// What was possible in an episode.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Episode {
    /// Number of the scenario.
    pub scenario: usize,
    /// Its name.
    pub name: String,
    /// The seed.
    pub seed: u64,
    /// Bound, best static allocation and best found.
    pub found: Found,
}

/// How a policy did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Regret {
    /// Episode by episode.
    pub episodes: Vec<EpisodeRegret>,
    /// Against each yardstick, all episodes together.
    pub yardsticks: Vec<Yardstick>,
    /// State by state, where most is lost first; empty without a table.
    pub states: Vec<StateRegret>,
    /// Decisions in states, or for pods, that the table does not know.
    pub unknown: u64,
}

/// What a policy came to in one episode, and what was possible.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EpisodeRegret {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// What the policy's decisions came to.
    pub bill: Bill,
    /// J that nothing goes below.
    pub bound: f64,
    /// J of the best that the search found; a policy may cost less.
    pub best_found: f64,
    /// J of the best static allocation of this episode.
    pub best_static: f64,
}

/// Mean regret against one yardstick.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Yardstick {
    /// What J* is: `bound`, `best found` or `best static`.
    pub name: String,
    /// Episodes.
    pub episodes: u64,
    /// Mean over the episodes of (J - J*) / |J*|.
    pub regret: f64,
    /// Standard error of that; absent below two episodes.
    pub se: Option<f64>,
}

/// What a policy loses in one state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateRegret {
    /// The bins it lies in.
    pub state: String,
    /// Decisions taken there.
    pub visits: u64,
    /// Mean of what one of them loses against the best there, by the table's values \[J\]; zero or more.
    pub lost: f64,
    /// Worth of the state by the table, minus J of all that comes, discounted.
    pub value: f64,
}

impl Referee {
    /// Finds what is possible in every scenario under each of the seeds. Absent where the workers were told not to go on.
    ///
    /// # Errors
    /// As [`Found::search`]; no seeds.
    pub fn new(
        scaling: &Scaling,
        seeds: &[u64],
        search: SearchConfig,
        workers: Workers<'_>,
    ) -> Result<Option<Self>, Invalid> {
        if seeds.is_empty() {
            return Err(Invalid::new("seeds", "empty; a regret takes at least one episode"));
        }
        let cases: Vec<(usize, u64)> =
            (0..scaling.scenarios().len()).flat_map(|n| seeds.iter().map(move |&seed| (n, seed))).collect();
        let found = workers.each(cases.len(), || {
            |at: usize| {
                let (scenario, seed) = cases[at];
                let found = Found::search(scaling, (scenario, seed), search, &[])?;
                let name = scaling.scenarios()[scenario].name.clone();
                Ok(Episode { scenario, name, seed, found })
            }
        });
        let Some(found) = found else { return Ok(None) };
        let episodes = found.into_iter().collect::<Result<_, Invalid>>()?;
        Ok(Some(Referee { scaling: scaling.clone(), episodes }))
    }

    /// The episodes.
    pub fn episodes(&self) -> &[Episode] {
        &self.episodes
    }

    /// Judges a policy; where there is a table, by its states too. A policy that remembers begins anew where
    /// [`decided`](Scaling::decided) is zero.
    pub fn judge(&self, table: Option<&Discretised>, mut policy: impl FnMut(&Scaling) -> Replicas) -> Regret {
        let mut world = self.scaling.clone();
        let mut unknown = 0;
        let states = table.map_or(0, |table| table.mdp().states());
        let mut visits = vec![(0_u64, 0.0); states];
        let mut episodes = Vec::with_capacity(self.episodes.len());
        for Episode { scenario, name, seed, found } in &self.episodes {
            world.begin_in(*scenario, *seed);
            let bill = world.episode(|now| {
                let pods = policy(now);
                if let Some(table) = table {
                    match table.lost(now, pods) {
                        Some((state, lost)) => {
                            visits[state].0 += 1;
                            visits[state].1 += lost;
                        }
                        None => unknown += 1,
                    }
                }
                pods
            });
            episodes.push(EpisodeRegret {
                scenario: name.clone(),
                seed: *seed,
                bill,
                bound: found.bound.cost,
                best_found: found.bill.cost,
                best_static: found.static_bill.cost,
            });
        }
        let yardsticks = vec![
            Yardstick::of("bound", &episodes, |episode| episode.bound),
            Yardstick::of("best found", &episodes, |episode| episode.best_found),
            Yardstick::of("best static", &episodes, |episode| episode.best_static),
        ];
        Regret { episodes, yardsticks, states: table.map_or(Vec::new(), |t| by_state(t, &visits)), unknown }
    }
}

impl Yardstick {
    fn of(name: &str, episodes: &[EpisodeRegret], best: impl Fn(&EpisodeRegret) -> f64) -> Self {
        let regrets: Vec<f64> = episodes
            .iter()
            .map(|episode| (episode.bill.cost - best(episode)) / best(episode).abs())
            .collect();
        let (regret, se) = mean_and_se(regrets.iter().copied());
        Yardstick { name: name.into(), episodes: regrets.len() as u64, regret, se }
    }
}

fn by_state(table: &Discretised, visits: &[(u64, f64)]) -> Vec<StateRegret> {
    let states = table.labels().into_iter().zip(visits).zip(&table.solution().values);
    let visited = states.filter(|((_, (visits, _)), _)| *visits > 0);
    let mut states: Vec<StateRegret> = visited
        .map(|((state, &(visits, lost)), &value)| StateRegret {
            state,
            visits,
            lost: lost / visits as f64,
            value,
        })
        .collect();
    let total = |state: &StateRegret| state.lost * state.visits as f64;
    states.sort_by(|x, y| total(y).total_cmp(&total(x)));
    states
}
