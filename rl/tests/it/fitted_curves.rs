//! The environment: its contract, and what it refuses.

use splitscale_rl::{Environment, ExpCurve, FittedCurves, Noise, RewardConfig, Step, TimeTable};
use splitscale_spec::Calibration;

use crate::published::published;
use crate::{calibration, demo};

#[test]
fn a_step_pays_the_reward_of_its_cell_and_terminates() {
    let mut curves = demo();
    for seed in 0..50 {
        let level = curves.reset(Some(seed));
        for action in 0..4 {
            let (time_s, pods) = (curves.times().times_s(level)[action], curves.times().pods()[action]);
            let reward = -(0.8 * (0.3 * time_s).exp() + 0.2 * (0.1 * f64::from(pods)).exp());
            let step = curves.clone().step(action);
            assert!((step.reward - reward).abs() < 1e-12);
            assert_eq!(
                step,
                Step { observation: level, reward: step.reward, terminated: true, truncated: false }
            );
        }
    }
}

#[test]
fn a_seed_starts_the_stream_and_none_goes_on_with_it() {
    let mut curves = demo();
    let mut levels = |seed| -> Vec<usize> {
        (0..100).map(|episode| curves.reset(if episode == 0 { seed } else { None })).collect()
    };
    let first = levels(Some(4));
    let second = levels(None);
    assert_ne!(first, second);
    assert_eq!(levels(Some(4)), first);
    assert_eq!(levels(None), second);
    assert_ne!(levels(Some(5)), first);
}

#[test]
fn a_clone_is_a_snapshot() {
    let mut curves = demo();
    curves.reset(Some(9));
    let mut copy = curves.clone();
    let ahead: Vec<usize> = (0..50).map(|_| curves.reset(None)).collect();
    assert_eq!((0..50).map(|_| copy.reset(None)).collect::<Vec<_>>(), ahead);
}

#[test]
fn levels_are_drawn_uniformly() {
    let mut curves = published().0;
    curves.reset(Some(1));
    let mut counts = [0.0; 8];
    let draws = 80_000.0;
    for _ in 0..draws as u32 {
        counts[curves.reset(None)] += 1.0;
    }
    let chi_square: f64 = counts.iter().map(|count| (count - draws / 8.0f64).powi(2) / (draws / 8.0)).sum();
    // 7 degrees of freedom: 24.3 is exceeded once in a thousand.
    assert!(chi_square < 24.3, "{chi_square}");
}

#[test]
fn calibrated_and_published_tables_agree() {
    let curves = [ExpCurve { slots: 2, a: 1.0, b: 0.5, c: 3.0 }];
    let from_curves = TimeTable::from_curves(&curves, 2..=4).unwrap();
    let times: Vec<f64> = (0..3).map(|extra| (-0.5 * f64::from(extra)).exp() + 3.0).collect();
    for (fitted, time) in from_curves.times_s(0).iter().zip(&times) {
        assert!((fitted - time).abs() < 1e-12);
    }
    let calibration = calibration(&[2], &[2, 3, 4], &[from_curves.times_s(0).to_vec()]);
    assert_eq!(TimeTable::from_calibration(&calibration).unwrap(), from_curves);
}

#[test]
fn tables_that_cannot_be_are_refused_by_field() {
    let good = || calibration(&[1, 2], &[2, 4], &[vec![5.0, 4.0], vec![4.0, 3.0]]);
    let problem = |change: fn(&mut Calibration)| {
        let mut calibration = good();
        change(&mut calibration);
        TimeTable::from_calibration(&calibration).unwrap_err().to_string()
    };
    assert!(TimeTable::from_calibration(&good()).is_ok());
    assert!(problem(|c| c.levels[1].slots = None).starts_with("levels[1].slots: absent"));
    assert!(
        problem(|c| c.levels[1].points[1].pods = 6).starts_with("levels[1].points: measured at pods [2, 6]")
    );
    assert!(
        problem(|c| c.levels[1].points.truncate(1)).starts_with("levels[1].points: measured at pods [2]")
    );
    assert_eq!(problem(|c| c.levels[1].slots = Some(1)), "slots: 1 comes after 1; sort them, each once");
    assert!(
        problem(|c| c.levels[0].points[0].fitted_s = f64::NAN).starts_with("levels[0].points.fitted_s: NaN")
    );
    assert!(problem(|c| c.schema = 9).starts_with("schema: "));
    let negative = ExpCurve { slots: 1, a: -9.0, b: 1.0, c: 3.0 };
    assert_eq!(
        TimeTable::from_curves(&[negative], 2..=8).unwrap_err().to_string(),
        "times_s: -6 s at slots 1, pods 2 is not a finite number above zero"
    );
    assert!(TimeTable::from_curves(&[], 2..=8).is_err());
    assert!(TimeTable::from_curves(&[ExpCurve { a: 1.0, ..negative }], 0..=8).is_err());
    #[expect(clippy::reversed_empty_ranges, reason = "the empty range is the input")]
    let empty = TimeTable::from_curves(&[negative], 8..=2);
    assert_eq!(empty.unwrap_err().to_string(), "pods: empty; it takes at least one");
}

#[test]
fn rewards_that_cannot_be_are_refused_by_field() {
    let problem = |times_s: f64, config| {
        let times = TimeTable::from_calibration(&calibration(&[1], &[2], &[vec![times_s]])).unwrap();
        FittedCurves::new(times, config, Noise::None).unwrap_err().to_string()
    };
    let good = RewardConfig::default();
    assert_eq!(problem(1.0, RewardConfig { alpha: 1.5, ..good }), "alpha: 1.5 is not in [0, 1]");
    assert!(problem(1.0, RewardConfig { k_time: -0.1, ..good }).starts_with("k_time: -0.1 is not"));
    assert!(problem(1.0, RewardConfig { k_pods: f64::NAN, ..good }).starts_with("k_pods: NaN is not"));
    assert!(problem(1e5, good).starts_with("reward: 100000 s and 2 pods at slots 1 give no finite reward"));
}
