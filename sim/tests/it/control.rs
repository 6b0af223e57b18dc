//! Snapshots, and pods and slots that change under way.

use splitscale_sim::{Arrivals, Outcome, Request, Setup, SimTime, Simulation};
use splitscale_spec::Replicas;

use crate::{PAPER, constant, exponential, setup};

const HALF: SimTime = SimTime::from_nanos(1_000_000_000);

fn burst() -> Setup {
    Setup { records: true, ..setup(exponential, PAPER, (4, 4, 3), Arrivals::Burst(100)) }
}

fn half_way(setup: &Setup) -> Simulation {
    let mut simulation = Simulation::new(setup, 7, 0).unwrap();
    simulation.advance(HALF);
    assert_eq!(simulation.now(), HALF);
    assert!(simulation.answered() > 0 && !simulation.is_done());
    simulation
}

fn end(simulation: Simulation) -> Outcome {
    simulation.run_to_end().unwrap()
}

#[test]
fn a_snapshot_goes_on_as_its_original() {
    for arrivals in [
        Arrivals::Burst(100),
        Arrivals::ClosedLoop { clients: 8, requests: 100, think: constant(0.0) },
        Arrivals::Poisson { rate_per_s: 40.0, requests: 100 },
    ] {
        let setup = Setup { arrivals, ..burst() };
        let whole = end(Simulation::new(&setup, 7, 0).unwrap());
        let original = half_way(&setup);
        let mut other = original.clone();
        other.set_slots(1).unwrap();
        let other = end(other);
        assert_eq!(end(original.clone()), whole);
        assert_eq!(end(original), whole);
        assert_ne!(other.fingerprint, whole.fingerprint);
        let demands = |r: &Request| [r.service_a_ns, r.transfer_ns, r.service_b_ns];
        assert!(other.trail.iter().map(demands).eq(whole.trail.iter().map(demands)));
    }
}

#[test]
fn steps_of_any_length_are_one_run() {
    let whole = end(Simulation::new(&burst(), 7, 0).unwrap());
    let mut simulation = Simulation::new(&burst(), 7, 0).unwrap();
    for step in 0..500 {
        simulation.advance(SimTime::from_nanos(step * 7_000_003));
    }
    assert_eq!(end(simulation), whole);
    let mut simulation = Simulation::new(&burst(), 7, 0).unwrap();
    simulation.advance(SimTime::MAX);
    assert!(simulation.is_done());
    assert_eq!(simulation.answered(), 100);
    assert_eq!(end(simulation), whole);
}

#[test]
fn fewer_slots_finish_what_they_hold_and_more_start_at_once() {
    // All times 100 ms, A instantaneous: 4 slots carry 4 requests every 200 ms.
    let setup = Setup { records: true, ..setup(constant, [0.0, 0.1, 0.1], (1, 4, 4), Arrivals::Burst(12)) };
    let mut simulation = Simulation::new(&setup, 0, 0).unwrap();
    simulation.advance(SimTime::from_secs_f64(0.05));
    simulation.set_slots(1).unwrap();
    simulation.advance(SimTime::from_secs_f64(0.45));
    simulation.set_slots(3).unwrap();
    let done: Vec<u64> = end(simulation).trail.iter().map(|r| r.done().as_nanos() / 1_000_000).collect();
    // 4 at 200; one at 400; one from 400 to 600; two more start at 450; then three slots at their own pace.
    assert_eq!(done, [200, 200, 200, 200, 400, 600, 650, 650, 800, 850, 850, 1000]);
}

#[test]
fn fewer_pods_finish_what_they_do_and_more_start_at_once() {
    let setup = Setup { records: true, ..setup(constant, [0.1, 0.0, 0.0], (4, 9, 1), Arrivals::Burst(9)) };
    let mut simulation = Simulation::new(&setup, 0, 0).unwrap();
    simulation.advance(SimTime::from_secs_f64(0.05));
    simulation.apply(Replicas { a: 1, b: 1 }).unwrap();
    simulation.advance(SimTime::from_secs_f64(0.25));
    simulation.apply(Replicas { a: 3, b: 1 }).unwrap();
    let trail = end(simulation).trail;
    let done: Vec<u64> = trail.iter().map(|r| r.done().as_nanos() / 1_000_000).collect();
    assert_eq!(done, [100, 100, 100, 100, 200, 300, 350, 350, 400]);
    let pods: Vec<u32> = trail.iter().map(|r| r.pod_a().unwrap()).collect();
    assert_eq!(pods, [0, 1, 2, 3, 0, 0, 1, 2, 0]);
}

#[test]
fn b_pods_grow_while_slots_wait_for_them() {
    let setup = Setup { records: true, ..setup(constant, [0.0, 0.0, 0.1], (1, 4, 1), Arrivals::Burst(4)) };
    let mut simulation = Simulation::new(&setup, 0, 0).unwrap();
    simulation.advance(SimTime::from_secs_f64(0.05));
    simulation.apply(Replicas { a: 1, b: 4 }).unwrap();
    let done: Vec<u64> = end(simulation).trail.iter().map(|r| r.done().as_nanos() / 1_000_000).collect();
    assert_eq!(done, [100, 150, 150, 150]);
}
