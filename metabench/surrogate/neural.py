"""The rival: a small ensemble of networks, each giving all metrics at all epochs at once."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from metabench.seeding import torch_generator
from metabench.surrogate.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Layers", "fit_networks", "predict_networks"]

Layers = list[tuple[np.ndarray, np.ndarray]]
"""Weights ``(inputs, outputs)`` and biases ``(outputs,)`` of each layer, float32."""

_RATE, _DECAY, _DROPOUT = 3e-3, 1e-3, 0.1


def _silu(x: np.ndarray) -> np.ndarray:
    return x / (1.0 + np.exp(-np.maximum(x, -80.0)))  # exp(80) still fits float32


def fit_networks(
    features: np.ndarray, targets: np.ndarray, weights: np.ndarray, settings: Settings, kept_from: np.ndarray
) -> list[Layers]:
    """Fits the members by Adam on the weighted squared error, full batch, cosine rate, with dropout (deterministic).

    Args:
        features: ``(n, n_features)``.
        targets: ``(n, outputs)``; NaN is left out.
        weights: replicates behind each target, same shape.
        settings: of the fit.
        kept_from: :func:`metabench.surrogate.settings.left_out`.
    """
    import torch
    from torch.nn import functional

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small products: more threads only wait for each other
    try:
        known = ~np.isnan(targets)
        x = torch.from_numpy(features)
        y = torch.from_numpy(np.where(known, targets, 0.0).astype(np.float32))
        w = torch.from_numpy((weights * known / max(weights.max(), 1)).astype(np.float32))
        sizes = [features.shape[1], settings.hidden, settings.hidden, targets.shape[1]]
        members = []
        for member in range(settings.members):
            rows = torch.from_numpy(np.flatnonzero(~kept_from[:, member]))
            generator = torch_generator("surrogate", "network", settings.seed, member)
            flat: list[Tensor] = []
            for inputs, outputs in pairwise(sizes):
                flat.append(torch.randn(inputs, outputs, generator=generator) * inputs**-0.5)
                flat.append(torch.zeros(outputs))
            for tensor in flat:
                tensor.requires_grad_()
            optimizer = torch.optim.AdamW(flat, lr=_RATE, weight_decay=_DECAY)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
            data, wanted, counted = x[rows], y[rows], w[rows]
            for _ in range(settings.steps):
                h = data
                for weight, bias in ((flat[0], flat[1]), (flat[2], flat[3])):
                    h = functional.silu(h @ weight + bias)
                    h = h * (torch.rand(h.shape, generator=generator) > _DROPOUT) / (1.0 - _DROPOUT)
                loss = (counted * (h @ flat[4] + flat[5] - wanted) ** 2).sum() / counted.sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            arrays = [tensor.detach().numpy() for tensor in flat]
            members.append([(arrays[i], arrays[i + 1]) for i in (0, 2, 4)])
        return members
    finally:
        torch.set_num_threads(threads)


def predict_networks(members: list[Layers], features: np.ndarray) -> np.ndarray:
    """Predictions of each member, ``(members, n, outputs)``; needs no torch."""
    out = []
    for layers in members:
        h = features
        for weight, bias in layers[:-1]:
            h = _silu(h @ weight + bias)
        out.append(h @ layers[-1][0] + layers[-1][1])
    return np.stack(out).astype(np.float64)
