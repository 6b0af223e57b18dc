//! Ours: the general engine with all its statistics and its fingerprint; bursts keep every request.

use std::sync::LazyLock;

use splitscale_sim::{Arrivals, Model, Outcome, Setup, Simulation};
use splitscale_spec::{Laws, Replicas, ServiceLaw};

use crate::{A_S, B_S, CUSTOMERS, GAP_S, JOBS, PODS_A, PODS_B, SERVICE_S, SLOTS, TRANSFER_S};

// What is simulated is checked and made ready once, as the peers' models are when they are compiled; each run is
// a new simulation.
static MM1: LazyLock<Model> = LazyLock::new(|| mm1_of(CUSTOMERS));

static BURST: LazyLock<Model> = LazyLock::new(|| {
    let laws = laws(exponential(A_S), exponential(TRANSFER_S), exponential(B_S));
    let pods = Replicas { a: PODS_A as u32, b: PODS_B as u32 };
    ready(&Setup { records: true, ..Setup::new(pods, SLOTS as u32, &laws, Arrivals::Burst(JOBS)) })
});

/// M/M/1 with so many customers: A is the server; the other stations take no time.
pub fn mm1_of(customers: u32) -> Model {
    let laws = laws(exponential(SERVICE_S), ServiceLaw::default(), ServiceLaw::default());
    let arrivals = Arrivals::Poisson { rate_per_s: 1.0 / GAP_S, requests: customers };
    ready(&Setup::new(Replicas { a: 1, b: 1 }, 1, &laws, arrivals))
}

pub(crate) fn mm1(seed: u64) -> f64 {
    run(&MM1, seed).a.mean_wait_s
}

pub(crate) fn burst(seed: u64) -> f64 {
    let outcome = run(&BURST, seed);
    assert_eq!(outcome.trail.len(), JOBS as usize);
    outcome.makespan_s
}

fn ready(setup: &Setup) -> Model {
    Model::of(setup).expect("the setup is valid")
}

fn run(model: &Model, seed: u64) -> Outcome {
    Simulation::of(model, seed, 0).run_to_end().expect("the run ends")
}

fn laws(service_a: ServiceLaw, transfer: ServiceLaw, service_b: ServiceLaw) -> Laws {
    Laws { service_a, transfer, service_b, ..Laws::default() }
}

fn exponential(mean_s: f64) -> ServiceLaw {
    ServiceLaw::Exponential { mean_s }
}
