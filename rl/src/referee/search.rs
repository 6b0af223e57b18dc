//! The best decisions that a search in hindsight finds for one episode.
//!
//! ```text
//! every static allocation, every sequence that is given ──┐
//! beams: the best few states after each decision          ├─▶ each, the best first: one stretch after the other is changed,
//!        by cost so far + a guess at the rest           ──┘   kept if better, until the steps are spent
//! ```
//!
//! States are ranked by what was spent, overdue requests counted as missed, and by [what the rest costs
//! about](crate::referee::guess) with the work that waits now, once with pods that do nearly all they can and once with less.
//! A change of a stretch is given up as soon as, after it, no less was spent than before and no fewer requests are under way.
//! Nothing is drawn: the same episode gives the same sequence.

use serde::{Deserialize, Serialize};
use splitscale_policy::ActionKind;
use splitscale_sim::Totals;
use splitscale_spec::{Invalid, QueueLevel, Replicas, Signal, at_least_one};

use crate::referee::bound::Bound;
use crate::referee::fluid::Pods;
use crate::referee::guess::Guess;
use crate::scaling::{Bill, Scaling};

/// How long is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchConfig {
    /// States kept after each decision.
    pub beam: u32,
    /// Simulated intervals that may be spent, beside those of every static allocation, every given sequence
    /// and, once a beam, its best sequence. A beam goes to the end with one state where they are spent.
    pub steps: u64,
}

/// What an episode can be played like.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// The pods asked for, decision by decision.
    pub pods: Vec<Replicas>,
    /// What they cost.
    pub bill: Bill,
    /// The best allocation that stays. Where actions are steps, pods go to it by one of each stage a decision: what that costs
    /// on the way is part of its bill.
    pub best_static: Replicas,
    /// What that costs.
    pub static_bill: Bill,
    /// What nothing goes below.
    pub bound: Bound,
    /// Simulated intervals, those of every static allocation, every given sequence and every beam's best among them.
    pub steps: u64,
}

impl Default for SearchConfig {
    fn default() -> Self {
        SearchConfig { beam: 8, steps: 100_000 }
    }
}

/// What part of all they could pods are guessed to do.
const EFFICIENCIES: [f64; 2] = [0.9, 0.7];

/// A search under way.
struct Search {
    /// At the first decision.
    begin: Scaling,
    totals: Totals,
    /// Mean time of a request with A and with B \[s\].
    mean_s: [f64; 2],
    /// Of the steps that may be spent.
    left: u64,
    /// Intervals simulated so far.
    simulated: u64,
}

/// A state that decisions led to.
struct Node {
    state: Scaling,
    /// The pods as the guess sees them.
    pods: [Pods; 2],
    line: Vec<Replicas>,
    rank: f64,
}

/// A sequence with what it led to.
#[derive(Clone)]
struct Line {
    pods: Vec<Replicas>,
    /// Before each decision, and at the end.
    states: Vec<Scaling>,
    cost: f64,
}

impl Found {
    /// Searches the episode of a scenario under a seed; never worse than what is `given`, or than the best static allocation.
    ///
    /// # Errors
    /// As [`Bound::of`]; a beam of no states; a given sequence of another length.
    ///
    /// # Panics
    /// If there is no such scenario.
    pub fn search(
        scaling: &Scaling,
        (scenario, seed): (usize, u64),
        config: SearchConfig,
        given: &[Vec<Replicas>],
    ) -> Result<Found, Invalid> {
        at_least_one("beam", config.beam)?;
        let decisions = scaling.config().decisions as usize;
        if let Some(wrong) = given.iter().find(|pods| pods.len() != decisions) {
            let problem = format!("{} decisions; an episode has {decisions}", wrong.len());
            return Err(Invalid::new("given", problem));
        }
        let bound = Bound::of(scaling, scenario, seed)?;
        let mut begin = scaling.clone();
        begin.begin_in(scenario, seed);
        let setup = scaling.scenarios()[scenario].model.setup();
        let mean_s = [&setup.a, &setup.b]
            .map(|stage| stage.service.mean_s() / stage.cpu_limit.map_or(1.0, |limit| limit.cores));
        let totals = begin.simulation().totals();
        let mut search = Search { begin, totals, mean_s, left: config.steps, simulated: 0 };
        let (best_static, fixed) = search.best_static();
        let static_bill = search.bill(&fixed);
        let mut starts = vec![fixed];
        starts.extend(given.iter().map(|pods| search.play(|_, decision| pods[decision])));
        for (nth, efficiency) in (0..).zip(EFFICIENCIES) {
            let guess = Guess::of(scaling, (scenario, seed), efficiency)?;
            // Half of the steps are for the beams, as many for each.
            let steps = config.steps / 2 * (nth + 1) / EFFICIENCIES.len() as u64;
            let beamed = search.beam(&guess, config.beam as usize, config.steps - steps);
            starts.push(search.play(|_, decision| beamed[decision]));
        }
        // The best first, for the steps may be spent before the last.
        starts.sort_by(|x, y| x.cost.total_cmp(&y.cost));
        starts.iter_mut().for_each(|line| search.improve(line));
        starts.sort_by(|x, y| x.cost.total_cmp(&y.cost));
        let best = starts.swap_remove(0);
        let (bill, steps) = (search.bill(&best), search.simulated);
        Ok(Found { pods: best.pods, bill, best_static, static_bill, bound, steps })
    }
}

