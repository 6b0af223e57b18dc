//! Numbers that a law of regression is written in once and computed with three times.
//!
//! | type | gives |
//! |---|---|
//! | `f64` | the value |
//! | [`Dual`] | the value and its exact derivatives by the parameters, one chain rule at a time |
//! | [`TwoFloat`] | the value to about 30 digits, where residuals vanish in the 16 of an `f64` |

use std::f64::consts::LN_2;
use std::ops::{Add, Div, Mul, Neg, Sub};

use twofloat::TwoFloat;

/// Most parameters of a law.
pub const PARAMETERS_MAX: usize = 9;

/// What laws of regression are written in.
pub trait Number:
    Copy
    + From<f64>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// As much of a long number as it can hold.
    fn of(long: TwoFloat) -> Self;
    /// e to the power of it.
    fn exp(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Sine of an angle \[rad\].
    fn sin(self) -> Self;
    /// Cosine of an angle \[rad\].
    fn cos(self) -> Self;
    /// Angle \[rad\] of that tangent.
    fn atan(self) -> Self;

    /// A power of a number above zero.
    fn pow(self, exponent: Self) -> Self {
        (self.ln() * exponent).exp()
    }

    /// The product with itself; the base may have any sign.
    fn squared(self) -> Self {
        self * self
    }
}

impl Number for f64 {
    fn of(long: TwoFloat) -> Self {
        long.hi()
    }

    fn exp(self) -> Self {
        f64::exp(self)
    }

    fn ln(self) -> Self {
        f64::ln(self)
    }

    fn sin(self) -> Self {
        f64::sin(self)
    }

    fn cos(self) -> Self {
        f64::cos(self)
    }

    fn atan(self) -> Self {
        f64::atan(self)
    }
}

/// The crate's own exponential errs by up to 2e-11 (0.8.4, at -1.04), hence ours. Sine, cosine and arc tangent are an
/// `f64`'s: no law whose residuals vanish has them.
impl Number for TwoFloat {
    fn of(long: TwoFloat) -> Self {
        long
    }

    /// exp(k ln 2 + r) = 2^k exp(r / 256)^256, |r| <= ln 2 / 2, the inner one by its series.
    fn exp(self) -> Self {
        let doublings = (self.hi() / LN_2).round();
        if !(-1000.0..=1000.0).contains(&doublings) {
            return TwoFloat::from(self.hi().exp());
        }
        let small = (self - twofloat::consts::LN_2 * doublings) / 256.0;
        let series = (1..=9).rev().fold(TwoFloat::from(1.0), |sum, n| sum * small / f64::from(n) + 1.0);
        let power = (0..8).fold(series, |power, _| power * power);
        power * 2_f64.powi(doublings as i32)
    }

    /// One step of Newton's method from the `f64`.
    fn ln(self) -> Self {
        let near = TwoFloat::from(self.hi().ln());
        near + self * Number::exp(-near) - 1.0
    }

    fn sin(self) -> Self {
        TwoFloat::from(self.hi().sin()) + self.hi().cos() * self.lo()
    }

    fn cos(self) -> Self {
        TwoFloat::from(self.hi().cos()) - self.hi().sin() * self.lo()
    }

    fn atan(self) -> Self {
        TwoFloat::from(self.hi().atan()) + self.lo() / (1.0 + self.hi() * self.hi())
    }
}

/// A value and its derivatives by each parameter (forward mode; Griewank and Walther, *Evaluating Derivatives*,
/// 2nd edition, 2008, chapter 3).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dual {
    /// The value.
    pub value: f64,
    /// Its derivatives; zero beyond the parameters of the law.
    pub gradient: [f64; PARAMETERS_MAX],
}

impl Dual {
    /// Parameter number `index`, which changes with itself alone.
    pub fn parameter(value: f64, index: usize) -> Dual {
        let mut gradient = [0.0; PARAMETERS_MAX];
        gradient[index] = 1.0;
        Dual { value, gradient }
    }

    /// A function of it, by its value and slope there.
    fn chain(self, value: f64, slope: f64) -> Dual {
        Dual { value, gradient: self.gradient.map(|d| d * slope) }
    }

