"""Networks as policy documents: what a document decides is what the network says."""

import json
import unittest

import gymnasium
import numpy as np
import splitscale

SCALING = "splitscale/Scaling-v0"
FEATURES = len(splitscale.feature_names())


def network(sizes, seed=0):
    chance = np.random.default_rng(seed)
    pairs = zip(sizes[:-1], sizes[1:], strict=True)
    return [(chance.normal(size=(b, a)) / np.sqrt(a), chance.normal(size=b)) for a, b in pairs]


def values(layers, inputs):
    for at, (weights, biases) in enumerate(layers):
        inputs = weights @ inputs + biases
        if at + 1 < len(layers):
            inputs = np.maximum(inputs, 0.0)
    return inputs


class Policies(unittest.TestCase):
    def test_a_document_decides_what_the_network_says(self):
        env = gymnasium.make(SCALING)
        mean, std = np.linspace(0.0, 2.0, FEATURES), np.linspace(1.0, 9.0, FEATURES)
        layers = network([FEATURES, 32, 64])
        document = splitscale.export_policy(env.unwrapped, layers, mean=mean, std=std, algorithm="none", seed=3)
        observation, over = env.reset(seed=1)[0], False
        seen = set()
        while not over:
            best = int(np.argmax(values(layers, (observation - mean) / std)))
            pods = splitscale.decide(document, observation)
            self.assertEqual(pods, (1 + best // 8, 1 + best % 8))
            seen.add(pods)
            observation, _, _, over, _ = env.step(env.action_space.sample())
        self.assertGreater(len(seen), 1)
        written = json.loads(document)
        self.assertEqual((written["training"]["algorithm"], written["training"]["seed"]), ("none", 3))
        low, high = written["region"]["desired_a"]
        self.assertTrue(1 <= low < high <= 8)

    def test_what_may_not_be_done_is_not_decided(self):
        env = splitscale.ScalingEnv(actions="step", pods_min={"a": 4, "b": 4})
        # The first action is best, one pod less of each; the fifth is second: nothing changes.
        weights, biases = np.zeros((9, FEATURES)), np.array([9.0, 0, 0, 0, 8.0, 0, 0, 0, 0])
        document = splitscale.export_policy(env, [(weights, biases)])
        observation, _ = env.reset(seed=1)
        self.assertEqual(splitscale.decide(document, observation), (4, 4))
        observation, *_ = env.step(np.array([2, 2]))
        self.assertEqual(splitscale.decide(document, observation), (4, 4))

    def test_what_is_wrong_is_named(self):
        env = splitscale.ScalingEnv()
        for layers, words in [
            ([], "layers: empty"),
            (network([FEATURES, 9]), "9.* outputs for 64 actions"),
            (network([7, 64]), "inputs: 48, and the network takes 7"),
            (network([FEATURES, 8]) + network([9, 64]), r"layers\[1\]: takes 9 inputs"),
            ([(np.zeros((64, FEATURES)), np.zeros(3))], r"layers\[0\]: weights of shape"),
            ([(np.full((64, FEATURES), np.nan), np.zeros(64))], "not a finite number"),
        ]:
            with self.assertRaisesRegex(ValueError, words):
                splitscale.export_policy(env, layers)
        with self.assertRaisesRegex(ValueError, "only what was learnt on Scaling"):
            splitscale.export_policy(splitscale.FittedCurvesEnv(), network([FEATURES, 64]))
        with self.assertRaisesRegex(ValueError, "policy document"):
            splitscale.decide("{}", np.zeros(FEATURES))
