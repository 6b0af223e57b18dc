//! The agent: it acts by the exported network, remembers, and learns in rounds.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use splitscale_policy::{Mlp, Room};
use splitscale_spec::Invalid;

use super::heads::Heads;
use super::network::{QNetwork, greatest};
use super::parameters::Parameters;
use super::replay::{Batch, Replay, Transition};
use super::settings::DqnSettings;
use super::update::Updater;
use crate::agent::{Agent, drawn};
use crate::chance::{AGENT, Chance, probability};
use crate::environment::Environment;
use crate::wrappers::Episode;

/// The agent, over vectors of N components. The same seed gives the same bytes on one machine: libtorch computes on one thread,
/// but in an order that depends on the kind of processor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dqn<const N: usize> {
    settings: DqnSettings,
    actions: usize,
    learnt: QNetwork<N>,
    updater: Updater,
    replay: Replay,
    chance: Chance,
    steps: u64,
    #[serde(skip)]
    room: Rooms,
}

/// Where it computes; nothing in it outlives an episode.
#[derive(Debug, Clone, Default)]
struct Rooms {
    /// The last steps, n at most.
    path: VecDeque<Taken>,
    seen: Vec<f32>,
    mlp: Room,
    batch: Batch,
}

#[derive(Debug, Clone)]
struct Taken {
    state: Vec<f32>,
    action: usize,
    reward: f64,
}

impl<const N: usize> Dqn<N> {
    /// One that knows nothing yet: weights and biases uniform within 1 / sqrt(inputs of the layer), as PyTorch has them.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn new<E>(environment: &E, settings: &DqnSettings, seed: u64) -> Result<Self, Invalid>
    where
        E: Environment<Observation = [f64; N]>,
    {
        settings.validate()?;
        let mut chance = Chance::new(seed, AGENT);
        let actions = environment.actions();
        let heads = Heads { dueling: settings.dueling, actions };
        let inputs = if settings.inputs.is_empty() { N } else { settings.inputs.len() };
        let sizes: Vec<usize> =
            [inputs].into_iter().chain(settings.hidden.iter().copied()).chain([heads.outputs()]).collect();
        let mut values = Vec::with_capacity(Mlp::parameters_of(&sizes));
        for layer in sizes.windows(2) {
            let most = 1.0 / libm::sqrt(layer[0] as f64);
            values.extend((0..(layer[0] + 1) * layer[1]).map(|_| chance.between(-most, most) as f32));
        }
        let updater = Updater::new(Parameters::new(sizes.clone(), &values));
        let (sizes, values) = heads.fold(&sizes, values);
        Ok(Dqn {
            settings: settings.clone(),
            actions,
            learnt: QNetwork::new(settings.inputs(&[], N)?, Mlp::new(sizes, values)?),
            updater,
            replay: Replay::new(settings.replay),
            chance,
            steps: 0,
            room: Rooms::default(),
        })
    }

    /// Epsilon-greedy in the state that was seen, among the actions that are allowed now.
    fn choose<E: Environment>(&mut self, environment: &E) -> usize {
        let allows = |action| !environment.masked() || environment.allows(action);
        if self.chance.happens(probability(self.settings.exploration.at(self.steps))) {
            return drawn(&mut self.chance, (0..self.actions).filter(|&action| allows(action)));
        }
        greatest(self.learnt.mlp().forward(&self.room.seen, &mut self.room.mlp), allows)
    }

    /// Remembers what has n steps behind it, and at an end everything.
    fn remember(&mut self, allowed: &[bool], terminated: bool, over: bool) {
        let Rooms { path, seen: after, .. } = &mut self.room;
        let discount = self.settings.discount;
        while path.len() == self.settings.n || (over && !path.is_empty()) {
            let sum = path.iter().rev().fold(0.0, |sum, taken| taken.reward + discount * sum);
            let sum = (self.settings.reward_scale * sum) as f32;
            let weight = match terminated {
                true => 0.0,
                false => libm::pow(discount, path.len() as f64) as f32,
            };
            let Some(Taken { state, action, .. }) = path.pop_front() else { break };
            self.replay.push(Transition { state: &state, action, sum, weight, after, allowed });
        }
    }

    /// A round of updates; what was learnt is exported to be acted by. Of nothing nothing is learnt.
    fn learn(&mut self) {
        if self.replay.is_empty() {
            return;
        }
        let heads = Heads { dueling: self.settings.dueling, actions: self.actions };
        let learning_rate = self.settings.learning_rate.at(self.steps);
        for _ in 0..self.settings.updates {
            self.replay.draw(self.settings.batch, &mut self.chance, &mut self.room.batch);
            self.updater.learn(&self.room.batch, &self.settings, heads, learning_rate);
        }
        let online = &self.updater.online;
        let (sizes, mut values) = heads.fold(online.sizes(), online.values());
        // A perceptron holds numbers only. What is none is written as what no run goes on with.
        values.iter_mut().filter(|value| !value.is_finite()).for_each(|value| *value = f32::MAX);
        if let Ok(mlp) = Mlp::new(sizes, values) {
            self.learnt = QNetwork::new(self.learnt.inputs().to_vec(), mlp);
        }
    }
}

