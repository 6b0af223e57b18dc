//! Records, and what requests share under one seed.

use splitscale_sim::{Arrivals, Labels, Outcome, Setup, Simulation};
use splitscale_spec::{Encoding, Replicas, RequestRecord, ServiceLaw};

use crate::{PAPER, Width, exponential, setup};

fn with_overhead(width: Width, arrivals: Arrivals) -> Setup {
    let mut setup = Setup { records: true, ..setup(exponential, PAPER, width, arrivals) };
    setup.overhead = ServiceLaw::Empirical { quantiles_s: vec![0.001, 0.002, 0.010] };
    setup
}

fn run(setup: &Setup) -> Outcome {
    Simulation::new(setup, 11, 3).unwrap().run_to_end().unwrap()
}

static LOADS: [Arrivals; 3] = [
    Arrivals::Burst(200),
    Arrivals::ClosedLoop { clients: 12, requests: 200, think: ServiceLaw::Deterministic { value_s: 0.0 } },
    Arrivals::Poisson { rate_per_s: 40.0, requests: 200 },
];

fn labels() -> Labels {
    Labels {
        run_id: 5,
        cut: "layer3".into(),
        encoding: Encoding::F32,
        bytes: 802_816,
        bandwidth_mbit_s: Some(50.0),
    }
}

#[test]
fn the_phases_add_up_to_the_latency() {
    for load in LOADS.clone() {
        let outcome = run(&with_overhead((4, 4, 3), load.clone()));
        assert_eq!(outcome.trail.len(), 200);
        for (number, request) in outcome.trail.iter().enumerate() {
            let phases = [
                request.queue_a_ns,
                request.service_a_ns,
                request.queue_proxy_ns,
                request.transfer_ns,
                request.queue_b_ns,
                request.service_b_ns,
                request.back_ns,
            ];
            assert_eq!(request.number as usize, number);
            assert_eq!(phases.iter().sum::<u64>(), request.done().since(request.sent), "{load:?}");
            assert!(request.pod_a() < Some(4) && request.slot() < Some(4) && request.pod_b() < Some(3));
        }
        for record in outcome.records(&labels()) {
            record.validate().unwrap();
            assert!((record.phases_s().iter().sum::<f64>() - record.latency_s()).abs() < 1e-9);
        }
    }
}

#[test]
fn records_and_statistics_tell_the_same() {
    for load in LOADS.clone() {
        let setup = with_overhead((4, 4, 3), load.clone());
        let with = run(&setup);
        let without = run(&Setup { records: false, ..setup });
        assert_eq!(Outcome { trail: Vec::new(), ..with.clone() }, without, "{load:?}");

        let labels = labels();
        let records: Vec<RequestRecord> = with.records(&labels).collect();
        let mean = |of: fn(&RequestRecord) -> f64| records.iter().map(of).sum::<f64>() / 200.0;
        let near = |left: f64, right: f64| assert!((left - right).abs() < 1e-9, "{left} is not {right}");
        let ends_ns = (records.iter().map(|r| r.sent_ns).min(), records.iter().map(|r| r.done_ns).max());
        near((ends_ns.1.unwrap() - ends_ns.0.unwrap()) as f64 * 1e-9, with.makespan_s);
        near(mean(RequestRecord::latency_s), with.latency.mean_s);
        near(mean(RequestRecord::service_a_s), with.a.mean_service_s);
        near(mean(RequestRecord::service_b_s), with.b.mean_service_s);
        near(records.iter().map(RequestRecord::latency_s).fold(0.0, f64::max), with.latency.max_s);
        near(mean(|r| r.queue_a_s), with.a.mean_wait_s);
        near(mean(|r| r.queue_proxy_s), with.proxy.mean_wait_s);
        near(mean(|r| r.queue_b_s), with.b.mean_wait_s);
        near(mean(|r| r.transfer_s + r.queue_b_s + r.forward_b_s), with.proxy.mean_service_s);
        let deviations = records.iter().map(|r| (r.latency_s() - with.latency.mean_s).powi(2)).sum::<f64>();
        near((deviations / 199.0).sqrt(), with.latency.sd_s);
    }
}

#[test]
fn a_record_says_what_stood_when_it_was_sent() {
    let mut simulation = Simulation::new(
        &with_overhead((4, 4, 3), Arrivals::Poisson { rate_per_s: 10.0, requests: 100 }),
        1,
        0,
    )
    .unwrap();
    simulation.advance(splitscale_sim::SimTime::from_secs_f64(5.0));
    simulation.set_slots(2).unwrap();
    simulation.apply(Replicas { a: 3, b: 2 }).unwrap();
    let outcome = simulation.run_to_end().unwrap();
    for record in outcome.records(&labels()) {
        let expected = if record.sent_ns <= 5_000_000_000 { (4, 4, 3) } else { (3, 2, 2) };
        assert_eq!((record.pods_a, record.slots, record.pods_b), expected);
        assert_eq!((record.run_id, record.cut.as_str(), record.bytes), (5, "layer3", 802_816));
    }
}

#[test]
fn configurations_under_one_seed_face_the_same_demands() {
    for load in LOADS.clone() {
        let demands = |width| -> Vec<[u64; 4]> {
            let trail = run(&with_overhead(width, load.clone())).trail;
            trail.iter().map(|r| [r.service_a_ns, r.transfer_ns, r.service_b_ns, r.back_ns]).collect()
        };
        let reference = demands((4, 4, 3));
        for width in [(1, 1, 1), (8, 2, 3), (4, 100, 100)] {
            assert_eq!(demands(width), reference, "{width:?}, {load:?}");
        }
    }
    let sent = |width| -> Vec<_> {
        run(&with_overhead(width, LOADS[2].clone())).trail.iter().map(|r| r.sent).collect()
    };
    assert_eq!(sent((1, 1, 1)), sent((8, 8, 8)));
}
