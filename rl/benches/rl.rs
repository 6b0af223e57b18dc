//! The original's training: through the public trait, and as a hand-written loop, its limit.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use splitscale_rl::{
    Environment, ExpCurve, FittedCurves, Optimum, QLearningConfig, RewardConfig, TimeTable, train,
};

const LEVELS: usize = 8;
const ACTIONS: usize = 7;

/// Published by the original work; see tests/fixtures/published_curves.csv.
const CURVES: [(f64, f64, f64); LEVELS] = [
    (-25.0875, -0.0001, 32.8687),
    (0.3491, 1.6066, 4.9107),
    (0.401, 0.8769, 4.4),
    (0.806, 1.2396, 4.0102),
    (0.8654, 1.2196, 3.6781),
    (0.9379, 0.843, 3.6556),
    (0.9147, 0.4671, 3.4091),
    (0.841, 0.4228, 3.42),
];

fn curves() -> FittedCurves {
    let curve = |(slots, &(a, b, c)): (u32, &(f64, f64, f64))| ExpCurve { slots, a, b, c };
    let curves: Vec<ExpCurve> = (1..).zip(&CURVES).map(curve).collect();
    let times = TimeTable::from_curves(&curves, 2..=8).expect("the curves are fine");
    FittedCurves::new(times, RewardConfig::default()).expect("the reward is fine")
}

/// The same algorithm, chance and numbers with every size known to the compiler: no trait, no checks of
/// settings, no learning curve.
fn bare_loop(rewards: &[[f64; ACTIONS]; LEVELS], seed: u64) -> [[f64; ACTIONS]; LEVELS] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut below = |n: u64| (u64::from(rng.next_u32()) * n) >> 32;
    let mut q = [[0.0; ACTIONS]; LEVELS];
    for _ in 0..30_000 {
        let level = below(LEVELS as u64) as usize;
        let row = &mut q[level];
        let action = if below(1_000) < 100 {
            below(ACTIONS as u64) as usize
        } else {
            let (mut best, mut value) = (0, row[0]);
            for (action, &other) in row.iter().enumerate().skip(1) {
                let better = other > value;
                best = if better { action } else { best };
                value = if better { other } else { value };
            }
            best
        };
        row[action] += 0.1 * (rewards[level][action] - row[action]);
    }
    q
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("train");
    group.throughput(Throughput::Elements(30_000)).measurement_time(Duration::from_secs(5));
    let curves = curves();
    let optimum = Optimum::of(&curves);
    let config = QLearningConfig::default();
    group.bench_function("original_30000", |bencher| {
        let mut environment = curves.clone();
        let mut seed = 0;
        bencher.iter(|| {
            seed += 1;
            train(&mut environment, &config, seed, |table| Some(optimum.regret(&table.greedy())))
        });
    });
    let rewards: [[f64; ACTIONS]; LEVELS] =
        std::array::from_fn(|level| curves.rewards(level).try_into().expect("seven pod counts"));
    assert_eq!((curves.states(), curves.actions()), (LEVELS, ACTIONS));
    group.bench_function("bare_loop", |bencher| {
        let mut seed = 0;
        bencher.iter(|| {
            seed += 1;
            bare_loop(black_box(&rewards), seed)
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
