//! M/M/c: the steady state, its tails, the way there from empty, and impatience.

use splitscale_spec::Invalid;

use super::erlang::{blocking, erlang_c};
use super::{Station, Steady, below_capacity, not_negative, positive};

/// M/M/c in its steady state: Poisson arrivals, exponential services, one endless queue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mmc {
    station: Station,
    /// Erlang C.
    waits: f64,
    /// What is left of the capacity: c mu - lambda \[1/s\].
    spare_per_s: f64,
}

impl Mmc {
    /// Solves it.
    ///
    /// # Errors
    /// A field out of range; arrivals that are not below what the servers can serve.
    pub fn new(station: Station) -> Result<Self, Invalid> {
        station.validate_stable()?;
        let waits = erlang_c(station.servers, station.offered())?;
        Ok(Mmc { station, waits, spare_per_s: station.capacity_per_s() - station.rate_per_s })
    }

    /// The probability that an arrival waits: Erlang C.
    pub fn wait_probability(&self) -> f64 {
        self.waits
    }

    /// Wq = C / (c mu - lambda), and what follows by Little's law.
    pub fn steady(&self) -> Steady {
        Steady::of_wait(self.station.rate_per_s, self.station.service_s, self.waits / self.spare_per_s)
    }

    /// P(wait > t) = C exp(-(c mu - lambda) t), for t of zero or more \[s\].
    pub fn wait_exceeds(&self, t_s: f64) -> f64 {
        self.waits * (-self.spare_per_s * t_s).exp()
    }

    /// The wait that a share `p` does not exceed \[s\].
    ///
    /// # Errors
    /// `p` outside \[0, 1).
    pub fn wait_quantile(&self, p: f64) -> Result<f64, Invalid> {
        check_share(p)?;
        Ok(((self.waits / (1.0 - p)).ln() / self.spare_per_s).max(0.0))
    }

    /// P(time at the station > t), for t of zero or more \[s\]: the wait and an independent service time,
    /// exp(-mu t) + C mu (exp(-mu t) - exp(-(c mu - lambda) t)) / (c mu - lambda - mu).
    pub fn sojourn_exceeds(&self, t_s: f64) -> f64 {
        let mu = self.station.service_s.recip();
        let faster = self.spare_per_s - mu;
        let served = (-mu * t_s).exp();
        // The quotient tends to t exp(-mu t) as the two rates become one.
        let quotient = if faster == 0.0 {
            t_s * served
        } else if (faster * t_s).abs() < 1.0 {
            -served * (-faster * t_s).exp_m1() / faster
        } else {
            (served - (-self.spare_per_s * t_s).exp()) / faster
        };
        served + self.waits * mu * quotient
    }

    /// The time at the station that a share `p` does not exceed \[s\], by bisection.
    ///
    /// # Errors
    /// `p` outside \[0, 1).
    pub fn sojourn_quantile(&self, p: f64) -> Result<f64, Invalid> {
        check_share(p)?;
        let mut high = self.steady().sojourn_s;
        while self.sojourn_exceeds(high) > 1.0 - p {
            high *= 2.0;
        }
        let mut low = 0.0;
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if self.sojourn_exceeds(middle) > 1.0 - p { low = middle } else { high = middle }
        }
        Ok(high)
    }
}

/// M/M/1 whose server is shared equally by all in it: W = 1 / (mu - lambda), as if first come first served;
/// nobody waits. It holds for any service law of that mean (Kleinrock 1967).
///
/// # Errors
/// A field out of range; more than one server; arrivals that are not below what can be served.
pub fn processor_sharing(station: Station) -> Result<Steady, Invalid> {
    check_single(station)?;
    let Station { rate_per_s, service_s, .. } = station;
    let sojourn_s = service_s / (1.0 - station.load());
    Ok(Steady { rate_per_s, number: rate_per_s * sojourn_s, waiting: 0.0, sojourn_s, wait_s: 0.0 })
}

/// M/M/1 whose server goes away when it is idle and takes an exponential time of mean `set_up_s` to come back
/// after the next arrival: W = 1 / (mu - lambda) + set-up (Welch 1964).
///
/// # Errors
/// A field out of range; more than one server; arrivals that are not below what can be served.
pub fn set_up(station: Station, set_up_s: f64) -> Result<Steady, Invalid> {
    check_single(station)?;
    not_negative("set_up_s", set_up_s)?;
    let Station { rate_per_s, service_s, .. } = station;
    let rho = station.load();
    Ok(Steady::of_wait(rate_per_s, service_s, rho * service_s / (1.0 - rho) + set_up_s))
}

