//! Bandits on the original's problem, and where their theory is known.

use splitscale_rl::{Bandit, FittedCurves, Mdp, Noise, Optimum, Outcome, Played, RewardConfig, play};

use crate::published::published;

fn noisy(cv: f64) -> FittedCurves {
    FittedCurves::new(published().0.times().clone(), RewardConfig::default(), Noise::Cv(cv)).unwrap()
}

#[test]
fn common_random_numbers_find_the_exact_policy_at_200_seeds_of_200_under_noise() {
    let curves = noisy(0.05);
    let best = Optimum::of(&curves).actions();
    let mut pulls = 0;
    for seed in 0..200 {
        let eliminate = Bandit::SuccessiveElimination { risk: 0.01 };
        let found = play(&mut curves.clone(), eliminate, (30_000, seed), &|| true).unwrap().unwrap();
        assert_eq!(found.greedy, best, "seed {seed}");
        assert!(found.pulls < 30_000, "it stopped by itself");
        pulls += found.pulls;
    }
    // Of the original's 30 000.
    assert!(pulls / 200 < 15_000, "{}", pulls / 200);
}

#[test]
fn without_noise_eight_rounds_a_level_are_enough() {
    let curves = published().0;
    let found =
        play(&mut curves.clone(), Bandit::SuccessiveElimination { risk: 0.01 }, (30_000, 3), &|| true)
            .unwrap()
            .unwrap();
    assert_eq!(found.greedy, Optimum::of(&curves).actions());
    assert_eq!(found.pulls, 8 * 7 * 8);
}

#[test]
fn independent_pulls_of_the_same_budget_find_it_seldom() {
    // 30 000 pulls cannot tell gaps of 0.001 apart under independent noise; common random numbers can.
    let curves = noisy(0.05);
    let optimum = Optimum::of(&curves);
    for (bandit, most) in [
        (Bandit::EpsilonGreedy { epsilon: 0.1 }, 0.03),
        (Bandit::Ucb { width: 1.0 }, 0.03),
        (Bandit::Thompson, 0.03),
    ] {
        let (mut exact, mut regret) = (0, 0.0);
        for seed in 0..40 {
            let found = play(&mut curves.clone(), bandit, (30_000, seed), &|| true).unwrap().unwrap();
            assert_eq!(found.pulls, 30_000);
            assert_eq!(found.counts.iter().sum::<u64>(), 30_000);
            exact += u32::from(found.greedy == optimum.actions());
            regret += optimum.regret(&found.greedy) / 40.0;
        }
        assert!(exact < 20, "{bandit:?}: exact at {exact} seeds of 40");
        assert!(regret < most, "{bandit:?}: mean regret {regret}");
    }
}

#[test]
fn the_exact_optimum_counts_the_noise_in() {
    let (quiet, noisy) = (published().0, noisy(0.2));
    for level in 0..8 {
        // Convexity: what varies costs more.
        assert!(noisy.rewards(level).iter().zip(quiet.rewards(level)).all(|(noisy, quiet)| noisy < quiet));
    }
    let mut world = noisy.clone();
    use splitscale_rl::Environment;
    world.reset(Some(1));
    let (mut sum, mut count) = (0.0, 0.0);
    for _ in 0..400_000 {
        let level = world.reset(None);
        let reward = world.step(0).reward;
        if level == 4 {
            (sum, count) = (sum + reward, count + 1.0);
        }
    }
    // Its standard deviation is 1.05, so the standard error over 50 000 is 0.005.
    assert!((sum / count - noisy.rewards(4)[0]).abs() < 0.02, "{} {}", sum / count, noisy.rewards(4)[0]);
}

#[test]
fn what_is_no_bandit_problem_is_refused() {
    let mut cliff = Played::new(splitscale_rl::classic::cliff_walking());
    let said = play(&mut cliff, Bandit::Thompson, (10, 0), &|| true).unwrap_err().to_string();
    assert!(said.contains("longer than one step"), "{said}");
    let mut masked = Played::new(splitscale_rl::classic::maximisation_bias(10));
    let said = play(&mut masked, Bandit::Thompson, (100, 0), &|| true).unwrap_err().to_string();
    assert!(said.contains("masks actions"), "{said}");
    let mut curves = published().0;
    assert_eq!(play(&mut curves, Bandit::Thompson, (100, 0), &|| false).unwrap(), None);
    for (bandit, budget, words) in [
        (Bandit::Thompson, 6, "budget: 6 pulls do not last"),
        (Bandit::EpsilonGreedy { epsilon: 1.5 }, 10, "epsilon_greedy.epsilon: 1.5"),
        (Bandit::Ucb { width: 0.0 }, 10, "ucb.width: 0"),
        (Bandit::SuccessiveElimination { risk: 1.0 }, 10, "successive_elimination.risk: 1"),
    ] {
        let said = play(&mut curves, bandit, (budget, 0), &|| true).unwrap_err().to_string();
        assert!(said.starts_with(words), "{said}");
    }
}

#[test]
fn a_state_that_never_comes_does_not_keep_it_and_rewards_of_few_values_do_not_deceive_it() {
    // One step: action 1 is worth 0.6 in the mean and action 0 a half, both of 0 or 1; the second state never comes.
    let coin = |p: f64| {
        [(p, 1.0), (1.0 - p, 0.0)]
            .map(|(probability, reward)| Outcome { probability, ..Outcome::sure(0, reward).end() })
    };
    let mdp = Mdp::new(2, 2, vec![(0, 1.0)], |_, action| coin(if action == 0 { 0.5 } else { 0.6 }).into());
    let eliminate = Bandit::SuccessiveElimination { risk: 0.01 };
    let right = (0..200).filter(|&seed| {
        let found =
            play(&mut Played::new(mdp.clone()), eliminate, (20_000, seed), &|| true).unwrap().unwrap();
        found.greedy[0] == 1 && found.pulls <= 20_000
    });
    assert_eq!(right.count(), 200);
}
