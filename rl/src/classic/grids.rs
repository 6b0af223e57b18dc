//! Grids. Cells are numbered row by row from the top left.

use crate::mdp::{Mdp, Outcome};

/// Cliff Walking (Sutton and Barto, example 6.6; Gymnasium's `CliffWalking-v1`): up, right, down, left on 4 x 12 cells.
/// A step costs 1; the cliff costs 100 and leads back to the start; the goal terminates.
pub fn cliff_walking() -> Mdp {
    const SIZE: (usize, usize) = (4, 12);
    const START: usize = 36;
    const GOAL: usize = 47;
    Mdp::new(48, 4, vec![(START, 1.0)], |cell, action| {
        let to = moved(SIZE, cell, [UP, RIGHT, DOWN, LEFT][action]);
        vec![match to {
            GOAL => Outcome::sure(to, -1.0).end(),
            37..GOAL => Outcome::sure(START, -100.0),
            _ => Outcome::sure(to, -1.0),
        }]
    })
}

/// Frozen Lake, 4 x 4 (Gymnasium's `FrozenLake-v1`, which cuts episodes off after 100 steps): left, down, right, up. On
/// slippery ice a step goes the way that was meant, or to either side of it, each with a third. Only the goal is
/// rewarded; holes and the goal terminate.
pub fn frozen_lake(slippery: bool) -> Mdp {
    const HOLES: [usize; 4] = [5, 7, 11, 12];
    const GOAL: usize = 15;
    Mdp::new(16, 4, vec![(0, 1.0)], |cell, action| {
        let ways = if slippery { vec![(action + 3) % 4, action, (action + 1) % 4] } else { vec![action] };
        let outcome = |way: &usize| {
            let to = moved((4, 4), cell, [LEFT, DOWN, RIGHT, UP][*way]);
            let step = Outcome::sure(to, f64::from(u8::from(to == GOAL)));
            let step = if to == GOAL || HOLES.contains(&to) { step.end() } else { step };
            Outcome { probability: 1.0 / ways.len() as f64, ..step }
        };
        ways.iter().map(outcome).collect()
    })
}

/// The Dyna maze (Sutton and Barto, figure 8.2): up, right, down, left on 6 x 9 cells with walls; 1 at the goal, which
/// terminates. The shortest way has 14 steps.
pub fn dyna_maze() -> Mdp {
    const SIZE: (usize, usize) = (6, 9);
    const WALLS: [usize; 7] = [7, 11, 16, 20, 25, 29, 41];
    const GOAL: usize = 8;
    Mdp::new(54, 4, vec![(18, 1.0)], |cell, action| {
        let to = moved(SIZE, cell, [UP, RIGHT, DOWN, LEFT][action]);
        let to = if WALLS.contains(&to) { cell } else { to };
        vec![if to == GOAL { Outcome::sure(to, 1.0).end() } else { Outcome::sure(to, 0.0) }]
    })
}

/// Taxi (Dietterich, 2000; Gymnasium's `Taxi-v4` on dry roads): south, north, east, west, pick up, drop off. Cell
/// (5 x 5), where the passenger is (R, G, Y, B or in the taxi) and where he wants to go make one of 500 states; a run
/// begins in one of the 300 in which he waits elsewhere than there.
pub fn taxi() -> Mdp {
    const PLACES: [usize; 4] = [0, 4, 20, 23];
    const IN_TAXI: usize = 4;
    /// Cells with a wall to their east.
    const WALLS: [usize; 6] = [1, 6, 15, 17, 20, 22];
    let state = |cell: usize, passenger: usize, goal: usize| (cell * 5 + passenger) * 4 + goal;
    let mut starts = Vec::new();
    for cell in 0..25 {
        for passenger in 0..4 {
            starts.extend(
                (0..4)
                    .filter(|&goal| goal != passenger)
                    .map(|goal| (state(cell, passenger, goal), 1.0 / 300.0)),
            );
        }
    }
    Mdp::new(500, 6, starts, |from, action| {
        let (cell, passenger, goal) = (from / 20, from / 4 % 5, from % 4);
        let here = PLACES.iter().position(|&place| place == cell);
        let to = |cell| vec![Outcome::sure(state(cell, passenger, goal), -1.0)];
        let wrong = vec![Outcome::sure(from, -10.0)];
        match action {
            0 => to(moved((5, 5), cell, DOWN)),
            1 => to(moved((5, 5), cell, UP)),
            2 if WALLS.contains(&cell) => to(cell),
            2 => to(moved((5, 5), cell, RIGHT)),
            3 if cell > 0 && WALLS.contains(&(cell - 1)) => to(cell),
            3 => to(moved((5, 5), cell, LEFT)),
            4 if here == Some(passenger) => vec![Outcome::sure(state(cell, IN_TAXI, goal), -1.0)],
            4 => wrong,
            _ => match here.filter(|_| passenger == IN_TAXI) {
                Some(place) if place == goal => vec![Outcome::sure(state(cell, goal, goal), 20.0).end()],
                Some(place) => vec![Outcome::sure(state(cell, place, goal), -1.0)],
                None => wrong,
            },
        }
    })
}

const UP: (isize, isize) = (-1, 0);
const RIGHT: (isize, isize) = (0, 1);
const DOWN: (isize, isize) = (1, 0);
const LEFT: (isize, isize) = (0, -1);

/// The cell one step away; at the border the same.
fn moved((rows, columns): (usize, usize), cell: usize, (down, right): (isize, isize)) -> usize {
    let row = (cell / columns).saturating_add_signed(down).min(rows - 1);
    let column = (cell % columns).saturating_add_signed(right).min(columns - 1);
    row * columns + column
}
