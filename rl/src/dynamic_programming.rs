//! The exact answers of a decision process (Bellman, 1957; Sutton and Barto, 2nd ed., chapter 4):
//!
//! ```text
//! q(s, a) = sum over outcomes of probability * ( reward + discount * v(s') )       v(s') = 0 where it terminates
//! v(s)    = (1 - exploration) * max_a q(s, a) + exploration * mean_a q(s, a)
//! ```
//!
//! With an exploration the answer is the best that a policy can be which acts at random so often: what SARSA and its
//! kin come to, where Q-learning comes to the one without.

use splitscale_spec::Invalid;

use crate::mdp::Mdp;
use crate::q_table::QTable;
use crate::values::Values;

/// Sweeps after which values that still move never settle.
const SWEEPS: u32 = 1_000_000;
/// Policies after which policy iteration goes round.
const POLICIES: u32 = 10_000;
/// Two actions whose values are as close as this, as a part of them, are as good: rounding must not choose.
const TIE: f64 = 1e-12;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Question {
    /// Worth of a reward one step later, in [0, 1]. With 1 every policy that is met must come to an end.
    pub discount: f64,
    /// Share of steps that are taken at random, in [0, 1].
    pub exploration: f64,
}

/// The answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// Value of every state.
    pub values: Vec<f64>,
    /// Value of every action.
    pub q: QTable,
    /// Best action of every state; ties go to the first.
    pub policy: Vec<usize>,
}

impl Question {
    /// Without exploration.
    pub fn of(discount: f64) -> Self {
        Question { discount, exploration: 0.0 }
    }

    fn validate(self) -> Result<(), Invalid> {
        for (field, value) in [("discount", self.discount), ("exploration", self.exploration)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Invalid::new(field, format!("{value} is not in [0, 1]")));
            }
        }
        Ok(())
    }
}

/// Value iteration: sweeps until no value moves by more than `tolerance`, as a part of the largest reward.
///
/// # Errors
/// A question that is none, or values that do not settle.
pub fn value_iteration(mdp: &Mdp, question: Question, tolerance: f64) -> Result<Solution, Invalid> {
    question.validate()?;
    let mut values = vec![0.0; mdp.states()];
    settle(mdp, tolerance, || {
        sweep(&mut values, |values, state| {
            let best = best(mdp, values, state, question.discount).1;
            mixed(mdp, values, state, best, question)
        })
    })?;
    Ok(solution(mdp, values, question))
}

/// Policy iteration (Howard, 1960): evaluates a policy, makes it greedy, until it stays.
///
/// # Errors
/// A question that is none, or a policy on the way whose values do not settle.
pub fn policy_iteration(mdp: &Mdp, question: Question, tolerance: f64) -> Result<Solution, Invalid> {
    question.validate()?;
    let first = |state: &usize| (0..mdp.actions()).find(|&action| !mdp.outcomes(*state, action).is_empty());
    let mut policy: Vec<usize> = (0..mdp.states()).map(|state| first(&state).unwrap_or(0)).collect();
    for _ in 0..POLICIES {
        let values = evaluate(mdp, &policy, question, tolerance)?;
        let mut stays = true;
        for (state, action) in policy.iter_mut().enumerate() {
            let (better, value) = best(mdp, &values, state, question.discount);
            let old = q(mdp, &values, state, *action, question.discount);
            if value - old > 1e3 * tolerance * value.abs().max(1.0) {
                (*action, stays) = (better, false);
            }
        }
        if stays {
            return Ok(solution(mdp, values, question));
        }
    }
    Err(Invalid::new("tolerance", "policies go round; take a finer one, or value iteration"))
}

/// The value of every state under a policy, one action a state, with the exploration beside it.
///
/// # Errors
/// A question that is none, or values that do not settle.
pub fn evaluate(
    mdp: &Mdp,
    policy: &[usize],
    question: Question,
    tolerance: f64,
) -> Result<Vec<f64>, Invalid> {
    question.validate()?;
    let mut values = vec![0.0; mdp.states()];
    settle(mdp, tolerance, || {
        sweep(&mut values, |values, state| {
            let chosen = q(mdp, values, state, policy[state], question.discount);
            mixed(mdp, values, state, chosen, question)
        })
    })?;
    Ok(values)
}

