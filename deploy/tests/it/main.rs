//! Tests of the live loop, without servers of ours: scrapes are texts, servers are doubles.

mod exposition;
mod manifests;
mod observer;
mod scaler;
