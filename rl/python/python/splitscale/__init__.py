"""Split inference as Gymnasium environments: how many pods are worth having behind a link.

>>> import gymnasium, splitscale
>>> env = gymnasium.make("splitscale/Scaling-v0")
>>> observation, info = env.reset(seed=1)

``splitscale/FittedCurves-v0`` is the original's one-step problem on fitted curves, ``splitscale/Scaling-v0`` the simulator of
the whole pipeline. Both are written in Rust, both are native vector environments too (``gymnasium.make_vec``). Times are
seconds, bandwidths Mbit/s, rewards minus costs.
"""

from gymnasium.envs.registration import register

from splitscale._native import feature_names
from splitscale.envs import FittedCurvesEnv, ScalingEnv, Snapshot
from splitscale.policy import decide, export_policy, from_sb3
from splitscale.vector import FittedCurvesVectorEnv, ScalingVectorEnv, vector_seed

__all__ = [
    "FittedCurvesEnv",
    "FittedCurvesVectorEnv",
    "ScalingEnv",
    "ScalingVectorEnv",
    "Snapshot",
    "decide",
    "export_policy",
    "feature_names",
    "from_sb3",
    "vector_seed",
]

for _name in ("FittedCurves", "Scaling"):
    register(
        id=f"splitscale/{_name}-v0",
        entry_point=f"splitscale.envs:{_name}Env",
        vector_entry_point=f"splitscale.vector:{_name}VectorEnv",
    )
