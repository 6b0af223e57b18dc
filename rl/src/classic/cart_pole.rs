//! Cart Pole (Barto, Sutton and Anderson, 1983; Gymnasium's `CartPole-v1`).

use crate::chance::{Chance, ENVIRONMENT};
use crate::environment::{Environment, Step};
use crate::space::Space;

/// A pole on a cart, held up by pushing the cart left (0) or right (1). It sees the cart's position and velocity and the
/// pole's angle and angular velocity, and is paid 1 a step until the pole leans by 12 degrees or the cart is 2.4 from
/// the middle. `CartPole-v1` cuts off after 500 steps: put a [`TimeLimit`](crate::TimeLimit) around it.
#[derive(Debug, Clone)]
pub struct CartPole {
    state: [f64; 4],
    chance: Chance,
}

const GRAVITY: f64 = 9.8;
const POLE_MASS: f64 = 0.1;
const MASS: f64 = 1.0 + POLE_MASS;
/// Half of the pole \[m\].
const LENGTH: f64 = 0.5;
const FORCE: f64 = 10.0;
/// Time of a step \[s\].
const STEP_S: f64 = 0.02;
const FARTHEST: f64 = 2.4;
const STEEPEST: f64 = 12.0 * std::f64::consts::PI / 180.0;

impl Default for CartPole {
    fn default() -> Self {
        CartPole { state: [0.0; 4], chance: Chance::new(0, ENVIRONMENT) }
    }
}

impl Environment for CartPole {
    type Observation = [f64; 4];

    fn observation_space(&self) -> Space {
        // Twice where it ends, as Gymnasium has it: the last observation lies beyond.
        let high = [2.0 * FARTHEST, f64::INFINITY, 2.0 * STEEPEST, f64::INFINITY];
        Space::Box { low: high.map(|x| -x).into(), high: high.into() }
    }

    fn action_space(&self) -> Space {
        Space::Discrete(2)
    }

    fn actions(&self) -> usize {
        2
    }

    fn chance(&mut self) -> &mut Chance {
        &mut self.chance
    }

    fn begin(&mut self) -> [f64; 4] {
        self.state = std::array::from_fn(|_| self.chance.between(-0.05, 0.05));
        self.state
    }

    #[inline]
    fn step(&mut self, action: usize) -> Step<[f64; 4]> {
        assert!(action < 2, "two actions");
        let [x, speed, angle, spin] = self.state;
        let force = if action == 1 { FORCE } else { -FORCE };
        let (sin, cos) = libm::sincos(angle);
        let push = (force + POLE_MASS * LENGTH * spin * spin * sin) / MASS;
        let turn = (GRAVITY * sin - cos * push) / (LENGTH * (4.0 / 3.0 - POLE_MASS * cos * cos / MASS));
        let pull = push - POLE_MASS * LENGTH * turn * cos / MASS;
        // Euler's rule, the old velocities first.
        self.state = [x + STEP_S * speed, speed + STEP_S * pull, angle + STEP_S * spin, spin + STEP_S * turn];
        let terminated = self.state[0].abs() > FARTHEST || self.state[2].abs() > STEEPEST;
        Step { observation: self.state, reward: 1.0, terminated, truncated: false }
    }
}
