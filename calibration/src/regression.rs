//! Nonlinear least squares for any law, and the problems it is held to.

pub mod least_squares;
pub mod nist;
pub mod number;
