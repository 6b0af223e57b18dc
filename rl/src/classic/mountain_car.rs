//! Mountain Car (Moore, 1990; Gymnasium's `MountainCar-v0`).

use crate::chance::{Chance, ENVIRONMENT};
use crate::environment::{Environment, Step};
use crate::space::Space;

/// A car too weak for the hill must swing up. It sees its position and its velocity, pushes left, not at all or right
/// (0, 1, 2), and pays 1 a step until it is at 0.5. `MountainCar-v0` cuts off after 200 steps: put a
/// [`TimeLimit`](crate::TimeLimit) around it.
#[derive(Debug, Clone)]
pub struct MountainCar {
    position: f64,
    velocity: f64,
    chance: Chance,
}

const LEFT_END: f64 = -1.2;
const RIGHT_END: f64 = 0.6;
const GOAL: f64 = 0.5;
const FASTEST: f64 = 0.07;
const FORCE: f64 = 0.001;
const GRAVITY: f64 = 0.0025;

impl Default for MountainCar {
    fn default() -> Self {
        MountainCar { position: -0.5, velocity: 0.0, chance: Chance::new(0, ENVIRONMENT) }
    }
}

impl Environment for MountainCar {
    type Observation = [f64; 2];

    fn observation_space(&self) -> Space {
        Space::Box { low: vec![LEFT_END, -FASTEST], high: vec![RIGHT_END, FASTEST] }
    }

    fn action_space(&self) -> Space {
        Space::Discrete(3)
    }

    fn actions(&self) -> usize {
        3
    }

    fn chance(&mut self) -> &mut Chance {
        &mut self.chance
    }

    fn begin(&mut self) -> [f64; 2] {
        (self.position, self.velocity) = (self.chance.between(-0.6, -0.4), 0.0);
        [self.position, self.velocity]
    }

    fn step(&mut self, action: usize) -> Step<[f64; 2]> {
        assert!(action < 3, "three actions");
        let push = FORCE * (action as f64 - 1.0);
        let speed = self.velocity + push - GRAVITY * libm::cos(3.0 * self.position);
        self.velocity = speed.clamp(-FASTEST, FASTEST);
        self.position = (self.position + self.velocity).clamp(LEFT_END, RIGHT_END);
        if self.position <= LEFT_END && self.velocity < 0.0 {
            self.velocity = 0.0;
        }
        let terminated = self.position >= GOAL && self.velocity >= 0.0;
        Step { observation: [self.position, self.velocity], reward: -1.0, terminated, truncated: false }
    }
}
