//! Least squares for y = a * exp(-b * (pods - pods_min)) + c, without starting values.
//!
//! With x = (pods - pods_min) / (pods_max - pods_min) in [0, 1] and beta = b * (pods_max - pods_min) the law
//! reads
//!
//! ```text
//! y(x) = y_lo + (y_hi - y_lo) * phi(x),    phi(x) = expm1(-beta * x) / expm1(-beta),    phi = x at beta = 0
//! ```
//!
//! which stays finite and well conditioned for flat, straight, rising and step-like data, where (a, b, c) do
//! not. For a given beta it is a straight line in phi, so the sum of squares has one free variable left:
//! SSE(beta) is scanned over the whole range and refined by Brent's method, hence the global minimum there
//! (Golub and Pereyra, *The differentiation of pseudo-inverses and nonlinear least squares problems whose
//! variables separate*, SIAM J. Numer. Anal. 10(2), 1973).

use argmin::core::{CostFunction, Error, Executor, IterState, Solver, State};
use argmin::solver::brent::BrentOpt;

/// beta is searched here: from a rise by exp(20) to a step that is over after a sixtieth of the range.
const SCAN: (f64, f64) = (-20.0, 60.0);

/// Points of the scan, evenly spaced in asinh(beta): 0.1 apart around zero, 10 % apart far out.
const SCAN_POINTS: usize = 86;

/// How near two solutions of one equation count as the same.
pub(crate) const TOLERANCE: f64 = 1e-9;

/// The mean of the repeats at one abscissa.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    /// Abscissa in [0, 1].
    pub(crate) x: f64,
    /// Mean of the repeats, in units of the largest one of the level.
    pub(crate) y: f64,
    /// Sum of the weights of the repeats; their number, where all count alike.
    pub(crate) weight: f64,
}

/// A fitted curve over [0, 1].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exponential {
    /// Rate over the whole range of x.
    pub(crate) beta: f64,
    /// Value at x = 0.
    pub(crate) y_lo: f64,
    /// Value at x = 1.
    pub(crate) y_hi: f64,
    /// Weighted sum of squares of the means around the curve.
    pub(crate) sse: f64,
}

impl Exponential {
    /// The curve of least squares; `groups` hold at least two abscissae.
    pub(crate) fn fit(groups: &[Group]) -> Exponential {
        let grid = grid();
        let sse = |beta| Exponential::at(beta, groups).sse;
        let costs: Vec<f64> = grid.iter().map(|&beta| sse(beta)).collect();
        let best = (0..grid.len()).min_by(|&i, &j| costs[i].total_cmp(&costs[j])).unwrap_or_default();
        let (left, right) = (grid[best.saturating_sub(1)], grid[(best + 1).min(grid.len() - 1)]);
        // Brent's parabolas see the minimum to the square root of the machine precision, not beyond.
        let brent = BrentOpt::new(left, right).set_tolerance(f64::EPSILON.sqrt(), TOLERANCE);
        let refined = solve(sse, brent).filter(|&beta| sse(beta) <= costs[best]);
        Exponential::at(refined.unwrap_or(grid[best]), groups)
    }

    /// The curve of least squares among those of rate `beta`; at zero, the straight line.
    pub(crate) fn at(beta: f64, groups: &[Group]) -> Exponential {
        let mean = |of: &dyn Fn(&Group) -> f64| {
            let total: f64 = groups.iter().map(|g| g.weight).sum();
            groups.iter().map(|g| g.weight * of(g)).sum::<f64>() / total
        };
        let (mean_phi, mean_y) = (mean(&|g| phi(beta, g.x)), mean(&|g| g.y));
        let spread = mean(&|g| (phi(beta, g.x) - mean_phi).powi(2));
        let slope = mean(&|g| (phi(beta, g.x) - mean_phi) * (g.y - mean_y)) / spread;
        let y_lo = mean_y - slope * mean_phi;
        let curve = Exponential { beta, y_lo, y_hi: y_lo + slope, sse: 0.0 };
        Exponential { sse: groups.iter().map(|g| g.weight * (g.y - curve.value(g.x)).powi(2)).sum(), ..curve }
    }

    /// The curve at `x`.
    pub(crate) fn value(&self, x: f64) -> f64 {
        self.y_lo + (self.y_hi - self.y_lo) * phi(self.beta, x)
    }

    /// (a, c) of a * exp(-beta * x) + c.
    pub(crate) fn height_and_floor(&self) -> (f64, f64) {
        let a = (self.y_hi - self.y_lo) / (-self.beta).exp_m1();
        (a, self.y_lo - a)
    }
}

pub(crate) fn phi(beta: f64, x: f64) -> f64 {
    if beta == 0.0 { x } else { (-beta * x).exp_m1() / (-beta).exp_m1() }
}

/// The scan, rising.
pub(crate) fn grid() -> Vec<f64> {
    let (from, to) = (SCAN.0.asinh(), SCAN.1.asinh());
    let step = (to - from) / (SCAN_POINTS - 1) as f64;
    (0..SCAN_POINTS).map(|i| (from + step * i as f64).sinh()).collect()
}

/// A function of one variable, as argmin wants it.
pub(crate) struct Objective<F>(F);

impl<F: Fn(f64) -> f64> CostFunction for Objective<F> {
    type Param = f64;
    type Output = f64;

    fn cost(&self, param: &f64) -> Result<f64, Error> {
        Ok(self.0(*param))
    }
}

/// Runs a solver of one variable; absent where it does not converge.
pub(crate) fn solve<F, S>(function: F, solver: S) -> Option<f64>
where
    F: Fn(f64) -> f64,
    S: Solver<Objective<F>, IterState<f64, (), (), (), (), f64>>,
{
    let run =
        Executor::new(Objective(function), solver).configure(|state| state.max_iters(200)).timer(false).run();
    run.ok()?.state().get_best_param().copied()
}
