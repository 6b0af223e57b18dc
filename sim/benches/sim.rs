//! Speed of the engine, beside a hand-written loop that knows this one model and keeps no books.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use splitscale_sim::{Arrivals, Model, Setup, Simulation};
use splitscale_spec::{Laws, Replicas, ServiceLaw};

const JOBS: u32 = 100;
const CUSTOMERS: u32 = 100_000;
const PODS_A: usize = 4;
const SLOTS: usize = 4;
const PODS_B: usize = 3;
const MEANS_S: [f64; 3] = [0.05, 0.06, 0.03];

fn burst(records: bool) -> Setup {
    let [service_a, transfer, service_b] = MEANS_S.map(|mean_s| ServiceLaw::Exponential { mean_s });
    let laws = Laws { service_a, transfer, service_b, overhead: nothing(), fitted_on: Vec::new() };
    let pods = Replicas { a: PODS_A as u32, b: PODS_B as u32 };
    Setup { records, ..Setup::new(pods, SLOTS as u32, &laws, Arrivals::Burst(JOBS)) }
}

/// M/M/1 at 80 %: the other stations take no time.
fn mm1() -> Setup {
    let laws = Laws {
        service_a: ServiceLaw::Exponential { mean_s: 1.0 },
        transfer: nothing(),
        service_b: nothing(),
        overhead: nothing(),
        fitted_on: Vec::new(),
    };
    let arrivals = Arrivals::Poisson { rate_per_s: 0.8, requests: CUSTOMERS };
    Setup::new(Replicas { a: 1, b: 1 }, 1, &laws, arrivals)
}

fn nothing() -> ServiceLaw {
    ServiceLaw::Deterministic { value_s: 0.0 }
}

/// The burst with the least a program can do: same events, same draws in the order of need; nothing is
/// counted, hashed or kept but the makespan [ns].
fn bare_loop(seed: u64) -> u64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = |mean_s: f64| {
        let unit = ((rng.next_u64() >> 12) as f64 + 0.5) * (1.0 / (1u64 << 52) as f64);
        (-mean_s * 1e9 * unit.ln()) as u64
    };
    let mut heap: BinaryHeap<Reverse<u128>> = BinaryHeap::with_capacity(16);
    let mut sequence = 0;
    let mut key = |time: u64, kind: u64| {
        sequence += 1;
        Reverse(u128::from(time) << 64 | u128::from(sequence << 2 | kind))
    };
    let mut left_a = JOBS as usize;
    let (mut wait_slot, mut wait_b, mut held, mut busy_b) = (0usize, 0usize, 0, 0);
    for _ in 0..PODS_A {
        left_a -= 1;
        heap.push(key(draw(MEANS_S[0]), 0));
    }
    let mut now = 0;
    loop {
        let Some(mut top) = heap.peek_mut() else { return now };
        now = (top.0 >> 64) as u64;
        let mut next = [None; 2];
        match top.0 as u64 & 3 {
            0 => {
                if left_a > 0 {
                    left_a -= 1;
                    next[0] = Some(key(now + draw(MEANS_S[0]), 0));
                }
                if held < SLOTS {
                    held += 1;
                    next[1] = Some(key(now + draw(MEANS_S[1]), 1));
                } else {
                    wait_slot += 1;
                }
            }
            1 if busy_b < PODS_B => {
                busy_b += 1;
                next[0] = Some(key(now + draw(MEANS_S[2]), 2));
            }
            1 => wait_b += 1,
            _ => {
                if wait_b > 0 {
                    wait_b -= 1;
                    next[0] = Some(key(now + draw(MEANS_S[2]), 2));
                } else {
                    busy_b -= 1;
                }
                if wait_slot > 0 {
                    wait_slot -= 1;
                    next[1] = Some(key(now + draw(MEANS_S[1]), 1));
                } else {
                    held -= 1;
                }
            }
        }
        let [first, second] = if next[0].is_some() { next } else { [next[1], None] };
        match first {
            Some(event) => {
                *top = event;
                drop(top);
            }
            None => drop(PeekMut::pop(top)),
        }
        heap.extend(second);
    }
}

fn simulate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("simulate");
    // An episode is a new simulation; what it simulates is checked and made ready once.
    let model = |setup: &Setup| Model::of(setup).expect("the setup is valid");
    let run = |model: &Model, seed| Simulation::of(model, seed, 0).run_to_end().expect("the run ends");
    group.throughput(Throughput::Elements(u64::from(JOBS)));
    for (name, records) in [("burst_100", false), ("burst_100_records", true)] {
        let setup = model(&burst(records));
        let mut seed = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                seed += 1;
                run(black_box(&setup), seed)
            })
        });
    }
    let mut seed = 0;
    group.bench_function("bare_loop_100", |bencher| {
        bencher.iter(|| {
            seed += 1;
            bare_loop(black_box(seed))
        })
    });
    let mut half_way = Simulation::new(&burst(false), 1, 0).expect("the setup is valid");
    half_way.advance(splitscale_sim::SimTime::from_secs_f64(1.0));
    group.bench_function("clone_100", |bencher| bencher.iter(|| black_box(&half_way).clone()));
    group.throughput(Throughput::Elements(u64::from(CUSTOMERS)));
    group.sample_size(30);
    let setup = model(&mm1());
    let mut seed = 0;
    group.bench_function("mm1_100k", |bencher| {
        bencher.iter(|| {
            seed += 1;
            run(black_box(&setup), seed)
        })
    });
    group.finish();
}

criterion_group!(benches, simulate);
criterion_main!(benches);
