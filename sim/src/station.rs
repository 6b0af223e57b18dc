//! A station: servers (pods, slots), the queues before them, and the books on both.

use splitscale_spec::Balancer;

use crate::error::SimError;
use crate::outcome::StationSummary;
use crate::request::{NOBODY, Request};
use crate::servers::Servers;
use crate::time::SimTime;

/// Servers of one kind and the requests that wait for them, first come first served.
#[derive(Debug, Clone)]
pub(crate) struct Station {
    name: &'static str,
    pub(crate) servers: Servers,
    balancer: Balancer,
    queue_limit: u32,
    /// Those no server was chosen for.
    line: Line,
    /// Those before one server each; none where all wait in one line.
    lines: Vec<Line>,
    /// Whose turn was the last.
    turn: u32,
    pub(crate) books: Books,
}

/// What becomes of a request that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// This server takes it at once.
    Served(u32),
    /// It waits, before this server where one was chosen.
    Waits(u32),
    /// There is no room to wait.
    Refused,
}

/// A queue threaded through the requests' `next`: to clone it costs nothing.
#[derive(Debug, Clone, Copy)]
struct Line {
    first: u32,
    last: u32,
    /// Without those whose client is gone.
    waiting: u32,
}

/// Levels over time, and sums over requests. Little's law ties the one to the other.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Books {
    /// In a queue now.
    pub(crate) waiting: u32,
    /// Being served now.
    pub(crate) busy: u32,
    changed: SimTime,
    /// Integral of `waiting` over time \[request ns\].
    pub(crate) waiting_area: u128,
    /// Integral of `busy` over time \[request ns\].
    pub(crate) busy_area: u128,
    /// All that came, the refused with them.
    pub(crate) arrived: u64,
    pub(crate) refused: u64,
    /// Left a queue without service.
    abandoned: u64,
    abandoned_sum: u128,
    began: u64,
    /// Waits of all whose service began \[ns\].
    waited_sum: u128,
    waited_max: u64,
    served: u64,
    /// Times of all whose service ended, or was ended by a crash \[ns\].
    served_sum: u128,
}

// === impl Station ===

impl Station {
    pub(crate) fn new(
        name: &'static str,
        servers: u32,
        balancer: Balancer,
        queue_limit: Option<u32>,
    ) -> Self {
        let lines = if balancer == Balancer::CentralQueue { 0 } else { servers as usize };
        Station {
            name,
            servers: Servers::new(servers),
            balancer,
            queue_limit: queue_limit.unwrap_or(u32::MAX),
            line: Line::EMPTY,
            lines: vec![Line::EMPTY; lines],
            turn: NOBODY,
            books: Books::default(),
        }
    }

    /// A request comes. `route` is its number in chance for the choice of a server.
    #[inline(always)]
    pub(crate) fn arrive<const PLAIN: bool>(
        &mut self,
        now: SimTime,
        place: u32,
        requests: &mut [Request],
        route: u32,
    ) -> Entry {
        self.books.pass(now);
        self.books.arrived += 1;
        if !PLAIN && !self.is_central() {
            return self.balance(place, requests, route);
        }
        if let Some(server) = self.servers.take() {
            self.books.busy += 1;
            return Entry::Served(server);
        }
        if PLAIN {
            self.line.push(place, requests);
            self.books.waiting += 1;
            return Entry::Waits(NOBODY);
        }
        self.wait(place, requests, NOBODY)
    }

    #[inline(never)]
    fn balance(&mut self, place: u32, requests: &mut [Request], route: u32) -> Entry {
        let server = self.choose(route);
        if server != NOBODY && !self.servers.is_taken(server) {
            self.servers.take_one(server);
            self.books.busy += 1;
            return Entry::Served(server);
        }
        self.wait(place, requests, server)
    }

    /// The server that the balancer names; nobody where none is ready.
    fn choose(&mut self, route: u32) -> u32 {
        let pick = |count: u32| ((u64::from(route) * u64::from(count)) >> 32) as usize;
        let chosen = match self.balancer {
            Balancer::CentralQueue => None,
            Balancer::Random => self.servers.iter_ready().nth(pick(self.servers.ready())),
            Balancer::RoundRobin => {
                let turn = self.turn;
                let after = self.servers.iter_ready().find(|&n| turn != NOBODY && n > turn);
                after.or_else(|| self.servers.iter_ready().next())
            }
            Balancer::ShortestQueue => {
                let present = |&n: &u32| {
                    let line = self.lines.get(n as usize).map_or(0, |line| line.waiting);
                    line + u32::from(self.servers.is_taken(n))
                };
                let least = self.servers.iter_ready().map(|n| present(&n)).min();
                let shortest = || self.servers.iter_ready().filter(|n| Some(present(n)) == least);
                shortest().nth(pick(shortest().count() as u32))
            }
        };
        self.turn = chosen.unwrap_or(self.turn);
        chosen.unwrap_or(NOBODY)
    }