/// Backward induction: the answer where 1, 2, ... `horizon` steps are left. The best action depends on how many.
///
/// # Errors
/// A question that is none.
pub fn finite_horizon(mdp: &Mdp, question: Question, horizon: usize) -> Result<Vec<Solution>, Invalid> {
    question.validate()?;
    let mut left = Vec::with_capacity(horizon);
    let mut values = vec![0.0; mdp.states()];
    for _ in 0..horizon {
        let next: Vec<f64> = (0..mdp.states())
            .map(|state| {
                let best = best(mdp, &values, state, question.discount).1;
                mixed(mdp, &values, state, best, question)
            })
            .collect();
        let mut answer = solution(mdp, values, question);
        answer.values.clone_from(&next);
        left.push(answer);
        values = next;
    }
    Ok(left)
}

/// The value of every state with `horizon` steps left, under one policy all the way.
///
/// # Errors
/// A question that is none.
pub fn evaluate_for(
    mdp: &Mdp,
    policy: &[usize],
    question: Question,
    horizon: usize,
) -> Result<Vec<f64>, Invalid> {
    question.validate()?;
    let mut values = vec![0.0; mdp.states()];
    for _ in 0..horizon {
        let of = |state| {
            let chosen = q(mdp, &values, state, policy[state], question.discount);
            mixed(mdp, &values, state, chosen, question)
        };
        values = (0..mdp.states()).map(of).collect();
    }
    Ok(values)
}

/// The value of an action.
fn q(mdp: &Mdp, values: &[f64], state: usize, action: usize, discount: f64) -> f64 {
    let outcomes = mdp.outcomes(state, action).iter();
    outcomes
        .map(|o| o.probability * (o.reward + if o.terminated { 0.0 } else { discount * values[o.next] }))
        .sum()
}

/// The best action and its value.
fn best(mdp: &Mdp, values: &[f64], state: usize, discount: f64) -> (usize, f64) {
    let mut best = (0, f64::NEG_INFINITY);
    for action in (0..mdp.actions()).filter(|&action| !mdp.outcomes(state, action).is_empty()) {
        let value = q(mdp, values, state, action, discount);
        if best.1 == f64::NEG_INFINITY || value - best.1 > TIE * value.abs().max(best.1.abs()) {
            best = (action, value);
        }
    }
    best
}

/// A chosen action's value, with what random actions make of it.
fn mixed(mdp: &Mdp, values: &[f64], state: usize, chosen: f64, question: Question) -> f64 {
    if question.exploration == 0.0 {
        return chosen;
    }
    let allowed = (0..mdp.actions()).filter(|&action| !mdp.outcomes(state, action).is_empty());
    let (sum, count) = allowed.fold((0.0, 0.0), |(sum, count), action| {
        (sum + q(mdp, values, state, action, question.discount), count + 1.0)
    });
    (1.0 - question.exploration) * chosen + question.exploration * sum / count
}

fn solution(mdp: &Mdp, values: Vec<f64>, question: Question) -> Solution {
    let policy = (0..mdp.states()).map(|state| best(mdp, &values, state, question.discount).0).collect();
    let mut table = QTable::filled(mdp.states(), mdp.actions(), f64::NEG_INFINITY);
    for state in 0..mdp.states() {
        for action in (0..mdp.actions()).filter(|&action| !mdp.outcomes(state, action).is_empty()) {
            table.weights_mut()[state * mdp.actions() + action] =
                q(mdp, &values, state, action, question.discount);
        }
    }
    Solution { values, q: table, policy }
}

/// One pass over all states, each seeing what was found before it: the largest move, and the largest value.
fn sweep(values: &mut [f64], of: impl Fn(&[f64], usize) -> f64) -> (f64, f64) {
    let (mut moved, mut largest) = (0.0_f64, 0.0_f64);
    for state in 0..values.len() {
        let value = of(values, state);
        moved = moved.max((value - values[state]).abs());
        largest = largest.max(value.abs());
        values[state] = value;
    }
    (moved, largest)
}

fn settle(mdp: &Mdp, tolerance: f64, mut sweep: impl FnMut() -> (f64, f64)) -> Result<(), Invalid> {
    let reward = mdp.largest_reward();
    for _ in 0..SWEEPS {
        let (moved, largest) = sweep();
        // Below the last digits of the values there is nothing to settle.
        if moved <= (tolerance * reward).max(4.0 * f64::EPSILON * largest) {
            return Ok(());
        }
        if !moved.is_finite() {
            break;
        }
    }
    let problem =
        "values do not settle: with a discount of 1 every policy must come to an end; take one below 1";
    Err(Invalid::new("discount", problem))
}
