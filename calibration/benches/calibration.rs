//! How long it takes to fit a whole table.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use splitscale_calibration::{Options, fit_level};

/// Eight levels over 2..=8 pods with five repeats each, 3 % uniform noise, from flat to steep.
fn levels() -> Vec<Vec<(u32, f64)>> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut level = |slots: u32| {
        let cells = (2..=8_u32).flat_map(|pods| [pods; 5]);
        let time = |pods: u32| {
            let curve = 8.0 / (1.0 + 0.2 * f64::from(slots))
                + 0.5 * f64::from(slots - 1) * (-0.5 * f64::from(pods - 2)).exp();
            curve * (1.0 + 0.03 * (rng.next_u32() as f64 / 2_f64.powi(31) - 1.0))
        };
        let mut time = time;
        cells.map(|pods| (pods, time(pods))).collect()
    };
    (1..=8).map(&mut level).collect()
}

fn fit(criterion: &mut Criterion) {
    let levels = levels();
    let options = Options::default();
    criterion.bench_function("fit/eight_levels", |bencher| {
        bencher
            .iter(|| black_box(&levels).iter().map(|times| fit_level(times, &options)).collect::<Vec<_>>());
    });
}

criterion_group!(benches, fit);
criterion_main!(benches);
