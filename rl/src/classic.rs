//! Problems whose answers are known, for trust in the agents: by the rules of Gymnasium 1.4, or of Sutton and
//! Barto, *Reinforcement Learning*, 2nd edition.

mod cart_pole;
mod chains;
mod grids;
mod mountain_car;

pub use cart_pole::CartPole;
pub use chains::{maximisation_bias, random_walk};
pub use grids::{cliff_walking, dyna_maze, frozen_lake, taxi};
pub use mountain_car::MountainCar;
