//! Small dense matrices.

use std::ops::{Add, Mul, Neg, Sub};

/// Row by row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Matrix {
    rows: usize,
    columns: usize,
    entries: Vec<f64>,
}

impl Matrix {
    pub(super) fn zero(rows: usize, columns: usize) -> Self {
        Matrix { rows, columns, entries: vec![0.0; rows * columns] }
    }

    pub(super) fn identity(size: usize) -> Self {
        let mut identity = Matrix::zero(size, size);
        for i in 0..size {
            *identity.at(i, i) = 1.0;
        }
        identity
    }

    pub(super) fn size(&self) -> usize {
        self.rows
    }

    pub(super) fn at(&mut self, row: usize, column: usize) -> &mut f64 {
        &mut self.entries[row * self.columns + column]
    }

    /// The largest entry, signs apart.
    pub(super) fn norm(&self) -> f64 {
        self.entries.iter().fold(0.0, |norm, e| e.abs().max(norm))
    }

    /// `vector` from the left.
    pub(super) fn left_mul(&self, vector: &[f64]) -> Vec<f64> {
        let mut product = vec![0.0; self.columns];
        for (v, row) in vector.iter().zip(self.entries.chunks(self.columns)) {
            product.iter_mut().zip(row).for_each(|(p, e)| *p += v * e);
        }
        product
    }

    /// By Gauss and Jordan, with the largest pivot of a column. None if it has no inverse.
    pub(super) fn inverse(mut self) -> Option<Self> {
        let n = self.rows;
        let mut inverse = Matrix::identity(n);
        for pivot in 0..n {
            let best = (pivot..n).max_by(|i, j| {
                let size = |i: usize| self.entries[i * n + pivot].abs();
                size(*i).total_cmp(&size(*j))
            })?;
            for matrix in [&mut self, &mut inverse] {
                (0..n).for_each(|k| matrix.entries.swap(pivot * n + k, best * n + k));
            }
            let scale = *self.at(pivot, pivot);
            if scale == 0.0 || !scale.is_finite() {
                return None;
            }
            let factors: Vec<f64> = (0..n).map(|i| self.entries[i * n + pivot] / scale).collect();
            for matrix in [&mut self, &mut inverse] {
                let row = matrix.entries[pivot * n..][..n].to_vec();
                for (i, factor) in factors.iter().enumerate() {
                    let into = matrix.entries[i * n..][..n].iter_mut().zip(&row);
                    if i == pivot {
                        into.for_each(|(e, r)| *e = r / scale);
                    } else if *factor != 0.0 {
                        into.for_each(|(e, r)| *e -= factor * r);
                    }
                }
            }
        }
        Some(inverse)
    }
}

impl Mul for &Matrix {
    type Output = Matrix;

    fn mul(self, right: &Matrix) -> Matrix {
        let rows = self.entries.chunks(self.columns);
        let entries = rows.flat_map(|row| right.left_mul(row)).collect();
        Matrix { rows: self.rows, columns: right.columns, entries }
    }
}

impl Add for &Matrix {
    type Output = Matrix;

    fn add(self, right: &Matrix) -> Matrix {
        let entries = self.entries.iter().zip(&right.entries).map(|(a, b)| a + b).collect();
        Matrix { entries, ..*self }
    }
}

impl Sub for &Matrix {
    type Output = Matrix;

    fn sub(self, right: &Matrix) -> Matrix {
        let entries = self.entries.iter().zip(&right.entries).map(|(a, b)| a - b).collect();
        Matrix { entries, ..*self }
    }
}

impl Neg for Matrix {
    type Output = Matrix;

    fn neg(mut self) -> Matrix {
        self.entries.iter_mut().for_each(|e| *e = -*e);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inverse_undoes_its_matrix() {
        let entries = vec![0.0, 2.0, 1.0, 1.0, 1.0, 0.0, 3.0, 0.0, 1.0];
        let matrix = Matrix { rows: 3, columns: 3, entries };
        let inverse = matrix.clone().inverse().unwrap();
        assert!((&(&matrix * &inverse) - &Matrix::identity(3)).norm() < 1e-15);
        assert_eq!(Matrix::zero(2, 2).inverse(), None);
    }
}
