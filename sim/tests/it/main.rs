//! Integration tests of the simulator.

mod analysis;
mod anything;
mod control;
mod exact;
mod experiment;
mod features;
mod golden;
mod knee;
mod loads;
mod properties;
mod records;
mod setup;
mod theory;
mod trace;
mod verify;

use splitscale_sim::{Arrivals, Setup};
use splitscale_spec::{Laws, Replicas, ServiceLaw};

/// Means of A, transfer and B [s].
type Means = [f64; 3];

/// Pods of A, slots, pods of B.
type Width = (u32, u32, u32);

const PAPER: Means = [0.05, 0.06, 0.03];

fn exponential(mean_s: f64) -> ServiceLaw {
    ServiceLaw::Exponential { mean_s }
}

fn constant(value_s: f64) -> ServiceLaw {
    ServiceLaw::Deterministic { value_s }
}

/// No overhead, no records.
fn setup(law: fn(f64) -> ServiceLaw, means: Means, width: Width, arrivals: Arrivals) -> Setup {
    let (a, slots, b) = width;
    let [service_a, transfer, service_b] = means.map(law);
    let laws = Laws { service_a, transfer, service_b, ..Laws::default() };
    Setup::new(Replicas { a, b }, slots, &laws, arrivals)
}
