//! Speed of the engine; sim/peers has the same models beside others, and beside a bare loop as the limit.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
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
    let laws = Laws { service_a, transfer, service_b, ..Laws::default() };
    let pods = Replicas { a: PODS_A as u32, b: PODS_B as u32 };
    Setup { records, ..Setup::new(pods, SLOTS as u32, &laws, Arrivals::Burst(JOBS)) }
}

/// M/M/1 at 80 %: the other stations take no time.
fn mm1() -> Setup {
    let laws = Laws { service_a: ServiceLaw::Exponential { mean_s: 1.0 }, ..Laws::default() };
    let arrivals = Arrivals::Poisson { rate_per_s: 0.8, requests: CUSTOMERS };
    Setup::new(Replicas { a: 1, b: 1 }, 1, &laws, arrivals)
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
