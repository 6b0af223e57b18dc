//! Integration tests of the serving crate.

mod double;
mod engine;
mod golden;
mod pipeline;
mod pods;
mod routes;
mod trouble;
