//! The useful-replica cap of spec, in closed form, against the knee of the simulated pipeline.

use splitscale_sim::exact::Pipeline;
use splitscale_sim::{Arrivals, Bandwidth, Knee, KneeSearch, Payload, Setup, SimError, Transfer};
use splitscale_spec::{Capacity, Laws, Replicas, ServiceLaw, useful};

use crate::{constant, exponential};

/// ResNet-50 after layer1, layer2, layer3 on pods of a tenth of a core: A and B [s], f32 activation [bytes].
const CUTS: [(f64, f64, u64); 3] = [(0.17, 0.71, 3_211_264), (0.39, 0.49, 1_605_632), (0.71, 0.17, 802_816)];

const SEARCH: KneeSearch = KneeSearch { gain: 0.02, seed: 1, replications: 1, answers: 4_000, clients: 512 };

/// A pipeline by its means.
#[track_caller]
fn knee(search: KneeSearch, law: fn(f64) -> ServiceLaw, capacity: &Capacity, slots: u32) -> Knee {
    search.of(&pipeline(law, capacity, slots)).unwrap()
}

fn pipeline(law: fn(f64) -> ServiceLaw, capacity: &Capacity, slots: u32) -> Setup {
    let (service_a, service_b) = (law(capacity.service_a_s), law(capacity.service_b_s));
    let laws = Laws { service_a, service_b, ..Laws::default() };
    let mut setup = Setup::new(Replicas { a: 1, b: 1 }, slots, &laws, Arrivals::Burst(1));
    setup.link.payload = Some(Payload::Bytes(capacity.payload_bytes));
    setup.link.release_after_transfer = !capacity.held_until_answer;
    let bandwidth = if capacity.shared { Bandwidth::WholeMbitS } else { Bandwidth::PerSlotMbitS };
    let (bandwidth, rtt_s) = (bandwidth(capacity.mbit_s), capacity.rtt_s);
    setup.link.transfer = Transfer::Bytes { bandwidth, rtt_s };
    setup
}

fn cut((service_a_s, service_b_s, payload_bytes): (f64, f64, u64), mbit_s: f64) -> Capacity {
    Capacity {
        service_a_s,
        service_b_s,
        payload_bytes,
        mbit_s,
        rtt_s: 0.005,
        shared: false,
        held_until_answer: true,
    }
}

/// By how many pods the cap is off, of the stage where that is more.
fn off(capacity: &Capacity, slots: u32, knee: &Knee) -> u32 {
    let cap = useful(capacity, slots, SEARCH.gain);
    cap.a.abs_diff(knee.pods.a).max(cap.b.abs_diff(knee.pods.b))
}

fn lognormal(mean_s: f64) -> ServiceLaw {
    ServiceLaw::Lognormal { mean_s, cv: 0.1 }
}

#[test]
fn the_cap_is_the_knee_where_times_are_constant() {
    for of in CUTS {
        for mbit_s in [5.0, 50.0, 500.0] {
            for slots in [1, 3, 8] {
                let capacity = cut(of, mbit_s);
                let knee = knee(SEARCH, constant, &capacity, slots);
                assert_eq!(off(&capacity, slots, &knee), 0, "{slots} slots, {capacity:?}: {knee:?}");
            }
        }
    }
}

#[test]
fn it_is_within_one_where_services_vary_on_a_link_of_each_slot_or_of_all() {
    let search = KneeSearch { replications: 2, ..SEARCH };
    for of in CUTS {
        for (mbit_s, slots) in [(5.0, 8), (50.0, 4), (100.0, 7), (500.0, 2)] {
            // Slots that share a link and are free after the transfer have only constants to go through: they stay in step.
            for (shared, held_until_answer) in [(false, true), (false, false), (true, true)] {
                let capacity = Capacity { shared, held_until_answer, ..cut(of, mbit_s) };
                let knee = knee(search, lognormal, &capacity, slots);
                assert!(off(&capacity, slots, &knee) <= 1, "{slots} slots, {capacity:?}: {knee:?}");
            }
        }
    }
}

#[test]
#[ignore = "half a minute: 8 slots x 3 cuts x 5 bandwidths x 2 laws"]
fn it_is_within_one_in_the_whole_table() {
    for (law, replications) in [(constant as fn(f64) -> ServiceLaw, 1), (lognormal, 4)] {
        let search = KneeSearch { replications, answers: 10_000, ..SEARCH };
        for of in CUTS {
            for mbit_s in [5.0, 20.0, 50.0, 100.0, 500.0] {
                for slots in 1..=8 {
                    let capacity = cut(of, mbit_s);
                    let knee = knee(search, law, &capacity, slots);
                    assert!(off(&capacity, slots, &knee) <= 1, "{slots} slots, {capacity:?}: {knee:?}");
                }
            }
        }
    }
}

/// Where the cap of means is two pods of B short, because exponential services queue: the machine-repair model is not.
#[test]
fn of_exponential_services_the_closed_form_that_knows_them_has_the_knee() {
    let capacity = cut(CUTS[0], 20.0);
    let transfer_s = 3_211_264.0 * 8e-6 / 20.0 + 0.005;
    let x = |pods_b| {
        Pipeline {
            a_s: 0.17,
            transfer_s,
            b_s: 0.71,
            pods_a: 1,
            slots: 8,
            pods_b,
            hold_slot: true,
            hold_a: false,
        }
        .slots_throughput_per_s()
        .unwrap()
    };
    let exact = (1..).find(|&pods| x(pods + 1) < (1.0 + SEARCH.gain) * x(pods)).unwrap();
    // The model's transfers are exponential too, the pipeline's constant: of a plain delay only the mean counts.
    let search = KneeSearch { replications: 3, answers: 20_000, ..SEARCH };
    let knee = knee(search, exponential, &capacity, 8);
    assert_eq!((useful(&capacity, 8, SEARCH.gain).b, exact, knee.pods.b), (3, 5, 5));
    assert!((knee.per_s / x(5) - 1.0).abs() < 0.02, "{} {}", knee.per_s, x(5));
}

#[test]
fn one_seed_gives_one_knee_and_what_cannot_be_looked_for_is_refused() {
    let capacity = cut(CUTS[1], 50.0);
    let search = KneeSearch { replications: 2, answers: 1_000, ..SEARCH };
    assert_eq!(knee(search, lognormal, &capacity, 3), knee(search, lognormal, &capacity, 3));
    let setup = pipeline(constant, &capacity, 3);
    let refused = |search: KneeSearch| match search.of(&setup) {
        Err(SimError::Invalid(invalid)) => invalid.field,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(KneeSearch { gain: 0.0, ..SEARCH }), "gain");
    assert_eq!(refused(KneeSearch { replications: 0, ..SEARCH }), "replications");
    assert_eq!(refused(KneeSearch { answers: 0, ..SEARCH }), "answers");
    assert_eq!(refused(KneeSearch { clients: 0, ..SEARCH }), "clients");
}