impl Search {
    fn best_static(&mut self) -> (Replicas, Line) {
        let (min, max) = (self.begin.config().pods_min, self.begin.config().pods_max);
        let all = (min.a..=max.a).flat_map(|a| (min.b..=max.b).map(move |b| Replicas { a, b }));
        let played = all.map(|target| {
            let mut scaling = self.begin.clone();
            let bill = scaling.episode(|now| toward(now, target));
            (target, bill.cost)
        });
        let mut count = 0;
        let least = played
            .inspect(|_| count += u64::from(self.begin.config().decisions))
            .reduce(|best, next| if next.1 < best.1 { next } else { best });
        let target = least.map_or(min, |(target, _)| target);
        self.simulated += count;
        (target, self.play(|now, _| toward(now, target)))
    }

    /// Plays an episode and keeps its states.
    fn play(&mut self, mut choose: impl FnMut(&Scaling, usize) -> Replicas) -> Line {
        let mut line = Line { pods: Vec::new(), states: vec![self.begin.clone()], cost: 0.0 };
        let mut now = self.begin.clone();
        for decision in 0..now.config().decisions as usize {
            line.pods.push(choose(&now, decision));
            now.decide(line.pods[decision]);
            line.states.push(now.clone());
        }
        self.simulated += line.pods.len() as u64;
        line.cost = now.bill(&self.totals).cost;
        line
    }

    fn bill(&self, line: &Line) -> Bill {
        line.states[line.pods.len()].bill(&self.totals)
    }

    /// The best few after each decision; of those that ask for the same pods, a quarter of them at most.
    fn beam(&mut self, guess: &Guess, width: usize, spare: u64) -> Vec<Replicas> {
        let decisions = self.begin.config().decisions as usize;
        let mut nodes =
            vec![Node { state: self.begin.clone(), pods: guess.begin(), line: Vec::new(), rank: 0.0 }];
        for decided in 0..decisions {
            let mut next: Vec<Node> = Vec::new();
            let left = self.left.saturating_sub(spare);
            // As many as there are steps for, and one at least.
            for (nth, node) in nodes.iter().enumerate() {
                let choices = near(&node.state);
                let price = choices.len() as u64;
                if nth > 0 && price * (decisions - decided) as u64 * (nth + 1) as u64 > left {
                    break;
                }
                next.extend(choices.into_iter().map(|pods| self.expand(guess, node, pods)));
                self.spend(price);
            }
            next.sort_by(|x, y| x.rank.total_cmp(&y.rank));
            nodes.clear();
            for node in next {
                let same = nodes.iter().filter(|other| other.line.last() == node.line.last()).count();
                if nodes.len() < width && same < width.div_ceil(4) {
                    nodes.push(node);
                }
            }
        }
        nodes.swap_remove(0).line
    }

    fn expand(&self, guess: &Guess, node: &Node, asked: Replicas) -> Node {
        let mut state = node.state.clone();
        state.decide(asked);
        let mut line = node.line.clone();
        line.push(asked);
        let pods = guess.after(node.pods, asked);
        let seen = state.observation();
        let waits = |queue: &Option<Signal<QueueLevel>>| queue.as_ref().map_or(0.0, |queue| queue.value.last);
        let (a, b) = (waits(&seen.queue_a), waits(&seen.queue_proxy) + waits(&seen.queue_b));
        let work_s = [a * self.mean_s[0], b * self.mean_s[1]];
        let rank = state.bill(&self.totals).cost + guess.rest(state.decided(), pods, work_s);
        Node { state, pods, line, rank }
    }

    fn spend(&mut self, intervals: u64) {
        self.left = self.left.saturating_sub(intervals);
        self.simulated += intervals;
    }

