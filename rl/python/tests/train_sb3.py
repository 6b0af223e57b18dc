"""Stable-Baselines3 on Scaling: its checker, and agents that learn within minutes to do better than chance."""

import unittest
import warnings

import gymnasium
import numpy as np
import splitscale  # noqa: F401
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

SCALING = "splitscale/Scaling-v0"


def returns(choose, flat):
    """Mean return of 20 episodes, the same for everybody."""
    env = gymnasium.make(SCALING, flatten_actions=flat)
    totals = []
    for seed in range(1000, 1020):
        observation, _ = env.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(choose(env, observation))
            total, over = total + reward, terminated or truncated
        totals.append(total)
    return float(np.mean(totals))


def by_chance(flat):
    gymnasium.make(SCALING).action_space.seed(0)

    def choose(env, _):
        return env.action_space.sample()

    return returns(choose, flat)


def learnt(kind, flat, steps, **settings):
    """Mean return of an agent of Stable-Baselines3 after so many steps; its inputs and rewards are normalised."""
    envs = make_vec_env(SCALING, n_envs=4, seed=1, env_kwargs={"flatten_actions": flat})
    normalised = VecNormalize(envs, gamma=0.95)
    agent = kind("MlpPolicy", normalised, seed=1, gamma=0.95, device="cpu", **settings)
    agent.learn(steps)
    normalised.training = False

    def choose(_, observation):
        action, _ = agent.predict(normalised.normalize_obs(observation), deterministic=True)
        return action

    return returns(choose, flat)


class Trained(unittest.TestCase):
    def test_sb3s_checker_passes_without_a_warning(self):
        for kwargs in ({}, {"flatten_actions": True}):
            with self.subTest(**kwargs), warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                check_env(gymnasium.make(SCALING, **kwargs).unwrapped)
                self.assertEqual([str(warning.message) for warning in told], [])

    def test_ppo_beats_chance(self):
        chance, agent = by_chance(False), learnt(PPO, False, 40_000, n_steps=256, batch_size=256)
        print(f"PPO {agent:.0f}, by chance {chance:.0f}")
        self.assertGreater(agent, 0.8 * chance)

    def test_dqn_beats_chance(self):
        chance = by_chance(True)
        agent = learnt(DQN, True, 40_000, learning_starts=2_000, exploration_fraction=0.3, train_freq=8)
        print(f"DQN {agent:.0f}, by chance {chance:.0f}")
        self.assertGreater(agent, 0.8 * chance)
