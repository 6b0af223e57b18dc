//! How long it takes to fit a whole table, to solve all of NIST's nonlinear problems, and to find the law of a sample.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use splitscale_calibration::regression::nist::Problem;
use splitscale_calibration::{DistributionOptions, Options, fit_distribution, fit_level};
use splitscale_sim::Durations;
use splitscale_spec::ServiceLaw;

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

/// A thousand values each, 999 refits on one thread.
fn law(criterion: &mut Criterion) {
    let lognormal = |mean_s| ServiceLaw::Lognormal { mean_s, cv: 0.3 };
    let weibull = ServiceLaw::Weibull { mean_s: 0.5, cv: 0.7 };
    let (first, second) = (Box::new(lognormal(0.05)), Box::new(lognormal(0.5)));
    let cases = [
        ("plain_1000", lognormal(0.05)),
        ("shifted_1000", ServiceLaw::Shifted { shift_s: 1.0, law: Box::new(weibull) }),
        ("mixture_1000", ServiceLaw::Mixture { share: 0.8, first, second }),
    ];
    let options = DistributionOptions { threads: 1, ..DistributionOptions::default() };
    let mut group = criterion.benchmark_group("law");
    group.sample_size(10);
    for (name, law) in cases {
        let mut durations = Durations::of(&law, 7).expect("a law in range");
        let sample: Vec<f64> = (0..1000).map(|_| durations.next_s()).collect();
        group.bench_function(name, |bencher| {
            bencher.iter(|| fit_distribution(black_box(&sample), &options));
        });
    }
}

fn nist(criterion: &mut Criterion) {
    let root = std::env::var("SPLITSCALE_SHARED")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared").to_string());
    let Ok(entries) = std::fs::read_dir(format!("{root}/data/nist")) else {
        println!("nist/all: skipped, the problems are not there (SPLITSCALE_SHARED names the shared data)");
        return;
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == "dat"));
    let problems: Vec<Problem> = paths
        .map(|path| {
            Problem::parse(&path.display().to_string(), &std::fs::read_to_string(&path).unwrap()).unwrap()
        })
        .collect();
    criterion.bench_function("nist/all", |bencher| {
        bencher.iter(|| black_box(&problems).iter().map(Problem::solve).collect::<Vec<_>>());
    });
}

criterion_group!(benches, fit, nist, law);
criterion_main!(benches);
