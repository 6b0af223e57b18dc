"""The environments, many at a time: one call into Rust steps them all."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from splitscale import _native
from splitscale.envs import Document, fitted_curves, mask_of, scaling, space_of

Obs = TypeVar("Obs")
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def vector_seed(seed: int, index: int) -> int:
    """The seed of environment ``index`` of a vector environment that was reset with ``seed``.

    It is drawn, and not ``seed + index``, so that neighbouring seeds share no environment.
    """
    return _native.Envs.seed_of(seed, index)


class VectorSnapshot:
    """A moment of a vector environment, chance included."""

    def __init__(self, native: _native.Envs) -> None:
        self._native = native


class RustVectorEnv(gymnasium.vector.VectorEnv[Obs, Any, Any], Generic[Obs]):
    """What both vector environments have in common.

    Observations are of shape (num_envs, ...), rewards float64, ``terminations`` and ``truncations`` bool, all of shape
    (num_envs,) and new at every call. ``metadata["autoreset_mode"]`` says what becomes of an episode that is over:

    - ``NEXT_STEP``: the next step resets it, ignores its action and pays 0; such a step is no transition.
    - ``SAME_STEP``: the same step resets it; ``infos["final_obs"]`` has its last observation.
    - ``DISABLED``: nothing; ``reset(options={"reset_mask": over})`` it.
    """

    def __init__(self, env: _native.Env, num_envs: int, autoreset_mode: AutoresetMode | str) -> None:
        mode = AutoresetMode(autoreset_mode)
        self._native = _native.Envs(env, num_envs, mode.value)
        self._same_step = mode is AutoresetMode.SAME_STEP
        self._seeded = False
        self._masked = env.masked
        self.num_envs = num_envs
        self.metadata = {"render_modes": [], "autoreset_mode": mode}
        self.single_observation_space = space_of(env.observation_space)
        self.single_action_space = space_of(env.action_space)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Obs, dict[str, Any]]:
        """Begins an episode everywhere, or where ``options["reset_mask"]``, bool of shape (num_envs,), says so.

        Args:
            seed: One seed, of which each environment's is drawn (``vector_seed``), or one each; ``None`` goes on.
            options: ``reset_mask``.
        """
        seeds = seed if isinstance(seed, list | tuple) else None
        one = None if seeds is not None else seed
        super().reset(seed=one)  # type: ignore[arg-type]
        mask = (options or {}).get("reset_mask")
        if seed is None and not self._seeded and mask is None:
            one = self.np_random_seed % 2**64  # type: ignore[operator]
        self._seeded = True
        seen = self._native.reset(one, None if seeds is None else list(seeds), mask)  # type: ignore[arg-type]
        return seen, self._infos()

    def step(self, actions: Any) -> tuple[Obs, Floats, Bools, Bools, dict[str, Any]]:
        """Takes an action everywhere: int64 of shape (num_envs,), or (num_envs, 2) for MultiDiscrete."""
        seen, rewards, terminated, truncated = self._native.step(actions)
        infos = self._infos()
        if self._same_step:
            over = terminated | truncated
            if over.any():
                final = np.full(self.num_envs, None, dtype=object)
                for index in np.flatnonzero(over):
                    final[index] = self._native.last(int(index))
                infos |= {"final_obs": final, "_final_obs": over, "final_info": {}, "_final_info": over.copy()}
        return seen, rewards, terminated, truncated, infos

    def snapshot(self) -> VectorSnapshot:
        """All environments as they stand."""
        return VectorSnapshot(self._native.copy())

    def restore(self, snapshot: VectorSnapshot) -> None:
        """Goes back to a snapshot of this problem, of as many environments."""
        self._native.assign(snapshot._native)
        self._seeded = True

    def _infos(self) -> dict[str, Any]:
        if not self._masked:
            return {}
        mask = mask_of(self._native.mask(), self.single_action_space)
        if isinstance(mask, tuple):
            # A pair an environment, as the environment itself has it and Gymnasium's own vectors gather it.
            pairs = np.empty(self.num_envs, dtype=object)
            for index, pair in enumerate(zip(*mask, strict=True)):
                pairs[index] = pair
            mask = pairs
        return {"action_mask": mask, "_action_mask": np.ones(self.num_envs, dtype=np.bool_)}


class FittedCurvesVectorEnv(RustVectorEnv[npt.NDArray[np.int64]]):
    """``FittedCurvesEnv``, many at a time; observations and actions are int64 of shape (num_envs,)."""

    def __init__(
        self,
        num_envs: int = 1,
        calibration: Document | None = None,
        *,
        alpha: float = 0.8,
        k_time: float = 0.3,
        k_pods: float = 0.1,
        noise: float | str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    ) -> None:
        super().__init__(fitted_curves(calibration, (alpha, k_time, k_pods), noise), num_envs, autoreset_mode)


class ScalingVectorEnv(RustVectorEnv[Floats]):
    """``ScalingEnv``, many at a time; observations are float64 of shape (num_envs, features)."""

    def __init__(
        self,
        num_envs: int = 1,
        problem: Document | None = None,
        *,
        flatten_actions: bool = False,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **settings: Any,
    ) -> None:
        super().__init__(scaling(problem, flatten_actions, settings), num_envs, autoreset_mode)

