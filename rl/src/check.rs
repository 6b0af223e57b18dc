//! Holds an environment to its contract.

use crate::chance::{Chance, TRIAL};
use crate::environment::{Environment, Step};
use crate::space::{Observe, Space};

/// Episodes that are played.
const EPISODES: u32 = 5;
/// Steps within which an episode must have ended.
const STEPS: u32 = 1_000_000;

/// What is wrong with an environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(String);

/// Plays a few random episodes and holds what comes against the contract of [`Environment`]: spaces that are some;
/// observations within theirs; rewards that are numbers; an action that may be taken in every state; episodes that
/// end; the same seed, the same steps; a clone that goes on alike and leaves its original alone; a reset without a
/// seed that goes on with the chance that is there.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_env<E: Environment>(environment: &E) -> Result<(), Unfit> {
    let seen = environment.observation_space();
    let acts = environment.action_space();
    for (name, space) in [("observation", &seen), ("action", &acts)] {
        ensure(space.problem().is_none(), || {
            format!("the {name} space: {}", space.problem().unwrap_or_default())
        })?;
    }
    ensure(acts.size() == Some(environment.actions()), || match acts.size() {
        Some(size) => format!("it has {} actions, and its action space {size}", environment.actions()),
        None => "its actions are vectors; they are numbers here, Discrete or MultiDiscrete".into(),
    })?;
    for seed in 0..2 {
        let (mut one, mut other) = (environment.clone(), environment.clone());
        // The other has a past, which a seed must wipe out. It also tells whether episodes end.
        play(&mut other, &seen)?;
        let mut chance = Chance::new(seed, TRIAL);
        for episode in 0..EPISODES {
            let seed = (episode == 0).then_some(seed);
            let (first, second) = (one.reset(seed), other.reset(seed));
            within(&first, &seen, "reset")?;
            ensure(first == second, || {
                let which = if episode == 0 { "reset with the same seed" } else { "reset, later on," };
                format!("{which} shows {first:?} and {second:?}; all its chance must come from `chance`")
            })?;
            for number in 1..=STEPS + 1 {
                ensure(number <= STEPS, endless)?;
                let action = pick(&one, &mut chance)?;
                let mut copy = one.clone();
                let (step, same) = (one.step(action), other.step(action));
                sound(&step, &seen, number)?;
                ensure(alike(&step, &same), || {
                    format!("step {number} of one seed brings {step:?} and {same:?}")
                })?;
                let again = copy.step(action);
                ensure(alike(&step, &again), || {
                    format!(
                        "step {number} brings {step:?}, and {again:?} to a clone; a clone is a whole snapshot"
                    )
                })?;
                if step.over() {
                    break;
                }
            }
        }
        let (left, right) = (one.begin(), other.begin());
        ensure(left == right, || format!("two alike begin with {left:?} and {right:?}"))?;
    }
    Ok(())
}

/// A random episode.
fn play<E: Environment>(environment: &mut E, seen: &Space) -> Result<(), Unfit> {
    let mut chance = Chance::new(77, TRIAL);
    within(&environment.reset(Some(77)), seen, "reset")?;
    for number in 1..=STEPS {
        let action = pick(environment, &mut chance)?;
        let step = environment.step(action);
        sound(&step, seen, number)?;
        if step.over() {
            return Ok(());
        }
    }
    Err(Unfit(endless()))
}

fn endless() -> String {
    format!("an episode did not end within {STEPS} steps; put a TimeLimit around it")
}

/// One of the actions that may be taken.
fn pick<E: Environment>(environment: &E, chance: &mut Chance) -> Result<usize, Unfit> {
    let allowed = (0..environment.actions()).filter(|&action| environment.allows(action));
    let count = allowed.clone().count();
    ensure(environment.masked() || count == environment.actions(), || {
        "an action may not be taken, and `masked` says that every one always may".into()
    })?;
    ensure(count > 0, || "there is a state in which no action may be taken".into())?;
    Ok(allowed.clone().nth(chance.below(count)).unwrap_or(0))
}

fn sound<O: Observe>(step: &Step<O>, seen: &Space, number: u32) -> Result<(), Unfit> {
    ensure(step.reward.is_finite(), || format!("step {number} is rewarded with {}", step.reward))?;
    within(&step.observation, seen, &format!("step {number}"))
}

fn within<O: Observe>(observation: &O, seen: &Space, what: &str) -> Result<(), Unfit> {
    match observation.stranger(seen) {
        None => Ok(()),
        Some(problem) => Err(Unfit(format!("{what} shows what is not in the observation space: {problem}"))),
    }
}

/// Bit for bit.
fn alike<O: PartialEq>(one: &Step<O>, other: &Step<O>) -> bool {
    one.observation == other.observation
        && one.reward.to_bits() == other.reward.to_bits()
        && (one.terminated, one.truncated) == (other.terminated, other.truncated)
}

fn ensure(holds: bool, problem: impl FnOnce() -> String) -> Result<(), Unfit> {
    if holds { Ok(()) } else { Err(Unfit(problem())) }
}