    /// Changes stretches, long ones first, until none helps or the steps are spent.
    fn improve(&mut self, best: &mut Line) {
        let decisions = best.pods.len();
        loop {
            let before = best.cost;
            let mut length = decisions;
            while length > 0 {
                for from in (0..decisions).step_by(length.div_ceil(2)) {
                    let until = (from + length).min(decisions);
                    for change in 0..CHANGES {
                        if self.left == 0 {
                            return;
                        }
                        if let Some(pods) = changed(&self.begin, &best.pods, (from, until), change) {
                            self.try_out(best, pods, (from, until));
                        }
                    }
                }
                length /= 2;
            }
            if best.cost >= before {
                return;
            }
        }
    }

    /// Plays on from a change; kept if it is better.
    fn try_out(&mut self, best: &mut Line, pods: Vec<Replicas>, (from, until): (usize, usize)) {
        let mut states: Vec<Scaling> = Vec::new();
        let mut now = best.states[from].clone();
        for (decision, &next) in pods.iter().enumerate().skip(from) {
            now.decide(next);
            self.spend(1);
            let old = &best.states[decision + 1];
            let spent = |state: &Scaling| state.bill(&self.totals).cost;
            if decision + 1 > until && spent(&now) >= spent(old) && under_way(&now) >= under_way(old) {
                return;
            }
            states.push(now.clone());
        }
        let cost = now.bill(&self.totals).cost;
        if cost < best.cost {
            best.states.truncate(from + 1);
            best.states.extend(states);
            (best.pods, best.cost) = (pods, cost);
        }
    }
}

fn under_way(state: &Scaling) -> u64 {
    let totals = state.simulation().totals();
    totals.sent - totals.answered - totals.unanswered
}

/// A stretch's changes: one pod more or less of A, of B, of both, one from the one stage to the other, as before it, as after.
const CHANGES: usize = 10;

/// A sequence with one stretch changed; absent where that is no change, or none that may be made.
fn changed(
    scaling: &Scaling,
    pods: &[Replicas],
    (from, until): (usize, usize),
    change: usize,
) -> Option<Vec<Replicas>> {
    const BY: [(i64, i64); 8] = [(-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (1, 1), (1, -1), (-1, 1)];
    let before = if from == 0 { scaling.desired() } else { pods[from - 1] };
    let mut next = pods.to_vec();
    for at in &mut next[from..until] {
        *at = match BY.get(change) {
            Some((a, b)) => Replicas {
                a: u32::try_from(i64::from(at.a) + a).ok()?,
                b: u32::try_from(i64::from(at.b) + b).ok()?,
            },
            None if change == BY.len() => before,
            None => *pods.get(until)?,
        };
    }
    let (min, max) = (scaling.config().pods_min, scaling.config().pods_max);
    let inside = |at: &Replicas| at.a >= min.a && at.a <= max.a && at.b >= min.b && at.b <= max.b;
    let by_step = scaling.config().actions == ActionKind::Step;
    let begins = std::iter::once(&before).chain(&next[from..]);
    let may = next[from..]
        .iter()
        .zip(begins)
        .all(|(at, before)| !by_step || (at.a.abs_diff(before.a) <= 1 && at.b.abs_diff(before.b) <= 1));
    (next != pods && next[from..until].iter().all(inside) && may).then_some(next)
}

/// The pods on the way to a target: where all may be asked for, the target.
fn toward(scaling: &Scaling, target: Replicas) -> Replicas {
    let now = scaling.desired();
    match scaling.config().actions {
        ActionKind::Absolute => target,
        ActionKind::Step => Replicas {
            a: target.a.clamp(now.a.saturating_sub(1), now.a + 1),
            b: target.b.clamp(now.b.saturating_sub(1), now.b + 1),
        },
    }
}

/// Pods worth a try next: as many, and 1, 2, 4, ... more or less of each stage.
fn near(scaling: &Scaling) -> Vec<Replicas> {
    let (now, config) = (scaling.desired(), scaling.config());
    let far = |min: u32, max: u32| match config.actions {
        ActionKind::Absolute => max - min,
        ActionKind::Step => 1,
    };
    let around = |now: u32, min: u32, max: u32| -> Vec<u32> {
        let by = std::iter::successors(Some(1_u32), |by| Some(by * 2)).take_while(|&by| by <= far(min, max));
        let by: Vec<u32> = by.collect();
        let less = by.iter().rev().filter_map(|by| now.checked_sub(*by));
        let more = by.iter().map(|by| now + by);
        less.chain(std::iter::once(now)).chain(more).filter(|pods| (min..=max).contains(pods)).collect()
    };
    let (min, max) = (config.pods_min, config.pods_max);
    let (of_a, of_b) = (around(now.a, min.a, max.a), around(now.b, min.b, max.b));
    of_a.iter().flat_map(|&a| of_b.iter().map(move |&b| Replicas { a, b })).collect()
}
