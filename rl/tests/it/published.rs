//! The numbers published by the original work.

use splitscale_rl::{ExpCurve, FittedCurves, Length, Noise, Optimum, RewardConfig, Settings, TimeTable};

use crate::{greedy, learn};

/// The eight curves, and the pods the notebook prints for them.
pub(crate) fn published() -> (FittedCurves, Vec<u32>) {
    let mut curves = Vec::new();
    let mut pods = Vec::new();
    for line in include_str!("../fixtures/published_curves.csv").lines().skip(2) {
        let cell = |column: usize| line.split(',').nth(column).unwrap();
        let number = |column| cell(column).parse::<f64>().unwrap();
        curves.push(ExpCurve { slots: cell(0).parse().unwrap(), a: number(1), b: number(2), c: number(3) });
        pods.push(cell(4).parse().unwrap());
    }
    let times = TimeTable::from_curves(&curves, 2..=8).unwrap();
    (FittedCurves::new(times, RewardConfig::default(), Noise::None).unwrap(), pods)
}

#[test]
fn published_pods_are_the_exact_optimum() {
    let (curves, pods) = published();
    assert_eq!(pods, [2, 4, 5, 5, 5, 5, 6, 6]);
    let optimum = Optimum::of(&curves);
    assert_eq!(optimum.levels.iter().map(|level| level.pods).collect::<Vec<_>>(), pods);
    assert_eq!(optimum.regret(&optimum.actions()), 0.0);
}

#[test]
fn published_pods_are_learnt_from_zero_by_200_seeds_of_200() {
    let (curves, pods) = published();
    for seed in 0..200 {
        let run = learn(&curves, &Settings::default(), Length::default(), seed);
        let learnt: Vec<u32> = greedy(&run).iter().map(|&action| curves.times().pods()[action]).collect();
        assert_eq!(learnt, pods, "seed {seed}");
        assert_eq!(run.curve.last().unwrap().regret, Some(0.0), "seed {seed}");
    }
}

/// Best reward, second-best pods and gap, computed independently in double precision.
#[test]
fn published_curves_have_these_rewards_and_gaps() {
    let expected = [
        (-8.502562, 3, 0.019478),
        (-3.803677, 5, 0.019593),
        (-3.350543, 4, 0.005580),
        (-3.009654, 4, 0.007487),
        (-2.757519, 4, 0.007674),
        (-2.779461, 6, 0.003573),
        (-2.685306, 7, 0.001926),
        (-2.702562, 7, 0.001140),
    ];
    let optimum = Optimum::of(&published().0);
    assert_eq!(optimum.levels.len(), expected.len());
    for (level, (reward, second_pods, gap)) in optimum.levels.iter().zip(expected) {
        let second = level.second.unwrap();
        assert!((level.reward - reward).abs() < 1e-6, "{level:?}");
        assert_eq!(second.pods, second_pods, "{level:?}");
        assert!((second.gap - gap).abs() < 1e-6, "{level:?}");
    }
    let mean = expected.iter().map(|row| -row.0).sum::<f64>() / 8.0;
    assert!((optimum.cost - mean).abs() < 1e-6);
}
