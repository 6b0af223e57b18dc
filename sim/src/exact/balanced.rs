//! Replicas with a queue each behind a balancer, Poisson arrivals and exponential services.

use splitscale_spec::Invalid;

use super::{Station, Steady, gamma_gap, gim1};

/// States that are solved before a number of replicas is too many.
const MOST_STATES: usize = 100_000;

/// Each arrival goes to one of the `servers` replicas at random: each is an M/M/1.
///
/// # Errors
/// A field out of range; arrivals that are not below what the replicas can serve.
pub fn random(station: Station) -> Result<Steady, Invalid> {
    station.validate_stable()?;
    let Station { rate_per_s, service_s, .. } = station;
    let rho = station.load();
    Ok(Steady::of_wait(rate_per_s, service_s, rho * service_s / (1.0 - rho)))
}

/// The arrivals go to the `servers` replicas in turn: each sees every k-th, an E_k/M/1.
///
/// # Errors
/// A field out of range; arrivals that are not below what the replicas can serve.
pub fn round_robin(station: Station) -> Result<Steady, Invalid> {
    station.validate_stable()?;
    let Station { rate_per_s, service_s, servers } = station;
    let replicas = f64::from(servers);
    let each = gim1(rate_per_s / replicas, service_s, gamma_gap(rate_per_s / replicas, replicas))?;
    Ok(Steady::of_wait(rate_per_s, service_s, each.wait_s))
}

/// Each arrival joins a shortest of the queues of the `servers` replicas, ties at random; requests in service
/// count.
///
/// Solved for queues that never differ by more than a gap T: where a service would make them, the request
/// goes from a longest queue instead. This serves a little faster, and its mean number rises to the true one
/// geometrically with T (Adan, van Houtum and van der Wal 1994); T grows until the mean stands still to 1e-9.
/// The longest queue m grows in the one state (m, ..., m) only, so that from m = T + 1 on, where nobody is
/// idle, pi(m + 1) = rho^k pi(m) (Adan, Wessels and Zijm 1993), and m <= T + 1 is all there is to solve.
///
/// # Errors
/// A field out of range; arrivals that are not below what the replicas can serve; more replicas than can be
/// solved (about eight).
pub fn join_shortest_queue(station: Station) -> Result<Steady, Invalid> {
    station.validate_stable()?;
    let Station { rate_per_s, service_s, servers } = station;
    let mut number = 0.0;
    for gap in (2..).step_by(2) {
        if states_within(gap, servers) > MOST_STATES as f64 {
            break;
        }
        let closer = Shortest::new(station, gap).mean_number();
        if (closer - number).abs() < 1e-9 * closer {
            return Ok(Steady::of_wait(rate_per_s, service_s, closer / rate_per_s - service_s));
        }
        number = closer;
    }
    let problem = format!("{servers} replicas take more than {MOST_STATES} states to be solved to 1e-9");
    Err(Invalid::new("servers", problem))
}

/// The chain of the queue lengths, each state sorted from longest to shortest, in lexicographic order.
struct Shortest {
    states: Vec<Vec<u32>>,
    /// Rates into each state from others \[services\].
    into: Vec<Vec<(usize, f64)>>,
    /// The rate out of each state \[services\].
    out: Vec<f64>,
    /// rho.
    load: f64,
    /// The longest queue of the states; those above are a geometric tail.
    longest: u32,
}

impl Shortest {
    fn new(station: Station, gap: u32) -> Self {
        let longest = gap + 1;
        let mut states = Vec::new();
        for first in 0..=longest {
            extend(&mut states, &mut vec![first], first.saturating_sub(gap), station.servers as usize);
        }
        let mut chain = Shortest {
            into: vec![Vec::new(); states.len()],
            out: vec![0.0; states.len()],
            states,
            load: station.load(),
            longest,
        };
        for from in 0..chain.states.len() {
            chain.connect(from, gap, station.offered());
        }
        chain
    }

    /// Adds the jumps out of a state, at `arrivals` in the time of one service.
    fn connect(&mut self, from: usize, gap: u32, arrivals: f64) {
        let state = self.states[from].clone();
        let shortest = state[state.len() - 1];
        self.out[from] += arrivals;
        let mut joined = state.clone();
        // The first of equals grows and the last of equals shrinks, which keeps the order.
        joined[state.partition_point(|q| *q > shortest)] += 1;
        // Above the longest the tail takes over, and its flow back is added below.
        if joined[0] <= self.longest {
            self.link(from, &joined, arrivals);
        }
        for (i, queue) in state.iter().enumerate().filter(|(_, queue)| **queue > 0) {
            let served = if *queue == shortest && state[0] - queue == gap { state[0] } else { state[i] };
            let last = state.partition_point(|q| *q >= served) - 1;
            let mut left = state.clone();
            left[last] -= 1;
            self.out[from] += 1.0;
            // The same jump one higher, from the tail into the states, at rho^k of this state's probability.
            if state[0] == self.longest && left[0] < self.longest {
                let higher: Vec<u32> = left.iter().map(|q| q + 1).collect();
                self.link(from, &higher, self.load.powi(state.len() as i32));
            }
            self.link(from, &left, 1.0);
        }
    }

    fn link(&mut self, from: usize, to: &[u32], rate: f64) {
        let to = self.states.partition_point(|state| state.as_slice() < to);
        self.into[to].push((from, rate));
    }

    /// By Gauss and Seidel, up and down the states, until the error that the last two steps of the mean let
    /// expect is below 1e-11 of it.
    fn mean_number(&self) -> f64 {
        let totals: Vec<f64> = self.states.iter().map(|s| s.iter().sum::<u32>().into()).collect();
        let mut p: Vec<f64> = totals.iter().map(|n| self.load.powf(*n)).collect();
        let (mut number, mut step) = (self.mean_of(&p, &totals), 0.0);
        loop {
            for i in (0..p.len()).chain((0..p.len()).rev()) {
                p[i] = self.into[i].iter().map(|(from, rate)| p[*from] * rate).sum::<f64>() / self.out[i];
            }
            let next = self.mean_of(&p, &totals);
            let moved = (next - number).abs();
            number = next;
            // A geometric series with the ratio of the last two steps; at rounding level it says nothing.
            if moved < 1e-14 * next || (moved < step && moved * moved / (step - moved) < 1e-11 * next) {
                return number;
            }
            step = moved;
        }
    }

    /// The tail included: states of the longest queue come again one higher by all replicas, at rho^k.
    fn mean_of(&self, p: &[f64], totals: &[f64]) -> f64 {
        let replicas = self.states[0].len();
        let again = self.load.powi(replicas as i32);
        let (mut sum, mut weight) = (0.0, 0.0);
        for ((state, p), n) in self.states.iter().zip(p).zip(totals) {
            if state[0] == self.longest {
                weight += p / (1.0 - again);
                sum += p * (n / (1.0 - again) + replicas as f64 * again / (1.0 - again).powi(2));
            } else {
                weight += p;
                sum += p * n;
            }
        }
        sum / weight
    }
}

/// All sorted states that begin with `state` and go down to `least`.
fn extend(states: &mut Vec<Vec<u32>>, state: &mut Vec<u32>, least: u32, replicas: usize) {
    if state.len() == replicas {
        states.push(state.clone());
        return;
    }
    for queue in least..=state[state.len() - 1] {
        state.push(queue);
        extend(states, state, least, replicas);
        state.pop();
    }
}

/// At most this many: sorted states of queues up to `gap` + 1.
fn states_within(gap: u32, replicas: u32) -> f64 {
    (1..=replicas).map(|k| f64::from(gap + 1 + k) / f64::from(k)).product()
}
