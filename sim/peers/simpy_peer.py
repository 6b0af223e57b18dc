"""The two models of this folder in SimPy, and their speed: one line of JSON.

A process a customer or job, and a `Resource` a station, as SimPy's documentation writes its examples; the
generator is Python's own (Mersenne Twister). Rates are medians, as the machine may be busy. Fails when a mean is
not the exact one.

    python3 -m venv simpy && simpy/bin/pip install simpy && simpy/bin/python sim/peers/simpy_peer.py
"""

import json
import random
import statistics
import sys
import time

try:
    import simpy
except ImportError:
    sys.exit("simpy is not installed: python3 -m pip install simpy (in a virtual environment, if pip asks for one)")

CUSTOMERS = 100_000
RUNS = 5
GAP_S, SERVICE_S = 1.25, 1.0
MEAN_WAIT_S = 4.0

JOBS = 100
EPISODES = 400
PODS_A, SLOTS, PODS_B = 4, 4, 3
A_S, TRANSFER_S, B_S = 0.05, 0.06, 0.03
MEAN_MAKESPAN_S = 2.371167


def mm1(rng):
    """Mean wait [s]."""
    env = simpy.Environment()
    server = simpy.Resource(env, capacity=1)
    waits_s = 0.0

    def customer():
        nonlocal waits_s
        arrived = env.now
        with server.request() as turn:
            yield turn
            waits_s += env.now - arrived
            yield env.timeout(rng.expovariate(1 / SERVICE_S))

    def source():
        for _ in range(CUSTOMERS):
            yield env.timeout(rng.expovariate(1 / GAP_S))
            env.process(customer())

    env.process(source())
    env.run()
    return waits_s / CUSTOMERS


def burst(rng):
    """Makespan [s]."""
    env = simpy.Environment()
    pods_a = simpy.Resource(env, capacity=PODS_A)
    slots = simpy.Resource(env, capacity=SLOTS)
    pods_b = simpy.Resource(env, capacity=PODS_B)

    def job():
        with pods_a.request() as pod:
            yield pod
            yield env.timeout(rng.expovariate(1 / A_S))
        with slots.request() as slot:
            yield slot
            yield env.timeout(rng.expovariate(1 / TRANSFER_S))
            with pods_b.request() as pod:
                yield pod
                yield env.timeout(rng.expovariate(1 / B_S))

    for _ in range(JOBS):
        env.process(job())
    env.run()
    return env.now


def measure(model, runs):
    """What the runs gave, and the median time of one [s]."""
    values, times_s = [], []
    for seed in range(runs):
        begin = time.perf_counter()
        values.append(model(random.Random(seed)))
        times_s.append(time.perf_counter() - begin)
    return values, statistics.median(times_s)


def check(name, values, exact):
    """The mean, which lies within four standard errors of the exact one."""
    mean = statistics.fmean(values)
    error = statistics.stdev(values) / len(values) ** 0.5
    if abs(mean - exact) > 4 * error:
        sys.exit(f"mean {name} {mean} +- {error}, exact {exact}")
    return mean


waits_s, mm1_s = measure(mm1, RUNS)
makespans_s, burst_s = measure(burst, EPISODES)
print(
    json.dumps(
        {
            "simpy/mm1": mm1_s,
            "simpy/burst": burst_s,
            "mean_wait_s": check("wait", waits_s, MEAN_WAIT_S),
            "mean_makespan_s": check("makespan", makespans_s, MEAN_MAKESPAN_S),
        }
    )
)
