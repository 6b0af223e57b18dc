//! Nonlinear least squares: two solvers from the same start, the lower sum of squares wins, and is polished.
//!
//! 1. **Levenberg-Marquardt** over all parameters (Moré, *The Levenberg-Marquardt algorithm*, 1978; the crate
//!    of that name is MINPACK's `lmder`), with exact Jacobians.
//! 2. **Variable projection** over those in which the law is not linear: for each of their values the others
//!    are a linear fit, and drop out (Golub and Pereyra, SIAM J. Numer. Anal. 10(2), 1973). The Jacobian is
//!    Kaufman's (BIT 15, 1975): the law's own, projected off what the linear part explains. It reaches minima
//!    that the first misses, and the other way round.
//! 3. **Gauss-Newton** steps, their residuals computed to 30 digits: near the minimum residuals are
//!    differences of nearly equal numbers, and an `f64` keeps few of their digits.
//!
//! Standard errors are those of the linearised law, sigma^2 (J'J)^-1, sigma^2 = SSE / (n - p).

use levenberg_marquardt::{LeastSquaresProblem, LevenbergMarquardt};
use nalgebra::{DMatrix, DVector, Dyn, Owned};
use twofloat::TwoFloat;

use super::number::{Dual, Number};

/// A law y = f(x; parameters).
pub trait Law {
    /// How many parameters it has; at most [`super::number::PARAMETERS_MAX`].
    fn parameters(&self) -> usize;

    /// Those in which it is linear while the others stand still.
    fn linear(&self) -> &[usize];

    /// Its value.
    fn value<N: Number>(&self, parameters: &[N], x: &[f64]) -> N;
}

/// One measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// What it was measured at.
    pub x: Vec<f64>,
    /// What was measured, to all of its digits.
    pub y: TwoFloat,
    /// How much its square counts; 1 where all count alike.
    pub weight: f64,
}

/// The parameters of least squares.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// In the order of the law.
    pub parameters: Vec<f64>,
    /// Their standard errors; absent where there are no more measurements than parameters, or where the
    /// measurements do not tell the parameters apart.
    pub standard_errors: Option<Vec<f64>>,
    /// Weighted sum of squared residuals.
    pub sse: f64,
}

/// A residual beyond all that are worth comparing; its square can still be summed.
const FAR: f64 = 1e100;

/// Steps of the polish; it converges in two or three, or not at all.
const POLISH_STEPS: usize = 20;

/// Fits `law` to `points` from `start`; absent where neither solver reaches a finite sum of squares.
pub fn fit(law: &impl Law, points: &[Point], start: &[f64]) -> Option<Fit> {
    let problem = Problem { law, points };
    let marquardt = problem.marquardt(start);
    let projected = problem.projected(start);
    let best = [marquardt, projected]
        .into_iter()
        .flatten()
        .map(|parameters| (problem.residuals(&parameters[..]).norm_squared(), parameters))
        .filter(|(sse, _)| sse.is_finite())
        .min_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(problem.polish(&best.1))
}

/// A law beside what was measured.
struct Problem<'a, L> {
    law: &'a L,
    points: &'a [Point],
}

impl<L: Law> Problem<'_, L> {
    /// Law less measurement, each by the root of its weight.
    fn residuals<N: Number + Into<f64>>(&self, parameters: &[N]) -> DVector<f64> {
        let residual = |point: &Point| (self.law.value(parameters, &point.x) - N::of(point.y)).into();
        let residuals = self.points.iter().map(|point| residual(point) * point.weight.sqrt());
        DVector::from_iterator(self.points.len(), residuals)
    }

    /// Derivatives of the residuals, a row a measurement.
    fn jacobian(&self, parameters: &[f64]) -> DMatrix<f64> {
        let duals: Vec<Dual> = parameters.iter().enumerate().map(|(i, &p)| Dual::parameter(p, i)).collect();
        let rows = self.points.iter().flat_map(|point| {
            let gradient = self.law.value(&duals, &point.x).gradient;
            gradient.into_iter().take(parameters.len()).map(|d| d * point.weight.sqrt())
        });
        DMatrix::from_row_iterator(self.points.len(), parameters.len(), rows)
    }

    fn marquardt(&self, start: &[f64]) -> Option<Vec<f64>> {
        let full = Full { problem: self, at: DVector::from_row_slice(start) };
        let (full, _) = solver().minimize(full);
        finite(full.at.as_slice().to_vec())
    }

    fn projected(&self, start: &[f64]) -> Option<Vec<f64>> {
        if self.law.linear().is_empty() {
            return None;
        }
        let others: Vec<usize> =
            (0..self.law.parameters()).filter(|index| !self.law.linear().contains(index)).collect();
        let at = DVector::from_iterator(others.len(), others.iter().map(|&index| start[index]));
        let projected = Projected { problem: self, others, at };
        let projected = if projected.others.is_empty() { projected } else { solver().minimize(projected).0 };
        finite(projected.linear_fit()?.parameters)
    }

    /// Gauss-Newton to the last digit, and the errors there.
    fn polish(&self, start: &[f64]) -> Fit {
        let short = |long: &[TwoFloat]| -> Vec<f64> { long.iter().map(TwoFloat::hi).collect() };
        let mut long: Vec<TwoFloat> = start.iter().map(|&p| TwoFloat::from(p)).collect();
        let mut residuals = self.residuals(&long);
        for _ in 0..POLISH_STEPS {
            let Some(step) = solve(&self.jacobian(&short(&long)), &residuals) else { break };
            let next: Vec<TwoFloat> = long.iter().zip(step.iter()).map(|(&p, &step)| p - step).collect();
            let better = self.residuals(&next);
            // Where it is no number neither is it better.
            if better.norm_squared() < residuals.norm_squared() {
                (long, residuals) = (next, better);
            } else {
                break;
            }
        }
        let (parameters, sse) = (short(&long), residuals.norm_squared());
        let freedom = self.points.len().saturating_sub(parameters.len());
        let standard_errors = (freedom > 0)
            .then(|| inverse_norms(&self.jacobian(&parameters)))
            .flatten()
            .map(|norms| norms.iter().map(|norm| norm * (sse / freedom as f64).sqrt()).collect());
        Fit { parameters, standard_errors, sse }
    }
}

