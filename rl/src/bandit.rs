//! One-step problems: which action is best in each state, told by as few pulls as may be.
//!
//! | algorithm | pulls next | source |
//! |---|---|---|
//! | epsilon-greedy | the best mean so far, and at random with epsilon | Sutton and Barto, section 2.4 |
//! | UCB | the greatest mean + width * sd * sqrt(2 ln t / n) | Auer et al., 2002 |
//! | Thompson | the greatest draw from each arm's posterior, normal around its mean | Thompson, 1933 |
//! | successive elimination | every arm that is left, on the same chance; drops who is surely worse | Even-Dar et al., 2006 |
//!
//! Successive elimination compares arms by common random numbers: a round draws a state on chance of its own, and each arm
//! that is left there is pulled in a clone of the same environment. What the chance does to all of them alike cancels in the
//! differences, which are taken for normal.

use serde::{Deserialize, Serialize};
use splitscale_spec::Invalid;

use crate::chance::{AGENT, Chance, ROUNDS, probability};
use crate::environment::Environment;
use crate::q_table::QTable;
use crate::values::Values;

/// How the next arm is found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Bandit {
    /// The best mean; with this probability any.
    EpsilonGreedy {
        /// In [0, 1].
        epsilon: f64,
    },
    /// The best upper bound.
    Ucb {
        /// Width of the bound in standard deviations of the rewards. UCB1, for rewards in [0, 1], comes to 2 where these have
        /// the largest deviation there is, 1/2.
        width: f64,
    },
    /// The best draw.
    Thompson,
    /// All that are left.
    SuccessiveElimination {
        /// Probability that a best arm is dropped, over all states, arms and rounds.
        risk: f64,
    },
}

/// What was seen of an arm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
struct Arm {
    pulls: u64,
    mean: f64,
    /// Sum of squared deviations (Welford, 1962).
    squares: f64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Mean reward of every action in every state; minus infinity where it was dropped or never pulled.
    pub means: QTable,
    /// Best action of every state.
    pub greedy: Vec<usize>,
    /// Pulls that were spent.
    pub pulls: u64,
    /// Pulls of each state and action.
    pub counts: Vec<u64>,
    /// Sum of all rewards.
    pub total: f64,
}

/// Pulls at most `budget` times and says what it takes for the best arms; absent where `go_on` says no, which is asked now
/// and then. With successive elimination it stops once one arm is left in every state that comes.
///
/// # Errors
/// A setting out of range, a budget that does not last for one round, an episode that is longer than one step, actions that
/// are masked, a reward that is no number.
pub fn play<E: Environment<Observation = usize>>(
    environment: &mut E,
    bandit: Bandit,
    (budget, seed): (u64, u64),
    go_on: &dyn Fn() -> bool,
) -> Result<Option<Found>, Invalid> {
    bandit.validate()?;
    if environment.masked() {
        return Err(Invalid::new(
            "environment",
            "it masks actions; a bandit takes arms that are always there",
        ));
    }
    if budget < environment.actions() as u64 {
        let problem = format!("{budget} pulls do not last for one of each of {} arms", environment.actions());
        return Err(Invalid::new("budget", problem));
    }
    match bandit {
        Bandit::SuccessiveElimination { risk } => eliminate(environment, risk, (budget, seed), go_on),
        _ => pull_one_by_one(environment, bandit, (budget, seed), go_on),
    }
}

/// Pulls between two questions whether to go on.
const SLICE: u64 = 1 << 16;
/// States that are drawn in vain, one after the other, before the others are taken for ones that never come.
const IN_VAIN: u32 = 100_000;
/// Rounds before an arm is dropped: fewer differences may be equal by chance, and then look sure.
const ROUNDS_MIN: u64 = 8;

fn pull_one_by_one<E: Environment<Observation = usize>>(
    environment: &mut E,
    bandit: Bandit,
    (budget, seed): (u64, u64),
    go_on: &dyn Fn() -> bool,
) -> Result<Option<Found>, Invalid> {
    let (states, actions) = sizes(environment);
    let mut arms = vec![Arm::default(); states * actions];
    let mut chance = Chance::new(seed, AGENT);
    environment.reset(Some(seed));
    for pull in 0..budget {
        if pull % SLICE == 0 && !go_on() {
            return Ok(None);
        }
        let state = environment.reset(None);
        let row = &mut arms[state * actions..][..actions];
        // Of one pull nobody knows how far it scatters.
        let action = match row.iter().position(|arm| arm.pulls < 2) {
            Some(new) => new,
            None => bandit.choose(row, &mut chance),
        };
        row[action].add(pulled(environment, action)?);
    }
    Ok(Some(found(&arms, actions, |_| true)))
}

impl Bandit {
    pub(crate) fn validate(self) -> Result<(), Invalid> {
        let (field, value, sound, range) = match self {
            Bandit::EpsilonGreedy { epsilon } => {
                ("epsilon_greedy.epsilon", epsilon, (0.0..=1.0).contains(&epsilon), "in [0, 1]")
            }
            Bandit::Ucb { width } => {
                ("ucb.width", width, width.is_finite() && width > 0.0, "a finite number above zero")
            }
            Bandit::SuccessiveElimination { risk } => {
                ("successive_elimination.risk", risk, risk > 0.0 && risk < 1.0, "in (0, 1)")
            }
            Bandit::Thompson => return Ok(()),
        };
        if sound { Ok(()) } else { Err(Invalid::new(field, format!("{value} is not {range}"))) }
    }

