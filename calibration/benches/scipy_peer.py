"""SciPy's curve_fit at the fits of the benchmark: how long eight levels take it, and how often it fails.

The Monte Carlo: the eight published curves y = a * exp(-b * (pods - 2)) + c over 2..8 pods, 3 % noise, each time measured
once; curve_fit as it comes, starting at p0 = 1. The optimum it is held to is found by scanning b, for which the rest is a
straight line. Prints one line of JSON: seconds, and shares of the fits.
"""

import json
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.optimize import curve_fit

DRAWS = 50
NOISE = 0.03
CURVES = Path(__file__).parent.parent / "tests/fixtures/published_curves.csv"

warnings.filterwarnings("ignore")
pods = np.arange(2, 9)
t = pods - 2.0


def curve(pods, a, b, c):
    return a * np.exp(-b * (pods - 2)) + c


def least(y):
    """The least sum of squares over -20 <= 6 b <= 60."""

    def sse(beta):
        x = t if abs(beta) < 1e-9 else np.expm1(-beta * t / 6) / np.expm1(-beta)
        design = np.column_stack([np.ones_like(x), x])
        residual = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
        return residual @ residual

    scan = np.sinh(np.linspace(np.arcsinh(-20), np.arcsinh(60), 400))
    return min(sse(beta) for beta in scan)


rows = [line.split(",") for line in CURVES.read_text().splitlines() if not line.startswith("#")][1:]
truths = [curve(pods, *map(float, row[1:4])) for row in rows]
rng = np.random.default_rng(7)
raised = missed = infinite = 0
times_s = []
for _ in range(DRAWS):
    levels = [truth * (1 + NOISE * rng.standard_normal(len(pods))) for truth in truths]
    begin = time.perf_counter()
    fits = []
    for y in levels:
        try:
            fits.append(curve_fit(curve, pods, y))
        except RuntimeError:
            fits.append(None)
    times_s.append(time.perf_counter() - begin)
    for y, fit in zip(levels, fits):
        if fit is None:
            raised += 1
            continue
        parameters, covariance = fit
        residual = y - curve(pods, *parameters)
        missed += not residual @ residual <= least(y) * (1 + 1e-3)
        infinite += not np.all(np.isfinite(covariance))

fits = DRAWS * len(truths)
print(
    json.dumps(
        {
            "scipy/eight_levels": statistics.median(times_s),
            "scipy/raised": raised / fits,
            "scipy/missed": missed / fits,
            "scipy/infinite": infinite / fits,
        }
    )
)
