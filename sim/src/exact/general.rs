//! Stations with times that are not exponential, and two approximations to stand beside them.

use std::f64::consts::TAU;

use splitscale_spec::Invalid;

use super::{Mmc, Station, Steady, not_negative};

/// M/G/1: Wq = lambda E\[S^2\] / (2 (1 - rho)), E\[S^2\] = s^2 (1 + scv), where `scv` is the squared coefficient
/// of variation of the service time.
///
/// # Errors
/// A field out of range; arrivals that are not below what can be served.
pub fn pollaczek_khinchine(rate_per_s: f64, service_s: f64, scv: f64) -> Result<Steady, Invalid> {
    not_negative("scv", scv)?;
    let station = Station { rate_per_s, service_s, servers: 1 };
    station.validate_stable()?;
    let rho = station.load();
    Ok(Steady::of_wait(rate_per_s, service_s, rho * service_s * (1.0 + scv) / (2.0 * (1.0 - rho))))
}

/// M/D/c. All in service leave within one service time, so the number in the system at steps of it follows
/// N' = (N - c)+ + Poisson(a), whose generating function gives
///
/// Lq = (a^2 - c (c - 1)) / (2 (c - a)) + sum over k = 1..c-1 of 1 / (1 - z_k),
///
/// z_k being the roots of z^c = exp(a (z - 1)) within the unit circle (Crommelin 1932; in this form Janssen
/// and van Leeuwaarden 2005). Exact to about 1e-14 c^2 / (1 - rho) requests.
///
/// # Errors
/// A field out of range; arrivals that are not below what can be served.
pub fn mdc(station: Station) -> Result<Steady, Invalid> {
    station.validate_stable()?;
    let (a, c) = (station.offered(), f64::from(station.servers));
    let roots: f64 = (1..station.servers).map(|k| root_term(TAU * f64::from(k) / c, a / c)).sum();
    let waiting = (a * a - c * (c - 1.0)) / (2.0 * (c - a)) + roots;
    Ok(Steady::of_wait(station.rate_per_s, station.service_s, waiting.max(0.0) / station.rate_per_s))
}

/// GI/M/1 by the Laplace-Stieltjes transform of the gap between arrivals, A*(s) = E exp(-s gap):
/// sigma = A*(mu (1 - sigma)), Wq = sigma s / (1 - sigma). sigma is the share that waits.
///
/// # Errors
/// A field out of range; arrivals that are not below what can be served.
pub fn gim1(rate_per_s: f64, service_s: f64, transform: impl Fn(f64) -> f64) -> Result<Steady, Invalid> {
    Station { rate_per_s, service_s, servers: 1 }.validate_stable()?;
    // A*(mu (1 - sigma)) - sigma is convex, above zero at 0, and zero again at 1: below the root we look for it
    // is positive, between the two negative.
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let sigma = 0.5 * (low + high);
        if transform((1.0 - sigma) / service_s) > sigma { low = sigma } else { high = sigma }
    }
    Ok(Steady::of_wait(rate_per_s, service_s, low * service_s / (1.0 - low)))
}

/// The transform of a gap that is always 1 / `rate_per_s`.
pub fn deterministic_gap(rate_per_s: f64) -> impl Fn(f64) -> f64 {
    move |s| (-s / rate_per_s).exp()
}

/// The transform of a gamma gap of mean 1 / `rate_per_s` and any `shape` k above zero; Erlang where k is
/// whole: (1 + s / (k lambda))^-k.
pub fn gamma_gap(rate_per_s: f64, shape: f64) -> impl Fn(f64) -> f64 {
    move |s| (-shape * (s / (shape * rate_per_s)).ln_1p()).exp()
}

/// The transform of a hyperexponential gap: with probability p exponential at the rate r \[1/s\], for each
/// (p, r) of `branches`; the p sum to 1.
pub fn hyperexponential_gap(branches: &[(f64, f64)]) -> impl Fn(f64) -> f64 {
    move |s| branches.iter().map(|(p, rate)| p * rate / (rate + s)).sum()
}

/// **An approximation** of Wq at G/G/c \[s\]: the wait of M/M/c times the mean of the squared coefficients of
/// variation of gaps and services (Allen and Cunneen).
///
/// # Errors
/// A field out of range; arrivals that are not below what can be served.
pub fn allen_cunneen(station: Station, scv_gap: f64, scv_service: f64) -> Result<f64, Invalid> {
    let factor = variability(scv_gap, scv_service)?;
    Ok(factor * Mmc::new(station)?.steady().wait_s)
}

/// **An approximation** of Wq at G/G/c \[s\] without Erlang C: rho^(sqrt(2 (c + 1)) - 1) s / (c (1 - rho)) times
/// the mean of the squared coefficients of variation of gaps and services (Sakasegawa 1977).
///
/// # Errors
/// A field out of range; arrivals that are not below what can be served.
pub fn sakasegawa(station: Station, scv_gap: f64, scv_service: f64) -> Result<f64, Invalid> {
    let factor = variability(scv_gap, scv_service)?;
    station.validate_stable()?;
    let (rho, c) = (station.load(), f64::from(station.servers));
    let power = (2.0 * (c + 1.0)).sqrt() - 1.0;
    Ok(factor * rho.powf(power) * station.service_s / (c * (1.0 - rho)))
}

fn variability(scv_gap: f64, scv_service: f64) -> Result<f64, Invalid> {
    not_negative("scv_gap", scv_gap)?;
    not_negative("scv_service", scv_service)?;
    Ok(0.5 * (scv_gap + scv_service))
}

/// The real part of 1 / (1 - z), z = exp(i angle + rho (z - 1)) within the unit circle. Its conjugate is a
/// root too, so the imaginary parts of the sum cancel. The iteration contracts by rho |z|.
fn root_term(angle: f64, rho: f64) -> f64 {
    let (mut x, mut y) = (0.0_f64, 0.0_f64);
    for _ in 0..10_000 {
        let (size, turn) = ((rho * (x - 1.0)).exp(), angle + rho * y);
        let (next_x, next_y) = (size * turn.cos(), size * turn.sin());
        let moved = (next_x - x).abs() + (next_y - y).abs();
        (x, y) = (next_x, next_y);
        if moved < 1e-16 {
            break;
        }
    }
    (1.0 - x) / ((1.0 - x).powi(2) + y * y)
}