    /// Each arm was pulled twice at least.
    fn choose(self, arms: &[Arm], chance: &mut Chance) -> usize {
        if let Bandit::EpsilonGreedy { epsilon } = self
            && chance.happens(probability(epsilon))
        {
            return chance.below(arms.len());
        }
        // One deviation for all arms: one that happened to repeat itself is not sure.
        let squares: f64 = arms.iter().map(|arm| arm.squares).sum();
        let pulls: u64 = arms.iter().map(|arm| arm.pulls).sum();
        let sd = libm::sqrt(squares / (pulls - arms.len() as u64) as f64);
        let mut score = |arm: &Arm| match self {
            Bandit::Ucb { width } => {
                arm.mean + width * sd * libm::sqrt(2.0 * libm::log(pulls as f64) / arm.pulls as f64)
            }
            Bandit::Thompson => arm.mean + sd / libm::sqrt(arm.pulls as f64) * chance.normal(),
            _ => arm.mean,
        };
        let mut best = (0, f64::NEG_INFINITY);
        for (action, arm) in arms.iter().enumerate() {
            let score = score(arm);
            if score > best.1 {
                best = (action, score);
            }
        }
        best.0
    }
}

/// Pairs of arms are compared by the differences of their rewards in the same rounds: an arm is dropped where the best's
/// lead exceeds what chance may do to a mean of so many differences, by the union bound over states, arms and rounds.
fn eliminate<E: Environment<Observation = usize>>(
    environment: &mut E,
    risk: f64,
    (budget, seed): (u64, u64),
    go_on: &dyn Fn() -> bool,
) -> Result<Option<Found>, Invalid> {
    let (states, actions) = sizes(environment);
    let mut arms = vec![Arm::default(); states * actions];
    let mut left: Vec<Vec<usize>> = vec![(0..actions).collect(); states];
    // Differences of each pair, by state, arm, other arm.
    let mut pairs = vec![Arm::default(); states * actions * actions];
    let (mut pulls, mut in_vain) = (0, 0);
    let mut rewards = vec![0.0; actions];
    for round in 0.. {
        if round % SLICE == 0 && !go_on() {
            return Ok(None);
        }
        if in_vain == IN_VAIN || left.iter().all(|arms| arms.len() == 1) {
            break;
        }
        *environment.chance() = Chance::new(seed, ROUNDS + round);
        let state = environment.reset(None);
        let here = &mut left[state];
        if here.len() == 1 {
            in_vain += 1;
            continue;
        }
        in_vain = 0;
        if pulls + here.len() as u64 > budget {
            break;
        }
        for &action in here.iter() {
            rewards[action] = pulled(&mut environment.clone(), action)?;
            arms[state * actions + action].add(rewards[action]);
            pulls += 1;
        }
        for &one in here.iter() {
            for &other in here.iter().filter(|&&other| other != one) {
                pairs[(state * actions + one) * actions + other].add(rewards[one] - rewards[other]);
            }
        }
        let mean = |action: usize| arms[state * actions + action].mean;
        let best = here
            .iter()
            .copied()
            .fold(here[0], |best, action| if mean(action) > mean(best) { action } else { best });
        here.retain(|&action| {
            let lead = &pairs[(state * actions + best) * actions + action];
            action == best || lead.mean <= lead.bound(risk / (states * actions) as f64)
        });
    }
    Ok(Some(found(&arms, actions, |cell| left[cell / actions].contains(&(cell % actions)))))
}

fn sizes<E: Environment>(environment: &E) -> (usize, usize) {
    (environment.observation_space().size().unwrap_or(0), environment.actions())
}

/// The reward of an episode of one step.
fn pulled<E: Environment<Observation = usize>>(environment: &mut E, action: usize) -> Result<f64, Invalid> {
    let step = environment.step(action);
    if !step.over() {
        let problem = "an episode is longer than one step; a bandit takes one-step problems";
        return Err(Invalid::new("environment", problem));
    }
    match step.reward.is_finite() {
        true => Ok(step.reward),
        false => Err(Invalid::new("reward", format!("{} is not a finite number", step.reward))),
    }
}

fn found(arms: &[Arm], actions: usize, left: impl Fn(usize) -> bool) -> Found {
    let mut means = QTable::filled(arms.len() / actions, actions, f64::NEG_INFINITY);
    for (cell, arm) in arms.iter().enumerate().filter(|(cell, arm)| arm.pulls > 0 && left(*cell)) {
        means.weights_mut()[cell] = arm.mean;
    }
    Found {
        greedy: means.greedy(),
        means,
        pulls: arms.iter().map(|arm| arm.pulls).sum(),
        counts: arms.iter().map(|arm| arm.pulls).collect(),
        total: arms.iter().map(|arm| arm.pulls as f64 * arm.mean).sum(),
    }
}

// === impl Arm ===

impl Arm {
    fn add(&mut self, reward: f64) {
        self.pulls += 1;
        let off = reward - self.mean;
        self.mean += off / self.pulls as f64;
        self.squares += off * (reward - self.mean);
    }

    /// What the mean of so many differences exceeds with a probability of `risk` at most, were the true mean zero: the tail
    /// of Student's t, about (1 + t^2 / (n - 1))^(-(n - 1) / 2), over all rounds.
    fn bound(&self, risk: f64) -> f64 {
        if self.pulls < ROUNDS_MIN {
            return f64::INFINITY;
        }
        let n = self.pulls as f64;
        let sd = libm::sqrt(self.squares / (n - 1.0));
        // The union over rounds: risk / (n (n + 1)) is for the nth.
        let spent = libm::log(n * (n + 1.0) / risk);
        sd / libm::sqrt(n) * libm::sqrt((n - 1.0) * libm::expm1(2.0 * spent / (n - 1.0)))
    }
}
