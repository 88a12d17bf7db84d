"""Trains a group of architectures by a learned optimizer, the benchmark's protocol aside from how steps are taken."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from metabench.datasets import Splits, Task
from metabench.learned.optimizers import OptimizerFactory
from metabench.seeding import torch_generator
from metabench.spaces import Architecture
from metabench.spaces.group import NetworkGroup
from metabench.training.measure import METRICS, EpochMeans, checkpoint
from metabench.training.tape import losses_and_gradients

__all__ = ["train_by"]


def _parameter_groups(network: NetworkGroup) -> list[tuple[Tensor, Sequence[Tensor]]]:
    """Parameters with the replicates that their leading axis stands for: all of them, or a part's."""
    every = (torch.arange(network.replicates), network.shared_parameters())
    return [every, *((part.rows, found) for part in network.parts if (found := list(part.block.parameters())))]


def _lose(groups: Sequence[tuple[Tensor, Sequence[Tensor]]], lost: Tensor) -> None:
    """Marks replicates with a gradient that is not finite, and sets all gradients of those marked to zero."""
    for rows, parameters in groups:
        for p in parameters:
            if p.grad is not None:
                lost[rows] |= ~torch.isfinite(p.grad.flatten(1)).all(1)
    if lost.any():  # a lost replicate must not stop the others
        for rows, parameters in groups:
            for p in parameters:
                if p.grad is not None:
                    p.grad[lost[rows]] = 0.0


def train_by(
    factory: OptimizerFactory,
    architectures: Sequence[Architecture],
    task: Task,
    splits: Splits,
    width: int,
    seeds: Sequence[int],
) -> tuple[np.ndarray, np.ndarray]:
    """Trains architectures from the initial weights and on the batches of the benchmark's protocol.

    Neither a schedule nor clipping: how far to go is the learned optimizer's to say. Each replicate is optimised as if
    it were alone; the blocks' calls are batched as in :func:`metabench.training.train_group`.

    Returns:
        float32 ``(architectures, seeds, epochs, 7)`` in the order of ``metabench.training.METRICS``, and thread-CPU
        seconds up to each epoch ``(architectures, seeds, epochs)``, of which each replicate has an equal share. A
        replicate whose loss or gradient is no longer finite has loss inf and scores 0 from there on.
    """
    protocol, shape = task.protocol, (len(architectures), len(seeds))
    network = NetworkGroup(architectures, splits.train_x.shape[1], splits.classes, width, seeds)
    groups = _parameter_groups(network)
    optimizer = factory([{"params": parameters} for _, parameters in groups], replicated=True)
    x, y = torch.from_numpy(splits.train_x), torch.from_numpy(splits.train_y)
    held_out = [torch.from_numpy(a) for a in (splits.val_x, splits.val_y, splits.test_x, splits.test_y)]
    orders = [torch_generator("data order", seed) for seed in seeds]
    used = len(x) // protocol.batch_size * protocol.batch_size
    values = np.full((network.replicates, len(protocol.checkpoints), len(METRICS)), np.nan, dtype=np.float32)
    seconds = np.zeros((network.replicates, len(protocol.checkpoints)), dtype=np.float32)
    lost, spent = torch.zeros(network.replicates, dtype=torch.bool), 0.0
    for epoch in range(1, protocol.epochs + 1):
        order = torch.stack([torch.randperm(len(x), generator=generator) for generator in orders])[:, :used]
        means = EpochMeans(network.replicates, x.device)
        for batch in order.split(protocol.batch_size, dim=1):
            start = time.thread_time()
            optimizer.zero_grad()
            losses, calls = losses_and_gradients(network, x[batch], y[batch])
            lost |= ~torch.isfinite(losses)
            _lose(groups, lost)
            optimizer.step()
            spent += (time.thread_time() - start) / network.replicates
            means.add(losses, calls, protocol.batch_size)
        if epoch in protocol.checkpoints:
            row = protocol.checkpoints.index(epoch)
            values[:, row] = checkpoint(network, means, held_out, lost).numpy()
            seconds[:, row] = spent
    return values.reshape(*shape, *values.shape[1:]), seconds.reshape(*shape, -1)
