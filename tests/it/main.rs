//! Tests of the house and of the one binary.

mod cli;
mod simulate;
mod tidy;
