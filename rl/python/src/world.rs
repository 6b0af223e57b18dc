//! An environment of one kind or the other, behind one type: Python's classes have no parameters.

use splitscale_policy::FEATURES;
use splitscale_rl::{Chance, Environment, FittedCurves, Observe, Scaling, Space, Step};

/// An environment.
#[derive(Debug, Clone)]
pub(crate) enum World {
    Curves(Box<FittedCurves>),
    Scaling(Box<Scaling>),
}

/// What it shows.
#[expect(clippy::large_enum_variant, reason = "a step allocates nothing")]
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seen {
    Level(usize),
    Features([f64; FEATURES]),
}

impl Observe for Seen {
    fn stranger(&self, space: &Space) -> Option<String> {
        match self {
            Seen::Level(level) => level.stranger(space),
            Seen::Features(features) => features.stranger(space),
        }
    }
}

fn seen<O>(step: Step<O>, of: impl FnOnce(O) -> Seen) -> Step<Seen> {
    let Step { observation, reward, terminated, truncated } = step;
    Step { observation: of(observation), reward, terminated, truncated }
}

impl Environment for World {
    type Observation = Seen;

    fn observation_space(&self) -> Space {
        match self {
            World::Curves(curves) => curves.observation_space(),
            World::Scaling(scaling) => scaling.observation_space(),
        }
    }

    fn action_space(&self) -> Space {
        match self {
            World::Curves(curves) => curves.action_space(),
            World::Scaling(scaling) => scaling.action_space(),
        }
    }

    fn actions(&self) -> usize {
        match self {
            World::Curves(curves) => curves.actions(),
            World::Scaling(scaling) => scaling.actions(),
        }
    }

    fn masked(&self) -> bool {
        match self {
            World::Curves(curves) => curves.masked(),
            World::Scaling(scaling) => scaling.masked(),
        }
    }

    fn allows(&self, action: usize) -> bool {
        match self {
            World::Curves(curves) => curves.allows(action),
            World::Scaling(scaling) => scaling.allows(action),
        }
    }

    fn chance(&mut self) -> &mut Chance {
        match self {
            World::Curves(curves) => curves.chance(),
            World::Scaling(scaling) => scaling.chance(),
        }
    }

    fn begin(&mut self) -> Seen {
        match self {
            World::Curves(curves) => Seen::Level(curves.begin()),
            World::Scaling(scaling) => Seen::Features(scaling.begin()),
        }
    }

    fn step(&mut self, action: usize) -> Step<Seen> {
        match self {
            World::Curves(curves) => seen(curves.step(action), Seen::Level),
            World::Scaling(scaling) => seen(scaling.step(action), Seen::Features),
        }
    }
}
