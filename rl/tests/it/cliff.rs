//! Cliff Walking (Sutton and Barto, 2nd ed., example 6.6): many steps, so that the whole target counts.

use splitscale_rl::{Environment, QLearningConfig, Step, train};

const ROWS: usize = 4;
const COLUMNS: usize = 12;
const START: usize = 3 * COLUMNS;
const GOAL: usize = ROWS * COLUMNS - 1;

/// Up, right, down, left on a grid of 4 x 12, row by row from the top left. A step costs 1; the cliff costs
/// 100 and leads back to the start; the goal terminates.
#[derive(Clone)]
struct Cliff {
    cell: usize,
}

fn moved(cell: usize, action: usize) -> (usize, f64, bool) {
    let (row, column) = (cell / COLUMNS, cell % COLUMNS);
    let (row, column) = match action {
        0 => (row.saturating_sub(1), column),
        1 => (row, (column + 1).min(COLUMNS - 1)),
        2 => ((row + 1).min(ROWS - 1), column),
        _ => (row, column.saturating_sub(1)),
    };
    let to = row * COLUMNS + column;
    if row == ROWS - 1 && (1..COLUMNS - 1).contains(&column) {
        (START, -100.0, false)
    } else {
        (to, -1.0, to == GOAL)
    }
}

impl Environment for Cliff {
    fn states(&self) -> usize {
        ROWS * COLUMNS
    }

    fn actions(&self) -> usize {
        4
    }

    fn reset(&mut self, _seed: Option<u64>) -> usize {
        self.cell = START;
        self.cell
    }

    fn step(&mut self, action: usize) -> Step {
        let (cell, reward, terminated) = moved(self.cell, action);
        self.cell = cell;
        Step { observation: cell, reward, terminated, truncated: false }
    }
}

/// Q* by value iteration.
fn value_iteration(discount: f64) -> Vec<[f64; 4]> {
    let mut q = vec![[0.0; 4]; ROWS * COLUMNS];
    loop {
        let value: Vec<f64> = q.iter().map(|row| row.iter().copied().fold(f64::MIN, f64::max)).collect();
        let mut change: f64 = 0.0;
        for (cell, row) in q.iter_mut().enumerate() {
            for (action, old) in row.iter_mut().enumerate() {
                let (to, reward, terminated) = moved(cell, action);
                let new = reward + if terminated { 0.0 } else { discount * value[to] };
                change = change.max((new - *old).abs());
                *old = new;
            }
        }
        if change < 1e-12 {
            return q;
        }
    }
}

#[test]
fn values_agree_with_value_iteration() {
    let exact = value_iteration(0.9);
    // Gymnasium's CliffWalking-v1 by dynamic programming: -7.458134.
    assert!((exact[START][0] + 7.458_134).abs() < 1e-6);
    // The world is deterministic, so learning rate 1 is right, and random play comes everywhere.
    let config = QLearningConfig {
        learning_rate: 1.0,
        exploration: 1.0,
        episodes: 1_000,
        ..QLearningConfig::default()
    };
    let trained = train(&mut Cliff { cell: START }, &config, 1, |_| None).unwrap();
    // The cliff and the goal are never acted in.
    for cell in 0..=START {
        for action in 0..4 {
            let (learnt, exact) = (trained.table.row(cell)[action], exact[cell][action]);
            assert!((learnt - exact).abs() < 1e-9, "cell {cell} action {action}: {learnt} exact {exact}");
        }
    }
}

#[test]
fn the_greedy_path_takes_thirteen_steps_at_every_seed() {
    let config =
        QLearningConfig { learning_rate: 0.5, discount: 1.0, episodes: 500, ..QLearningConfig::default() };
    for seed in 0..20 {
        let mut cliff = Cliff { cell: START };
        let trained = train(&mut cliff, &config, seed, |_| None).unwrap();
        let mut cell = cliff.reset(None);
        let mut steps = 0;
        while cell != GOAL && steps < 100 {
            cell = cliff.step(trained.greedy[cell]).observation;
            steps += 1;
        }
        assert_eq!(steps, 13, "seed {seed}");
    }
}
