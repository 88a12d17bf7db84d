"""Registers the shipped environments with gymnasium, under the namespace ``metabench``."""

from __future__ import annotations

__all__ = ["GYMNASIUM_IDS", "register"]

GYMNASIUM_IDS: dict[str, str] = {
    "grid-navigation-v0": "metabench/GridNavigation-v0",
    "room-navigation-v0": "metabench/RoomNavigation-v0",
    "treasure-hunt-v0": "metabench/TreasureHunt-v0",
    "sparse-point-v0": "metabench/SparsePoint-v0",
    "bandit-v0": "metabench/Bandit-v0",
    "tabular-mdp-v0": "metabench/TabularMDP-v0",
    "mdp-playground-v0": "metabench/MDPPlayground-v0",
}
"""Our id -> gymnasium's."""

_CONTROL = "metabench/SGDControl-v0"  # learning rate and momentum of SGD: dynamic algorithm configuration


def register() -> None:
    """Adds the environments to gymnasium's registry; nothing is built, and torch is not imported."""
    import gymnasium

    for task, identifier in GYMNASIUM_IDS.items():
        if identifier not in gymnasium.registry:
            gymnasium.register(
                identifier,
                entry_point="metabench.envs.make:make_single_environment",
                vector_entry_point="metabench.envs.make:make_environment",
                kwargs={"name": task},
            )
    if _CONTROL not in gymnasium.registry:
        gymnasium.register(
            _CONTROL,
            entry_point="metabench.learned.dac:SGDControl",
            vector_entry_point="metabench.learned.dac:SGDControlVector",
        )
