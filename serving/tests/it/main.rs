//! Integration tests of the serving crate.

mod counts;
mod double;
mod endings;
mod engine;
mod forgetful;
mod fresh;
mod golden;
mod images;
#[cfg(feature = "torch")]
mod modules;
mod openapi;
mod patience;
mod pipeline;
mod places;
mod pods;
mod pth;
mod routes;
mod saved;
mod several;
mod trouble;
