"""Trains architectures, their seeds batched, and measures them at every checkpoint epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metabench.blocks.solving import SolveSettings
from metabench.datasets import Splits, Task
from metabench.seeding import torch_generator
from metabench.spaces.architecture import Architecture
from metabench.spaces.group import NetworkGroup
from metabench.training.clipping import clip_factor, scale_gradients, squared_norms
from metabench.training.clock import seconds_on
from metabench.training.measure import METRICS, EpochMeans, checkpoint
from metabench.training.tape import losses_and_gradients

__all__ = ["METRICS", "TrainingCurve", "one_cycle", "train", "train_group"]

_WARM_UP = 0.3  # fraction of the steps in which the learning rate rises
_START = 1 / 25  # of the peak
_END = 1e-4


@dataclass(frozen=True)
class TrainingCurve:
    """What was measured.

    Attributes:
        epochs: checkpoint epochs, ``(n_epochs,)``.
        values: float32 ``(n_seeds, n_epochs, n_metrics)`` in the order of ``METRICS``. A replicate whose loss became
            non-finite has training loss inf and scores 0 from there on.
        seconds: of each replicate up to each epoch, ``(n_seeds, n_epochs)``: this thread's CPU time or a GPU's time;
            the evaluations are left out. Of what was computed for several replicates at once each has a share: of a
            block's solve by its function evaluations, of all else equally.
    """

    epochs: tuple[int, ...]
    values: np.ndarray
    seconds: np.ndarray


def one_cycle(step: int, steps: int) -> float:
    """Factor of the peak learning rate at ``step`` of ``steps``: cosine up from 1/25, cosine down to 1e-4.

    Reference: Smith and Topin (2018), arXiv:1708.07120.
    """
    rise = max(1.0, _WARM_UP * steps)
    if step < rise:
        return _START + (1 - _START) * (1 - math.cos(math.pi * step / rise)) / 2
    return _END + (1 - _END) * (1 + math.cos(math.pi * (step - rise) / max(1.0, steps - rise))) / 2


def _peak_rates(network: NetworkGroup, rates: dict[str, float]) -> list[dict[str, Any]]:
    """Parameter groups by peak learning rate: a block's own, else the default."""
    groups: dict[float, list[Tensor]] = {rates["default"]: [*network.shared_parameters()]}
    for part in network.parts:
        rate = rates.get(part.name, rates["default"])
        groups.setdefault(rate, []).extend(part.block.parameters())
    return [{"params": groups[rate], "peak": rate} for rate in sorted(groups)]


class _Clip:
    """Clips each replicate's gradient norm over all its parameters; they have a leading replicate axis."""

    def __init__(self, network: NetworkGroup, limit: float) -> None:
        self.limit, self.replicates = limit, network.replicates
        self.whole = network.shared_parameters()
        self.parts = [(part, list(part.block.parameters())) for part in network.parts]

    def __call__(self) -> None:
        squares = squared_norms(self.whole)
        assert squares is not None  # the stem and the head always have gradients
        for part, parameters in self.parts:
            found = squared_norms(parameters)
            if found is not None:
                squares.index_add_(0, part.rows, found)
        factor = clip_factor(squares, self.limit)
        scale_gradients(self.whole, factor)
        for part, parameters in self.parts:
            scale_gradients(parameters, part.gather(factor))


def train(architecture: Architecture, task: Task, splits: Splits, width: int, seeds: Sequence[int]) -> TrainingCurve:
    """Trains one architecture; see :func:`train_group`."""
    return train_group([architecture], task, splits, width, seeds)[0]


def train_group(
    architectures: Sequence[Architecture],
    task: Task,
    splits: Splits,
    width: int,
    seeds: Sequence[int],
    device: torch.device | str = "cpu",
    *,
    weight_decay: float = 0.0,
    settings: SolveSettings | None = None,
) -> list[TrainingCurve]:
    """Trains each architecture by the task's protocol, once for each seed, all of them in one batch.

    A seed decides the initial weights and the order of the data, and nothing else; a replicate's result does not depend
    on which others are batched with it, up to rounding. Architectures that have the same block at the same stage share
    its calls, which is what makes a group cheaper than its members.

    Args:
        architectures: the blocks.
        task: its protocol is followed.
        splits: the task's arrays.
        width: state dimension.
        seeds: replicate numbers.
        device: where it is trained. Initial weights and data orders are drawn on the CPU, the same for every device.
        weight_decay: of all parameters, decoupled from the gradient: a step takes off learning rate x decay of each.
        settings: how all implicit blocks are solved; None leaves it to them.
    """
    protocol, device = task.protocol, torch.device(device)
    network = NetworkGroup(architectures, splits.train_x.shape[1], splits.classes, width, seeds, device, settings)
    replicates, shape = network.replicates, (len(architectures), len(seeds))
    groups = _peak_rates(network, protocol.learning_rate)
    if weight_decay:
        optimizer = torch.optim.AdamW(groups, lr=1e-3, weight_decay=weight_decay, fused=True)
    else:
        optimizer = torch.optim.Adam(groups, lr=1e-3, fused=True)
    clip = _Clip(network, protocol.gradient_clip)
    arrays = (splits.train_x, splits.train_y, splits.val_x, splits.val_y, splits.test_x, splits.test_y)
    x, y, *held_out = (torch.from_numpy(a).to(device) for a in arrays)
    orders = [torch_generator("data order", seed) for seed in seeds]
    batches = len(x) // protocol.batch_size
    values = np.full((replicates, len(protocol.checkpoints), len(METRICS)), np.nan, dtype=np.float32)
    seconds = np.zeros((replicates, len(protocol.checkpoints)))
    spent, step = torch.zeros(replicates, dtype=torch.float64, device=device), 0
    lost = torch.zeros(replicates, dtype=torch.bool, device=device)
    for epoch in range(1, protocol.epochs + 1):
        order = torch.stack([torch.randperm(len(x), generator=generator) for generator in orders]).to(device)
        means = EpochMeans(replicates, device)
        for batch in order[:, : batches * protocol.batch_size].split(protocol.batch_size, dim=1):
            start = seconds_on(device)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * one_cycle(step, protocol.epochs * batches)
            optimizer.zero_grad()
            losses, calls = losses_and_gradients(network, x[batch], y[batch])
            clip()
            optimizer.step()
            elapsed, in_blocks = seconds_on(device) - start, 0.0
            for call in calls:
                spent.index_add_(0, call.part.rows, call.seconds)
                in_blocks += float(call.seconds.sum())
            spent += max(elapsed - in_blocks, 0.0) / replicates
            means.add(losses, calls, protocol.batch_size)
            step += 1
        if epoch in protocol.checkpoints:
            row = protocol.checkpoints.index(epoch)
            values[:, row] = checkpoint(network, means, held_out, lost).cpu().numpy()
            seconds[:, row] = spent.cpu().numpy()
    curves, clocks = values.reshape(*shape, *values.shape[1:]), seconds.reshape(*shape, -1)
    return [TrainingCurve(protocol.checkpoints, *pair) for pair in zip(curves, clocks, strict=True)]
