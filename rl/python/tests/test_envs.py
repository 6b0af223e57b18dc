"""One environment: Gymnasium's contract, the same steps as Rust, masks, snapshots, what is told where something is wrong."""

import copy
import json
import tempfile
import unittest
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import splitscale
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils.env_checker import check_env

CURVES, SCALING = "splitscale/FittedCurves-v0", "splitscale/Scaling-v0"
KINDS = [
    (CURVES, {}),
    (CURVES, {"noise": 0.1}),
    (SCALING, {}),
    (SCALING, {"flatten_actions": True}),
    (SCALING, {"actions": "step"}),
    (SCALING, {"actions": "step", "flatten_actions": True}),
]
GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())


class Contract(unittest.TestCase):
    def test_check_env_passes_without_a_warning(self):
        for name, kwargs in KINDS:
            with self.subTest(name, **kwargs), warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                check_env(gymnasium.make(name, **kwargs).unwrapped)
                self.assertEqual([str(warning.message) for warning in told], [])

    def test_the_steps_are_those_of_rust_bit_for_bit(self):
        for name, kwargs, golden in [
            (CURVES, {"noise": 0.1}, GOLDEN["curves"]),
            (SCALING, {"flatten_actions": True}, GOLDEN["scaling"]),
            (SCALING, {}, GOLDEN["scaling"]),
        ]:
            env = gymnasium.make(name, **kwargs)
            space = env.action_space
            parts = isinstance(space, gymnasium.spaces.MultiDiscrete)
            count = int(np.prod(space.nvec)) if parts else int(space.n)
            seen, rewards = [env.reset(seed=7)[0]], []
            over = []
            for at in range(len(golden["rewards"])):
                number = at * 13 % count
                action = np.array(np.unravel_index(number, space.nvec)) if parts else number
                observation, reward, terminated, truncated, _ = env.step(action)
                seen.append(observation)
                rewards.append(reward)
                if terminated or truncated:
                    over.append(at)
                    seen.append(env.reset()[0])
            with self.subTest(name, **kwargs):
                self.assertEqual(rewards, golden["rewards"])
                self.assertEqual(over, golden["over"])
                self.assertTrue(np.array_equal(np.array(seen), np.array(golden["observations"])))

    def test_a_first_reset_without_a_seed_is_a_matter_of_chance(self):
        seen = {tuple(gymnasium.make(SCALING).reset()[0]) for _ in range(4)}
        self.assertGreater(len(seen), 1)

    def test_features_have_names(self):
        env = gymnasium.make(SCALING)
        names = splitscale.feature_names()
        self.assertEqual(env.observation_space.shape, (len(names),))
        seen = dict(zip(names, env.reset(seed=1)[0], strict=True))
        self.assertEqual((seen["desired_a"], seen["no_desired_a"]), (4.0, 0.0))


class Masks(unittest.TestCase):
    def test_a_mask_is_what_sample_takes(self):
        for flat in (False, True):
            env = gymnasium.make(SCALING, actions="step", flatten_actions=flat, pods_min={"a": 4, "b": 1})
            _, info = env.reset(seed=3)
            env.action_space.seed(0)
            names = splitscale.feature_names()
            a = names.index("desired_a")
            for _ in range(60):
                action = env.action_space.sample(mask=info["action_mask"])
                observation, *_, info = env.step(action)
                self.assertTrue(4 <= observation[a] <= 8)

    def test_the_mask_follows_the_pods(self):
        flat = gymnasium.make(SCALING, actions="step", flatten_actions=True, pods_min={"a": 4, "b": 1})
        parts = gymnasium.make(SCALING, actions="step", pods_min={"a": 4, "b": 1})
        _, info = flat.reset(seed=3)
        # One pod of A less may not be; of B it may.
        self.assertEqual(info["action_mask"].tolist(), [0, 0, 0, 1, 1, 1, 1, 1, 1])
        self.assertEqual(info["action_mask"].dtype, np.int8)
        _, info = parts.reset(seed=3)
        self.assertEqual([part.tolist() for part in info["action_mask"]], [[0, 1, 1], [1, 1, 1]])
        self.assertEqual(parts.unwrapped.action_masks().tolist(), [False, True, True, True, True, True])
        *_, info = parts.step(np.array([2, 1]))
        self.assertEqual([part.tolist() for part in info["action_mask"]], [[1, 1, 1], [1, 1, 1]])

    def test_there_is_none_where_everything_may_be_done(self):
        for name in (CURVES, SCALING):
            self.assertEqual(gymnasium.make(name).reset(seed=1)[1], {})


class Snapshots(unittest.TestCase):
    def test_what_is_restored_goes_on_alike(self):
        env = gymnasium.make(SCALING).unwrapped
        env.reset(seed=5)
        action = np.array([3, 3])
        env.step(action)
        moment = env.snapshot()
        first = [env.step(action) for _ in range(10)]
        for _ in range(2):
            env.restore(moment)
            again = [env.step(action) for _ in range(10)]
            for one, other in zip(first, again, strict=True):
                self.assertTrue(np.array_equal(one[0], other[0]))
                self.assertEqual(one[1:4], other[1:4])

    def test_a_deep_copy_is_an_environment_of_its_own(self):
        env = gymnasium.make(SCALING)
        env.reset(seed=5)
        copied = copy.deepcopy(env)
        rewards = [env.step(np.array([7, 7]))[1] for _ in range(5)]
        self.assertEqual([copied.step(np.array([7, 7]))[1] for _ in range(5)], rewards)

    def test_one_of_another_problem_is_refused(self):
        with self.assertRaisesRegex(ValueError, "another problem"):
            splitscale.ScalingEnv().restore(splitscale.ScalingEnv(flatten_actions=True).snapshot())
        # Equal spaces are not enough.
        for one, other in [
            (splitscale.ScalingEnv(), splitscale.ScalingEnv(slo_s=1.0)),
            (splitscale.FittedCurvesEnv(), splitscale.FittedCurvesEnv(alpha=0.5)),
        ]:
            with self.assertRaisesRegex(ValueError, "another problem"):
                one.restore(other.snapshot())


