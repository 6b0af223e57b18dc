//! Regret is never below zero, and zero for the optimum.

use proptest::prelude::*;
use splitscale_rl::{FittedCurves, Noise, Optimum, RewardConfig, TimeTable};

use crate::calibration;

fn problem() -> impl Strategy<Value = (FittedCurves, Vec<usize>)> {
    let shape = (1..6usize, 1..6usize);
    shape.prop_flat_map(|(levels, pods)| {
        let times = proptest::collection::vec(proptest::collection::vec(1e-3..60.0f64, pods), levels);
        let reward = (0.0..=1.0f64, 0.0..1.0f64, 0.0..1.0f64);
        let policy = proptest::collection::vec(0..pods, levels);
        (times, reward, policy).prop_map(move |(times_s, (alpha, k_time, k_pods), policy)| {
            let slots: Vec<u32> = (1..=levels as u32).collect();
            let pods: Vec<u32> = (2..2 + pods as u32).collect();
            let times = TimeTable::from_calibration(&calibration(&slots, &pods, &times_s)).unwrap();
            (FittedCurves::new(times, RewardConfig { alpha, k_time, k_pods }, Noise::None).unwrap(), policy)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_policy_beats_the_optimum((curves, policy) in problem()) {
        let optimum = Optimum::of(&curves);
        prop_assert!(optimum.cost >= 0.9999999999);
        prop_assert!(optimum.regret(&policy) >= 0.0);
        prop_assert!(optimum.regret_by_level(&policy).iter().all(|&regret| regret >= 0.0));
        prop_assert_eq!(optimum.regret(&optimum.actions()), 0.0);
        for (row, level) in optimum.levels.iter().enumerate() {
            let rewards = curves.rewards(row);
            prop_assert!(rewards.iter().all(|&reward| reward <= level.reward));
            prop_assert_eq!(level.second.is_some(), rewards.len() > 1);
            prop_assert!(level.second.is_none_or(|second| second.gap >= 0.0 && second.pods != level.pods));
        }
    }
}

#[test]
fn regret_is_the_relative_excess_of_the_mean_cost() {
    // k_time 0 and alpha 0: the reward is -exp(k_pods * pods), whatever the times.
    let times =
        TimeTable::from_calibration(&calibration(&[1, 2], &[1, 2], &[vec![1.0, 1.0], vec![1.0, 1.0]]))
            .unwrap();
    let config = RewardConfig { alpha: 0.0, k_time: 0.0, k_pods: 2.0f64.ln() };
    let optimum = Optimum::of(&FittedCurves::new(times, config, Noise::None).unwrap());
    // Costs 2 and 4: one level of two is wrong, (2 + 4) / 2 against 2.
    assert!((optimum.cost - 2.0).abs() < 1e-12);
    assert!((optimum.regret(&[0, 1]) - 0.5).abs() < 1e-12);
    let by_level = optimum.regret_by_level(&[0, 1]);
    assert!(by_level[0] == 0.0 && (by_level[1] - 1.0).abs() < 1e-12);
}
