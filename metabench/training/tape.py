"""One training step of a group of networks, stage by stage, so that each block's time is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from metabench.layers import SolveRecord
from metabench.spaces.group import NetworkGroup, Part
from metabench.training.clock import seconds_on

__all__ = ["Call", "losses_and_gradients"]


@dataclass
class Call:
    """One call of one block, forward and backward.

    Attributes:
        part: the block and its rows.
        record: per-sample record ``(rows, batch)``, with ``backward`` filled.
        seconds: forward and backward, of each row, ``(rows,)``: a row's share of the call is its share of the function
            evaluations.
    """

    part: Part
    record: SolveRecord
    seconds: Tensor


def _share(nfe: Tensor, seconds: float) -> Tensor:
    """``seconds`` divided by the evaluations ``(rows, batch)``: ``(rows,)``."""
    evaluations = nfe.sum(-1).double() + 1e-9
    return evaluations * (seconds / evaluations.sum())


def losses_and_gradients(network: NetworkGroup, x: Tensor, y: Tensor) -> tuple[Tensor, list[Call]]:
    """Forward and backward: cross-entropy of every replicate, and the gradients in ``.grad``.

    The chain rule is applied block by block, which is what one backward pass over all would do.

    Args:
        network: gradients are set, not added to: they must be None.
        x: inputs, one batch a seed, ``(seeds, batch, inputs)``.
        y: labels ``(seeds, batch)``.

    Returns:
        Losses ``(replicates,)`` and the calls.
    """
    stem = network.stem(x)
    h, tape = stem.detach(), list[list[tuple[Call, Tensor, Tensor]]]()
    for parts in network.stages:
        calls, ahead = [], h
        if not parts[0].whole:
            ahead = h.clone()
        for part in parts:
            start = seconds_on(h.device)
            leaf = part.gather(h).detach().requires_grad_()
            out, record = part.block(leaf)
            call = Call(part, record, _share(record.nfe, seconds_on(h.device) - start))
            if part.whole:
                ahead = out.detach()
            else:
                ahead.index_copy_(0, part.rows, out.detach())
            calls.append((call, leaf, out))
        tape.append(calls)
        h = ahead
    h.requires_grad_()
    logits = network.head(h)
    labels = y.expand(len(network.architectures), *y.shape).reshape(network.replicates, -1)
    losses = cross_entropy(logits.mT, labels, reduction="none").mean(-1)
    losses.sum().backward()
    gradient = h.grad
    assert gradient is not None
    for calls in reversed(tape):
        before = gradient if calls[0][0].part.whole else gradient.clone()
        for call, leaf, out in calls:
            start = seconds_on(h.device)
            torch.autograd.backward(out, call.part.gather(gradient))
            back = call.record.backward
            call.seconds += _share(call.record.nfe if back is None else back.nfe, seconds_on(h.device) - start)
            assert leaf.grad is not None
            if call.part.whole:
                before = leaf.grad
            else:
                before.index_copy_(0, call.part.rows, leaf.grad)
        gradient = before
    torch.autograd.backward(stem, gradient)
    return losses.detach(), [call for calls in tape for call, _, _ in calls]
