//! Golden fingerprints: a run that changes, changes one of these. They hold on every platform.

use splitscale_sim::{Arrivals, Outcome, Setup, SimTime, Simulation, Transfer, replicate};
use splitscale_spec::{Replicas, ServiceLaw};

use crate::{PAPER, constant, exponential, setup};

fn fingerprint(setup: &Setup, seed: u64, replication: u64) -> (u64, u64) {
    let outcome = Simulation::new(setup, seed, replication).unwrap().run_to_end().unwrap();
    (outcome.fingerprint, outcome.events)
}

fn open_empirical() -> Setup {
    let arrivals = Arrivals::Poisson { rate_per_s: 30.0, requests: 10_000 };
    let mut setup = setup(exponential, PAPER, (4, 4, 3), arrivals);
    setup.link.transfer =
        Transfer::Law(ServiceLaw::Empirical { quantiles_s: vec![0.04, 0.05, 0.055, 0.07, 0.12] });
    setup.overhead = exponential(0.004);
    setup
}

#[test]
fn fingerprints() {
    let constant_burst = setup(constant, PAPER, (4, 4, 3), Arrivals::Burst(100));
    assert_eq!(fingerprint(&constant_burst, 0, 0), (0x8719_e6ba_6488_a512, 400));
    assert_eq!(fingerprint(&constant_burst, 1, 1), fingerprint(&constant_burst, 0, 0));
    let burst = setup(exponential, PAPER, (4, 4, 3), Arrivals::Burst(100));
    assert_eq!(fingerprint(&burst, 1, 0), (0x7c8e_9ab3_880f_1a3e, 400));
    assert_eq!(fingerprint(&burst, 1, 1), (0x05f1_7351_c329_c7f6, 400));
    assert_eq!(fingerprint(&burst, 2, 0), (0x804b_84f6_f1ee_632d, 400));
    let clients = Arrivals::ClosedLoop { clients: 12, requests: 1_000, think: constant(0.0) };
    assert_eq!(
        fingerprint(&setup(exponential, PAPER, (8, 2, 6), clients), 1, 0),
        (0xfe92_a17f_b1a9_7851, 4_000)
    );
    assert_eq!(fingerprint(&open_empirical(), 1, 0), (0x80ba_2c19_2fe0_dd3c, 50_000));
}

#[test]
fn a_change_from_outside_is_in_the_fingerprint() {
    let mut simulation = Simulation::new(&open_empirical(), 1, 0).unwrap();
    simulation.advance(SimTime::from_secs_f64(10.0));
    let before = simulation.fingerprint();
    simulation.set_slots(4).unwrap();
    assert_ne!(simulation.fingerprint(), before);
    simulation.advance(SimTime::from_secs_f64(20.0));
    simulation.apply(Replicas { a: 6, b: 2 }).unwrap();
    assert_eq!(simulation.run_to_end().unwrap().fingerprint, 0x51ca_9462_4de7_7c88);
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let setup = Setup { records: true, ..setup(exponential, PAPER, (4, 4, 3), Arrivals::Burst(50)) };
    let bytes = |outcomes: &[Outcome]| format!("{outcomes:?}");
    let one = replicate(&setup, 9, 23, 1).unwrap();
    assert_eq!(one.len(), 23);
    assert!(one.iter().enumerate().all(|(i, o)| o.replication == i as u64));
    assert!(one.windows(2).all(|w| w[0].fingerprint != w[1].fingerprint));
    for threads in [0, 2, 5, 64] {
        assert_eq!(bytes(&replicate(&setup, 9, 23, threads).unwrap()), bytes(&one), "{threads} threads");
    }
    assert_eq!(replicate(&setup, 9, 0, 2).unwrap(), []);
}
