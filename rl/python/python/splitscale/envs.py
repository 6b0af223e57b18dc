"""The environments, one at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from splitscale import _native

Obs = TypeVar("Obs")
Document = str | os.PathLike[str] | Mapping[str, Any]
Mask = npt.NDArray[np.int8] | tuple[npt.NDArray[np.int8], ...]


class Snapshot:
    """A moment of an environment, chance included; ``restore`` goes back to it as often as one likes."""

    def __init__(self, native: _native.Env) -> None:
        self._native = native


class RustEnv(gymnasium.Env[Obs, Any], Generic[Obs]):
    """What both environments have in common.

    ``reset(seed=s)`` begins the stream of chance that Rust begins under ``s`` (0 to 2**64 - 1): the same actions then bring
    the same steps, bit for bit. ``reset()`` goes on with the stream; the very first takes a seed from the system, as in
    Gymnasium.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, native: _native.Env) -> None:
        self._native = native
        self._seeded = False
        self._masked = native.masked
        self.observation_space = space_of(native.observation_space)
        self.action_space = space_of(native.action_space)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Obs, dict[str, Any]]:
        """Begins an episode. There are no options."""
        super().reset(seed=seed)
        if seed is None and not self._seeded:
            seed = self.np_random_seed % 2**64
        self._seeded = True
        return self._native.reset(seed), self._info()

    def step(self, action: Any) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        """Takes an action.

        Raises gymnasium.error.ResetNeeded where the episode is over, and gymnasium.error.InvalidAction where the action does
        not lie in the action space.
        """
        seen, reward, terminated, truncated = self._native.step(action)
        return seen, reward, terminated, truncated, self._info()

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """What may be done now, flat as sb3-contrib's MaskablePPO takes it: shape (n,) or, for MultiDiscrete, (sum of n,)."""
        mask = mask_of(self._native.mask(), self.action_space)
        return np.concatenate(mask).astype(np.bool_) if isinstance(mask, tuple) else mask.astype(np.bool_)

    def snapshot(self) -> Snapshot:
        """The environment as it stands. Wrappers are no part of it: ``env.unwrapped.snapshot()``."""
        return Snapshot(self._native.copy())

    def restore(self, snapshot: Snapshot) -> None:
        """Goes back to a snapshot of this problem. Both go on alike, and do not touch each other."""
        self._native.assign(snapshot._native)
        self._seeded = True

    def _info(self) -> dict[str, Any]:
        return {"action_mask": mask_of(self._native.mask(), self.action_space)} if self._masked else {}


class FittedCurvesEnv(RustEnv[int]):
    """The original's one-step problem: see the traffic level, choose the pods of both stages, pay for time and pods.

    An observation is ``Discrete``: the number of the level (of transfer slots), lowest first. An action is ``Discrete``: the
    number of the choice of pods, fewest first. The one step pays
    ``-(alpha * exp(k_time * time_s) + (1 - alpha) * exp(k_pods * pods))`` and terminates.

    Args:
        calibration: A calibration document: a file, its JSON, or a dict. Left out: the eight curves that the original work
            published, over 2 to 8 pods.
        alpha: Weight of time against pods, in [0, 1].
        k_time: Growth with time [1/s].
        k_pods: Growth with pods [1/pod].
        noise: Coefficient of variation of a time around its curve, in [0, 0.5], or ``"measured"``: that of the repeats.
    """

    def __init__(
        self,
        calibration: Document | None = None,
        *,
        alpha: float = 0.8,
        k_time: float = 0.3,
        k_pods: float = 0.1,
        noise: float | str | None = None,
    ) -> None:
        super().__init__(fitted_curves(calibration, (alpha, k_time, k_pods), noise))


