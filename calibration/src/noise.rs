//! How much a time scatters, from the repeats of all cells, and so how much each measurement counts.
//!
//! The variances of single cells, from a few repeats each, are too uncertain to weigh by. They are shrunk towards
//! a power of the mean, ln s^2 = alpha + theta ln m, as far as their own scatter around that line is no more than
//! chance (Smyth, *Linear models and empirical Bayes methods for assessing differential expression in microarray
//! experiments*, Statistical Applications in Genetics and Molecular Biology 3(1), 2004, section 6.2).

use std::collections::BTreeMap;

use statrs::function::gamma::digamma;

use crate::data::Measured;

/// Fewest cells with repeats for a law of scatter.
const CELLS_MIN: usize = 3;

/// Mean, variance and degrees of freedom of a cell with repeats.
struct Cell {
    ln_mean: f64,
    ln_variance: f64,
    freedom: f64,
}

/// The law of scatter.
pub(crate) struct Noise {
    alpha: f64,
    theta: f64,
    /// How many degrees of freedom the law is worth beside a cell's own; infinite where cells differ by chance.
    prior: f64,
}

impl Noise {
    /// The law of these cells' repeats \[s\]; absent where fewer than three cells tell of any scatter.
    pub(crate) fn of<'a>(cells: impl Iterator<Item = &'a [f64]>) -> Option<Noise> {
        let cells: Vec<Cell> = cells.filter_map(Cell::of).collect();
        if cells.len() < CELLS_MIN {
            return None;
        }
        // ln s^2 is too low by what the logarithm of a chi-square over its freedom is, on average.
        let unbiased =
            |cell: &Cell| cell.ln_variance - digamma(cell.freedom / 2.0) + (cell.freedom / 2.0).ln();
        let total: f64 = cells.iter().map(|c| c.freedom).sum();
        let mean = |of: &dyn Fn(&Cell) -> f64| cells.iter().map(|c| c.freedom * of(c)).sum::<f64>() / total;
        let (x, z) = (mean(&|c| c.ln_mean), mean(&unbiased));
        let spread = mean(&|c| (c.ln_mean - x).powi(2));
        let theta =
            if spread > f64::EPSILON { mean(&|c| (c.ln_mean - x) * (unbiased(c) - z)) / spread } else { 0.0 };
        let alpha = z - theta * x;
        let scatter = mean(&|c| (unbiased(c) - alpha - theta * c.ln_mean).powi(2));
        let scatter = scatter * cells.len() as f64 / (cells.len() - 2) as f64;
        let chance = mean(&|c| trigamma(c.freedom / 2.0));
        Some(Noise { alpha, theta, prior: 2.0 * inverse_trigamma(scatter - chance) })
    }

    /// Each measurement with the inverse of its variance for a weight, in units of their mean.
    pub(crate) fn weigh(&self, measured: &[Measured]) -> Vec<Measured> {
        let mut cells: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for m in measured {
            cells.entry(m.pods).or_default().push(m.y_s);
        }
        let weights: BTreeMap<u32, f64> =
            cells.iter().map(|(&pods, repeats)| (pods, 1.0 / self.variance(repeats))).collect();
        let mean = measured.iter().map(|m| weights[&m.pods]).sum::<f64>() / measured.len() as f64;
        measured.iter().map(|m| Measured { weight: weights[&m.pods] / mean, ..*m }).collect()
    }

    /// The variance of a measurement of this cell [s^2].
    fn variance(&self, repeats: &[f64]) -> f64 {
        let mean = repeats.iter().sum::<f64>() / repeats.len() as f64;
        let law = (self.alpha + self.theta * mean.ln()).exp();
        match Cell::of(repeats) {
            Some(cell) if self.prior.is_finite() => {
                (self.prior * law + cell.freedom * cell.ln_variance.exp()) / (self.prior + cell.freedom)
            }
            _ => law,
        }
    }
}

impl Cell {
    /// Absent without repeats, and where they agree to the last digit.
    fn of(repeats: &[f64]) -> Option<Cell> {
        let mean = repeats.iter().sum::<f64>() / repeats.len() as f64;
        let freedom = repeats.len() as f64 - 1.0;
        let variance = repeats.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / freedom;
        (freedom > 0.0 && variance > 0.0).then(|| Cell {
            ln_mean: mean.ln(),
            ln_variance: variance.ln(),
            freedom,
        })
    }
}

/// Derivative of the digamma function: its recurrence up to 10, its asymptotic series beyond (Abramowitz and
/// Stegun, 6.4.6 and 6.4.12).
fn trigamma(x: f64) -> f64 {
    if x < 10.0 {
        return 1.0 / (x * x) + trigamma(x + 1.0);
    }
    let y = 1.0 / (x * x);
    1.0 / x + y / 2.0 + y / x * (1.0 / 6.0 - y * (1.0 / 30.0 - y * (1.0 / 42.0 - y / 30.0)))
}

/// x of trigamma(x) = y, by Newton's method on 1 / trigamma, which is nearly straight (Smyth's appendix);
/// infinite where y is zero or less.
fn inverse_trigamma(y: f64) -> f64 {
    if y <= 1e-6 {
        return f64::INFINITY;
    }
    let mut x = 0.5 + 1.0 / y;
    for _ in 0..50 {
        let (value, h) = (trigamma(x), 1e-4 * x);
        let slope = (trigamma(x + h) - trigamma(x - h)) / (2.0 * h);
        let step = value * (1.0 - value / y) / slope;
        x += step;
        if step.abs() < 1e-10 * x {
            break;
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trigamma_and_its_inverse() {
        let pi = std::f64::consts::PI;
        assert!((trigamma(1.0) - pi * pi / 6.0).abs() < 1e-12);
        assert!((trigamma(0.5) - pi * pi / 2.0).abs() < 1e-12);
        for x in [0.3, 1.0, 2.5, 40.0] {
            assert!((inverse_trigamma(trigamma(x)) / x - 1.0).abs() < 1e-6, "{x}");
        }
        assert_eq!(inverse_trigamma(-0.1), f64::INFINITY);
    }

    #[test]
    fn scatter_that_grows_with_the_mean_is_seen() {
        // Pairs m (1 +- 0.1): the standard deviation is proportional to the mean.
        let cells: Vec<[f64; 2]> = [1.0, 2.0, 4.0, 8.0].map(|m| [m * 0.9, m * 1.1]).to_vec();
        let noise = Noise::of(cells.iter().map(|cell| &cell[..])).unwrap();
        assert!((noise.theta - 2.0).abs() < 1e-9, "{}", noise.theta);
        assert_eq!(noise.prior, f64::INFINITY);
        assert!((noise.variance(&cells[3]) / noise.variance(&cells[0]) - 64.0).abs() < 1e-6);
        assert!(Noise::of([&[1.0][..], &[2.0, 2.0], &[1.0, 1.1]].into_iter()).is_none());
    }
}
