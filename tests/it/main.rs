//! Tests of the house and of the one binary.

mod cli;
mod serve;
mod simulate;
mod tidy;
