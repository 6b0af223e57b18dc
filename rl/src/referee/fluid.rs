//! Dynamic programming over one stage: its work as a fluid, its pods by number.
//!
//! ```text
//! state     work left (rounded down to a grid); pods ready, ready soon (within the next interval), ready later
//! decision  pods k' asked for:  cost  k' * interval + churn_weight * |k' - k| + weight * sure misses of the interval
//! work      comes when it can at the earliest, goes at the rate of the ready pods
//! ```
//!
//! A pod that is asked for starts in the least time that its law gives; all that are ready later are so together, with the first
//! of them. Those that would be ready last are given up first. A ready pod that is given up finishes what it has and is paid for until then: work up to the longest demand a pod may
//! go at once, at a pod-second for a second of it.

use splitscale_spec::{CostConfig, ServiceLaw};

use crate::referee::station::Station;

/// What the program is about besides the station.
pub(super) struct Terms {
    pub(super) pods_min: usize,
    pub(super) pods_max: usize,
    /// Pods at the start, all ready.
    pub(super) pods: usize,
    pub(super) interval_ns: f64,
    pub(super) decisions: usize,
    /// Least time from asking for a pod until it is ready.
    pub(super) start_up_ns: f64,
    /// Most work done at once, in pods.
    pub(super) cores: f64,
    /// What part of it is done.
    pub(super) efficiency: f64,
    pub(super) cost: CostConfig,
}

/// The stage, each interval gone through from every work left and with every number of pods.
pub(super) struct Fluid {
    terms: Terms,
    /// Work left \[ns\].
    grid: Vec<f64>,
    longest_ns: f64,
    /// Intervals that a pod takes to start, and the part of one beyond them.
    wait: usize,
    rest_ns: f64,
    /// All there are, and their numbers by pods ready, soon, later and by intervals left.
    states: Vec<Pods>,
    numbers: Vec<u32>,
    /// By decision, pods ready at first and later, and work left: the work left after it, and sure misses on the way.
    intervals: Vec<Vec<(u32, u32)>>,
    /// The same of the first interval.
    first: (u32, u32),
}

/// The pods of a stage at a decision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pods {
    ready: usize,
    /// Ready within the next interval.
    soon: usize,
    later: usize,
    /// Whole intervals until those are soon; one or more where there are any.
    left: usize,
}

/// What the rest of an episode costs at least, by decision and state.
pub(super) struct Values {
    /// By decision, one more at the end.
    rest: Vec<Vec<f64>>,
    /// Of the whole episode after its first interval, with the misses that the first interval made sure.
    pub(super) total: f64,
}

/// Work that is told apart, as a part of an interval; beyond so many steps, in proportion to itself.
const STEPS: f64 = 50.0;
const PROPORTION: f64 = 0.01;

impl Fluid {
    pub(super) fn new(station: &Station, terms: Terms) -> Self {
        let interval_ns = terms.interval_ns;
        let most: f64 = station.arrivals.iter().map(|arrival| arrival.1).sum();
        let step = interval_ns / STEPS;
        let next = |&at: &f64| (at < most).then_some(at + step.max(at * PROPORTION));
        let grid: Vec<f64> = std::iter::successors(Some(0.0), next).collect();
        let wait = (terms.start_up_ns / interval_ns) as usize;
        let rest_ns = (terms.start_up_ns - wait as f64 * interval_ns).max(0.0);
        let mut fluid = Fluid {
            grid,
            longest_ns: station.longest_ns,
            wait,
            rest_ns,
            states: Vec::new(),
            numbers: Vec::new(),
            intervals: Vec::new(),
            first: (0, 0),
            terms,
        };
        fluid.number();
        let pods = fluid.terms.pods;
        fluid.first = fluid.ways(station, 0, (pods, pods), &[0.0])[0];
        for decision in 1..=fluid.terms.decisions {
            let mut ways = Vec::with_capacity(fluid.choices() * fluid.choices() * fluid.grid.len());
            for ready in fluid.pods() {
                for later in fluid.pods() {
                    if later < ready {
                        // What is ready stays so within an interval.
                        ways.extend(fluid.grid.iter().map(|_| (0, 0)));
                    } else {
                        ways.extend(fluid.ways(station, decision, (ready, later), &fluid.grid));
                    }
                }
            }
            fluid.intervals.push(ways);
        }
        fluid
    }

