//! The fit of one level: what is recovered, what is refused, and that units do not matter.

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use splitscale_calibration::{Options, fit_level};
use splitscale_spec::{Level, LevelStatus};

use crate::{Curve, normal, published_curves, value};

fn fit(times: &[(u32, f64)]) -> Level {
    fit_level(times, &Options::default()).0
}

/// `repeats` noisy times at each of 2..=8 pods; `noise` is relative.
fn noisy(curve: Curve, repeats: u32, noise: f64, rng: &mut ChaCha8Rng) -> Vec<(u32, f64)> {
    let cells = (2..=8).flat_map(|pods| (0..repeats).map(move |_| pods));
    cells.map(|pods| (pods, value(curve, pods) * (1.0 + noise * normal(rng)))).collect()
}

fn close(found: Option<f64>, truth: f64, relative: f64) -> bool {
    found.is_some_and(|found| (found / truth - 1.0).abs() <= relative)
}

#[test]
fn the_published_curves_come_back() {
    for curve in published_curves() {
        let (slots, a, b, c) = curve;
        let times: Vec<(u32, f64)> = (2..=8).map(|pods| (pods, value(curve, pods))).collect();
        let level = fit(&times);
        if slots == 1 {
            // 7.781 s to 7.766 s, and what it bends by is less than a time is believed.
            assert_eq!((level.status, level.b), (LevelStatus::Line, None));
            continue;
        }
        assert_eq!(level.status, LevelStatus::Exp, "{slots} slots");
        assert_eq!(level.pods_min, 2);
        assert!(close(level.a, a, 1e-6) && close(level.b, b, 1e-6) && close(level.c, c, 1e-6), "{level:?}");
        assert!(level.rmse_s < 1e-7);
    }
}

#[test]
fn a_known_rate_is_recovered_from_noisy_repeats() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let truth = (8, 4.0, 0.6, 3.0);
    let level = fit(&noisy(truth, 5, 0.01, &mut rng));
    assert_eq!(level.status, LevelStatus::Exp);
    assert!(close(level.a, 4.0, 0.03) && close(level.b, 0.6, 0.1) && close(level.c, 3.0, 0.05), "{level:?}");
    assert!(level.p_flat.is_some_and(|p| p < 1e-6));
    for point in &level.points {
        assert_eq!(point.repeats, 5);
        assert!((point.fitted_s / value(truth, point.pods) - 1.0).abs() < 0.02);
        assert!(point.sd_s.is_some_and(|sd| sd > 0.0 && sd < 0.05 * point.mean_s));
    }
}

/// The test errs at its level: about one flat level in twenty passes for a trend.
#[test]
fn flat_levels_are_called_flat_as_often_as_promised() {
    let flat = (1, 0.0, 0.0, 7.9);
    let share = |repeats, noise, seed| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let flat = |_: &i32| fit(&noisy(flat, repeats, noise, &mut rng)).status == LevelStatus::Flat;
        (0..400).filter(flat).count() as f64 / 400.0
    };
    // 400 draws: 0.95 within four standard errors of 0.011.
    let (five, two) = (share(5, 0.05, 2), share(2, 0.001, 3));
    assert!((0.906..=0.994).contains(&five) && (0.906..=0.994).contains(&two), "{five} {two}");
    // Single measurements tell their noise by how they scatter around a line.
    let single = share(1, 0.03, 5);
    assert!((0.906..=0.994).contains(&single), "{single}");
}

#[test]
fn repeats_that_agree_to_the_last_digit_say_nothing_about_noise() {
    let single = [(2, 7.78), (3, 7.77), (4, 7.78), (5, 7.76)];
    let double: Vec<(u32, f64)> = single.iter().chain(&single).copied().collect();
    assert_eq!(fit(&double).status, LevelStatus::Flat);
    assert_eq!(fit(&double).points[0].sd_s, Some(0.0));
}

#[test]
fn a_rate_that_the_noise_hides_has_a_bound() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    // All of the fall happens before the third pod count: the rate has no upper bound.
    let level = fit(&noisy((8, 2.0, 5.0, 4.0), 5, 0.03, &mut rng));
    assert_eq!((level.status, level.a, level.b, level.c), (LevelStatus::RateNotIdentified, None, None, None));
    assert!(level.b_low.is_some_and(|low| low > 1.0) && level.b_high.is_none(), "{level:?}");
    assert!((level.points[0].fitted_s / 6.0 - 1.0).abs() < 0.05);
    assert!((level.points[6].fitted_s / 4.0 - 1.0).abs() < 0.05);
}

