//! Policies side by side on common random numbers: who plays, what each episode came to, and what may be said of it.
//!
//! ```text
//!  Contenders ──play──▶ (Case, Bill) of every scenario and seed ──judge──▶ Rows
//!   ▲  under one seed everybody meets the same requests
//!   └── best_static, best_hpa: the strongest of their kind, found on seeds of the training
//! ```

mod judge;
mod tuned;

pub use judge::{Judging, Quantity, Row, Yardstick, judge};
pub use tuned::{HpaGrid, best_hpa, best_static, seeds};

use std::thread;

use serde::{Deserialize, Serialize};
use splitscale_policy::{Controller, HpaConfig, HpaMemory};
use splitscale_spec::Replicas;

use crate::scaling::{Bill, Scaling};

/// Which episode of whom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Who played.
    pub policy: String,
    /// Which pipeline and load.
    pub scenario: String,
    /// Under which seed.
    pub seed: u64,
}

/// Whoever chooses pods in one episode.
pub type Player<'a> = Box<dyn FnMut(&Scaling) -> Replicas + 'a>;

/// A policy that is judged.
pub struct Contender<'a> {
    name: String,
    enter: Box<dyn Fn() -> Player<'a> + Send + Sync + 'a>,
}

impl<'a> Contender<'a> {
    /// `enter` makes a player for each episode, which so remembers nothing of another.
    pub fn new(name: impl Into<String>, enter: impl Fn() -> Player<'a> + Send + Sync + 'a) -> Self {
        Contender { name: name.into(), enter: Box::new(enter) }
    }

    /// Always the same pods.
    pub fn constant(name: impl Into<String>, pods: Replicas) -> Self {
        Contender::new(name, move || Box::new(move |_| pods))
    }

    /// A controller as it was started; what it leaves open stays as it is.
    pub fn controller(name: impl Into<String>, controller: Controller) -> Self {
        Contender::new(name, move || {
            let mut controller = controller.clone();
            Box::new(move |scaling| scaling.ask(&mut controller))
        })
    }

    /// Two HPAs, each within the problem's bounds where it has none of its own. It is asked at every decision and so
    /// syncs at the first one that is due.
    pub fn hpa(name: impl Into<String>, config: HpaConfig) -> Self {
        Contender::new(name, move || {
            let (mut memory, config) = (HpaMemory::default(), config.clone());
            Box::new(move |scaling| {
                // One without bounds of its own would want more and more for as long as it is held back.
                let config = config.clone().within(scaling.config().bounds());
                let now_s = scaling.simulation().now().as_secs_f64();
                let decided = config.decide(&mut memory, now_s, scaling.observation());
                decided.map_or_else(|_| scaling.desired(), |(pods, _)| pods)
            })
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Who works, and how long.
#[derive(Clone, Copy)]
pub struct Workers<'a> {
    /// Threads; results do not depend on them.
    pub threads: usize,
    /// Asked before every episode whether to go on.
    pub go_on: &'a (dyn Fn() -> bool + Sync),
}

impl Workers<'_> {
    /// So many, who go on to the end.
    pub fn new(threads: usize) -> Self {
        Workers { threads, go_on: &|| true }
    }

    /// Does pieces of work 0 to `count` and gives them in that order; each thread with what `begin` makes for it. Absent where
    /// they were told not to go on.
    pub(crate) fn each<T, W>(self, count: usize, begin: impl Fn() -> W + Sync) -> Option<Vec<T>>
    where
        T: Send,
        W: FnMut(usize) -> T,
    {
        let threads = self.threads.clamp(1, count.max(1));
        // Every n-th for each, as neighbours take about the same time.
        let share = |first: usize| {
            let mut work = begin();
            let done = (first..count).step_by(threads).map(|index| (self.go_on)().then(|| work(index)));
            done.collect::<Option<Vec<T>>>()
        };
        let shares: Vec<Option<Vec<T>>> = thread::scope(|scope| {
            let share = &share;
            let started: Vec<_> = (0..threads).map(|first| scope.spawn(move || share(first))).collect();
            // Who panics does so for whoever asked for it.
            let joined = started.into_iter().map(|share| share.join());
            joined.map(|share| share.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        let mut shares =
            shares.into_iter().map(|share| share.map(Vec::into_iter)).collect::<Option<Vec<_>>>()?;
        Some((0..count).filter_map(|index| shares[index % threads].next()).collect())
    }
}

/// Plays every scenario under every seed with every contender; in that order, contenders first. The bytes are the same
/// for any number of threads. Absent where it was told not to go on.
pub fn play(
    scaling: &Scaling,
    contenders: &[Contender<'_>],
    seeds: &[u64],
    workers: Workers<'_>,
) -> Option<Vec<(Case, Bill)>> {
    let scenarios = scaling.scenarios();
    let episodes = contenders.len() * scenarios.len() * seeds.len();
    let case = |index: usize| {
        let (seed, rest) = (index % seeds.len(), index / seeds.len());
        (rest / scenarios.len(), rest % scenarios.len(), seeds[seed])
    };
    let bills = workers.each(episodes, || {
        let mut scaling = scaling.clone();
        move |index| {
            let (contender, scenario, seed) = case(index);
            scaling.begin_in(scenario, seed);
            scaling.episode((contenders[contender].enter)())
        }
    })?;
    let row = |index: usize| {
        let (contender, scenario, seed) = case(index);
        let policy = contenders[contender].name.clone();
        let scenario = scenarios[scenario].name.clone();
        (Case { policy, scenario, seed }, bills[index])
    };
    Some((0..episodes).map(row).collect())
}
