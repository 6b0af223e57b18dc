"""What was learnt in Python, as the policy document that ``splitscale scale`` puts before a live pipeline."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from splitscale import _native
from splitscale.envs import ScalingEnv

if TYPE_CHECKING:
    from stable_baselines3 import DQN, PPO

Array = npt.NDArray[Any]
Layers = Sequence[tuple[Array, Array]]


def export_policy(
    env: ScalingEnv,
    layers: Layers,
    *,
    mean: npt.ArrayLike = 0.0,
    std: npt.ArrayLike = 1.0,
    algorithm: str = "unknown",
    seed: int = 0,
    settings: str = "",
) -> str:
    """A network as a policy document (JSON): the action of the greatest output among those that may be taken.

    Its region, outside of which a live pipeline does not follow it, is where it goes in 64 episodes of ``env``.

    Args:
        env: The problem that it was trained on (``env.unwrapped``).
        layers: Weights of shape (outputs, inputs), as torch has them, and biases of shape (outputs,) of each layer, with a
            ReLU between layers. The first takes the features in their order, the last gives a value for each action, numbered
            as ``flatten_actions`` numbers them. Kept as float32.
        mean: What is taken from each feature, shape () or (features,).
        std: What each is divided by then, the same; above zero.
        algorithm: Its name, for people.
        seed: Seed of the training.
        settings: Everything else that the training was told; its hash goes into the document.
    """
    features = len(_native.feature_names())
    centre, spread = (np.broadcast_to(np.asarray(part, dtype=np.float64), features) for part in (mean, std))
    weights = [(np.asarray(w, dtype=np.float32), np.asarray(b, dtype=np.float32)) for w, b in layers]
    for at, (w, b) in enumerate(weights):
        if w.ndim != 2 or b.shape != w.shape[:1]:
            raise ValueError(
                f"layers[{at}]: weights of shape {w.shape} and biases of {b.shape}; they are (outputs, inputs), (outputs,)"
            )
        if at > 0 and w.shape[1] != weights[at - 1][0].shape[0]:
            raise ValueError(f"layers[{at}]: takes {w.shape[1]} inputs, and the layer before gives other ones")
    if not weights:
        raise ValueError("layers: empty; it takes at least one")
    sizes = [weights[0][0].shape[1], *(w.shape[0] for w, _ in weights)]
    parameters = np.concatenate([part for w, b in weights for part in (w.T.ravel(), b)])
    ranges = list(zip((centre - spread).tolist(), (centre + spread).tolist(), strict=True))
    return _native.export(env._native, sizes, parameters.tolist(), ranges, (algorithm, seed, settings))


def decide(document: str, observation: npt.ArrayLike) -> tuple[int, int]:
    """The pods of A and of B that a policy document (JSON) asks for, by an observation of Scaling, shape (features,).

    It is asked outside its region too; a live pipeline holds there.
    """
    return _native.decide(document, np.asarray(observation, dtype=np.float64).tolist())


def from_sb3(model: DQN | PPO, env: ScalingEnv | None = None) -> str:
    """The policy document of a DQN or PPO that Stable-Baselines3 trained on Scaling, by an ``MlpPolicy`` with ReLU
    (``policy_kwargs={"activation_fn": torch.nn.ReLU}`` for PPO).

    Where ``VecNormalize`` normalised its observations the document does so too; it does not clip them.

    Args:
        model: What was trained.
        env: The problem; left out, the one that the model holds.
    """
    from torch import nn

    if env is None:
        # Only what runs in this process has its environments at hand.
        held = getattr(getattr(model.get_env(), "unwrapped", None), "envs", None)
        if not held:
            raise ValueError("env: the model holds none in this process; name the one it was trained on")
        env = held[0].unwrapped
    policy: Any = model.policy
    modules = [*policy.q_net.q_net] if hasattr(policy, "q_net") else [*policy.mlp_extractor.policy_net, policy.action_net]
    linear, between = modules[::2], modules[1::2]
    if not all(isinstance(layer, nn.Linear) for layer in linear) or not all(isinstance(f, nn.ReLU) for f in between):
        raise ValueError(f"model: {modules} are no linear layers with ReLU between them; train it with activation_fn=ReLU")
    layers = [(layer.weight.detach().cpu().numpy(), layer.bias.detach().cpu().numpy()) for layer in linear]
    parts = getattr(model.action_space, "nvec", None)
    if parts is not None:
        # The greatest sum of two parts is where each is greatest: one output a pair.
        (w, b), (of_a, of_b) = layers[-1], parts
        pair_w = w[:of_a, None, :] + w[None, of_a:, :]
        pair_b = b[:of_a, None] + b[None, of_a:]
        layers[-1] = (pair_w.reshape(of_a * of_b, -1), pair_b.reshape(-1))
    mean, std = np.zeros(1), np.ones(1)
    normalised = model.get_vec_normalize_env()
    if normalised is not None and normalised.norm_obs:
        mean, std = normalised.obs_rms.mean, np.sqrt(normalised.obs_rms.var + normalised.epsilon)
    told = json.dumps({"timesteps": model.num_timesteps, "gamma": model.gamma})
    name = f"{type(model).__name__} of Stable-Baselines3"
    return export_policy(env, layers, mean=mean, std=std, algorithm=name, seed=model.seed or 0, settings=told)
