"""Where to start from on each environment. Where the papers are silent, the choice is ours; so are wider batches."""

from __future__ import annotations

from typing import Any

from metabench.metarl.settings import Settings

__all__ = ["PRESETS", "preset"]

_GRID: dict[str, Any] = {"reward_decoder": "cell", "eval_copies": 1024}
# HyperX's own ratios of gradient steps to frames: 20 of PPO, on 400 transitions each, in 1,000; one of the bound and
# one of the novelty's predictor in 1,600. With a thirtieth of PPO's the policy is still all but uniform after 2 M.
_ROOMS: dict[str, Any] = {
    "copies": 64, "eval_copies": 960, "reward_decoder": "cell-value", "policy_layers": (64,), "latent": 10,
    "memory_width": 128, "entropy_weight": 0.1, "discount": 0.98, "kl_weight": 0.1, "decoder_layers": (64, 64),
    "state_bonus": 10.0, "reward_bonus": 1.0, "ppo_epochs": 8, "minibatches": 8, "vae_updates": 2,
    "novelty_batch": 128, "novelty_updates": 2,
}  # fmt: skip
# With the grid's clip of 0.05 the return is still negative after 20 M frames. With a smaller weight of the reward's
# error the decoder's bonus is mostly for treasures that come into sight and go: some agents never leave the mountain.
_TREASURE: dict[str, Any] = {
    "frames": 12_000_000, "train_split": "train", "eval_split": "held-out", "copies": 64, "memory_width": 128,
    "latent": 25, "policy_layers": (128, 128, 128), "decoder_layers": (128, 64), "discount": 0.97, "trace": 0.9,
    "clip": 0.2, "minibatches": 8, "learning_rate": 5e-4, "learning_rate_end": 0.1, "entropy_weight": 0.003,
    "entropy_end": 0.1, "vae_learning_rate_end": 0.1, "vae_updates": 4, "vae_batch": 15, "kl_weight": 1.0,
    "reward_weight": 0.1, "reward_depends_on": ("state", "action", "next_state"), "decode_states": True,
    "state_bonus": 1.0, "reward_bonus": 1.0, "reward_clip": 100.0, "bonus_clip": 1e6, "novelty_batch": 128,
    "novelty_updates": 4, "elbo_terms": 25, "elbo_decoded": 50, "buffer": 10_000,
}  # fmt: skip
_SPARSE: dict[str, Any] = {
    "train_split": "train", "eval_split": "held-out", "copies": 64, "policy_layers": (128, 128), "memory_width": 128,
    "decoder_layers": (64, 32), "discount": 0.99, "state_bonus": 0.01, "reward_bonus": 0.1,
    "elbo_terms": 25, "elbo_decoded": 100, "buffer": 20_000,
}  # fmt: skip
_BANDIT: dict[str, Any] = {
    "train_split": "train", "eval_split": "held-out", "eval_copies": 20_000, "evaluations": 20, "copies": 512,
    "reward_decoder": "action", "discount": 0.99, "policy_layers": (64,), "latent": 10, "clip": 0.1,
}  # fmt: skip
_TABULAR: dict[str, Any] = {
    "train_split": "train", "eval_split": "held-out", "copies": 64, "discount": 0.99, "policy_layers": (64,),
    "latent": 32, "memory_width": 128, "reward_depends_on": ("state", "action"), "decode_states": True,
    "elbo_terms": 25, "buffer": 20_000,
}  # fmt: skip

PRESETS: dict[str, dict[str, Any]] = {
    "grid-navigation-v0": _GRID,
    "room-navigation-v0": _ROOMS,
    "treasure-hunt-v0": _TREASURE,
    "sparse-point-v0": _SPARSE,
    "bandit-v0": _BANDIT,
    "tabular-mdp-v0": _TABULAR,
    "mdp-playground-v0": _TABULAR,
}
"""Environment -> what differs from the defaults. Where the papers are silent the choice is ours."""

_FOR_RL2: dict[str, Any] = {"memory_width": 128, "copies": 64, "clip": 0.1}


def preset(agent: str, env: str) -> Settings:
    """The settings to start from: of an environment, whatever its parameters; the defaults for others."""
    own = PRESETS.get(env.partition(":")[0], {})
    return Settings().changed({**(_FOR_RL2 if agent == "rl2" else {}), **own})
