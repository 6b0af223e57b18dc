//! The original's training: through the public trait, and as a hand-written loop, its limit.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use splitscale_rl::{ExpCurve, FittedCurves, Optimum, QLearningConfig, RewardConfig, TimeTable, train};

const LEVELS: usize = 8;
const ACTIONS: usize = 7;
/// 0.1 of the 32-bit words.
const ONE_IN_TEN: u32 = 429_496_729;

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

/// The same algorithm with every size known to the compiler, and the same chance word by word, so that the
/// tables agree bit for bit; but no trait, no settings, no ends of episodes, no learning curve.
fn bare_loop(rewards: &[[f64; ACTIONS]; LEVELS], seed: u64) -> [[f64; ACTIONS]; LEVELS] {
    let below = |rng: &mut ChaCha8Rng, n: u64| ((u64::from(rng.next_u32()) * n) >> 32) as usize;
    let mut world = ChaCha8Rng::seed_from_u64(seed);
    let mut agent = world.clone();
    agent.set_stream(1);
    world.next_u32();
    let mut q = [[0.0; ACTIONS]; LEVELS];
    for _ in 0..30_000 {
        let level = below(&mut world, LEVELS as u64);
        let row = &mut q[level];
        let action = if agent.next_u32() < ONE_IN_TEN {
            below(&mut agent, ACTIONS as u64)
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
    let trained = train(&mut curves.clone(), &config, 1, |_| None).expect("the settings are fine");
    let tables = bare_loop(&rewards, 1);
    assert!((0..LEVELS).all(|level| trained.table.row(level) == tables[level]), "two different trainings");
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
