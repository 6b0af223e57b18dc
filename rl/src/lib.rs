//! Learning how many pods to have: a gym, agents, and the exact optimum beside them.
//!
//! ```text
//!  Calibration ─▶ TimeTable ─▶ FittedCurves ─┐                    ┌─▶ statistics over many seeds
//!                   classic ─▶ Played, ... ──┴─▶ Environment ◀─▶ Agent ─▶ Run ─▶ Values ─▶ to_policy ─▶ spec::Policy
//!                                 │                                        │
//!                                 └─▶ Optimum, dynamic_programming ── regret ┘
//! ```
//!
//! [`Environment`] has Gymnasium's meaning; [`check_env`] holds one to it. An [`Agent`] learns [`Values`] (a table, or tiles over
//! vectors) episode by episode; a [`Run`] is one seed of a training, which may be stopped, written down and gone on with.
//! [`play`] is for one-step problems. Whoever scales pods, learnt or not, is held against the others in [`mod@evaluate`].
//!
//! The same seed gives the same bytes: chance is ChaCha8, and functions come from the `libm` crate and not from the
//! platform.

mod agent;
mod bandit;
mod batch;
mod chance;
mod check;
pub mod classic;
mod config;
pub mod dynamic_programming;
mod environment;
pub mod evaluate;
mod export;
mod fitted_curves;
mod learning;
mod mdp;
mod optimum;
mod problem;
mod q_table;
pub mod referee;
pub mod scaling;
mod schedule;
mod space;
pub mod statistics;
mod tiles;
mod time_table;
mod train;
mod values;
mod wrappers;

#[cfg(feature = "torch")]
pub use agent::dqn::Dqn;
pub use agent::dqn::{DqnSettings, QNetwork};
pub use agent::{
    Agent, DoubleQ, DynaQ, ExpectedSarsa, MonteCarlo, NStepSarsa, QLearning, Sarsa, SarsaLambda, Settings,
    Ties,
};
pub use bandit::{Bandit, Found, play};
pub use batch::{Autoreset, Batch};
pub use chance::Chance;
pub use check::{Unfit, check_env};
pub use config::{AxisConfig, Classic, Component, EnvironmentConfig, InputConfig, TilesConfig, TrainConfig};
pub use environment::{Environment, Step};
pub use export::{Origin, to_greedy, to_policy};
pub use fitted_curves::{FittedCurves, Noise, RewardConfig};
pub use learning::{Algorithm, BeginError, Beginning, Learning, begin, begin_deep, begin_tabular};
pub use mdp::{Mdp, Outcome, Played};
pub use optimum::{LevelOptimum, Optimum, RunnerUp};
pub use problem::ScalingProblem;
pub use q_table::QTable;
pub use scaling::{Bill, Controlled, RewardKind, Scaling, ScalingConfig};
pub use schedule::Schedule;
pub use space::{Observe, Space};
pub use tiles::TiledValues;
pub use time_table::{ExpCurve, TimeTable};
pub use train::{Best, Diverged, LearningPoint, Length, Run, evaluate};
pub use values::{Greedy, Values};
pub use wrappers::{Episode, Statistics, TimeLimit};
