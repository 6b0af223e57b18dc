//! A station: servers (pods, slots), the queue before them, and the books on both.

use crate::error::SimError;
use crate::outcome::StationSummary;
use crate::request::Request;
use crate::time::SimTime;

/// Nobody stands behind.
pub(crate) const NOBODY: u32 = u32::MAX;

/// Servers of one kind behind one queue, first come first served.
#[derive(Debug, Clone)]
pub(crate) struct Station {
    name: &'static str,
    servers: Servers,
    queue: Fifo,
    books: Books,
}

/// Which servers are taken. Those numbered from `limit` on take nobody new; where they are still busy they
/// finish. So a change of the limit needs no bookkeeping.
#[derive(Debug, Clone)]
struct Servers {
    limit: u32,
    /// One bit a server, as many words as were ever needed and at least one.
    taken: Vec<u64>,
}

/// A queue threaded through the requests' `next`: to clone it costs nothing.
#[derive(Debug, Clone, Copy)]
struct Fifo {
    first: u32,
    last: u32,
}

/// Levels over time, and sums over requests. Little's law ties the one to the other.
#[derive(Debug, Clone, Copy, Default)]
struct Books {
    /// In the queue now.
    waiting: u32,
    /// Being served now.
    busy: u32,
    changed: SimTime,
    /// Integral of `waiting` over time \[request ns\].
    waiting_area: u128,
    /// Integral of `busy` over time \[request ns\].
    busy_area: u128,
    arrived: u64,
    served: u64,
    /// Waits of all whose service began \[ns\].
    waited_sum: u128,
    waited_max: u64,
    /// Times of all whose service ended \[ns\].
    served_sum: u128,
}

// === impl Station ===

impl Station {
    pub(crate) fn new(name: &'static str, servers: u32) -> Self {
        Station {
            name,
            servers: Servers { limit: servers, taken: vec![0] },
            queue: Fifo { first: NOBODY, last: NOBODY },
            books: Books::default(),
        }
    }

    pub(crate) fn limit(&self) -> u32 {
        self.servers.limit
    }

    /// Requests in the queue and in service.
    pub(crate) fn present(&self) -> u64 {
        u64::from(self.books.waiting) + u64::from(self.books.busy)
    }

    /// A request comes: the server that takes it at once, or else it waits.
    #[inline(always)]
    pub(crate) fn arrive(&mut self, now: SimTime, place: u32, requests: &mut [Request]) -> Option<u32> {
        self.books.pass(now);
        self.books.arrived += 1;
        let server = self.servers.take();
        if server.is_some() {
            self.books.busy += 1;
        } else {
            self.books.waiting += 1;
            self.queue.push(place, requests);
        }
        server
    }

    /// A request leaves its server after `held_ns` of service: who takes its place. While somebody waits no
    /// server is free, so that it can be no other than this one.
    #[inline(always)]
    pub(crate) fn leave(
        &mut self,
        now: SimTime,
        server: u32,
        held_ns: u64,
        requests: &[Request],
    ) -> Option<u32> {
        self.books.pass(now);
        self.books.served += 1;
        self.books.served_sum += u128::from(held_ns);
        if self.books.waiting > 0 && server < self.servers.limit {
            self.books.waiting -= 1;
            return Some(self.queue.pop(requests));
        }
        self.books.busy -= 1;
        self.servers.free(server);
        None
    }

    /// After a `resize`: who waits longest, and the server that takes it now.
    pub(crate) fn take_waiting(&mut self, requests: &[Request]) -> Option<(u32, u32)> {
        if self.books.waiting == 0 {
            return None;
        }
        let server = self.servers.take()?;
        self.books.waiting -= 1;
        self.books.busy += 1;
        Some((self.queue.pop(requests), server))
    }

    /// Books the wait of a request whose service begins.
    #[inline]
    pub(crate) fn begin(&mut self, waited_ns: u64) {
        self.books.waited_sum += u128::from(waited_ns);
        self.books.waited_max = self.books.waited_max.max(waited_ns);
    }

    /// Changes the number of servers.
    pub(crate) fn resize(&mut self, now: SimTime, servers: u32) {
        self.books.pass(now);
        self.servers.limit = servers;
    }

