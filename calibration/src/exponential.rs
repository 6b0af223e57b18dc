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
//!
//! The interval of beta is the profile likelihood's: all beta with
//! SSE(beta) <= SSE_min * (1 + F(1, n-3) / (n-3)) (Bates and Watts, *Nonlinear Regression Analysis*, 1988,
//! chapter 6). Unlike the usual standard error it can say "unbounded".

use argmin::core::{CostFunction, Error, Executor, IterState, Solver, State};
use argmin::solver::brent::{BrentOpt, BrentRoot};
use statrs::distribution::{ContinuousCDF, FisherSnedecor};

/// beta is searched here: from a rise by exp(20) to a step that is over after a sixtieth of the range.
const SCAN: (f64, f64) = (-20.0, 60.0);

/// Points of the scan, evenly spaced in asinh(beta): 0.1 apart around zero, 10 % apart far out.
const SCAN_POINTS: usize = 86;

/// Measurements are not believed beyond this part of their size: exact data would otherwise give an
/// interval of no width, and rounding would decide whether it holds zero.
pub(crate) const RESOLUTION: f64 = 1e-9;

/// The mean of the repeats at one abscissa.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    /// Abscissa in [0, 1].
    pub(crate) x: f64,
    /// Mean of the repeats, in units of the largest one of the level.
    pub(crate) y: f64,
    /// Number of repeats.
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
        let brent = BrentOpt::new(left, right).set_tolerance(f64::EPSILON.sqrt(), RESOLUTION);
        let refined = solve(sse, brent).filter(|&beta| sse(beta) <= costs[best]);
        Exponential::at(refined.unwrap_or(grid[best]), groups)
    }

    /// The curve of least squares among those of rate `beta`.
    fn at(beta: f64, groups: &[Group]) -> Exponential {
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

    /// The ends of the profile interval of beta at level 1 - `alpha`; absent where it leaves the scan, or
    /// where there are no more measurements than parameters.
    ///
    /// `pure_ss` is the sum of squares of the repeats around their means.
    pub(crate) fn interval(&self, groups: &[Group], pure_ss: f64, alpha: f64) -> (Option<f64>, Option<f64>) {
        let freedom = groups.iter().map(|g| g.weight).sum::<f64>() - 3.0;
        let Ok(law) = FisherSnedecor::new(1.0, freedom) else { return (None, None) };
        let variance = ((pure_ss + self.sse) / freedom).max(RESOLUTION * RESOLUTION);
        let limit = self.sse + law.inverse_cdf(1.0 - alpha) * variance;
        let above = |beta: f64| Exponential::at(beta, groups).sse - limit;

        // The set need not be connected: its outermost members count.
        let grid = grid();
        let inside = || grid.iter().copied().filter(|&beta| above(beta) <= 0.0);
        let low = inside().fold(self.beta, f64::min);
        let high = inside().fold(self.beta, f64::max);
        let end = |inside: f64, outside: Option<f64>| {
            outside.and_then(|outside| solve(above, BrentRoot::new(inside, outside, RESOLUTION)))
        };
        let below = grid.iter().copied().rfind(|&beta| beta < low);
        let beyond = grid.iter().copied().find(|&beta| beta > high);
        (end(low, below), end(high, beyond))
    }
}

fn phi(beta: f64, x: f64) -> f64 {
    if beta == 0.0 { x } else { (-beta * x).exp_m1() / (-beta).exp_m1() }
}

fn grid() -> Vec<f64> {
    let (from, to) = (SCAN.0.asinh(), SCAN.1.asinh());
    let step = (to - from) / (SCAN_POINTS - 1) as f64;
    (0..SCAN_POINTS).map(|i| (from + step * i as f64).sinh()).collect()
}

/// A function of one variable, as argmin wants it.
struct Objective<F>(F);

impl<F: Fn(f64) -> f64> CostFunction for Objective<F> {
    type Param = f64;
    type Output = f64;

    fn cost(&self, param: &f64) -> Result<f64, Error> {
        Ok(self.0(*param))
    }
}

fn solve<F, S>(function: F, solver: S) -> Option<f64>
where
    F: Fn(f64) -> f64,
    S: Solver<Objective<F>, IterState<f64, (), (), (), (), f64>>,
{
    let run =
        Executor::new(Objective(function), solver).configure(|state| state.max_iters(200)).timer(false).run();
    run.ok()?.state().get_best_param().copied()
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Heights [ft] of loblolly pines of seed source 329 by age [years] (Kung, 1986; R's `datasets`), the
    /// worked example of R's `SSasymp`, which writes the law as Asym + (R0 - Asym) * exp(-exp(lrc) * age).
    #[test]
    fn the_pines_of_r_grow_as_r_says() {
        let heights = [(3.0, 3.93), (5.0, 9.34), (10.0, 26.08), (15.0, 37.79), (20.0, 48.31), (25.0, 56.43)];
        let groups = heights.map(|(age, y)| Group { x: (age - 3.0) / 22.0, y, weight: 1.0 });
        let curve = Exponential::fit(&groups);
        let (a, c) = curve.height_and_floor();
        let b = curve.beta / 22.0;
        assert!((c - 94.12821).abs() < 1e-4, "{c}");
        assert!((c + a * (3.0 * b).exp() + 8.25075).abs() < 1e-4);
        assert!((b.ln() + 3.21758).abs() < 1e-5, "{b}");
        assert!(((curve.sse / 3.0).sqrt() - 0.749311).abs() < 1e-6);
        // The profile interval of an independent implementation (SciPy), to its four digits.
        let (low, high) = curve.interval(&groups, 0.0, 0.05);
        assert!((low.unwrap() / 22.0 - 0.02277).abs() < 1e-5, "{low:?}");
        assert!((high.unwrap() / 22.0 - 0.05801).abs() < 1e-5, "{high:?}");
    }

    /// The interval holds the truth as often as it says, with and without repeats.
    #[test]
    fn the_interval_covers_its_level() {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        // Sum of twelve uniforms: normal enough for a coverage to a percent.
        let mut normal = || (0..12).map(|_| f64::from(rng.next_u32()) / 2_f64.powi(32)).sum::<f64>() - 6.0;
        let truth = Exponential { beta: 5.0, y_lo: 1.0, y_hi: 0.8, sse: 0.0 };
        for repeats in [1_u32, 5] {
            let mut covered = 0;
            for _ in 0..600 {
                let mut pure_ss = 0.0;
                let groups: Vec<Group> = (0..7)
                    .map(|i| {
                        let x = f64::from(i) / 6.0;
                        let ys: Vec<f64> = (0..repeats).map(|_| truth.value(x) + 0.03 * normal()).collect();
                        let y = ys.iter().sum::<f64>() / f64::from(repeats);
                        pure_ss += ys.iter().map(|v| (v - y).powi(2)).sum::<f64>();
                        Group { x, y, weight: f64::from(repeats) }
                    })
                    .collect();
                let (low, high) = Exponential::fit(&groups).interval(&groups, pure_ss, 0.05);
                let holds =
                    low.is_none_or(|low| low <= truth.beta) && high.is_none_or(|high| truth.beta <= high);
                covered += u32::from(holds);
            }
            // 600 draws: 0.95 within four standard errors of 0.009.
            let share = f64::from(covered) / 600.0;
            assert!((0.914..=0.986).contains(&share), "{repeats} repeats: {share}");
        }
    }
}