impl<const N: usize, E: Environment<Observation = [f64; N]>> Agent<E> for Dqn<N> {
    type Values = QNetwork<N>;

    fn episode(&mut self, environment: &mut E) -> Episode {
        let mut episode = Episode::default();
        let mut allowed = Vec::new();
        let first = environment.reset(None);
        self.learnt.see(&first, &mut self.room.seen);
        loop {
            let action = self.choose(environment);
            let step = environment.step(action);
            episode.add(step.reward);
            self.steps += 1;
            let state = self.room.seen.clone();
            self.room.path.push_back(Taken { state, action, reward: step.reward });
            self.learnt.see(&step.observation, &mut self.room.seen);
            if environment.masked() {
                allowed.clear();
                allowed.extend((0..self.actions).map(|action| environment.allows(action)));
            }
            self.remember(&allowed, step.terminated, step.over());
            if self.steps >= self.settings.warm_up && self.steps.is_multiple_of(self.settings.train_every) {
                self.learn();
            }
            if step.over() {
                return episode;
            }
        }
    }

    fn values(&self) -> &QNetwork<N> {
        &self.learnt
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Step;
    use crate::space::Space;
    use crate::values::Greedy;

    /// Counts its steps, pays 1, 2, 4, ... and ends after four.
    #[derive(Clone)]
    struct Four {
        step: i32,
        terminated: bool,
        chance: Chance,
    }

    impl Environment for Four {
        type Observation = [f64; 1];

        fn observation_space(&self) -> Space {
            Space::Box { low: vec![0.0], high: vec![4.0] }
        }

        fn action_space(&self) -> Space {
            Space::Discrete(1)
        }

        fn actions(&self) -> usize {
            1
        }

        fn chance(&mut self) -> &mut Chance {
            &mut self.chance
        }

        fn begin(&mut self) -> [f64; 1] {
            self.step = 0;
            [0.0]
        }

        fn step(&mut self, _: usize) -> Step<[f64; 1]> {
            let reward = f64::from(1 << self.step);
            self.step += 1;
            let over = self.step == 4;
            let (terminated, truncated) = (over && self.terminated, over && !self.terminated);
            Step { observation: [self.step.into()], reward, terminated, truncated }
        }
    }

    #[test]
    fn no_round_comes_before_the_first_transition() {
        let mut environment = Four { step: 0, terminated: true, chance: Chance::new(0, 0) };
        let settings = DqnSettings { n: 10, warm_up: 1, train_every: 1, batch: 4, ..DqnSettings::default() };
        let mut agent = Dqn::<1>::new(&environment, &settings, 1).unwrap();
        agent.episode(&mut environment);
        assert!(!agent.replay.is_empty() && agent.learnt.far().is_none());
    }

    /// What is remembered of one episode: return, weight, state after, in the order of the states.
    fn remembered(n: usize, terminated: bool) -> Vec<(f32, f32, f32)> {
        let mut environment = Four { step: 0, terminated, chance: Chance::new(0, 0) };
        let settings = DqnSettings { n, discount: 0.5, ..DqnSettings::default() };
        let mut agent = Dqn::<1>::new(&environment, &settings, 1).unwrap();
        agent.episode(&mut environment);
        let mut batch = Batch::default();
        agent.replay.draw(200, &mut Chance::new(1, 0), &mut batch);
        let row = |row: usize| (batch.returns[row], batch.weights[row], batch.rows[200 + row]);
        (0..4).map(|state| row((0..200).find(|&row| batch.rows[row] == state as f32).unwrap())).collect()
    }

    #[test]
    fn returns_stop_at_ends_and_keep_the_future_of_truncated_ones() {
        let terminated = [(1.0, 0.5, 1.0), (2.0, 0.5, 2.0), (4.0, 0.5, 3.0), (8.0, 0.0, 4.0)];
        assert_eq!(remembered(1, true), terminated);
        let truncated = [(1.0, 0.5, 1.0), (2.0, 0.5, 2.0), (4.0, 0.5, 3.0), (8.0, 0.5, 4.0)];
        assert_eq!(remembered(1, false), truncated);
        // Three steps: 1 + 2 / 2 + 4 / 4, then 2 + 4 / 2 + 8 / 4, then what is left of it.
        let terminated = [(3.0, 0.125, 3.0), (6.0, 0.0, 4.0), (8.0, 0.0, 4.0), (8.0, 0.0, 4.0)];
        assert_eq!(remembered(3, true), terminated);
        let truncated = [(3.0, 0.125, 3.0), (6.0, 0.125, 4.0), (8.0, 0.25, 4.0), (8.0, 0.5, 4.0)];
        assert_eq!(remembered(3, false), truncated);
    }
}
