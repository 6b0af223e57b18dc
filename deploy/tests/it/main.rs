//! Tests of the live loop, without servers of ours: scrapes are texts, servers are doubles.

mod api;
mod backend;
mod crd;
mod declared;
mod exposition;
mod job;
mod manifests;
mod merge;
mod observer;
mod operator;
mod rbac;
mod report;
mod scaler;
mod signals;
mod workload;
