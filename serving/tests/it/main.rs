//! Integration tests of the serving crate.

mod engine;
mod golden;