#[test]
fn one_or_two_pod_counts_are_too_few() {
    let one = fit(&[(3, 5.0), (3, 5.2)]);
    assert_eq!((one.status, one.p_flat, one.rmse_s), (LevelStatus::Insufficient, None, 0.0));
    assert!((one.points[0].fitted_s - 5.1).abs() < 1e-12);
    let two = fit(&[(8, 3.0), (2, 5.0)]);
    assert_eq!((two.status, two.pods_min, two.b), (LevelStatus::Insufficient, 2, None));
    assert_eq!([two.points[0].fitted_s, two.points[1].fitted_s], [5.0, 3.0]);
}

#[test]
fn no_size_of_time_breaks_a_fit() {
    for scale in [1e-300, 1e-6, 1.0, 1e9, 1e300] {
        let level = fit(&[(2, 5.0 * scale), (3, 4.0 * scale), (4, 3.5 * scale), (u32::MAX, 3.4 * scale)]);
        assert!(
            level.points.iter().all(|point| point.fitted_s.is_finite() && point.fitted_s > 0.0),
            "{level:?}"
        );
    }
    let wild = fit(&[(2, 900.0), (3, 1e-9), (4, 1e-9), (5, 300.0), (6, 1e-9), (7, 1e-9), (8, 1e-9)]);
    assert!(wild.points.iter().all(|point| point.fitted_s > 0.0), "{wild:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Other units of time or of pods change nothing but the units.
    #[test]
    fn units_do_not_matter(
        (a, b, c) in (-0.8..4.0, 0.05..2.0, 1.0..10.0),
        (repeats, noise, seed) in (1_u32..4, 0.0..0.05, any::<u64>()),
        (seconds, pods_unit) in (prop::sample::select(vec![1e-3, 60.0, 1e3, 1e6]), 1_u32..200),
    ) {
        let times = noisy((1, a, b, c), repeats, noise, &mut ChaCha8Rng::seed_from_u64(seed));
        let scaled: Vec<(u32, f64)> = times.iter().map(|&(pods, y)| (pods * pods_unit, y * seconds)).collect();
        let (plain, scaled) = (fit(&times), fit(&scaled));
        prop_assert_eq!(plain.status, scaled.status);
        for (p, s) in plain.points.iter().zip(&scaled.points) {
            prop_assert!(close(Some(s.fitted_s), p.fitted_s * seconds, 1e-6));
        }
        if let (Some(a), Some(b), Some(c)) = (plain.a, plain.b, plain.c) {
            prop_assert!(close(scaled.b, b / f64::from(pods_unit), 1e-4));
            prop_assert!(close(scaled.a, a * seconds, 1e-4) && close(scaled.c, c * seconds, 1e-4));
        }
    }
}

/// Monte Carlo on the eight published curves: the profile interval of b covers what is true as often as it says, where
/// the usual standard error covers 86 to 95 % (and is often infinite).
#[test]
fn the_interval_of_the_rate_covers_the_published_curves() {
    let draws = 60;
    for (noise, repeats, seed) in [(0.03, 1, 21), (0.03, 5, 22), (0.1, 1, 23), (0.1, 5, 24)] {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut covered, mut unbounded) = (0, 0);
        for curve in published_curves() {
            for _ in 0..draws {
                let level = fit(&noisy(curve, repeats, noise, &mut rng));
                let (low, high) = (level.b_low, level.b_high);
                covered += u32::from(low.is_none_or(|b| b <= curve.2) && high.is_none_or(|b| curve.2 <= b));
                unbounded += u32::from(low.is_none() || high.is_none());
            }
        }
        let share = |count: u32| f64::from(count) / f64::from(8 * draws);
        println!(
            "noise {noise}, {repeats} repeats: covered {:.3}, unbounded {:.2}",
            share(covered),
            share(unbounded)
        );
        assert!(
            (0.93..=0.98).contains(&share(covered)),
            "noise {noise}, {repeats} repeats: {}",
            share(covered)
        );
    }
}
