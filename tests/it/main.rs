//! Tests of the house and of the one binary.

mod cli;
mod contest;
mod decisions;
mod deploy;
mod evaluate;
mod faults;
mod fidelity;
mod knee;
mod load;
mod metrics;
mod operator;
mod page;
mod plan;
mod pods;
mod requests;
mod scaler_start;
mod scaling_faults;
mod serve;
mod shards;
mod simulate;
mod socket_io;
mod tidy;
mod train;