    #[inline(always)]
    fn wait(&mut self, place: u32, requests: &mut [Request], server: u32) -> Entry {
        let line = if server == NOBODY {
            &mut self.line
        } else {
            let servers = self.lines.len().max(server as usize + 1);
            self.lines.resize(servers, Line::EMPTY);
            &mut self.lines[server as usize]
        };
        if line.waiting >= self.queue_limit {
            self.books.refused += 1;
            return Entry::Refused;
        }
        line.push(place, requests);
        self.books.waiting += 1;
        Entry::Waits(server)
    }

    /// A request leaves its server after `held_ns`; [`next`](Self::next) says who takes its place.
    #[inline(always)]
    pub(crate) fn leave(&mut self, now: SimTime, held_ns: u64) {
        self.books.pass(now);
        self.books.served += 1;
        self.books.served_sum += u128::from(held_ns);
    }

    /// Who goes to a server that is free: it may be one whose client is gone, and then the next is asked for
    /// again. If there is nobody, the server rests.
    #[inline(always)]
    pub(crate) fn next<const PLAIN: bool>(&mut self, server: u32, requests: &[Request]) -> Option<u32> {
        let common = self.line.first;
        // Whoever came while no server was ready is older than those that were sent to this one since.
        let older = |line: &Line| {
            common == NOBODY || requests[line.first as usize].since <= requests[common as usize].since
        };
        let own = if PLAIN { None } else { self.lines.get_mut(server as usize) };
        let ready = self.servers.is_ready(server);
        let line = match own.filter(|line| line.first != NOBODY && (!ready || older(line))) {
            Some(line) => line,
            None if common != NOBODY && ready => &mut self.line,
            None => {
                self.books.busy -= 1;
                self.servers.free(server);
                return None;
            }
        };
        let (place, gone) = line.pop(requests);
        self.books.waiting -= u32::from(!gone);
        Some(place)
    }

    /// Where somebody waits in the common line and a server is free: that server, now at work. Who comes to
    /// it is [`next`](Self::next)'s to say.
    pub(crate) fn wake(&mut self, now: SimTime) -> Option<u32> {
        self.books.pass(now);
        if self.line.first == NOBODY {
            return None;
        }
        let server = self.servers.take()?;
        self.books.busy += 1;
        Some(server)
    }

    /// Whether all wait in one line.
    #[inline(always)]
    pub(crate) fn is_central(&self) -> bool {
        self.balancer == Balancer::CentralQueue
    }

    /// Books the wait of a request whose service begins.
    #[inline]
    pub(crate) fn begin(&mut self, waited_ns: u64) {
        self.books.began += 1;
        self.books.waited_sum += u128::from(waited_ns);
        self.books.waited_max = self.books.waited_max.max(waited_ns);
    }

    /// One that waits before `server` (or before all) is gone after `waited_ns`.
    pub(crate) fn abandon(&mut self, now: SimTime, server: u32, waited_ns: u64) {
        self.books.pass(now);
        let own = self.lines.get_mut(server as usize).filter(|_| server != NOBODY);
        own.unwrap_or(&mut self.line).waiting -= 1;
        self.books.waiting -= 1;
        self.books.abandoned += 1;
        self.books.abandoned_sum += u128::from(waited_ns);
    }

    /// Changes the number of servers, of a station whose servers are all alike.
    pub(crate) fn resize(&mut self, now: SimTime, servers: u32) {
        self.books.pass(now);
        self.servers.resize(servers);
    }

