"""Tabular Q-learning as it is written with Gymnasium and NumPy, and its speed: one line of JSON.

Cliff Walking is Gymnasium's own environment under the loop of its documentation; the original's training is written out,
one draw at a time. Times are medians, as the machine may be busy. Fails when what was learnt is not the optimum.

    python3 -m venv gym && gym/bin/pip install gymnasium numpy && gym/bin/python rl/benches/gymnasium_peer.py
"""

import json
import statistics
import sys
import time

try:
    import gymnasium
    import numpy as np
except ImportError:
    sys.exit("gymnasium is not installed: python3 -m pip install gymnasium (in a virtual environment, if pip asks for one)")

RUNS = 5
CLIFF_EPISODES = 500
# Steps of one iteration of the benchmark that this stands beside.
CLIFF_STEPS = 333_668
EPISODES = 30_000
PODS = np.arange(2, 9)
# Published by the original work: a, b, c of time = a exp(-b pods) + c, by slots.
CURVES = np.array([
    (-25.0875, -0.0001, 32.8687),
    (0.3491, 1.6066, 4.9107),
    (0.401, 0.8769, 4.4),
    (0.806, 1.2396, 4.0102),
    (0.8654, 1.2196, 3.6781),
    (0.9379, 0.843, 3.6556),
    (0.9147, 0.4671, 3.4091),
    (0.841, 0.4228, 3.42),
])


def cliff(seed):
    """Seconds for so many steps."""
    env = gymnasium.make("CliffWalking-v1")
    rng = np.random.default_rng(seed)
    q = np.zeros((env.observation_space.n, env.action_space.n))
    steps, begin = 0, time.perf_counter()
    state, _ = env.reset(seed=seed)
    for _ in range(CLIFF_EPISODES):
        over = False
        while not over:
            action = rng.integers(4) if rng.random() < 0.1 else int(np.argmax(q[state]))
            after, reward, terminated, truncated, _ = env.step(int(action))
            future = 0.0 if terminated else np.max(q[after])
            q[state, action] += 0.5 * (reward + future - q[state, action])
            state, over = after, terminated or truncated
            steps += 1
        state, _ = env.reset()
    took_s = time.perf_counter() - begin
    state, way = 36, 0
    while state != 47 and way < 14:
        y, x = divmod(state, 12)
        down, right = [(-1, 0), (0, 1), (1, 0), (0, -1)][int(np.argmax(q[state]))]
        state, way = min(max(y + down, 0), 3) * 12 + min(max(x + right, 0), 11), way + 1
    if (state, way) != (47, 13):
        sys.exit(f"Cliff Walking: after {way} steps in {state}, not on the shortest way")
    return took_s / steps * CLIFF_STEPS


def original(seed):
    """Seconds a training."""
    time_s = CURVES[:, :1] * np.exp(-CURVES[:, 1:2] * PODS) + CURVES[:, 2:]
    rewards = -(0.8 * np.exp(0.3 * time_s) + 0.2 * np.exp(0.1 * PODS))
    rng = np.random.default_rng(seed)
    begin = time.perf_counter()
    q = np.zeros(rewards.shape)
    for _ in range(EPISODES):
        level = rng.integers(8)
        action = rng.integers(7) if rng.random() < 0.1 else np.argmax(q[level])
        q[level, action] += 0.1 * (rewards[level, action] - q[level, action])
    took_s = time.perf_counter() - begin
    chosen = rewards[np.arange(8), np.argmax(q, axis=1)]
    if np.max(1 - rewards.max(axis=1) / chosen) > 0.05:
        sys.exit("the original's training: not within 5 % of the optimum")
    return took_s


measured = {
    "gymnasium/cliff": statistics.median(cliff(seed) for seed in range(RUNS)),
    "gymnasium/original": statistics.median(original(seed) for seed in range(RUNS)),
}
print(json.dumps(measured))
