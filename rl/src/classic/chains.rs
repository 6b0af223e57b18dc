//! Chains.

use crate::mdp::{Mdp, Outcome};

/// The random walk (Sutton and Barto, examples 6.2 and 7.1): `states` in a row, beginning in the middle, one action,
/// left or right with a half each; beyond the left end it terminates with `left`, beyond the right end with 1. What is
/// learnt on it is a prediction: the value of state i is known exactly.
pub fn random_walk(states: usize, left: f64) -> Mdp {
    Mdp::new(states, 1, vec![(states / 2, 1.0)], |state, _| {
        let half = |outcome: Outcome| Outcome { probability: 0.5, ..outcome };
        let lower = match state {
            0 => Outcome::sure(0, left).end(),
            state => Outcome::sure(state - 1, 0.0),
        };
        let upper = match state + 1 {
            end if end == states => Outcome::sure(state, 1.0).end(),
            next => Outcome::sure(next, 0.0),
        };
        vec![half(lower), half(upper)]
    })
}

/// The maximisation-bias problem (Sutton and Barto, example 6.7): from A, left (0) leads to B for nothing, right (1)
/// terminates for nothing; in B each of `ways` actions terminates with a reward of -0.1 in the mean, normal with
/// deviation 1. Left is wrong, and whoever takes the greatest of many noisy values for a value goes left.
pub fn maximisation_bias(ways: usize) -> Mdp {
    Mdp::new(2, ways.max(2), vec![(0, 1.0)], |state, action| match (state, action) {
        (0, 0) => vec![Outcome::sure(1, 0.0)],
        (0, 1) => vec![Outcome::sure(0, 0.0).end()],
        (1, action) if action < ways => vec![Outcome { reward_sd: 1.0, ..Outcome::sure(1, -0.1).end() }],
        _ => Vec::new(),
    })
}
