//! A finite Markov decision process: as a table that can be solved, and as an environment that can be played.

use std::sync::Arc;

use crate::chance::{Chance, ENVIRONMENT};
use crate::environment::{Environment, Step};
use crate::space::Space;

/// One thing that may happen after an action.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// How probable it is.
    pub probability: f64,
    /// The state after it.
    pub next: usize,
    /// Its reward, or the mean of it.
    pub reward: f64,
    /// Standard deviation of the reward around that, normal.
    pub reward_sd: f64,
    /// The episode is over.
    pub terminated: bool,
}

/// The whole of a decision process.
#[derive(Debug, Clone, PartialEq)]
pub struct Mdp {
    states: usize,
    actions: usize,
    /// Where the outcomes of each state and action begin, and the end.
    from: Vec<u32>,
    outcomes: Vec<Outcome>,
    starts: Vec<(usize, f64)>,
    /// By state and action, what is needed most, in 16 bytes.
    cells: Vec<Cell>,
    /// Whether there is an action that may not be taken somewhere.
    masked: bool,
}

/// What follows an action where that is sure.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cell {
    reward: f64,
    next: u32,
    terminated: bool,
    /// There is nothing to be drawn.
    sure: bool,
}

impl Outcome {
    /// What happens for sure, and goes on.
    pub fn sure(next: usize, reward: f64) -> Self {
        Outcome { probability: 1.0, next, reward, reward_sd: 0.0, terminated: false }
    }

    /// The same as an end.
    pub fn end(self) -> Self {
        Outcome { terminated: true, ..self }
    }
}

impl Mdp {
    /// Of what may happen in each state after each action; an action without outcomes may not be taken there.
    /// Episodes begin in `starts`, by probability.
    ///
    /// # Panics
    /// If probabilities do not add up to 1 within 1e-9, a state does not exist, or in some state nothing may be done.
    pub fn new(
        states: usize,
        actions: usize,
        starts: Vec<(usize, f64)>,
        mut of: impl FnMut(usize, usize) -> Vec<Outcome>,
    ) -> Self {
        let one = |sum: f64| (sum - 1.0).abs() < 1e-9;
        assert!(one(starts.iter().map(|start| start.1).sum()), "starts are no distribution");
        assert!(starts.iter().all(|start| start.0 < states), "a start that is no state");
        let (mut from, mut outcomes) = (vec![0], Vec::new());
        for state in 0..states {
            let before = outcomes.len();
            for action in 0..actions {
                let of = of(state, action);
                assert!(
                    of.is_empty() || one(of.iter().map(|o| o.probability).sum()),
                    "state {state}, action {action}: no distribution"
                );
                assert!(of.iter().all(|o| o.next < states), "state {state}, action {action}: to no state");
                outcomes.extend(of);
                from.push(outcomes.len() as u32);
            }
            assert!(outcomes.len() > before, "state {state}: nothing may be done there");
        }
        let masked = from.windows(2).any(|ends| ends[0] == ends[1]);
        let cells =
            from.windows(2).map(|ends| Cell::of(&outcomes[ends[0] as usize..ends[1] as usize])).collect();
        Mdp { states, actions, from, outcomes, starts, cells, masked }
    }

    /// How many states there are.
    pub fn states(&self) -> usize {
        self.states
    }

    /// How many actions there are.
    pub fn actions(&self) -> usize {
        self.actions
    }

    /// Where episodes begin, by probability.
    pub fn starts(&self) -> &[(usize, f64)] {
        &self.starts
    }

    /// What may happen; empty where the action may not be taken.
    #[inline]
    pub fn outcomes(&self, state: usize, action: usize) -> &[Outcome] {
        let cell = state * self.actions + action;
        &self.outcomes[self.from[cell] as usize..self.from[cell + 1] as usize]
    }

    /// The largest reward, for better or worse.
    pub(crate) fn largest_reward(&self) -> f64 {
        self.outcomes.iter().map(|outcome| outcome.reward.abs()).fold(0.0, f64::max)
    }

    /// A value from where episodes begin.
    pub fn from_start(&self, values: &[f64]) -> f64 {
        self.starts.iter().map(|&(state, probability)| probability * values[state]).sum()
    }
}

impl Cell {
    fn of(outcomes: &[Outcome]) -> Self {
        match outcomes {
            [Outcome { next, reward, reward_sd: 0.0, terminated, .. }] => {
                Cell { reward: *reward, next: *next as u32, terminated: *terminated, sure: true }
            }
            _ => Cell { reward: f64::NAN, next: 0, terminated: true, sure: false },
        }
    }
}

/// A decision process that is played.
#[derive(Debug, Clone)]
pub struct Played {
    mdp: Arc<Mdp>,
    state: usize,
    chance: Chance,
}

impl Played {
    /// Not begun yet.
    pub fn new(mdp: impl Into<Arc<Mdp>>) -> Self {
        let mdp = mdp.into();
        Played { state: mdp.starts[0].0, mdp, chance: Chance::new(0, ENVIRONMENT) }
    }

    /// What is played.
    pub fn mdp(&self) -> &Mdp {
        &self.mdp
    }
}

impl Environment for Played {
    type Observation = usize;

    fn observation_space(&self) -> Space {
        Space::Discrete(self.mdp.states)
    }

    fn action_space(&self) -> Space {
        Space::Discrete(self.mdp.actions)
    }

    #[inline]
    fn actions(&self) -> usize {
        self.mdp.actions
    }

    #[inline]
    fn masked(&self) -> bool {
        self.mdp.masked
    }

    #[inline]
    fn allows(&self, action: usize) -> bool {
        !self.mdp.outcomes(self.state, action).is_empty()
    }

    fn chance(&mut self) -> &mut Chance {
        &mut self.chance
    }

    #[inline]
    fn begin(&mut self) -> usize {
        self.state = match &self.mdp.starts[..] {
            [(state, _)] => *state,
            starts => {
                let at = drawn(starts.iter().map(|start| start.1), self.chance.fraction());
                starts[at].0
            }
        };
        self.state
    }

    #[inline]
    fn step(&mut self, action: usize) -> Step<usize> {
        assert!(action < self.mdp.actions, "there are {} actions", self.mdp.actions);
        // What is sure costs no chance.
        let mut cell = self.mdp.cells[self.state * self.mdp.actions + action];
        if !cell.sure {
            cell = self.draw(action);
        }
        let Cell { reward, next, terminated, .. } = cell;
        self.state = next as usize;
        Step { observation: self.state, reward, terminated, truncated: false }
    }
}

impl Played {
    #[inline(never)]
    fn draw(&mut self, action: usize) -> Cell {
        let outcomes = self.mdp.outcomes(self.state, action);
        let at = match outcomes.len() {
            0 => panic!("action {action} may not be taken in state {}", self.state),
            1 => 0,
            _ => drawn(outcomes.iter().map(|o| o.probability), self.chance.fraction()),
        };
        let outcome = outcomes[at];
        let mut reward = outcome.reward;
        if outcome.reward_sd > 0.0 {
            reward += outcome.reward_sd * self.chance.normal();
        }
        Cell { reward, next: outcome.next as u32, terminated: outcome.terminated, sure: true }
    }
}

/// Which of the probabilities a number in \[0, 1) falls to.
fn drawn(probabilities: impl ExactSizeIterator<Item = f64>, mut at: f64) -> usize {
    let last = probabilities.len() - 1;
    for (index, probability) in probabilities.enumerate() {
        at -= probability;
        if at < 0.0 {
            return index;
        }
    }
    last
}
