//! Speed of the simulator beside its peers and beside its limit, all in one run on one core.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use splitscale_sim_peers::{CUSTOMERS, ENGINES, JOBS};

fn peers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mm1");
    group.throughput(Throughput::Elements(u64::from(CUSTOMERS))).sample_size(20);
    for engine in &ENGINES {
        let mut seed = 0;
        group.bench_function(engine.name, |bencher| {
            bencher.iter(|| {
                seed += 1;
                (engine.mm1)(seed)
            })
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("burst");
    group.throughput(Throughput::Elements(u64::from(JOBS)));
    for engine in &ENGINES {
        let mut seed = 0;
        group.bench_function(engine.name, |bencher| {
            bencher.iter(|| {
                seed += 1;
                (engine.burst)(seed)
            })
        });
    }
    group.finish();
}

criterion_group!(benches, peers);
criterion_main!(benches);
