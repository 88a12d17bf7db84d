"""What the small MLP optimizer sees: accumulators of the gradients, and the 28 features of an entry made from them.

The entries of all tensors stand side by side in one long axis, so that what is done to every entry is done once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["DECAYS", "DENSE", "SHARED", "Features", "Memory", "factored_axes", "fresh", "look", "remember"]

DECAYS = (0.9, 0.99, 0.999)
"""Of the momenta, and of the factored second moments."""
DENSE = 16
"""Features that differ from entry to entry."""
SHARED = 6
"""Features that rows share, and as many that columns share."""

_SECOND_DECAY = 0.999
_EPSILON = 1e-5  # of the normalisation by the rms
_ROOT_EPSILON = 1e-8  # under reciprocal roots


def factored_axes(shape: torch.Size) -> tuple[int, int] | None:
    """The two longest axes, ascending; None for fewer than two axes. Of equally long ones the later are taken."""
    if len(shape) < 2:
        return None
    first, second = sorted(range(len(shape)), key=lambda axis: (shape[axis], axis))[-2:]
    return min(first, second), max(first, second)


def _shared_shapes(shape: torch.Size) -> tuple[torch.Size, torch.Size]:
    """Of the row accumulator, a mean over the later factored axis, and the column accumulator, over the earlier."""
    axes = factored_axes(shape)
    if axes is None:
        return shape, shape
    row, column = (torch.Size([1 if i == axis else n for i, n in enumerate(shape)]) for axis in reversed(axes))
    return row, column


@dataclass(frozen=True)
class Memory:
    """Accumulators of several tensors, those of one beside those of the next.

    Attributes:
        shapes: of the tensors.
        steps: taken with each, ``(tensors,)``.
        momenta: ``(3, entries)``.
        second: second moment, ``(entries,)``.
        rows: factored second moments, ``(3, row entries)``.
        columns: likewise, ``(3, column entries)``.
    """

    shapes: tuple[torch.Size, ...]
    steps: Tensor
    momenta: Tensor
    second: Tensor
    rows: Tensor
    columns: Tensor

    def parts(self) -> list[dict[str, Tensor]]:
        """Each tensor's own, in memory of its own."""
        shapes, pairs = self.shapes, [_shared_shapes(shape) for shape in self.shapes]
        found: dict[str, list[Tensor]] = {
            "step": [step.clone() for step in self.steps.unbind()],
            "momenta": _cut(self.momenta, shapes),
            "second": _cut(self.second, shapes),
            "rows": _cut(self.rows, [row for row, _ in pairs]),
            "columns": _cut(self.columns, [column for _, column in pairs]),
        }
        return [{key: values[i].clone() for key, values in found.items()} for i in range(len(shapes))]


def fresh(value: Tensor) -> dict[str, Tensor]:
    """The accumulators of a tensor before its first gradient."""
    row, column = _shared_shapes(value.shape)
    return {
        "step": value.new_zeros(()),
        "momenta": value.new_zeros(len(DECAYS), *value.shape),
        "second": torch.zeros_like(value),
        "rows": value.new_zeros(len(DECAYS), *row),
        "columns": value.new_zeros(len(DECAYS), *column),
    }


def remember(grads: Sequence[Tensor], memories: Sequence[dict[str, Tensor]]) -> Memory:
    """Updates accumulators with the gradients of their tensors."""
    shapes = tuple(grad.shape for grad in grads)
    g = _join(grads, 0)
    square = g.square()
    rows, columns = [], []
    for part in _cut(square, shapes):
        axes = factored_axes(part.shape)
        rows.append(part if axes is None else part.mean(axes[1]))
        columns.append(part if axes is None else part.mean(axes[0]))
    decay = g.new_tensor(DECAYS)[:, None]

    def towards(key: str, new: Tensor) -> Tensor:
        return torch.lerp(new, _join([memory[key] for memory in memories], 1), decay)

    second = _join([memory["second"] for memory in memories], 0)
    return Memory(
        shapes,
        torch.stack([memory["step"] for memory in memories]) + 1,
        towards("momenta", g),
        _SECOND_DECAY * second + (1 - _SECOND_DECAY) * square,
        towards("rows", _join(rows, 0)),
        towards("columns", _join(columns, 0)),
    )


@dataclass(frozen=True)
class Features:
    """Features of each tensor, not yet normalised, and what they are to be multiplied by.

    Attributes:
        dense: ``(16, entries)`` each.
        rows: ``(6, *shape)`` each, with an axis of 1 that rows share.
        columns: likewise.
        dense_scales: reciprocal root mean squares over the tensor, ``(tensors, 16)``.
        row_scales: ``(tensors, 6)``.
        column_scales: ``(tensors, 6)``.
    """

    dense: list[Tensor]
    rows: list[Tensor]
    columns: list[Tensor]
    dense_scales: Tensor
    row_scales: Tensor
    column_scales: Tensor


def look(params: Sequence[Tensor], grads: Sequence[Tensor], memory: Memory) -> Features:
    """The features of parameters whose gradients have been remembered."""
    pairs = [_shared_shapes(shape) for shape in memory.shapes]
    row_shapes, column_shapes = [row for row, _ in pairs], [column for _, column in pairs]
    row_roots, column_roots = _rsqrt(memory.rows), _rsqrt(memory.columns)
    factors = []
    cuts = (_cut(memory.rows, row_shapes), _cut(row_roots, row_shapes), _cut(column_roots, column_shapes))
    for shape, rows, row_root, column_root in zip(memory.shapes, *cuts, strict=True):
        axes = factored_axes(shape)
        if axes is None:
            factors.append(row_root)
            continue
        mean = rows.mean(1 + axes[0], keepdim=True)
        factors.append(_rsqrt(rows / (mean + _ROOT_EPSILON)) * column_root)
    g, root, factor = _join(grads, 0), _rsqrt(memory.second), _join(factors, 1)
    dense = torch.cat(
        [
            torch.stack([g, _join(params, 0)]),
            memory.momenta,
            memory.second[None],
            memory.momenta * root,
            root[None],
            g * factor,
            memory.momenta * factor,
        ]
    )
    each = list(dense.split([shape.numel() for shape in memory.shapes], dim=1))
    rows = _cut(torch.cat([memory.rows, row_roots]), row_shapes)
    columns = _cut(torch.cat([memory.columns, column_roots]), column_shapes)
    return Features(each, rows, columns, _scales(each), _scales(rows), _scales(columns))


def _scales(features: Sequence[Tensor]) -> Tensor:
    """The reciprocal root mean square of each feature ``(k, ...)`` of each tensor, ``(tensors, k)``."""
    norms = torch.stack([torch.linalg.vector_norm(part.reshape(len(part), -1), dim=1) for part in features])
    counts = norms.new_tensor([part[0].numel() for part in features])[:, None]
    return torch.rsqrt(norms.square() / counts + _EPSILON)


def _rsqrt(x: Tensor) -> Tensor:
    return torch.rsqrt(x + _ROOT_EPSILON)


def _join(parts: Sequence[Tensor], axis: int) -> Tensor:
    """Everything from ``axis`` on flattened, and side by side."""
    return torch.cat([part.reshape(*part.shape[:axis], -1) for part in parts], dim=axis)


def _cut(joined: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    """The inverse of :func:`_join`, of the last axis."""
    parts = joined.split([shape.numel() for shape in shapes], dim=-1)
    return [part.reshape(joined.shape[:-1] + shape) for part, shape in zip(parts, shapes, strict=True)]
