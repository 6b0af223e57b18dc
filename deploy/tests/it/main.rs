//! Tests of the live loop, without servers of ours: scrapes are texts, servers are doubles.

mod crd;
mod exposition;
mod manifests;
mod merge;
mod observer;
mod scaler;
mod signals;
