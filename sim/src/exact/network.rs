//! Networks of stations with a product form.

use splitscale_spec::Invalid;

use super::matrix::Matrix;
use super::{Mmc, Station, Steady, at_least_one, below_capacity, not_negative, positive};

/// An open network in its steady state.
#[derive(Debug, Clone, PartialEq)]
pub struct Jackson {
    /// Its stations, at the rates of the traffic equations; times are those of one visit.
    pub stations: Vec<Steady>,
    /// Requests in the network: L.
    pub number: f64,
    /// From arrival to departure \[s\]: W.
    pub sojourn_s: f64,
}

/// A station of a closed network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClosedStation {
    /// Mean service time that a request takes there in one round, all its visits together \[s\].
    pub demand_s: f64,
    /// Servers.
    pub servers: u32,
}

/// A closed network in its steady state.
#[derive(Debug, Clone, PartialEq)]
pub struct Closed {
    /// Rounds \[1/s\]: X.
    pub rate_per_s: f64,
    /// One round without the thinking \[s\]: R.
    pub response_s: f64,
    /// Its stations; times are those of one round.
    pub stations: Vec<Steady>,
}

/// An open network of exponential stations: `rate_per_s` of a station are Poisson arrivals from outside, which
/// may be zero, and `routing[i][j]` is the probability that a request done at i goes to j next; the rest of
/// a row leaves. The stations are independent M/M/c (Jackson 1957) at the rates of the traffic equations
/// lambda = gamma + lambda P.
///
/// # Errors
/// A field out of range; routing that is not a square of the stations, whose row is above 1, or from which
/// nobody leaves; a station whose traffic is not below what it can serve.
pub fn jackson(stations: &[Station], routing: &[Vec<f64>]) -> Result<Jackson, Invalid> {
    let size = stations.len();
    if routing.len() != size || routing.iter().any(|row| row.len() != size) {
        return Err(Invalid::new("routing", format!("not {size} rows of {size}, one for each station")));
    }
    let mut kept = Matrix::identity(size);
    for (i, row) in routing.iter().enumerate() {
        for (j, p) in row.iter().enumerate() {
            not_negative(&format!("routing[{i}][{j}]"), *p)?;
            *kept.at(i, j) -= p;
        }
        let total: f64 = row.iter().sum();
        // Thirds and tenths do not sum to 1 to the last bit.
        if total > 1.0 + 1e-12 {
            return Err(Invalid::new(format!("routing[{i}]"), format!("sums to {total}, above 1")));
        }
    }
    let arrivals: Vec<f64> = stations.iter().map(|s| s.rate_per_s).collect();
    for (i, rate) in arrivals.iter().enumerate() {
        not_negative(&format!("stations[{i}].rate_per_s"), *rate)?;
    }
    let total: f64 = arrivals.iter().sum();
    positive("the sum of stations.rate_per_s", total)?;
    // A square of stations nobody leaves has no inverse, or one of rounding errors only.
    let visits = kept.inverse().filter(|visits| visits.norm() < 1e12);
    let visits = visits.ok_or_else(|| Invalid::new("routing", "some requests never leave"))?;
    let rates = visits.left_mul(&arrivals);
    let solve = |(i, (station, rate)): (usize, (&Station, f64))| {
        let field = |name: &str| format!("stations[{i}].{name}");
        positive(&field("service_s"), station.service_s)?;
        at_least_one(&field("servers"), station.servers)?;
        below_capacity(&field("traffic"), rate, station.capacity_per_s())?;
        if rate <= 0.0 {
            return Ok(Steady::of_wait(0.0, station.service_s, 0.0));
        }
        Ok(Mmc::new(Station { rate_per_s: rate, ..*station })?.steady())
    };
    let stations = stations.iter().zip(rates).enumerate().map(solve).collect::<Result<Vec<_>, Invalid>>()?;
    let number: f64 = stations.iter().map(|s| s.number).sum();
    Ok(Jackson { stations, number, sojourn_s: number / total })
}

/// A closed network: `clients` go round, thinking for `think_s` on average, then through the stations. The
/// numbers are those of exact mean value analysis (Reiser and Lavenberg 1980), by convolution (Buzen 1973):
/// with g_i(n) = D_i^n / (min(1, c_i) ... min(n, c_i)) and G their convolution, X = G(N - 1) / G(N), and n are
/// at i with the probability g_i(n) G_without_i(N - n) / G(N). All terms are positive, whereas the mean value
/// recursion over several servers subtracts (Chandy and Sauer 1980).
///
/// One station of r servers and a think time is the repairman: M = `clients` machines, 1 / `think_s` failures.
///
/// # Errors
/// A field out of range; no clients, or nowhere to be.
pub fn closed(stations: &[ClosedStation], think_s: f64, clients: u32) -> Result<Closed, Invalid> {
    not_negative("think_s", think_s)?;
    at_least_one("clients", clients)?;
    for (i, station) in stations.iter().enumerate() {
        not_negative(&format!("stations[{i}].demand_s"), station.demand_s)?;
        at_least_one(&format!("stations[{i}].servers"), station.servers)?;
    }
    positive(
        "think_s and stations.demand_s together",
        think_s + stations.iter().map(|s| s.demand_s).sum::<f64>(),
    )?;
    let n = clients as usize;
    // Thinking is a station at which nobody waits.
    let thinking = log_weights(think_s, clients, clients);
    let weights: Vec<Vec<f64>> =
        stations.iter().map(|s| log_weights(s.demand_s, s.servers, clients)).collect();
    let without = |left_out: Option<usize>| {
        let others = weights.iter().enumerate().filter(|(i, _)| Some(*i) != left_out);
        others.fold(thinking.clone(), |product, (_, weights)| convolve(&product, weights))
    };
    let all = without(None);
    let rate_per_s = (all[n - 1] - all[n]).exp();
    let solve = |(i, station): (usize, &ClosedStation)| {
        let others = without(Some(i));
        let at = (0..=n).map(|k| (weights[i][k] + others[n - k] - all[n]).exp());
        let probabilities: Vec<f64> = at.collect();
        let number = super::mean(&probabilities, |k| k as f64);
        let waiting = super::mean(&probabilities, |k| k.saturating_sub(station.servers as usize) as f64);
        let (sojourn_s, wait_s) = (number / rate_per_s, waiting / rate_per_s);
        Steady { rate_per_s, number, waiting, sojourn_s, wait_s }
    };
    let stations: Vec<Steady> = stations.iter().enumerate().map(solve).collect();
    Ok(Closed { rate_per_s, response_s: stations.iter().map(|s| s.sojourn_s).sum(), stations })
}

/// The logarithms of D^n / (min(1, c) ... min(n, c)), n = 0..=clients: their range is beyond that of a number.
fn log_weights(demand_s: f64, servers: u32, clients: u32) -> Vec<f64> {
    let mut weights = vec![0.0];
    for n in 1..=clients {
        weights.push(weights[n as usize - 1] + (demand_s / f64::from(n.min(servers))).ln());
    }
    weights
}

fn convolve(a: &[f64], b: &[f64]) -> Vec<f64> {
    let term = |n: usize| {
        let terms = || a[..=n].iter().zip(b[..=n].iter().rev()).map(|(a, b)| a + b);
        let largest = terms().fold(f64::NEG_INFINITY, f64::max);
        if largest == f64::NEG_INFINITY {
            return largest;
        }
        largest + terms().map(|t| (t - largest).exp()).sum::<f64>().ln()
    };
    (0..a.len()).map(term).collect()
}
