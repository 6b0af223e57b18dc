//! Tests of the house and of the one binary.

mod cli;
mod metrics;
mod load;
mod serve;
mod simulate;
mod tidy;