    /// Checks conservation, and Little's law as an identity: the integral of a level over time is the sum of
    /// the times spent in it. `waiting_ns` and `busy_ns` are the times up to now of those that are still here.
    pub(crate) fn audit(&mut self, now: SimTime, waiting_ns: u128, busy_ns: u128) -> Result<(), SimError> {
        self.books.pass(now);
        let books = &self.books;
        let gone = u128::from(books.refused + books.abandoned + books.served);
        let identities = [
            ("requests in = out + present", u128::from(books.arrived), gone + u128::from(books.present())),
            (
                "services begun = ended + going on",
                u128::from(books.began),
                u128::from(books.served) + u128::from(books.busy),
            ),
            (
                "area of the queue = sum of the waits",
                books.waiting_area,
                books.waited_sum + books.abandoned_sum + waiting_ns,
            ),
            ("area of the servers = sum of the services", books.busy_area, books.served_sum + busy_ns),
        ];
        match identities.into_iter().find(|(_, left, right)| left != right) {
            Some((identity, left, right)) => {
                Err(SimError::Imbalance { station: self.name, identity, left, right })
            }
            None => Ok(()),
        }
    }
}

// === impl Line ===

impl Line {
    const EMPTY: Line = Line { first: NOBODY, last: NOBODY, waiting: 0 };

    #[inline]
    fn push(&mut self, place: u32, requests: &mut [Request]) {
        requests[place as usize].next = NOBODY;
        if self.first == NOBODY {
            self.first = place;
        } else {
            requests[self.last as usize].next = place;
        }
        self.last = place;
        self.waiting += 1;
    }

    /// Takes the first; there is one. Whether its client is gone.
    #[inline]
    fn pop(&mut self, requests: &[Request]) -> (u32, bool) {
        let place = self.first;
        let request = &requests[place as usize];
        self.first = request.next;
        self.waiting -= u32::from(!request.gone);
        (place, request.gone)
    }
}

// === impl Books ===

impl Books {
    /// Closes the stretch of time over which the levels stood.
    #[inline]
    pub(crate) fn pass(&mut self, now: SimTime) {
        let stretch = u128::from(now.since(self.changed));
        self.waiting_area += stretch * u128::from(self.waiting);
        self.busy_area += stretch * u128::from(self.busy);
        self.changed = now;
    }

    /// One comes, is served in no time, and goes.
    #[inline(always)]
    pub(crate) fn pass_through(&mut self) {
        self.arrived += 1;
        self.began += 1;
        self.served += 1;
    }

    fn present(&self) -> u64 {
        u64::from(self.waiting) + u64::from(self.busy)
    }

    /// Forgets the largest, which no difference can undo.
    pub(crate) fn forget_max(&mut self) {
        self.waited_max = 0;
    }

    /// What the books say of a run of `span_ns` that began when they were as in `before`.
    pub(crate) fn summary(&self, before: &Books, span_ns: u64) -> StationSummary {
        let per = |sum: u128, count: u64| if count == 0 { 0.0 } else { sum as f64 / count as f64 };
        StationSummary {
            mean_wait_s: per(self.waited_sum - before.waited_sum, self.began - before.began) * 1e-9,
            max_wait_s: self.waited_max as f64 * 1e-9,
            mean_service_s: per(self.served_sum - before.served_sum, self.served - before.served) * 1e-9,
            mean_waiting: per(self.waiting_area - before.waiting_area, span_ns),
            mean_busy: per(self.busy_area - before.busy_area, span_ns),
            refused: self.refused - before.refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audit_names_the_identity_that_fails() {
        let mut station = Station::new("a", 1, Balancer::CentralQueue, None);
        assert_eq!(station.arrive::<false>(SimTime::ZERO, 0, &mut [], 0), Entry::Served(0));
        station.begin(0);
        station.leave(SimTime::from_nanos(5), 4);
        assert_eq!(station.next::<false>(0, &[]), None);
        let SimError::Imbalance { identity, left, right, .. } =
            station.audit(SimTime::from_nanos(5), 0, 0).unwrap_err()
        else {
            panic!("not an imbalance")
        };
        assert_eq!((identity, left, right), ("area of the servers = sum of the services", 5, 4));
    }

    #[test]
    fn round_robin_takes_turns_among_the_ready() {
        let mut station = Station::new("a", 3, Balancer::RoundRobin, None);
        let turns = |station: &mut Station| (0..4).map(|_| station.choose(0)).collect::<Vec<_>>();
        assert_eq!(turns(&mut station), [0, 1, 2, 0]);
        station.servers.set_ready(1, false);
        assert_eq!(turns(&mut station), [2, 0, 2, 0]);
    }

    #[test]
    fn ties_of_the_shortest_queue_are_broken_by_the_route() {
        let mut station = Station::new("a", 3, Balancer::ShortestQueue, None);
        station.servers.take_one(0);
        assert_eq!((station.choose(0), station.choose(u32::MAX)), (1, 2));
    }
}
