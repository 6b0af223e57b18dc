//! Erlang's formulas, and the queue with a bounded room.

use splitscale_spec::Invalid;

use super::{Station, Steady, at_least_one, below_capacity, birth_death, mean, not_negative};

/// What M/M/c/K comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Finite {
    /// The probability of n at the station, n = 0..=K. The last one is that of a refusal.
    pub probabilities: Vec<f64>,
    /// Of those who were let in.
    pub steady: Steady,
}

/// The share refused by `servers` without a queue at `offered` erlangs: B(0) = 1,
/// B(k) = a B(k - 1) / (k + a B(k - 1)).
///
/// # Errors
/// `offered` below zero or not finite.
pub fn erlang_b(servers: u32, offered: f64) -> Result<f64, Invalid> {
    not_negative("offered", offered)?;
    Ok(blocking(servers, offered))
}

/// The share that waits at `servers` with an endless queue: C = B / (1 - rho (1 - B)).
///
/// # Errors
/// `offered` below zero, or not below `servers`.
pub fn erlang_c(servers: u32, offered: f64) -> Result<f64, Invalid> {
    not_negative("offered", offered)?;
    at_least_one("servers", servers)?;
    below_capacity("offered", offered, f64::from(servers))?;
    let blocked = blocking(servers, offered);
    Ok(blocked / (1.0 - offered / f64::from(servers) * (1.0 - blocked)))
}

/// M/M/c/K: at most `capacity` at the station, in service or waiting; who finds it full is refused.
///
/// # Errors
/// A field out of range; a `capacity` below the servers.
pub fn mmck(station: Station, capacity: u32) -> Result<Finite, Invalid> {
    station.validate()?;
    let Station { rate_per_s, service_s, servers } = station;
    if capacity < servers {
        return Err(Invalid::new("capacity", format!("{capacity} is below the {servers} servers")));
    }
    let busy = |n: usize| n.min(servers as usize) as f64;
    let probabilities = birth_death(capacity as usize, |_| rate_per_s, |n| busy(n) / service_s);
    let number = mean(&probabilities, |n| n as f64);
    let waiting = mean(&probabilities, |n| n as f64 - busy(n));
    // The busy servers, not lambda (1 - pK): where nearly all are refused the latter has no digits left.
    let rate_per_s = mean(&probabilities, busy) / service_s;
    let steady =
        Steady { rate_per_s, number, waiting, sojourn_s: number / rate_per_s, wait_s: waiting / rate_per_s };
    Ok(Finite { probabilities, steady })
}

/// Erlang B of checked arguments.
pub(super) fn blocking(servers: u32, offered: f64) -> f64 {
    (1..=servers).fold(1.0, |b, k| offered * b / (f64::from(k) + offered * b))
}
