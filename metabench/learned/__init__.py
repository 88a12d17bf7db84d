"""Learned optimizers, gradient-based meta-learning, how both are meta-trained, and the peers they are checked against.

Example:
    >>> import metabench
    >>> optimizer = metabench.learned.load("mlp-v1")(model.parameters())  # doctest: +SKIP
"""

from __future__ import annotations

from pathlib import Path

from metabench.learned.optimizers import OptimizerFactory, load_weights

__all__ = ["load"]


def load(name: str | Path, *, kind: str | None = None) -> OptimizerFactory:
    """A learned optimizer, ready to be given parameters.

    Args:
        name: a shipped name such as ``"mlp-v1"``, or a folder that ``metabench meta-train`` wrote.
        kind: the rule that is expected, ``"mlp"`` or ``"lstm"``; any if left out.

    Raises:
        ContentError: if there is no such optimizer, or its files are damaged.
        ArgumentError: if the weights are of another rule or version.
    """
    rule, weights, manifest = load_weights(name, kind)
    return OptimizerFactory(str(name), rule, weights, manifest)
