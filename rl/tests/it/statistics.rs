//! The statistics of a few runs.

use splitscale_rl::Chance;
use splitscale_rl::statistics::{above, improvement, iqm, mean, stratified};

#[test]
fn the_interquartile_mean_is_that_of_the_middle_half() {
    assert_eq!(iqm(&[1.0, 2.0, 3.0, 1_000.0]), 2.5);
    assert_eq!(iqm(&[5.0]), 5.0);
    // Six values: 1.5 are cut off at each end, so half of the second and of the fifth counts.
    let expected = (0.5 * 2.0 + 3.0 + 4.0 + 0.5 * 5.0) / 3.0;
    assert!((iqm(&[6.0, 1.0, 5.0, 2.0, 4.0, 3.0]) - expected).abs() < 1e-12);
    // scipy.stats.trim_mean(range(8), 0.25)
    assert_eq!(iqm(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]), 3.5);
    assert_eq!(above(&[1.0, 2.0, 3.0, 4.0], 2.0), 0.5);
}

#[test]
fn the_interval_holds_the_truth_about_as_often_as_it_says() {
    let mut chance = Chance::new(1, 0);
    let mut held = 0;
    for seed in 0..400 {
        let scores: Vec<Vec<f64>> = (0..3).map(|_| (0..20).map(|_| chance.normal()).collect()).collect();
        let estimate = stratified(&scores, mean, 400, seed);
        assert!(estimate.low <= estimate.value && estimate.value <= estimate.high);
        held += u32::from(estimate.low <= 0.0 && 0.0 <= estimate.high);
    }
    // A percentile bootstrap of 3 x 20 is a little short: 95 % less 1 to 2, four standard errors of 1.1 around it.
    assert!((358..=392).contains(&held), "{held} of 400");
}

#[test]
fn improvement_is_the_share_of_pairs_that_are_won() {
    let (x, y) = (vec![vec![1.0, 3.0]], vec![vec![2.0, 3.0]]);
    // 1 loses twice; 3 wins over 2 and ties with 3.
    assert_eq!(improvement(&x, &y, 50, 1).value, 1.5 / 4.0);
    assert_eq!(improvement(&y, &x, 50, 1).value, 2.5 / 4.0);
    let all = improvement(&[vec![5.0, 6.0]], &[vec![1.0, 2.0]], 50, 1);
    assert_eq!((all.low, all.value, all.high), (1.0, 1.0, 1.0));
}
