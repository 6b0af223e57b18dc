//! How well a level's measurements tell the rate of its curve, and the curve itself.
//!
//! The profile likelihood's regions (Bates and Watts, *Nonlinear Regression Analysis and Its Applications*, 1988,
//! section 6.1): all that can be had with a sum of squares up to
//!
//! ```text
//! limit = SSE_min + F(1, n-3; 1-alpha) * variance
//! ```
//!
//! For the rate those are all beta with SSE(beta) <= limit. Unlike the usual standard error, such an interval
//! can say "unbounded". For the curve's value at x, SSE(beta) + (v - y_beta(x))^2 / h_beta(x) is the least sum of
//! squares with the value v there (h the leverage of the straight line in phi), so the ends of the band are the
//! extremes of y_beta(x) +- sqrt(h_beta(x) (limit - SSE(beta))) over the rates of the interval.

use argmin::solver::brent::BrentRoot;
use statrs::distribution::{ContinuousCDF, FisherSnedecor};

use crate::exponential::{Exponential, Group, TOLERANCE, grid, phi, solve};

/// A time is not believed beyond this part of its size: exact data would otherwise give an interval of no
/// width, and the digits they were written with would decide whether it holds zero.
pub(crate) const RESOLUTION: f64 = 1e-5;

/// Steps between two points of the scan for the band.
const BAND_STEPS: u32 = 4;

/// A curve of least squares, and how much worse another may be.
pub(crate) struct Profile<'a> {
    groups: &'a [Group],
    best: Exponential,
    limit: f64,
}

impl<'a> Profile<'a> {
    /// The region of level 1 - `alpha` around `best`; absent where there are no more measurements than
    /// parameters. `freedom` is n - 3, `pure_ss` the sum of squares of the repeats around their means.
    pub(crate) fn new(
        best: Exponential,
        groups: &'a [Group],
        (freedom, pure_ss): (f64, f64),
        alpha: f64,
    ) -> Option<Self> {
        let room = room(best.sse + pure_ss, freedom, alpha)?;
        Some(Profile { groups, best, limit: best.sse + room })
    }

    fn above(&self, beta: f64) -> f64 {
        Exponential::at(beta, self.groups).sse - self.limit
    }

    /// The ends of the interval of beta; absent where it leaves the scan.
    pub(crate) fn interval(&self) -> (Option<f64>, Option<f64>) {
        // The set need not be connected: its outermost members count.
        let grid = grid();
        let inside = || grid.iter().copied().filter(|&beta| self.above(beta) <= 0.0);
        let low = inside().fold(self.best.beta, f64::min);
        let high = inside().fold(self.best.beta, f64::max);
        let above = |beta| self.above(beta);
        let end = |inside: f64, outside: Option<f64>| {
            outside.and_then(|outside| solve(above, BrentRoot::new(inside, outside, TOLERANCE)))
        };
        let below = grid.iter().copied().rfind(|&beta| beta < low);
        let beyond = grid.iter().copied().find(|&beta| beta > high);
        (end(low, below), end(high, beyond))
    }

    /// The ends of the curve's band at abscissae `xs`.
    pub(crate) fn band(&self, xs: &[f64]) -> Vec<(f64, f64)> {
        self.band_of(&self.rates(), xs)
    }

    /// The same where the rate is known to be one of `rates`: of a straight line, zero.
    pub(crate) fn band_of(&self, rates: &[f64], xs: &[f64]) -> Vec<(f64, f64)> {
        let mut band: Vec<(f64, f64)> =
            xs.iter().map(|&x| (self.best.value(x), self.best.value(x))).collect();
        for &beta in rates {
            let curve = Exponential::at(beta, self.groups);
            let room = self.limit - curve.sse;
            if room < 0.0 {
                continue;
            }
            let leverage = leverage(beta, self.groups);
            for (&x, (low, high)) in xs.iter().zip(&mut band) {
                let (half, value) = ((leverage(x) * room).sqrt(), curve.value(x));
                *low = low.min(value - half);
                *high = high.max(value + half);
            }
        }
        band
    }

    /// Rates all over the interval, its ends and the best one among them.
    fn rates(&self) -> Vec<f64> {
        let (low, high) = self.interval();
        let grid = grid();
        let between = |pair: &[f64]| {
            let (from, step) = (pair[0], (pair[1] - pair[0]) / f64::from(BAND_STEPS));
            (0..BAND_STEPS).map(move |i| from + step * f64::from(i))
        };
        let ends = [low, high, Some(self.best.beta), grid.last().copied()];
        grid.windows(2).flat_map(between).chain(ends.into_iter().flatten()).collect()
    }
}

/// By how much a sum of squares may exceed its least, F(1, freedom) times the variance that this least one tells.
pub(crate) fn room(least_ss: f64, freedom: f64, alpha: f64) -> Option<f64> {
    let law = FisherSnedecor::new(1.0, freedom).ok()?;
    Some(law.inverse_cdf(1.0 - alpha) * (least_ss / freedom).max(RESOLUTION * RESOLUTION))
}

/// How far a sum of squares lets a straight line in phi swing at x: 1 / sum of weights, and what its place adds.
fn leverage(beta: f64, groups: &[Group]) -> impl Fn(f64) -> f64 {
    let total: f64 = groups.iter().map(|g| g.weight).sum();
    let mean = groups.iter().map(|g| g.weight * phi(beta, g.x)).sum::<f64>() / total;
    let spread: f64 = groups.iter().map(|g| g.weight * (phi(beta, g.x) - mean).powi(2)).sum();
    move |x| 1.0 / total + (phi(beta, x) - mean).powi(2) / spread
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
        let profile = Profile::new(curve, &groups, (3.0, 0.0), 0.05).unwrap();
        let (low, high) = profile.interval();
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
            let (mut covered, mut inside) = (0, 0);
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
                let freedom = f64::from(7 * repeats) - 3.0;
                let best = Exponential::fit(&groups);
                let profile = Profile::new(best, &groups, (freedom, pure_ss), 0.05).unwrap();
                let (low, high) = profile.interval();
                let holds =
                    low.is_none_or(|low| low <= truth.beta) && high.is_none_or(|high| truth.beta <= high);
                covered += u32::from(holds);
                let (low, high) = profile.band(&[groups[2].x])[0];
                inside += u32::from((low..=high).contains(&truth.value(groups[2].x)));
            }
            // 600 draws: 0.95 within four standard errors of 0.009.
            let share = f64::from(covered) / 600.0;
            assert!((0.914..=0.986).contains(&share), "{repeats} repeats: {share}");
            let share = f64::from(inside) / 600.0;
            assert!((0.914..=0.986).contains(&share), "{repeats} repeats, band: {share}");
        }
    }
}
