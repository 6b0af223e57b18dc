//! The cheapest pods of a variant that keep the promise, and what one more or one less would do.

use std::collections::BTreeMap;

use anyhow::Result;
use splitscale_spec::{Bottleneck, Replicas};

use super::candidate::{Candidate, Trial, Verdict};
use super::variant::Variant;

/// What came of the search among the pods of one variant.
#[derive(Debug, Clone)]
pub enum Found {
    /// The cheapest that keep the promise, and where was looked.
    Pods {
        /// The cheapest; of equals, with the lowest latency.
        best: Candidate,
        /// Where it is the cheapest of.
        bounds: Bounds,
    },
    /// The link carries less than comes, however many pods there are \[1/s\].
    Link(f64),
    /// The cores of a stage carry less than comes, however many pods share them \[1/s\].
    Cores(Bottleneck, f64),
    /// It takes more pods than may be had to carry what comes.
    PodsMax(Replicas),
    /// Even the most pods are not shown to keep the promise: they fail, or are left open.
    Promise(Candidate),
}

/// Where the cheapest was looked for.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The fewest of each stage that do not fail beside the most of the other.
    pub least: Replicas,
    /// The most that may be of use, or may be had.
    pub most: Replicas,
}

/// Pods beyond the cheapest that are tried, one at a time, for what they buy.
const BEYOND: u32 = 3;

/// A search; every candidate is simulated once.
pub struct Search<'a> {
    trial: &'a Trial<'a>,
    index: usize,
    variant: &'a Variant,
    judged: BTreeMap<Replicas, Candidate>,
    note: &'a mut dyn FnMut(&Candidate) -> Result<()>,
}

impl<'a> Search<'a> {
    /// Among the pods of the variant of this number; `note` is told of each candidate as it is done.
    pub fn new(
        trial: &'a Trial<'a>,
        (index, variant): (usize, &'a Variant),
        note: &'a mut dyn FnMut(&Candidate) -> Result<()>,
    ) -> Self {
        Search { trial, index, variant, judged: BTreeMap::new(), note }
    }

    /// Every candidate that was simulated.
    pub fn judged(self) -> impl Iterator<Item = Candidate> {
        self.judged.into_values()
    }

    /// Looks for the cheapest with at most `pods_max` pods a stage.
    ///
    /// What carries less than comes is not tried (the throughput law). Of each stage the fewest are found that do not
    /// fail beside the most pods of the other (what is left open does not); no fewer are of any use. From there on all pods are tried by rising
    /// cost, and the first cost at which any keep the promise is the lowest. At last one pod less of each stage is tried:
    /// should a stage be better off with fewer pods of the other, that would show.
    ///
    /// # Errors
    /// As [`Trial::judge`].
    pub fn run(&mut self, pods_max: u32) -> Result<Found> {
        let (all, carry) = match self.most(pods_max)? {
            Ok(found) => found,
            Err(obstacle) => return Ok(obstacle),
        };
        let most = all.pods;
        let least = Replicas {
            a: self.fewest((carry.a, most.a), |a| Replicas { a, ..most })?,
            b: self.fewest((carry.b, most.b), |b| Replicas { b, ..most })?,
        };
        let mut best = self.cheapest(least, most)?;
        while let Some(cheaper) = self.one_less(&best, carry)? {
            best = cheaper;
        }
        self.beyond(&best, most)?;
        Ok(Found::Pods { best, bounds: Bounds { least, most } })
    }

    /// The most pods that are of use, where they keep the promise, and the fewest that carry what comes; or what stands in the
    /// way.
    ///
    /// # Errors
    /// As [`Trial::judge`].
    pub fn most(&mut self, pods_max: u32) -> Result<Result<(Candidate, Replicas), Found>> {
        let least_per_s = self.trial.traffic.least_per_s(self.trial.target, self.trial.slo_s);
        let link_per_s = self.variant.link_per_s();
        if link_per_s <= least_per_s {
            return Ok(Err(Found::Link(link_per_s)));
        }
        let carry = match self.variant.fewest(least_per_s) {
            Ok(pods) => pods,
            Err((stage, per_s)) => return Ok(Err(Found::Cores(stage, per_s))),
        };
        let useful = self.variant.useful(pods_max);
        if carry.a > pods_max || carry.b > pods_max {
            return Ok(Err(Found::PodsMax(carry)));
        }
        let most = Replicas { a: useful.a.max(carry.a), b: useful.b.max(carry.b) };
        let all = self.judge(most)?;
        Ok(if all.holds() { Ok((all, carry)) } else { Err(Found::Promise(all)) })
    }

    /// The fewest pods from `low` to `high` that do not fail, where `high` do not: in growing steps, then by halves.
    fn fewest(&mut self, (low, high): (u32, u32), pods: impl Fn(u32) -> Replicas) -> Result<u32> {
        let (mut fails, mut at, mut step) = (low.saturating_sub(1), low, 1);
        while at < high && self.judge(pods(at))?.verdict == Verdict::Fails {
            (fails, at, step) = (at, high.min(at + step), 2 * step);
        }
        while at - fails > 1 {
            let middle = fails + (at - fails) / 2;
            if middle < low || self.judge(pods(middle))?.verdict == Verdict::Fails {
                fails = middle;
            } else {
                at = middle;
            }
        }
        Ok(at)
    }

    /// The first that keep the promise, by rising cost; of one cost those with the lowest latency.
    fn cheapest(&mut self, least: Replicas, most: Replicas) -> Result<Candidate> {
        for cost in least.a + least.b..most.a + most.b {
            let mut best: Option<Candidate> = None;
            for a in least.a..=most.a.min(cost - least.b) {
                let b = cost - a;
                if b > most.b {
                    continue;
                }
                let tried = self.judge(Replicas { a, b })?;
                if tried.holds() && best.as_ref().is_none_or(|best| tried.kept_s.value < best.kept_s.value) {
                    best = Some(tried);
                }
            }
            if let Some(best) = best {
                return Ok(best);
            }
        }
        self.judge(most)
    }

    /// One pod less of either stage, if that keeps the promise too.
    fn one_less(&mut self, best: &Candidate, carry: Replicas) -> Result<Option<Candidate>> {
        let Replicas { a, b } = best.pods;
        for pods in [Replicas { a: a - 1, b }, Replicas { a, b: b - 1 }] {
            if pods.a >= carry.a && pods.b >= carry.b {
                let tried = self.judge(pods)?;
                if tried.holds() {
                    return Ok(Some(tried));
                }
            }
        }
        Ok(None)
    }

    /// What a few pods more buy, each where it lowers the latency most.
    fn beyond(&mut self, best: &Candidate, most: Replicas) -> Result<()> {
        let mut at = best.pods;
        for _ in 0..BEYOND {
            let more = [Replicas { a: at.a + 1, ..at }, Replicas { b: at.b + 1, ..at }];
            let mut next: Option<Candidate> = None;
            for pods in more.into_iter().filter(|pods| pods.a <= most.a && pods.b <= most.b) {
                let tried = self.judge(pods)?;
                if next.as_ref().is_none_or(|next| tried.kept_s.value < next.kept_s.value) {
                    next = Some(tried);
                }
            }
            let Some(next) = next else { return Ok(()) };
            at = next.pods;
        }
        Ok(())
    }

    fn judge(&mut self, pods: Replicas) -> Result<Candidate> {
        if let Some(done) = self.judged.get(&pods) {
            return Ok(done.clone());
        }
        let candidate = self.trial.judge((self.index, self.variant), pods)?;
        (self.note)(&candidate)?;
        self.judged.insert(pods, candidate.clone());
        Ok(candidate)
    }
}
