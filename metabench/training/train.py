"""Trains one architecture, its seeds batched, and measures it at every checkpoint epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from metabench.datasets import Splits, Task
from metabench.layers import SolveRecord
from metabench.seeding import torch_generator
from metabench.spaces.architecture import Architecture
from metabench.spaces.network import Network

__all__ = ["METRICS", "TrainingCurve", "one_cycle", "train"]

METRICS = ("train_loss", "val_score", "test_score", "nfe_forward", "nfe_backward", "unconverged", "residual")

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
        seconds: process-CPU seconds a replicate up to each epoch, the evaluations left out, ``(n_epochs,)``.
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


def _clip(parameters: Sequence[Tensor], limit: float) -> None:
    """Clips each replicate's gradient norm; the gradients have a leading replicate axis."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    squares = torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0)
    factor = (limit / (squares.sqrt() + 1e-12)).clamp_max(1.0)
    for gradient in gradients:
        gradient.mul_(factor.view(-1, *[1] * (gradient.ndim - 1)))


@torch.no_grad()
def _accuracy(network: Network, x: Tensor, y: Tensor, replicates: int, chunk: int = 1000) -> Tensor:
    correct = torch.zeros(replicates)
    for start in range(0, len(x), chunk):
        part = x[start : start + chunk]
        logits, _ = network(part.expand(replicates, *part.shape))
        correct += (logits.argmax(-1) == y[start : start + chunk]).sum(-1)
    return correct / len(x)


class _EpochMeans:
    """Sums of the solver metrics over an epoch's steps, a replicate each."""

    def __init__(self, replicates: int) -> None:
        self.sums = torch.zeros(5, replicates)
        self.steps = 0

    def add(self, loss: Tensor, records: Sequence[SolveRecord]) -> None:
        """Adds a step: the loss ``(replicates,)`` and one record a block, read after the backward pass."""
        self.steps += 1
        self.sums[0] += loss
        if not records:
            return
        missed = torch.zeros_like(records[0].status, dtype=torch.bool)
        worst = torch.zeros_like(loss)
        for record in records:
            self.sums[1] += record.nfe.float().mean(-1)
            missed = missed | ~record.converged
            worst = torch.maximum(worst, record.residual.mean(-1))
            if record.backward is not None:
                self.sums[2] += record.backward.nfe.float().mean(-1)
                missed = missed | ~record.backward.converged
        self.sums[3] += missed.float().mean(-1)
        self.sums[4] += worst

    def means(self) -> Tensor:
        """Loss, forward NFE, backward NFE, unconverged, residual: ``(5, replicates)``."""
        return self.sums / max(self.steps, 1)


def train(architecture: Architecture, task: Task, splits: Splits, width: int, seeds: Sequence[int]) -> TrainingCurve:
    """Trains ``architecture`` by the task's protocol, once for each seed, all seeds in one batch.

    A seed decides the initial weights and the order of the data, and nothing else; a replicate's result does not depend
    on which others are batched with it, up to rounding.

    Args:
        architecture: the blocks.
        task: its protocol is followed.
        splits: the task's arrays.
        width: state dimension.
        seeds: replicate numbers.
    """
    protocol, replicates = task.protocol, len(seeds)
    network = Network(architecture, splits.train_x.shape[1], splits.classes, width, seeds)
    rates, named = protocol.learning_rate, list(network.named_parameters())
    peak = {
        name: rates.get(architecture.blocks[int(name.split(".")[1])], rates["default"])
        if name.startswith("blocks.")
        else rates["default"]
        for name, _ in named
    }
    groups = [
        {"params": [p for name, p in named if peak[name] == rate], "peak": rate} for rate in sorted(set(peak.values()))
    ]
    optimizer = torch.optim.Adam(groups, lr=1e-3, fused=True)
    x, y = torch.from_numpy(splits.train_x), torch.from_numpy(splits.train_y)
    held_out = [torch.from_numpy(a) for a in (splits.val_x, splits.val_y, splits.test_x, splits.test_y)]
    orders = [torch_generator("data order", seed) for seed in seeds]
    batches = len(x) // protocol.batch_size
    values = np.full((replicates, len(protocol.checkpoints), len(METRICS)), np.nan, dtype=np.float32)
    seconds = np.zeros(len(protocol.checkpoints))
    spent, step = 0.0, 0
    for epoch in range(1, protocol.epochs + 1):
        start = time.process_time()
        order = torch.stack([torch.randperm(len(x), generator=generator) for generator in orders])
        means = _EpochMeans(replicates)
        for batch in order[:, : batches * protocol.batch_size].split(protocol.batch_size, dim=1):
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * one_cycle(step, protocol.epochs * batches)
            logits, records = network(x[batch])
            losses = cross_entropy(logits.mT, y[batch], reduction="none").mean(-1)
            optimizer.zero_grad()
            losses.sum().backward()
            _clip(list(network.parameters()), protocol.gradient_clip)
            optimizer.step()
            means.add(losses.detach(), records)
            step += 1
        spent += time.process_time() - start
        if epoch in protocol.checkpoints:
            row = protocol.checkpoints.index(epoch)
            loss, forward, backward, unconverged, residual = means.means()
            val = _accuracy(network, held_out[0], held_out[1], replicates)
            test = _accuracy(network, held_out[2], held_out[3], replicates)
            diverged = ~torch.isfinite(loss)
            loss = torch.where(diverged, float("inf"), loss)
            val, test = val.masked_fill(diverged, 0.0), test.masked_fill(diverged, 0.0)
            columns = torch.stack(
                [loss, val, test, forward, backward, unconverged, residual.nan_to_num(posinf=0.0)], -1
            )
            values[:, row] = columns.numpy()
            seconds[row] = spent / replicates
    return TrainingCurve(protocol.checkpoints, values, seconds)