/// The mean number at an M/M/c a time `t_s` after it was empty, by uniformisation: the chain jumps at the rate
/// Lambda = lambda + c mu, so that after k jumps, k being Poisson(Lambda t),
/// E N(k + 1) = E N(k) + (lambda - mu E min(N(k), c)) / Lambda. The load may be above 1.
///
/// # Errors
/// A field out of range; a time of more than ten million jumps.
pub fn number_at(station: Station, t_s: f64) -> Result<f64, Invalid> {
    station.validate()?;
    not_negative("t_s", t_s)?;
    let jumps_per_s = station.rate_per_s + station.capacity_per_s();
    let jumps = jumps_per_s * t_s;
    if jumps > 1e7 {
        let problem = format!("{t_s} s is a mean of {jumps:.0} jumps, of at most ten million");
        return Err(Invalid::new("t_s", problem));
    }
    let up = station.rate_per_s / jumps_per_s;
    let down = |n: usize| n.min(station.servers as usize) as f64 / station.service_s / jumps_per_s;
    let last = (jumps + 10.0 * jumps.sqrt() + 30.0) as usize;
    // Weights are kept as logarithms: the first one, exp(-jumps), may be too small for a number.
    let (mut log_weight, mut weights, mut weighted) = (-jumps, 0.0, 0.0);
    let (mut probabilities, mut number) = (vec![1.0], 0.0);
    for k in 1..=last {
        weights += log_weight.exp();
        weighted += log_weight.exp() * number;
        log_weight += (jumps / k as f64).ln();
        number += up - super::mean(&probabilities, down);
        probabilities = jump(&probabilities, up, down);
    }
    Ok(weighted / weights)
}

/// The share of arrivals that give up because their service did not begin within `deadline_s`, at an M/M/c
/// that serves whom it has begun. It has a steady state at any load.
///
/// The virtual wait V has the density lambda p(c - 1) exp(-(c mu - lambda) v) up to the deadline D, where
/// arrivals stop adding to it, and falls with exp(-c mu v) beyond; P(V > D) is lost. With one server,
/// rho E (1 - rho) / (1 - rho^2 E), E = exp(-(mu - lambda) D) (Barrer 1957).
///
/// # Errors
/// A field out of range.
pub fn deadline_loss(station: Station, deadline_s: f64) -> Result<f64, Invalid> {
    Impatient::new(station, deadline_s).map(|impatient| impatient.late)
}

/// The share of arrivals whose service did not end within `deadline_s` of their arrival, at an M/M/c that they
/// leave at the deadline if their service has not begun, and that serves whom it has begun to the end: beside
/// P(V > D) those with V + S > D, by the density of V above and exp(-mu s) of the service. With one server,
/// (1 + 1 / rho) times the [`deadline_loss`].
///
/// # Errors
/// A field out of range.
pub fn deadline_miss(station: Station, deadline_s: f64) -> Result<f64, Invalid> {
    let Impatient { at_once, unit, at_deadline, late } = Impatient::new(station, deadline_s)?;
    let mu = station.service_s.recip();
    let unserved = (-mu * deadline_s).exp();
    // The integral of exp(-(c mu - lambda) v) exp(-mu (D - v)), in the form of no overflow.
    let slope = mu - (station.capacity_per_s() - station.rate_per_s);
    let begun = if slope > 0.0 {
        -at_deadline * (-slope * deadline_s).exp_m1() / slope
    } else if slope < 0.0 {
        unit * unserved * (slope * deadline_s).exp_m1() / slope
    } else {
        unit * unserved * deadline_s
    };
    Ok(late + at_once * unserved + station.rate_per_s * begun)
}

/// The virtual wait of M/M/c with a deadline D.
struct Impatient {
    /// P(V = 0).
    at_once: f64,
    /// p(c - 1).
    unit: f64,
    /// p(c - 1) exp(-(c mu - lambda) D).
    at_deadline: f64,
    /// P(V > D).
    late: f64,
}

impl Impatient {
    fn new(station: Station, deadline_s: f64) -> Result<Self, Invalid> {
        station.validate()?;
        not_negative("deadline_s", deadline_s)?;
        let spare_per_s = station.capacity_per_s() - station.rate_per_s;
        // In units of p(c - 1), and of exp(-spare D) where that is above 1, so that nothing overflows.
        let decay = spare_per_s.abs() * deadline_s;
        let (unit, at_deadline) =
            if spare_per_s < 0.0 { ((-decay).exp(), 1.0) } else { (1.0, (-decay).exp()) };
        let free = unit / blocking(station.servers - 1, station.offered());
        let in_time = if decay == 0.0 { deadline_s } else { -(-decay).exp_m1() / spare_per_s.abs() };
        let waits = station.rate_per_s * in_time;
        let late = station.load() * at_deadline;
        let total = free + waits + late;
        let [at_once, unit, at_deadline, late] = [free, unit, at_deadline, late].map(|p| p / total);
        Ok(Impatient { at_once, unit, at_deadline, late })
    }
}

/// The probabilities one jump later.
fn jump(now: &[f64], up: f64, down: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut next = vec![0.0; now.len() + 1];
    let idle = 1.0 - up;
    for (n, p) in now.iter().enumerate() {
        next[n + 1] += p * up;
        next[n] += p * (idle - down(n));
        if n > 0 {
            next[n - 1] += p * down(n);
        }
    }
    // What is too rare to count is let go, so that long times do not cost their square.
    while next.last().is_some_and(|p| *p < 1e-25) {
        next.pop();
    }
    next
}

fn check_share(p: f64) -> Result<(), Invalid> {
    if (0.0..1.0).contains(&p) {
        return Ok(());
    }
    Err(Invalid::new("p", format!("{p} is not in [0, 1)")))
}

fn check_single(station: Station) -> Result<(), Invalid> {
    positive("rate_per_s", station.rate_per_s)?;
    positive("service_s", station.service_s)?;
    if station.servers != 1 {
        return Err(Invalid::new("servers", format!("{}; the formula is that of 1", station.servers)));
    }
    below_capacity("rate_per_s", station.rate_per_s, station.capacity_per_s())
}
