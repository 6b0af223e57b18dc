//! `check_env` passes what is sound and names what is not.

use splitscale_rl::classic::{
    CartPole, MountainCar, cliff_walking, dyna_maze, frozen_lake, maximisation_bias, random_walk, taxi,
};
use splitscale_rl::{Chance, Environment, Noise, Played, Space, Statistics, Step, TimeLimit, check_env};

use crate::demo;

#[test]
fn every_environment_here_passes() {
    for mdp in [cliff_walking(), taxi(), frozen_lake(true), frozen_lake(false), dyna_maze()] {
        check_env(&TimeLimit::new(Played::new(mdp), 500)).unwrap();
    }
    check_env(&Played::new(random_walk(19, -1.0))).unwrap();
    check_env(&Played::new(maximisation_bias(10))).unwrap();
    check_env(&TimeLimit::new(MountainCar::default(), 200)).unwrap();
    check_env(&Statistics::new(TimeLimit::new(CartPole::default(), 500))).unwrap();
    check_env(&demo()).unwrap();
    let noisy = splitscale_rl::FittedCurves::new(demo().times().clone(), *demo().config(), Noise::Cv(0.05));
    check_env(&noisy.unwrap()).unwrap();
}

/// One flaw at a time.
#[derive(Clone)]
struct Flawed {
    flaw: Flaw,
    state: usize,
    steps: u32,
    chance: Chance,
    /// Chance that no seed reaches.
    aside: Chance,
}

#[derive(Clone, Copy, PartialEq)]
enum Flaw {
    None,
    Stranger,
    NotANumber,
    OwnChance,
    Endless,
    NothingAllowed,
    Unmasked,
    OtherActions,
    NoSpace,
}

impl Environment for Flawed {
    type Observation = usize;

    fn observation_space(&self) -> Space {
        Space::Discrete(if self.flaw == Flaw::NoSpace { 0 } else { 3 })
    }

    fn action_space(&self) -> Space {
        Space::Discrete(if self.flaw == Flaw::OtherActions { 4 } else { 2 })
    }

    fn actions(&self) -> usize {
        2
    }

    fn masked(&self) -> bool {
        self.flaw != Flaw::Unmasked
    }

    fn allows(&self, _action: usize) -> bool {
        !matches!(self.flaw, Flaw::NothingAllowed | Flaw::Unmasked)
    }

    fn chance(&mut self) -> &mut Chance {
        &mut self.chance
    }

    fn begin(&mut self) -> usize {
        self.steps = 0;
        self.state = if self.flaw == Flaw::OwnChance { self.aside.below(3) } else { self.chance.below(3) };
        self.state
    }

    fn step(&mut self, action: usize) -> Step<usize> {
        self.steps += 1;
        let state = (self.state + action) % 3;
        self.state = if self.flaw == Flaw::Stranger { 3 } else { state };
        let reward = if self.flaw == Flaw::NotANumber { f64::NAN } else { 1.0 };
        let terminated = self.steps == 20 && self.flaw != Flaw::Endless;
        Step { observation: self.state, reward, terminated, truncated: false }
    }
}

#[test]
fn each_flaw_is_named() {
    let chance = || Chance::new(0, 9);
    let of = |flaw| Flawed { flaw, state: 0, steps: 0, chance: chance(), aside: chance() };
    check_env(&of(Flaw::None)).unwrap();
    for (flaw, words) in [
        (Flaw::Stranger, "step 1 shows what is not in the observation space: 3 is not below 3"),
        (Flaw::NotANumber, "step 1 is rewarded with NaN"),
        (Flaw::OwnChance, "all its chance must come from `chance`"),
        (Flaw::Endless, "put a TimeLimit around it"),
        (Flaw::NothingAllowed, "no action may be taken"),
        (Flaw::Unmasked, "`masked` says that every one always may"),
        (Flaw::OtherActions, "it has 2 actions, and its action space 4"),
        (Flaw::NoSpace, "the observation space: it has no element"),
    ] {
        let said = check_env(&of(flaw)).unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn spaces_know_their_elements() {
    let joint = Space::MultiDiscrete(vec![3, 4]);
    assert_eq!(joint.size(), Some(12));
    for number in 0..12 {
        assert_eq!(joint.join(&joint.split(number)), Some(number));
    }
    assert_eq!((joint.join(&[2, 3]), joint.join(&[3, 0]), joint.join(&[1])), (Some(11), None, None));
    let problem = |space: Space| space.problem().unwrap();
    assert!(problem(Space::MultiDiscrete(vec![2, 0])).contains("[2, 0]"));
    assert!(problem(Space::Box { low: vec![0.0], high: vec![1.0, 2.0] }).contains("1 and 2 components"));
    assert!(problem(Space::Box { low: vec![0.0, 1.0], high: vec![1.0, f64::NAN] }).contains("component 1"));
    assert!(Space::Box { low: vec![f64::NEG_INFINITY], high: vec![f64::INFINITY] }.problem().is_none());
}