class Documents(unittest.TestCase):
    def test_a_problem_is_a_file_its_text_or_a_dict(self):
        source = Path(__file__).parents[1] / "src/default/problem.toml"
        same = gymnasium.make(SCALING).reset(seed=1)[0]
        self.assertTrue(np.array_equal(gymnasium.make(SCALING, problem=source).reset(seed=1)[0], same))
        self.assertTrue(np.array_equal(gymnasium.make(SCALING, problem=str(source)).reset(seed=1)[0], same))
        tide = str(source.with_name("tide.toml"))
        text = source.read_text().replace('"tide.toml"', json.dumps(tide))
        self.assertTrue(np.array_equal(gymnasium.make(SCALING, problem=text).reset(seed=1)[0], same))
        problem = {
            "experiments": [tide],
            "problem": {
                "pods_min": {"a": 1, "b": 1},
                "pods_max": {"a": np.int64(8), "b": 8},
                "decide_every_s": 5.0,
                "decisions": 60,
                "slo_s": 3.0,
                "cost": {"miss_weight": 2.0, "churn_weight": 1.0},
            },
        }
        self.assertTrue(np.array_equal(gymnasium.make(SCALING, problem=problem).reset(seed=1)[0], same))

    def test_curves_come_from_a_calibration(self):
        point = {"repeats": 1, "mean_s": 1.0, "sd_s": None, "low_s": None, "high_s": None}
        fitted = [[4.0, 2.0, 1.0], [2.0, 1.0, 0.5]]
        levels = [
            {"slots": slots, "status": "INSUFFICIENT", "pods_min": 1, "rmse_s": 0.0}
            | {"points": [point | {"pods": 1 + n, "fitted_s": s} for n, s in enumerate(row)]}
            for slots, row in zip((2, 4), fitted, strict=True)
        ]
        calibration = CALIBRATION | {"levels": levels}
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "calibration.json"
            file.write_text(json.dumps(calibration))
            env = gymnasium.make(CURVES, calibration=file, alpha=1.0, k_time=1.0)
        self.assertEqual((env.observation_space.n, env.action_space.n), (2, 3))
        level, _ = env.reset(seed=1)
        self.assertAlmostEqual(env.step(2)[1], -float(np.exp(fitted[level][2])))

    def test_what_is_wrong_is_named(self):
        for make, words in [
            (lambda: splitscale.FittedCurvesEnv(alpha=2.0), "alpha: 2 is not in"),
            (lambda: splitscale.FittedCurvesEnv(noise=0.9), "noise.cv: 0.9"),
            (lambda: splitscale.FittedCurvesEnv(noise="much"), "noise: 'much'"),
            (lambda: splitscale.FittedCurvesEnv("{}"), "missing field"),
            (lambda: splitscale.ScalingEnv(decisions=0), "decisions: zero"),
            (lambda: splitscale.ScalingEnv({"experiments": [], "problem": PROBLEM | {"x": 1}}), "unknown field `x`"),
            (lambda: splitscale.ScalingEnv(reward="much"), "unknown variant `much`"),
            (lambda: splitscale.ScalingEnv("experiments = []\n"), "missing field `problem`"),
            (lambda: splitscale.ScalingEnv({"experiments": ["nowhere.toml"], "problem": PROBLEM}), "nowhere.toml"),
        ]:
            with self.assertRaisesRegex(ValueError, words):
                make()
        with tempfile.TemporaryDirectory() as folder:
            for make, suffix in [(splitscale.FittedCurvesEnv, ".json"), (splitscale.ScalingEnv, ".toml")]:
                file = Path(folder) / f"broken{suffix}"
                file.write_text("{}" if suffix == ".json" else "experiments = []\n")
                with self.assertRaisesRegex(ValueError, f"broken{suffix}: .*missing field"):
                    make(file)
        with self.assertRaisesRegex(TypeError, "keyword argument 'decides'"):
            splitscale.ScalingEnv(decides=3)

    def test_actions_and_order_are_checked(self):
        env = splitscale.ScalingEnv()
        with self.assertRaises(ResetNeeded):
            env.step(np.array([0, 0]))
        env.reset(seed=1)
        for action in (np.array([0, 8]), np.array([-1, 0]), np.array([0]), 3, "up"):
            with self.assertRaises(InvalidAction):
                env.step(action)
        env.step([1, 2])
        env.step(np.array([1, 2], dtype=np.int32))
        curves = splitscale.FittedCurvesEnv()
        curves.reset(seed=1)
        for action in (7, -1, 0.5, None):
            with self.assertRaises(InvalidAction):
                curves.step(action)
        curves.step(np.int64(6))
        with self.assertRaises(ResetNeeded):
            curves.step(0)


PROBLEM = {
    "pods_min": {"a": 1, "b": 1},
    "pods_max": {"a": 8, "b": 8},
    "decide_every_s": 5.0,
    "decisions": 60,
    "slo_s": 3.0,
    "cost": {"miss_weight": 2.0, "churn_weight": 1.0},
}
CALIBRATION = {
    "schema": 2,
    "surface": None,
    "laws": None,
    "provenance": {"table": "table.csv", "hash": "0", "rows": 6, "dropped": []},
}