    /// From each work left at the beginning of an interval to that at its end, with sure misses on the way.
    fn ways(
        &self,
        station: &Station,
        interval: usize,
        ready: (usize, usize),
        work: &[f64],
    ) -> Vec<(u32, u32)> {
        let from_ns = interval as f64 * self.terms.interval_ns;
        let until_ns = from_ns + self.terms.interval_ns;
        let more_ns = from_ns + self.rest_ns;
        // What many products of a rate may lose is given back.
        let most = (self.terms.cores, self.terms.efficiency * (1.0 + 1e-12));
        let rate = |pods: usize| (pods as f64).min(most.0) * most.1;
        let (before, after) = (rate(ready.0), rate(ready.1));
        let done = |at: f64| (at.min(more_ns) - from_ns) * before + (at - more_ns).max(0.0) * after;
        // An instant between two intervals is the first one's; time zero is the first interval's too.
        let over = |at: f64| if interval == 0 { at < 0.0 } else { at <= from_ns };
        // Where pods may be ready at once, what is asked at the instant of a decision is asked after it.
        let at_once = self.wait == 0 && self.rest_ns == 0.0;
        let asked_before = |at: f64| if at_once { at < from_ns } else { over(at) };
        let asked_here = |at: f64| if at_once { at < until_ns } else { at <= until_ns };
        let arrivals = &station.arrivals[station.arrivals.partition_point(|a| over(a.0))..];
        let tests = &station.tests[station.tests.partition_point(|test| asked_before(test.at_ns))..];
        let (mut arrivals, mut tests) = (arrivals.iter().peekable(), tests.iter().peekable());
        let (mut work, mut misses, mut gone) = (work.to_vec(), vec![0_u32; work.len()], 0.0);
        loop {
            let come = arrivals.peek().map_or(f64::INFINITY, |arrival| arrival.0);
            let asked = tests.peek().map_or(f64::INFINITY, |test| test.at_ns);
            let at = come.min(asked).min(until_ns);
            let (so_far, more) =
                (done(at), if come <= asked && come <= until_ns { arrivals.next() } else { None });
            let (less, more) = (so_far - gone, more.map(|arrival| arrival.1));
            gone = so_far;
            let comes = more.unwrap_or(0.0);
            work.iter_mut().for_each(|work| *work = (*work - less).max(0.0) + comes);
            if more.is_some() {
                continue;
            }
            let Some(test) = tests.next_if(|test| asked_here(test.at_ns)) else { break };
            let pods = if at < more_ns { ready.0 } else { ready.1 };
            // One that may have begun before the decision may have had a pod that was given up then.
            let limit = test.limit_ns(if test.from_ns <= from_ns { pods } else { pods - 1 });
            work.iter().zip(&mut misses).for_each(|(work, misses)| *misses += u32::from(*work > limit));
        }
        work.into_iter().map(|work| self.bin(work)).zip(misses).collect()
    }

    /// What every stretch to the end costs at least where a sure miss costs so much.
    pub(super) fn solve(&self, weight: f64) -> Values {
        let bins = self.grid.len();
        let mut rest = vec![vec![0.0; self.states.len() * bins]; self.terms.decisions + 1];
        let mut after = vec![0.0; bins];
        let mut drained = vec![0.0; bins];
        for decision in (0..self.terms.decisions).rev() {
            let (now, next) = rest.split_at_mut(decision + 1);
            let (now, next) = (&mut now[decision], &next[0]);
            now.fill(f64::INFINITY);
            for (row, &state) in now.chunks_exact_mut(bins).zip(&self.states) {
                for asked in self.pods() {
                    let (kept, to) = self.after(state, asked);
                    let to_row = &next[self.number_of(to) * bins..][..bins];
                    let ways = &self.intervals[decision][self.pair(kept, to.ready) * bins..][..bins];
                    for (value, &(bin, misses)) in after.iter_mut().zip(ways) {
                        *value = weight * f64::from(misses) + to_row[bin as usize];
                    }
                    let best = match state.ready - kept {
                        0 => &after,
                        drains => {
                            self.drain(&after, drains, &mut drained);
                            &drained
                        }
                    };
                    let price = asked as f64 * self.terms.interval_ns * 1e-9
                        + self.terms.cost.churn_weight * state.asked().abs_diff(asked) as f64;
                    row.iter_mut().zip(best).for_each(|(value, best)| *value = value.min(price + best));
                }
            }
        }
        let begin = self.number_of(self.begin()) * bins + self.first.0 as usize;
        let total = rest[0][begin] + weight * f64::from(self.first.1);
        Values { rest, total }
    }

    /// The pods at the first decision.
    pub(super) fn begin(&self) -> Pods {
        Pods { ready: self.terms.pods, ..Pods::default() }
    }

