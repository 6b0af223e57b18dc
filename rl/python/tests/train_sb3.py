"""Stable-Baselines3 on Scaling: its checker, agents that learn to do better than chance, and what is exported of them."""

import unittest
import warnings

import gymnasium
import numpy as np
import splitscale
import torch
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

SCALING = "splitscale/Scaling-v0"
# Networks so small are slower on several threads.
torch.set_num_threads(1)


def returns(choose, flat):
    """Mean return of 20 episodes, the same for everybody."""
    env = gymnasium.make(SCALING, flatten_actions=flat)
    env.action_space.seed(0)
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
    """An agent of Stable-Baselines3 after so many steps, its inputs and rewards normalised, and its mean return."""
    envs = make_vec_env(SCALING, n_envs=4, seed=1, env_kwargs={"flatten_actions": flat})
    # A document does not clip its inputs.
    envs = VecNormalize(envs, gamma=0.95, clip_obs=1e6)
    settings["policy_kwargs"] = {"activation_fn": torch.nn.ReLU, "net_arch": [64, 64]}
    agent = kind("MlpPolicy", envs, seed=1, gamma=0.95, device="cpu", **settings)
    agent.learn(steps)
    envs.training = False

    def choose(_, observation):
        action, _ = agent.predict(envs.normalize_obs(observation), deterministic=True)
        return action

    return agent, returns(choose, flat)


def exported(agent):
    """Mean return of the document that is written of an agent."""
    document = splitscale.from_sb3(agent)
    return returns(lambda _, observation: np.array(splitscale.decide(document, observation)) - 1, False)


class Trained(unittest.TestCase):
    def test_sb3s_checker_passes_without_a_warning(self):
        for kwargs in ({}, {"flatten_actions": True}):
            with self.subTest(**kwargs), warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                check_env(gymnasium.make(SCALING, **kwargs).unwrapped)
                self.assertEqual([str(warning.message) for warning in told], [])

    def beats_chance(self, kind, flat, steps, **settings):
        chance = by_chance(flat)
        agent, reached = learnt(kind, flat, steps, **settings)
        document = exported(agent)
        print(f"{kind.__name__} {reached:.0f}, its document {document:.0f}, by chance {chance:.0f}")
        # Returns are minus costs.
        self.assertGreater(reached, 0.9 * chance)
        # It computes in an order of its own: a near tie may go the other way.
        self.assertLess(abs(document - reached), 0.01 * abs(reached))

    def test_ppo_beats_chance_and_so_does_its_document(self):
        self.beats_chance(PPO, False, 20_000, n_steps=256, batch_size=256)

    def test_dqn_beats_chance_and_so_does_its_document(self):
        often = {"train_freq": 4, "gradient_steps": 4, "target_update_interval": 500, "learning_rate": 1e-3}
        self.beats_chance(DQN, True, 20_000, learning_starts=2_000, exploration_fraction=0.3, **often)
