"""What a training has reached at a checkpoint epoch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metabench.spaces.group import NetworkGroup
from metabench.training.tape import Call

__all__ = ["METRICS", "EpochMeans", "checkpoint"]

METRICS = ("train_loss", "val_score", "test_score", "nfe_forward", "nfe_backward", "unconverged", "residual")

_ROWS = 9000  # samples of all replicates that are evaluated at once: they fit a CPU's cache
_ROWS_ELSEWHERE = 2_000_000


@torch.no_grad()
def _accuracy(network: NetworkGroup, x: Tensor, y: Tensor) -> Tensor:
    correct = torch.zeros(network.replicates, device=x.device)
    rows = _ROWS if x.device.type == "cpu" else _ROWS_ELSEWHERE
    chunk = max(1, min(1000, rows // network.replicates))
    for start in range(0, len(x), chunk):
        logits = network(x[start : start + chunk])
        correct += (logits.argmax(-1) == y[start : start + chunk]).sum(-1)
    return correct / len(x)


class EpochMeans:
    """Sums of the solver metrics over an epoch's steps, a replicate each."""

    def __init__(self, replicates: int, device: torch.device) -> None:
        self.sums = torch.zeros(5, replicates, device=device)
        self.steps = 0

    def add(self, losses: Tensor, calls: Sequence[Call], batch: int) -> None:
        """Adds a step: the losses ``(replicates,)`` and the blocks' calls, after the backward pass."""
        self.steps += 1
        self.sums[0] += losses
        missed = torch.zeros(len(losses), batch, dtype=torch.bool, device=losses.device)
        worst = torch.zeros_like(losses)
        for call in calls:
            rows, record = call.part.rows, call.record
            unconverged, back = ~record.converged, record.backward
            self.sums[1].index_add_(0, rows, record.nfe.float().mean(-1))
            if back is not None:
                self.sums[2].index_add_(0, rows, back.nfe.float().mean(-1))
                unconverged |= ~back.converged
            missed.index_copy_(0, rows, missed.index_select(0, rows) | unconverged)
            worst.index_copy_(0, rows, torch.maximum(worst.index_select(0, rows), record.residual.mean(-1)))
        self.sums[3] += missed.float().mean(-1)
        self.sums[4] += worst

    def means(self) -> Tensor:
        """Loss, forward NFE, backward NFE, unconverged, residual: ``(5, replicates)``."""
        return self.sums / max(self.steps, 1)


def checkpoint(network: NetworkGroup, means: EpochMeans, held_out: Sequence[Tensor], lost: Tensor) -> Tensor:
    """The metrics of every replicate at the end of an epoch, ``(replicates, metrics)`` in the order of ``METRICS``.

    Args:
        network: the networks.
        means: of the epoch.
        held_out: validation inputs and labels, test inputs and labels.
        lost: replicates ``(replicates,)`` that are no longer finite; those whose loss is not are added.
    """
    loss, forward, backward, unconverged, residual = means.means()
    lost = lost | ~torch.isfinite(loss)
    val, test = (_accuracy(network, *pair).masked_fill(lost, 0.0) for pair in (held_out[:2], held_out[2:]))
    columns = (loss.masked_fill(lost, torch.inf), val, test, forward, backward, unconverged)
    return torch.stack([*columns, residual.nan_to_num(posinf=0.0)], -1)
