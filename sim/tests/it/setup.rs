//! Bad input is named by its field.

use splitscale_sim::{Arrivals, Setup, SimError, Simulation, replicate};
use splitscale_spec::{Replicas, ServiceLaw};

use crate::{PAPER, constant, setup};

fn good() -> Setup {
    setup(constant, PAPER, (1, 1, 1), Arrivals::Burst(1))
}

#[track_caller]
fn refused(setup: &Setup, field: &str) {
    for error in [Simulation::new(setup, 0, 0).unwrap_err(), replicate(setup, 0, 0, 1).unwrap_err()] {
        let SimError::Invalid(invalid) = &error else { panic!("{error:?}") };
        assert_eq!(invalid.field, field, "{error}");
    }
}

#[test]
fn each_bad_field_is_named() {
    refused(&Setup { pods: Replicas { a: 0, b: 1 }, ..good() }, "pods.a");
    refused(&Setup { pods: Replicas { a: 1, b: 0 }, ..good() }, "pods.b");
    refused(&Setup { slots: 0, ..good() }, "slots");
    for arrivals in [
        Arrivals::Burst(0),
        Arrivals::Burst(u32::MAX),
        Arrivals::ClosedLoop { clients: 1, requests: 0 },
        Arrivals::Poisson { rate_per_s: 1.0, requests: 0 },
    ] {
        refused(&Setup { arrivals, ..good() }, "arrivals.requests");
    }
    refused(
        &Setup { arrivals: Arrivals::ClosedLoop { clients: 0, requests: 1 }, ..good() },
        "arrivals.clients",
    );
    for rate_per_s in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let arrivals = Arrivals::Poisson { rate_per_s, requests: 1 };
        refused(&Setup { arrivals, ..good() }, "arrivals.rate_per_s");
    }
    let mut setup = good();
    setup.laws.transfer = constant(f64::NAN);
    refused(&setup, "laws.transfer.value_s");
    setup.laws.transfer = ServiceLaw::Empirical { quantiles_s: vec![0.2, 0.1] };
    refused(&setup, "laws.transfer.quantiles_s");
}

#[test]
fn no_slots_or_no_pods_later_are_refused_too() {
    let mut simulation = Simulation::new(&good(), 0, 0).unwrap();
    assert!(matches!(simulation.set_slots(0), Err(SimError::Invalid(i)) if i.field == "slots"));
    let pods = Replicas { a: 1, b: 0 };
    assert!(matches!(simulation.set_pods(pods), Err(SimError::Invalid(i)) if i.field == "pods.b"));
}

#[test]
fn a_clock_that_runs_over_is_an_error() {
    let mut setup = good();
    for law in [&mut setup.laws.service_a, &mut setup.laws.transfer, &mut setup.laws.service_b] {
        *law = constant(1e12);
    }
    assert_eq!(Simulation::new(&setup, 0, 0).unwrap().run_to_end(), Err(SimError::EndOfTime));
}