    /// Pods that stay ready when so many are asked for, and the pods an interval later.
    pub(super) fn after(&self, state: Pods, asked: usize) -> (usize, Pods) {
        let Pods { mut ready, mut soon, mut later, left } = state;
        let new = asked.saturating_sub(state.asked());
        let mut less = state.asked().saturating_sub(asked);
        for group in [&mut later, &mut soon, &mut ready] {
            let gone = less.min(*group);
            (*group, less) = (*group - gone, less - gone);
        }
        let kept = ready;
        ready += soon;
        let mut next = match left.saturating_sub(1) {
            0 => Pods { ready, soon: later, later: 0, left: 0 },
            left if later > 0 => Pods { ready, soon: 0, later, left },
            _ => Pods { ready, ..Pods::default() },
        };
        match (self.wait, new) {
            (_, 0) => {}
            (0, new) => next.ready += new,
            (1, new) => next.soon += new,
            (wait, new) if next.later == 0 => (next.later, next.left) = (new, wait - 1),
            (_, new) => next.later += new,
        }
        (kept, next)
    }

    /// With the work that pods which are given up may take with them, at what they cost for it.
    fn drain(&self, after: &[f64], pods: usize, into: &mut [f64]) {
        let (grid, most) = (&self.grid, pods as f64 * self.longest_ns);
        // The least of after(b') - g(b' + 1) over the window of b' that can be come to, in a queue of rising values.
        let mut queue: std::collections::VecDeque<(usize, f64)> = std::collections::VecDeque::new();
        for bin in 0..grid.len() {
            if bin > 0 {
                let value = after[bin - 1] - grid[bin] * 1e-9;
                while queue.back().is_some_and(|&(_, other)| other >= value) {
                    queue.pop_back();
                }
                queue.push_back((bin - 1, value));
            }
            while queue.front().is_some_and(|&(to, _)| grid[bin] - grid[to + 1] > most) {
                queue.pop_front();
            }
            let other = queue.front().map_or(f64::INFINITY, |&(_, value)| value + grid[bin] * 1e-9);
            into[bin] = after[bin].min(other);
        }
    }

    /// What the rest costs at least after so many decisions, with these pods and so much work left \[ns\].
    pub(super) fn rest(&self, values: &Values, decision: usize, pods: Pods, work_ns: f64) -> f64 {
        values.rest[decision][self.number_of(pods) * self.grid.len() + self.bin(work_ns) as usize]
    }

    fn bin(&self, work: f64) -> u32 {
        self.grid.partition_point(|&at| at <= work).saturating_sub(1) as u32
    }

    fn pods(&self) -> std::ops::RangeInclusive<usize> {
        self.terms.pods_min..=self.terms.pods_max
    }

    fn choices(&self) -> usize {
        self.terms.pods_max - self.terms.pods_min + 1
    }

    fn pair(&self, ready: usize, later: usize) -> usize {
        (ready - self.terms.pods_min) * self.choices() + later - self.terms.pods_min
    }

    /// Numbers every state.
    fn number(&mut self) {
        let Terms { pods_min, pods_max, .. } = self.terms;
        let side = self.choices();
        self.numbers = vec![u32::MAX; side * side * side * self.wait.max(1)];
        for ready in pods_min..=pods_max {
            for soon in 0..=if self.wait > 0 { pods_max - ready } else { 0 } {
                self.add(Pods { ready, soon, later: 0, left: 0 });
                for left in 1..self.wait {
                    (1..=pods_max - ready - soon)
                        .for_each(|later| self.add(Pods { ready, soon, later, left }));
                }
            }
        }
    }

    fn add(&mut self, pods: Pods) {
        let place = self.place(pods);
        self.numbers[place] = self.states.len() as u32;
        self.states.push(pods);
    }

    fn place(&self, Pods { ready, soon, later, left }: Pods) -> usize {
        let side = self.choices();
        (((ready - self.terms.pods_min) * side + soon) * side + later) * self.wait.max(1) + left
    }

    fn number_of(&self, pods: Pods) -> usize {
        self.numbers[self.place(pods)] as usize
    }
}

impl Pods {
    fn asked(self) -> usize {
        self.ready + self.soon + self.later
    }
}

/// The least that a law gives \[s\].
pub(super) fn least_s(law: &ServiceLaw) -> f64 {
    match law {
        ServiceLaw::Deterministic { value_s } => *value_s,
        ServiceLaw::Empirical { quantiles_s } => quantiles_s.first().copied().unwrap_or(0.0),
        ServiceLaw::Shifted { shift_s, law } => shift_s + least_s(law),
        ServiceLaw::Mixture { first, second, .. } => least_s(first).min(least_s(second)),
        ServiceLaw::Exponential { .. }
        | ServiceLaw::Erlang { .. }
        | ServiceLaw::Gamma { .. }
        | ServiceLaw::Lognormal { .. }
        | ServiceLaw::Weibull { .. } => 0.0,
    }
}
