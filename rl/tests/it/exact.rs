//! The exact answers, against those that were computed independently (in double precision, by another program).

use splitscale_rl::classic::{cliff_walking, dyna_maze, frozen_lake, random_walk, taxi};
use splitscale_rl::dynamic_programming::{
    Question, evaluate, evaluate_for, finite_horizon, policy_iteration, value_iteration,
};
use splitscale_rl::{Mdp, Outcome};

const TOLERANCE: f64 = 1e-14;

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
}

#[test]
fn values_from_the_start_are_the_known_ones() {
    let discounts = [1.0, 0.99, 0.95, 0.9];
    for (mdp, expected) in [
        (cliff_walking(), [-13.0, -12.247_898, -9.733_158, -7.458_134]),
        (taxi(), [7.93, 6.327_464, 1.729_930, -1.263_323]),
        (frozen_lake(true), [14.0 / 17.0, 0.542_026, 0.180_472, 0.068_891]),
    ] {
        for (discount, expected) in discounts.into_iter().zip(expected) {
            let answer = value_iteration(&mdp, Question::of(discount), TOLERANCE).unwrap();
            close(mdp.from_start(&answer.values), expected);
            // Of a policy that goes round and round policy iteration without a discount cannot tell the value.
            if discount < 1.0 {
                let same = policy_iteration(&mdp, Question::of(discount), TOLERANCE).unwrap();
                close(mdp.from_start(&same.values), expected);
                assert_eq!(same.policy.len(), mdp.states());
            }
        }
    }
}

#[test]
fn a_time_limit_makes_the_best_action_depend_on_the_time_that_is_left() {
    let lake = frozen_lake(true);
    let left = finite_horizon(&lake, Question::of(1.0), 100).unwrap();
    close(left[99].values[0], 0.744_190);
    // The best policies that do not look at the clock, and a worse one.
    for (discount, expected) in [(1.0, 0.740_165), (0.999, 0.740_165), (0.99, 0.740_165), (0.9, 0.729_766)] {
        let policy = value_iteration(&lake, Question::of(discount), TOLERANCE).unwrap().policy;
        close(evaluate_for(&lake, &policy, Question::of(1.0), 100).unwrap()[0], expected);
    }
}

#[test]
fn exploration_is_part_of_the_question() {
    let cliff = cliff_walking();
    let (free, soft) = (Question::of(1.0), Question { discount: 1.0, exploration: 0.1 });
    // The best policy that acts at random once in ten steps; SARSA comes to it.
    let best = value_iteration(&cliff, soft, TOLERANCE).unwrap();
    close(cliff.from_start(&best.values), -20.707_677);
    // The best policy without, disturbed once in ten steps; Q-learning comes to it.
    let edge = value_iteration(&cliff, free, TOLERANCE).unwrap();
    close(evaluate(&cliff, &edge.policy, soft, TOLERANCE).unwrap()[36], -45.803_322);
}

#[test]
fn predictions_are_the_known_lines() {
    let walk = random_walk(5, 0.0);
    let values = value_iteration(&walk, Question::of(1.0), TOLERANCE).unwrap().values;
    for (state, value) in values.iter().enumerate() {
        close(*value, (state as f64 + 1.0) / 6.0);
    }
    let maze = dyna_maze();
    let way = value_iteration(&maze, Question::of(0.95), TOLERANCE).unwrap();
    close(maze.from_start(&way.values), 0.95f64.powi(13));
}

#[test]
fn what_has_no_answer_is_told() {
    let round = Mdp::new(1, 1, vec![(0, 1.0)], |_, _| vec![Outcome::sure(0, 1.0)]);
    for tolerance in [1e-9, 1e-3] {
        let problem = value_iteration(&round, Question::of(1.0), tolerance).unwrap_err().to_string();
        assert!(problem.contains("do not settle"), "{problem}");
    }
    let half = value_iteration(&round, Question::of(0.5), TOLERANCE).unwrap();
    close(half.values[0], 2.0);
    assert!(value_iteration(&round, Question::of(1.5), 1e-9).is_err());
}