    /// A function of both, by its value and its slopes along each.
    fn chain2(self, other: Dual, value: f64, slopes: (f64, f64)) -> Dual {
        let mut gradient = [0.0; PARAMETERS_MAX];
        for (sum, (a, b)) in gradient.iter_mut().zip(self.gradient.iter().zip(other.gradient)) {
            *sum = a * slopes.0 + b * slopes.1;
        }
        Dual { value, gradient }
    }
}

impl From<f64> for Dual {
    fn from(value: f64) -> Dual {
        Dual { value, gradient: [0.0; PARAMETERS_MAX] }
    }
}

impl Add for Dual {
    type Output = Dual;

    fn add(self, other: Dual) -> Dual {
        self.chain2(other, self.value + other.value, (1.0, 1.0))
    }
}

impl Sub for Dual {
    type Output = Dual;

    fn sub(self, other: Dual) -> Dual {
        self.chain2(other, self.value - other.value, (1.0, -1.0))
    }
}

impl Mul for Dual {
    type Output = Dual;

    fn mul(self, other: Dual) -> Dual {
        self.chain2(other, self.value * other.value, (other.value, self.value))
    }
}

impl Div for Dual {
    type Output = Dual;

    fn div(self, other: Dual) -> Dual {
        let quotient = self.value / other.value;
        self.chain2(other, quotient, (1.0 / other.value, -quotient / other.value))
    }
}

impl Neg for Dual {
    type Output = Dual;

    fn neg(self) -> Dual {
        self.chain(-self.value, -1.0)
    }
}

impl Number for Dual {
    fn of(long: TwoFloat) -> Dual {
        Dual::from(long.hi())
    }

    fn exp(self) -> Dual {
        let value = self.value.exp();
        self.chain(value, value)
    }

    fn ln(self) -> Dual {
        self.chain(self.value.ln(), 1.0 / self.value)
    }

    fn sin(self) -> Dual {
        self.chain(self.value.sin(), self.value.cos())
    }

    fn cos(self) -> Dual {
        self.chain(self.value.cos(), -self.value.sin())
    }

    fn atan(self) -> Dual {
        self.chain(self.value.atan(), 1.0 / (1.0 + self.value * self.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// f(p, q) with every operation in it.
    fn everything<N: Number>(p: N, q: N) -> N {
        ((p * q).exp() - (p / q).ln()).squared() + p.sin() * q.cos() / (-p + q).atan() - p.pow(q)
    }

    #[test]
    fn derivatives_are_those_of_small_differences() {
        let (p, q, h) = (0.7, 1.3, 1e-6);
        let dual = everything(Dual::parameter(p, 0), Dual::parameter(q, 1));
        assert_eq!(dual.value, everything(p, q));
        let by_p = (everything(p + h, q) - everything(p - h, q)) / (2.0 * h);
        let by_q = (everything(p, q + h) - everything(p, q - h)) / (2.0 * h);
        assert!((dual.gradient[0] / by_p - 1.0).abs() < 1e-8, "{} {by_p}", dual.gradient[0]);
        assert!((dual.gradient[1] / by_q - 1.0).abs() < 1e-8, "{} {by_q}", dual.gradient[1]);
        assert_eq!(dual.gradient[2..], [0.0; PARAMETERS_MAX - 2]);
    }

    #[test]
    fn long_numbers_agree_with_short_ones_and_go_on() {
        let long = everything(TwoFloat::from(0.7), TwoFloat::from(1.3));
        assert!((f64::from(long) - everything(0.7, 1.3)).abs() < 1e-14);
        // What an f64 of e leaves out of 2.71828182845904523536028747135...
        let rest = Number::exp(TwoFloat::from(1.0)) - TwoFloat::from(std::f64::consts::E);
        assert!((f64::from(rest) - 1.4456468917292502e-16).abs() < 1e-29, "{rest:?}");
        for x in [-300.0, -31.4, -1.0397, 1e-9, 0.3, 2.5, 300.0].map(TwoFloat::from) {
            let one = Number::exp(x) * Number::exp(-x) - 1.0;
            assert!(f64::from(one).abs() < 1e-28, "{x:?}: {one:?}");
            let same = Number::ln(Number::exp(x)) - x;
            assert!(f64::from(same).abs() < 1e-28 * (1.0 + f64::from(x).abs()), "{x:?}: {same:?}");
        }
    }
}