    /// Checks, at the end of a run, that all `requests` went through and that Little's law holds as an
    /// identity: the integral of a level over time is the sum of the times spent in it.
    pub(crate) fn audit(&self, requests: u64) -> Result<(), SimError> {
        let books = &self.books;
        let identities = [
            ("requests in = requests sent", u128::from(books.arrived), u128::from(requests)),
            ("requests out = requests in", u128::from(books.served), u128::from(books.arrived)),
            ("requests left = 0", u128::from(self.present()), 0),
            ("area of the queue = sum of the waits", books.waiting_area, books.waited_sum),
            ("area of the servers = sum of the services", books.busy_area, books.served_sum),
        ];
        match identities.into_iter().find(|(_, left, right)| left != right) {
            Some((identity, left, right)) => {
                Err(SimError::Imbalance { station: self.name, identity, left, right })
            }
            None => Ok(()),
        }
    }

    /// What the books say of a run of `span_ns`.
    pub(crate) fn summary(&self, span_ns: u64) -> StationSummary {
        let books = &self.books;
        let per = |sum: u128, count: u64| if count == 0 { 0.0 } else { sum as f64 / count as f64 };
        StationSummary {
            mean_wait_s: per(books.waited_sum, books.served) * 1e-9,
            max_wait_s: books.waited_max as f64 * 1e-9,
            mean_service_s: per(books.served_sum, books.served) * 1e-9,
            mean_waiting: per(books.waiting_area, span_ns),
            mean_busy: per(books.busy_area, span_ns),
        }
    }
}

// === impl Servers ===

impl Servers {
    /// The lowest-numbered free server.
    #[inline]
    fn take(&mut self) -> Option<u32> {
        let mut index = 0;
        while self.taken[index] == u64::MAX {
            index += 1;
            if index == self.taken.len() {
                self.taken.push(0);
            }
        }
        let word = &mut self.taken[index];
        let server = index as u32 * 64 + word.trailing_ones();
        if server >= self.limit {
            return None;
        }
        // The lowest zero becomes a one.
        *word |= *word + 1;
        Some(server)
    }

    #[inline]
    fn free(&mut self, server: u32) {
        self.taken[server as usize / 64] &= !(1 << (server % 64));
    }
}

// === impl Fifo ===

impl Fifo {
    #[inline]
    fn push(&mut self, place: u32, requests: &mut [Request]) {
        requests[place as usize].next = NOBODY;
        if self.first == NOBODY {
            self.first = place;
        } else {
            requests[self.last as usize].next = place;
        }
        self.last = place;
    }

    /// Takes the first; there is one.
    #[inline]
    fn pop(&mut self, requests: &[Request]) -> u32 {
        let place = self.first;
        self.first = requests[place as usize].next;
        place
    }
}

// === impl Books ===

impl Books {
    /// Closes the stretch of time over which the levels stood.
    #[inline]
    fn pass(&mut self, now: SimTime) {
        let stretch = u128::from(now.since(self.changed));
        self.waiting_area += stretch * u128::from(self.waiting);
        self.busy_area += stretch * u128::from(self.busy);
        self.changed = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_server_takes_the_next() {
        let mut servers = Servers { limit: 130, taken: vec![0] };
        assert!((0..130).all(|n| servers.take() == Some(n)));
        assert_eq!(servers.take(), None);
        servers.free(70);
        servers.free(128);
        assert_eq!((servers.take(), servers.take(), servers.take()), (Some(70), Some(128), None));
    }

    #[test]
    fn above_the_limit_nobody_is_taken_and_all_may_finish() {
        let mut servers = Servers { limit: 3, taken: vec![0] };
        (0..3).for_each(|n| assert_eq!(servers.take(), Some(n)));
        servers.limit = 1;
        servers.free(2);
        assert_eq!(servers.take(), None);
        servers.free(0);
        assert_eq!((servers.take(), servers.take()), (Some(0), None));
        servers.limit = 3;
        assert_eq!((servers.take(), servers.take()), (Some(2), None));
    }

    #[test]
    fn an_audit_names_the_identity_that_fails() {
        let mut station = Station::new("a", 1);
        let no_requests = &mut [];
        assert_eq!(station.arrive(SimTime::ZERO, 0, no_requests), Some(0));
        station.begin(0);
        assert_eq!(station.leave(SimTime::from_nanos(5), 0, 4, &[]), None);
        let SimError::Imbalance { identity, left, right, .. } = station.audit(1).unwrap_err() else {
            panic!("not an imbalance")
        };
        assert_eq!((identity, left, right), ("area of the servers = sum of the services", 5, 4));
    }
}