class ScalingEnv(RustEnv[npt.NDArray[np.float64]]):
    """The simulator: pods of both stages are chosen every few seconds, while traffic and link move.

    An observation is ``Box(float64, (n,))``: what the live loop would see, by the names of ``splitscale.feature_names()``
    (durations [s], rates [1/s], bandwidth [Mbit/s]). An action is ``MultiDiscrete``: of A and of B the number of pods above the
    fewest, or, with ``actions = "step"`` in the problem, one less, as many, one more; then ``info["action_mask"]`` says what may
    be done, in the form that ``action_space.sample`` takes. The reward is minus what the interval cost. An episode is
    truncated after its last decision and never terminates.

    Args:
        problem: A problem: a TOML file, its text, or a dict. Left out: one that is compiled in.
        flatten_actions: Actions are ``Discrete``, the part of A counting slowest: for agents that take nothing else.
        settings: Fields of the problem's table ``problem`` that are to differ: ``actions="step"``, ``decide_every_s=2.0`` [s],
            ``decisions=100``, ``slo_s=1.0`` [s], ``cost={"miss_weight": 2.0, "churn_weight": 0.0}``, ...
    """

    def __init__(
        self, problem: Document | None = None, *, flatten_actions: bool = False, **settings: Any
    ) -> None:
        super().__init__(scaling(problem, flatten_actions, settings))


def fitted_curves(
    calibration: Document | None, reward: tuple[float, float, float], noise: float | str | None
) -> _native.Env:
    """FittedCurves in Rust."""
    if isinstance(noise, str):
        if noise != "measured":
            raise ValueError(f"noise: {noise!r} is neither a number nor 'measured'")
        noise = -1.0
    elif noise is not None and noise < 0.0:
        raise ValueError(f"noise: {noise} is not in [0, 0.5]")
    text, _, name = (None, Path(), "") if calibration is None else _text(calibration, ".json")
    with _named(name):
        return _native.Env.fitted_curves(text, reward, noise)


def scaling(problem: Document | None, flatten_actions: bool, settings: Mapping[str, Any]) -> _native.Env:
    """Scaling in Rust."""
    for name in settings.keys() - _SETTINGS:
        # As Python says it: who tries whether there is a render_mode expects a TypeError.
        raise TypeError(f"Scaling got an unexpected keyword argument {name!r}; there are {sorted(_SETTINGS)}")
    text, folder, name = (None, Path(), "") if problem is None else _text(problem, ".toml")
    with _named(name):
        return _native.Env.scaling(text, _text(settings, "")[0], folder, flatten_actions)


def space_of(described: _native.Described) -> spaces.Space[Any]:
    """A space as Gymnasium has it."""
    match described:
        case ("discrete", int(n)):
            return spaces.Discrete(n)
        case ("multi_discrete", parts):
            return spaces.MultiDiscrete(np.asarray(parts))
        case (_, low, high):
            return spaces.Box(np.array(low), np.array(high), dtype=np.float64)
    raise TypeError(f"no space: {described!r}")


def mask_of(joint: npt.NDArray[np.int8], space: spaces.Space[Any]) -> Mask:
    """The mask of joint actions, shape (..., actions), as the space has it: a part each for MultiDiscrete."""
    if not isinstance(space, spaces.MultiDiscrete):
        return joint
    # What may be done at one stage does not depend on the other: a part is allowed where it is with any other.
    parts = joint.reshape(*joint.shape[:-1], *space.nvec)
    return parts.max(axis=-1), parts.max(axis=-2)


def _text(document: Document, suffix: str) -> tuple[str, Path, str]:
    """A document's text, the folder in which the files that it names lie, and the file's name if it is one."""
    if isinstance(document, Mapping):
        return json.dumps(document, default=lambda value: value.item()), Path(), ""
    if isinstance(document, str) and ("\n" in document or not document.endswith(suffix)):
        return document, Path(), ""
    path = Path(document)
    return path.read_text(encoding="utf-8"), path.parent, str(path)


@contextmanager
def _named(file: str) -> Iterator[None]:
    """Says in which file it is, where something is wrong with a document."""
    try:
        yield
    except ValueError as wrong:
        if not file:
            raise
        raise ValueError(f"{file}: {wrong}") from None


_SETTINGS = {
    *("actions", "cost", "decide_every_s", "decisions", "pods_max"),
    *("pods_min", "reward", "scrape_every_s", "slo_s", "window_s"),
}
