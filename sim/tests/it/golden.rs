//! Golden fingerprints: a run that changes, changes one of these. They hold on every platform.

use splitscale_sim::trace::BandwidthTrace;
use splitscale_sim::{
    Arrivals, Bandwidth, ChainState, CpuLimit, Failure, Outcome, Payload, Recorded, Setup, SimTime,
    Simulation, SlotsChange, Transfer, replicate,
};
use splitscale_spec::{Balancer, Replicas, ServiceLaw};

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

/// Every feature that draws or counts in a way of its own.
#[test]
fn fingerprints_of_the_features() {
    let clients = Arrivals::ClosedLoop { clients: 12, requests: 2_000, think: exponential(0.05) };
    let base = setup(exponential, PAPER, (4, 6, 3), clients);
    let with = |change: &dyn Fn(&mut Setup)| {
        let mut setup = base.clone();
        change(&mut setup);
        fingerprint(&setup, 1, 0).0
    };
    let balanced = |balancer| with(&|s| (s.a.balancer, s.b.balancer) = (balancer, balancer));
    assert_eq!(balanced(Balancer::Random), 0x874a_579f_ced3_0b77);
    assert_eq!(balanced(Balancer::RoundRobin), 0xc38b_5071_8bed_f393);
    assert_eq!(balanced(Balancer::ShortestQueue), 0xcbb5_2cea_f016_8826);
    for (law, expected) in [
        (ServiceLaw::Erlang { stages: 4, mean_s: 0.05 }, 0x41db_3473_451f_5de2),
        (ServiceLaw::Gamma { mean_s: 0.05, cv: 1.7 }, 0xb0d7_e21f_f29c_7bba),
        (ServiceLaw::Lognormal { mean_s: 0.05, cv: 0.8 }, 0x5743_09e3_4a59_8821),
        (ServiceLaw::Weibull { mean_s: 0.05, cv: 1.3 }, 0xa6d5_4919_fb76_9825),
    ] {
        assert_eq!(with(&|s| s.a.service = law.clone()), expected, "{law:?}");
    }
    let cores = with(&|s| (s.a.cores, s.a.cpu_share, s.one_node) = (Some(2), 0.7, true));
    assert_eq!(cores, 0xae73_783e_a7d5_1fea);
    let limit = |cores| Some(CpuLimit { cores, period_s: 0.1 });
    assert_eq!(with(&|s| (s.a.cpu_limit, s.b.cpu_limit) = (limit(0.7), limit(0.9))), 0x3338_6aaf_1a7c_f20e);
    let link = with(&|s| {
        let trace = BandwidthTrace::from_text("trace", "0 90\n0.3 0\n0.5 300\n").unwrap();
        let bandwidth = Bandwidth::WholeTrace(Recorded::of("trace", trace));
        s.link.transfer = Transfer::Bytes { bandwidth, rtt_s: 0.004 };
        s.link.payload = Some(Payload::Bytes(802_816));
    });
    assert_eq!(link, 0xa826_6d70_23f3_eac2);
    let state = |value, mean_dwell_s| ChainState { value, mean_dwell_s, next: None };
    let slots =
        with(&|s| s.link.slots_change = Some(SlotsChange::Markov(vec![state(6.0, 2.0), state(1.0, 1.0)])));
    assert_eq!(slots, 0xab2f_8d8f_e669_fa85);
    let crashes = with(&|s| {
        s.b.failure = Some(Failure { after: exponential(1.0), restart: exponential(0.2) });
        s.b.queue_limit = Some(4);
        s.deadline_s = Some(0.5);
    });
    assert_eq!(crashes, 0x0fff_472b_6f19_eddf);
    let modulated = Arrivals::Mmpp { states: vec![state(60.0, 1.0), state(5.0, 2.0)], requests: 2_000 };
    assert_eq!(with(&|s| s.arrivals = modulated.clone()), 0xc682_5626_a726_75c6);
    let day =
        Arrivals::Diurnal { mean_per_s: 30.0, amplitude: 1.0, period_s: 20.0, shift_s: 0.0, requests: 2_000 };
    assert_eq!(with(&|s| s.arrivals = day.clone()), 0xb7ad_7cd1_dc95_4706);
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
