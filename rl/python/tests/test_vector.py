"""Many at a time: the same as one at a time, in every autoreset mode."""

import unittest
import warnings

import gymnasium
import numpy as np
import splitscale
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.vector import AutoresetMode

CURVES, SCALING = "splitscale/FittedCurves-v0", "splitscale/Scaling-v0"
KINDS = [
    (CURVES, {"noise": 0.1}),
    (SCALING, {"decisions": 7}),
    (SCALING, {"decisions": 7, "actions": "step"}),
    (SCALING, {"decisions": 7, "actions": "step", "flatten_actions": True}),
]
COUNT = 3
MODES = list(AutoresetMode)


def alike(case, one, other):
    """Of two infos, whether they hold the same: arrays by their bytes, tuples and object arrays part by part."""
    if isinstance(one, dict):
        case.assertEqual(one.keys(), other.keys())
        for key in one:
            alike(case, one[key], other[key])
    elif isinstance(one, tuple) or getattr(one, "dtype", None) == object:
        case.assertEqual(len(one), len(other))
        for a, b in zip(one, other, strict=True):
            alike(case, a, b)
    else:
        case.assertTrue(np.array_equal(one, other), f"{one} {other}")


class Vectors(unittest.TestCase):
    def test_make_vec_takes_them_without_a_warning(self):
        for name, kwargs in KINDS:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                envs = gymnasium.make_vec(name, num_envs=COUNT, **kwargs)
                self.assertIs(envs.metadata["autoreset_mode"], AutoresetMode.NEXT_STEP)
                seen, _ = envs.reset(seed=1)
                self.assertTrue(envs.observation_space.contains(seen))
                seen, rewards, ended, cut, _ = envs.step(envs.action_space.sample())
                self.assertTrue(envs.observation_space.contains(seen))
                self.assertEqual([rewards.dtype, ended.dtype, cut.dtype], [np.float64, np.bool_, np.bool_])
                self.assertEqual([str(warning.message) for warning in told], [])

    def test_they_do_what_gymnasiums_own_do_with_single_ones(self):
        for name, kwargs in KINDS:
            for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
                with self.subTest(name, mode=mode, **kwargs):
                    ours = gymnasium.make_vec(name, num_envs=COUNT, autoreset_mode=mode, **kwargs)
                    theirs = gymnasium.make_vec(
                        name,
                        num_envs=COUNT,
                        vectorization_mode="sync",
                        vector_kwargs={"autoreset_mode": mode},
                        **kwargs,
                    )
                    seeds = [splitscale.vector_seed(9, index) for index in range(COUNT)]
                    alike(self, ours.reset(seed=9), theirs.reset(seed=seeds))
                    ours.action_space.seed(2)
                    for _ in range(20):
                        actions = ours.action_space.sample()
                        one, other = ours.step(actions), theirs.step(actions)
                        for part in (one[4], other[4]):
                            # Gymnasium gathers the last infos; ours have nothing more to say there.
                            part.pop("final_info", None)
                            part.pop("_final_info", None)
                        alike(self, one, other)

    def test_a_list_of_seeds_is_one_each(self):
        envs = splitscale.ScalingVectorEnv(COUNT)
        seen, _ = envs.reset(seed=[3, 4, None])
        for index, seed in ((0, 3), (1, 4)):
            self.assertTrue(np.array_equal(seen[index], splitscale.ScalingEnv().reset(seed=seed)[0]))
        with self.assertRaisesRegex(ValueError, "2 seeds for 3"):
            envs.reset(seed=[1, 2])

    def test_where_nothing_resets_them_a_mask_does(self):
        envs = splitscale.ScalingVectorEnv(COUNT, decisions=2, autoreset_mode="Disabled")
        first, _ = envs.reset(seed=[1, 2, 3])
        actions = np.zeros((COUNT, 2), dtype=np.int64)
        envs.step(actions)
        *_, cut, _ = envs.step(actions)
        self.assertTrue(cut.all())
        with self.assertRaisesRegex(ResetNeeded, "environment 0"):
            envs.step(actions)
        seen, _ = envs.reset(seed=[1, 1, 3], options={"reset_mask": np.array([True, False, True])})
        self.assertTrue(np.array_equal(seen[[0, 2]], first[[0, 2]]))
        with self.assertRaisesRegex(ResetNeeded, "environment 1"):
            envs.step(actions)
        envs.reset(options={"reset_mask": np.array([False, True, False])})
        envs.step(actions)

    def test_what_is_restored_goes_on_alike(self):
        envs = splitscale.ScalingVectorEnv(COUNT, decisions=5)
        envs.reset(seed=1)
        moment = envs.snapshot()
        actions = np.full((COUNT, 2), 4)
        first = [envs.step(actions) for _ in range(12)]
        envs.restore(moment)
        alike(self, tuple(first), tuple(envs.step(actions) for _ in range(12)))
        with self.assertRaisesRegex(ValueError, f"of {COUNT + 1} environments, and these are {COUNT}"):
            envs.restore(splitscale.ScalingVectorEnv(COUNT + 1, decisions=5).snapshot())
        with self.assertRaisesRegex(ValueError, "another problem"):
            envs.restore(splitscale.ScalingVectorEnv(COUNT, decisions=6).snapshot())

    def test_results_stay_what_they_were(self):
        envs = splitscale.ScalingVectorEnv(COUNT)
        seen, _ = envs.reset(seed=1)
        kept = seen.copy()
        envs.step(np.zeros((COUNT, 2), dtype=np.int64))
        self.assertTrue(np.array_equal(seen, kept))

    def test_what_is_wrong_is_told(self):
        envs = splitscale.ScalingVectorEnv(COUNT)
        with self.assertRaises(ResetNeeded):
            envs.step(np.zeros((COUNT, 2), dtype=np.int64))
        envs.reset(seed=1)
        for actions in (np.zeros((2, 2), dtype=np.int64), np.zeros(3, dtype=np.int64), [1.5], "up"):
            with self.assertRaisesRegex(TypeError, r"of shape \(3, 2\)"):
                envs.step(actions)
        with self.assertRaises(InvalidAction):
            envs.step(np.full((COUNT, 2), 8))
        for make, words in [
            (lambda: splitscale.ScalingVectorEnv(0), "num_envs"),
            (lambda: splitscale.ScalingVectorEnv(1, autoreset_mode="never"), "AutoresetMode"),
        ]:
            with self.assertRaisesRegex(ValueError, words):
                make()