/// The crate's tolerances are 30 roundings, and the polish goes on from there.
fn solver() -> LevenbergMarquardt<f64> {
    LevenbergMarquardt::new().with_patience(1000)
}

fn finite(parameters: Vec<f64>) -> Option<Vec<f64>> {
    parameters.iter().all(|p| p.is_finite()).then_some(parameters)
}

/// x of least |matrix x - right|; absent where its columns depend on each other.
fn solve(matrix: &DMatrix<f64>, right: &DVector<f64>) -> Option<DVector<f64>> {
    let qr = matrix.clone().qr();
    let x = qr.r().solve_upper_triangular(&(qr.q().transpose() * right))?;
    x.iter().all(|value| value.is_finite()).then_some(x)
}

/// Roots of the diagonal of (J'J)^-1, which are the norms of the rows of R^-1.
fn inverse_norms(jacobian: &DMatrix<f64>) -> Option<Vec<f64>> {
    let size = jacobian.ncols();
    let inverse = jacobian.clone().qr().r().solve_upper_triangular(&DMatrix::identity(size, size))?;
    let norms: Vec<f64> = inverse.row_iter().map(|row| row.norm()).collect();
    norms.iter().all(|norm| norm.is_finite()).then_some(norms)
}

/// All parameters at once.
struct Full<'a, L> {
    problem: &'a Problem<'a, L>,
    at: DVector<f64>,
}

impl<L: Law> LeastSquaresProblem<f64, Dyn, Dyn> for Full<'_, L> {
    type ResidualStorage = Owned<f64, Dyn>;
    type JacobianStorage = Owned<f64, Dyn, Dyn>;
    type ParameterStorage = Owned<f64, Dyn>;

    fn set_params(&mut self, x: &DVector<f64>) {
        self.at.copy_from(x);
    }

    fn params(&self) -> DVector<f64> {
        self.at.clone()
    }

    fn residuals(&self) -> Option<DVector<f64>> {
        // A step into where the law overflows is one that fails, not the end.
        Some(self.problem.residuals(self.at.as_slice()).map(|r| if r.is_finite() { r } else { FAR }))
    }

    fn jacobian(&self) -> Option<DMatrix<f64>> {
        Some(self.problem.jacobian(self.at.as_slice()))
    }
}

/// The parameters that are not linear; the others follow.
struct Projected<'a, L> {
    problem: &'a Problem<'a, L>,
    others: Vec<usize>,
    at: DVector<f64>,
}

/// What the linear parameters become.
struct LinearFit {
    parameters: Vec<f64>,
    residuals: DVector<f64>,
    /// Orthonormal columns that span what they explain.
    explains: DMatrix<f64>,
}

impl<L: Law> Projected<'_, L> {
    fn linear_fit(&self) -> Option<LinearFit> {
        let problem = self.problem;
        let linear = problem.law.linear();
        let mut parameters = vec![0.0; problem.law.parameters()];
        for (&index, value) in self.others.iter().zip(self.at.iter()) {
            parameters[index] = *value;
        }
        // With the linear ones at zero the law is what they are added to, and its slopes are their columns.
        let rest = problem.residuals(&parameters[..]);
        let qr = problem.jacobian(&parameters).select_columns(linear).qr();
        let explains = qr.q();
        let values = qr.r().solve_upper_triangular(&(explains.transpose() * -&rest))?;
        for (&index, value) in linear.iter().zip(values.iter()) {
            parameters[index] = *value;
        }
        let residuals = &rest - &explains * (explains.transpose() * &rest);
        residuals.iter().all(|r| r.is_finite()).then_some(LinearFit { parameters, residuals, explains })
    }
}

impl<L: Law> LeastSquaresProblem<f64, Dyn, Dyn> for Projected<'_, L> {
    type ResidualStorage = Owned<f64, Dyn>;
    type JacobianStorage = Owned<f64, Dyn, Dyn>;
    type ParameterStorage = Owned<f64, Dyn>;

    fn set_params(&mut self, x: &DVector<f64>) {
        self.at.copy_from(x);
    }

    fn params(&self) -> DVector<f64> {
        self.at.clone()
    }

    fn residuals(&self) -> Option<DVector<f64>> {
        Some(self.linear_fit()?.residuals)
    }

    fn jacobian(&self) -> Option<DMatrix<f64>> {
        let fit = self.linear_fit()?;
        let slopes = self.problem.jacobian(&fit.parameters).select_columns(&self.others);
        Some(&slopes - &fit.explains * (fit.explains.transpose() * &slopes))
    }
}
