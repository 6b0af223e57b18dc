//! A station of the bound: when work can come to it at the earliest, and when each request must have begun.

use crate::referee::order::Slack;

/// One station. Times and work in nanoseconds, of an episode known in advance.
pub(super) struct Station {
    /// The earliest times at which work can come, and how much; by time.
    pub(super) arrivals: Vec<(f64, f64)>,
    /// By time.
    pub(super) tests: Vec<Test>,
    /// Longest demand.
    pub(super) longest_ns: f64,
}

/// A request that is missed for sure if more work than a limit is left at an instant.
pub(super) struct Test {
    /// When it must have begun.
    pub(super) at_ns: f64,
    /// When it can come at the earliest.
    pub(super) from_ns: f64,
    /// By number of others in service, the most work that can be left if it has begun.
    limits_ns: Vec<f64>,
    /// Which request it is.
    pub(super) request: usize,
}

/// A request as a station sees it.
#[derive(Clone, Copy)]
pub(super) struct Visit {
    /// When it can come at the earliest.
    pub(super) from_ns: f64,
    /// What it asks for.
    pub(super) demand_ns: f64,
    /// When it must have begun to be answered within the promise.
    pub(super) begin_ns: f64,
    /// Whether a miss of it is on the bill.
    pub(super) counts: bool,
}

impl Station {
    /// Of all requests, by number, and what may be left when each begins with 0 to `most` others in service.
    pub(super) fn new(visits: &[Visit], slack: Option<&Slack>, most: usize) -> Self {
        let mut arrivals: Vec<(f64, f64)> = visits.iter().map(|v| (v.from_ns, v.demand_ns)).collect();
        arrivals.sort_by(|x, y| x.0.total_cmp(&y.0));
        let mut tests = Vec::new();
        let Some(slack) = slack else {
            return Station { arrivals: Vec::new(), tests, longest_ns: 0.0 };
        };
        // None comes later than those numbered after it.
        let mut soonest = vec![f64::INFINITY; visits.len() + 1];
        for (i, visit) in visits.iter().enumerate().rev() {
            soonest[i] = soonest[i + 1].min(visit.from_ns);
        }
        for (i, visit) in visits.iter().enumerate().filter(|(_, visit)| visit.counts) {
            // What is there by then of this one and of those numbered after it is not in its way.
            let mut behind = 0.0;
            for (l, later) in visits.iter().enumerate().skip(i) {
                if soonest[l] > visit.begin_ns {
                    break;
                }
                behind += if later.from_ns <= visit.begin_ns { later.demand_ns } else { 0.0 };
            }
            // A nanosecond for what rounding may take.
            let limits_ns = (0..=most).map(|others| behind + slack.of(i, others) + 1.0).collect();
            tests.push(Test { at_ns: visit.begin_ns, from_ns: visit.from_ns, limits_ns, request: i });
        }
        tests.sort_by(|x, y| x.at_ns.total_cmp(&y.at_ns));
        let longest_ns = visits.iter().map(|visit| visit.demand_ns).fold(0.0, f64::max);
        Station { arrivals, tests, longest_ns }
    }

    /// Those that are missed whatever is decided, where so many servers are ready from each instant on: `(from, servers)`.
    pub(super) fn missed(&self, servers: &[(f64, usize)]) -> Vec<usize> {
        let (mut missed, mut work, mut now, mut at) = (Vec::new(), 0.0_f64, 0.0_f64, 0);
        let mut arrivals = self.arrivals.iter().peekable();
        for test in &self.tests {
            loop {
                let next = servers.get(at + 1).map_or(f64::INFINITY, |step| step.0);
                let come = arrivals.peek().map_or(f64::INFINITY, |arrival| arrival.0);
                let until = test.at_ns.min(next).min(come);
                work = (work - (until - now).max(0.0) * servers[at].1 as f64).max(0.0);
                now = until;
                if come <= until {
                    work += arrivals.next().map_or(0.0, |arrival| arrival.1);
                } else if next <= until {
                    // Those held beyond are kept to their ends.
                    let beyond = servers[at].1.saturating_sub(servers[at + 1].1);
                    work = (work - beyond as f64 * self.longest_ns).max(0.0);
                    at += 1;
                } else {
                    break;
                }
            }
            if work > test.limit_ns(servers[at].1) {
                missed.push(test.request);
            }
        }
        missed
    }
}

impl Test {
    pub(super) fn limit_ns(&self, others: usize) -> f64 {
        self.limits_ns[others.min(self.limits_ns.len() - 1)]
    }
}
