//! Markov chains in levels, whose jumps lead from a level to itself and its two neighbours only
//! (quasi-birth-death processes).

use super::matrix::Matrix;

/// The rates out of one level \[1/s\], a row for each of its phases.
pub(super) struct Blocks {
    /// To the level above.
    pub(super) up: Matrix,
    /// Within; the diagonal is minus the sum of all rates out of the phase.
    pub(super) local: Matrix,
    /// To the level below.
    pub(super) down: Matrix,
}

/// The stationary probabilities.
pub(super) struct Levels {
    /// Of the phases of the levels below the top.
    pub(super) below: Vec<Vec<f64>>,
    /// Of the phases of the top and all levels like it together.
    pub(super) top: Vec<f64>,
    /// The mean number of levels above the top.
    pub(super) above_top: f64,
}

impl Blocks {
    /// Without rates, between levels of so many phases.
    pub(super) fn new(phases_below: usize, phases: usize, phases_above: usize) -> Self {
        Blocks {
            up: Matrix::zero(phases, phases_above),
            local: Matrix::zero(phases, phases),
            down: Matrix::zero(phases, phases_below),
        }
    }

    pub(super) fn add_up(&mut self, from: usize, to: usize, rate: f64) {
        *self.up.at(from, to) += rate;
        *self.local.at(from, from) -= rate;
    }

    pub(super) fn add_local(&mut self, from: usize, to: usize, rate: f64) {
        *self.local.at(from, to) += rate;
        *self.local.at(from, from) -= rate;
    }

    pub(super) fn add_down(&mut self, from: usize, to: usize, rate: f64) {
        *self.down.at(from, to) += rate;
        *self.local.at(from, from) -= rate;
    }
}

/// Solves the chain with the levels 0..=`top`, level 0 having one phase. With `endless`, the levels above `top`
/// are like it, without end (though `top` may go down to fewer phases than they do); it must be stable. Its relative error is then about
/// 1e-15 / (1 - rho)^2: 6 digits up to rho = 0.99996.
///
/// Between levels pi(n + 1) = pi(n) R(n), R(n) = Up(n) (-(Local(n + 1) + R(n + 1) Down(n + 2)))^-1: down from
/// the top for R, up from 0 for pi. None if a matrix has no inverse, which a chain of positive rates does not
/// come to.
pub(super) fn solve(blocks: impl Fn(usize) -> Blocks, top: usize, endless: bool) -> Option<Levels> {
    let mut above = blocks(top);
    let phases = above.local.size();
    // R of the top, and R(n + 1) Down(n + 2), seen from the level n below it.
    let mut tail = Matrix::zero(phases, phases);
    let mut back = tail.clone();
    if endless {
        let alike = blocks(top + 1);
        tail = repeat(&alike)?;
        back = &tail * &alike.down;
    }
    let mut ratios = Vec::with_capacity(top);
    for level in (0..top).rev() {
        let here = blocks(level);
        let ratio = &here.up * &(-(&above.local + &back)).inverse()?;
        back = &ratio * &above.down;
        ratios.push(ratio);
        above = here;
    }
    let mut levels = vec![vec![1.0]];
    for (level, ratio) in ratios.iter().rev().enumerate() {
        levels.push(ratio.left_mul(&levels[level]));
    }
    // Sums over the levels like the top: pi (I + R + R^2 + ...), and once more weighted by 0, 1, 2, ...
    let sum = (&Matrix::identity(phases) - &tail).inverse()?;
    let top = sum.left_mul(&levels.pop()?);
    let above_top = sum.left_mul(&tail.left_mul(&top));
    let total: f64 = levels.iter().flatten().chain(&top).sum();
    let scaled = |p: Vec<f64>| p.into_iter().map(|p| p / total).collect();
    Some(Levels {
        above_top: above_top.iter().sum::<f64>() / total,
        below: levels.into_iter().map(scaled).collect(),
        top: scaled(top),
    })
}

/// R of levels that are all alike, by logarithmic reduction (Latouche and Ramaswami 1993): after k steps
/// `first_down` counts the ways down through 2^k levels, so its error is squared by each.
fn repeat(blocks: &Blocks) -> Option<Matrix> {
    let Blocks { up, local, down } = blocks;
    let identity = Matrix::identity(local.size());
    let stay = (-local.clone()).inverse()?;
    let (mut rise, mut fall) = (&stay * up, &stay * down);
    let (mut first_down, mut path) = (fall.clone(), rise.clone());
    for _ in 0..60 {
        let both = &(&rise * &fall) + &(&fall * &rise);
        let visits = (&identity - &both).inverse()?;
        rise = &visits * &(&rise * &rise);
        fall = &visits * &(&fall * &fall);
        let more = &path * &fall;
        first_down = &first_down + &more;
        path = &path * &rise;
        if more.norm() < 1e-16 {
            break;
        }
    }
    Some(up * &(-(local + &(up * &first_down))).inverse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// M/M/1 has one phase: the tail is geometric.
    fn single(rho: f64, top: usize, endless: bool) -> Levels {
        let blocks = |_| {
            let mut blocks = Blocks::new(1, 1, 1);
            blocks.add_up(0, 0, rho);
            blocks.add_down(0, 0, 1.0);
            blocks
        };
        let ends = |level| {
            let mut blocks: Blocks = blocks(level);
            if level == 0 {
                *blocks.local.at(0, 0) = -rho;
            } else if level == top && !endless {
                *blocks.local.at(0, 0) = -1.0;
            }
            blocks
        };
        solve(ends, top, endless).unwrap()
    }

    #[test]
    fn one_phase_is_birth_and_death() {
        for rho in [0.1_f64, 0.9, 0.999] {
            let endless = single(rho, 3, true);
            let close = |value: f64, exact: f64| (value / exact - 1.0).abs() < 1e-15 / (1.0 - rho).powi(2);
            assert!(close(endless.below[2][0], rho * rho * (1.0 - rho)));
            assert!(close(endless.top[0], rho.powi(3)));
            assert!(close(endless.above_top, rho.powi(4) / (1.0 - rho)));
            let finite = single(rho, 3, false);
            assert!((finite.top[0] / finite.below[0][0] / rho.powi(3) - 1.0).abs() < 1e-12);
            assert_eq!(finite.above_top, 0.0);
        }
    }
}
