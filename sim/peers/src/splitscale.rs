//! Ours: the general engine with all its statistics and its fingerprint; bursts keep every request.

use splitscale_sim::{Arrivals, Outcome, Setup, Simulation};
use splitscale_spec::{Laws, Replicas, ServiceLaw};

use crate::{A_S, B_S, CUSTOMERS, GAP_S, JOBS, PODS_A, PODS_B, SERVICE_S, SLOTS, TRANSFER_S};

/// A is the server; the other stations take no time.
pub(crate) fn mm1(seed: u64) -> f64 {
    let setup = Setup {
        pods: Replicas { a: 1, b: 1 },
        slots: 1,
        laws: laws(exponential(SERVICE_S), nothing(), nothing()),
        arrivals: Arrivals::Poisson { rate_per_s: 1.0 / GAP_S, requests: CUSTOMERS },
        records: false,
    };
    run(&setup, seed).a.mean_wait_s
}

pub(crate) fn burst(seed: u64) -> f64 {
    let setup = Setup {
        pods: Replicas { a: PODS_A as u32, b: PODS_B as u32 },
        slots: SLOTS as u32,
        laws: laws(exponential(A_S), exponential(TRANSFER_S), exponential(B_S)),
        arrivals: Arrivals::Burst(JOBS),
        records: true,
    };
    let outcome = run(&setup, seed);
    assert_eq!(outcome.trail.len(), JOBS as usize);
    outcome.makespan_s
}

fn run(setup: &Setup, seed: u64) -> Outcome {
    Simulation::new(setup, seed, 0).and_then(Simulation::run_to_end).expect("the setup is valid")
}

fn laws(service_a: ServiceLaw, transfer: ServiceLaw, service_b: ServiceLaw) -> Laws {
    Laws { service_a, transfer, service_b, overhead: nothing(), fitted_on: Vec::new() }
}

fn exponential(mean_s: f64) -> ServiceLaw {
    ServiceLaw::Exponential { mean_s }
}

fn nothing() -> ServiceLaw {
    ServiceLaw::Deterministic { value_s: 0.0 }
}
