"""Steps per second through Python, one environment and many, beside Gymnasium's CartPole. Prints seconds a step by id."""

import json
import sys
import time

import gymnasium
import splitscale  # noqa: F401

MANY = 64
SECONDS = 1.0


def alone(name, **kwargs):
    """Seconds a step of one environment without Gymnasium's checks, resets included."""
    env = gymnasium.make(name, **kwargs).unwrapped
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(256)]
    env.reset(seed=1)
    steps, begin = 0, time.perf_counter()
    while (passed := time.perf_counter() - begin) < SECONDS:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        steps += len(actions)
    return passed / steps


def vector(name, **kwargs):
    """Seconds a step of one of many in a native vector environment."""
    envs = gymnasium.make_vec(name, num_envs=MANY, vectorization_mode="vector_entry_point", **kwargs)
    envs.action_space.seed(0)
    actions = [envs.action_space.sample() for _ in range(16)]
    envs.reset(seed=1)
    steps, begin = 0, time.perf_counter()
    while (passed := time.perf_counter() - begin) < SECONDS:
        for action in actions:
            envs.step(action)
        steps += len(actions) * MANY
    return passed / steps


def best(measure, *args, **kwargs):
    """The fastest of five: what else ran on the machine is no part of it."""
    return min(measure(*args, **kwargs) for _ in range(5))


table = {}
for short, name in [
    ("fitted_curves", "splitscale/FittedCurves-v0"),
    ("scaling", "splitscale/Scaling-v0"),
    ("gymnasium_cartpole", "CartPole-v1"),
]:
    table[f"python/{short}"] = best(alone, name)
    table[f"python/{short}_vector_{MANY}"] = best(vector, name)
for name, seconds in table.items():
    print(f"{name:36} {1 / seconds:12,.0f} steps/s", file=sys.stderr)
print(json.dumps(table))
