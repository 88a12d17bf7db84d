"""The tensors that a vector field closes over and that want a gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from metabench.errors import ArgumentError
from metabench.layers.ode.solver import VectorField

__all__ = ["captured_parameters"]


def _edge(value: Tensor) -> tuple[Any, int]:
    edge = get_gradient_edge(value)
    return edge.node, edge.output_nr


def _edges(value: Tensor, stop: set[tuple[Any, int]]) -> Iterator[Any]:
    """The graph's nodes behind ``value``, not going past the edges in ``stop``."""
    if not value.requires_grad:
        return
    waiting: list[Any] = [_edge(value)]
    seen = set()
    while waiting:
        node, output = waiting.pop()
        if node is None or (node, output) in stop or node in seen:
            continue
        seen.add(node)
        yield node
        waiting.extend(node.next_functions)


def captured_parameters(
    f: VectorField, t: float | Tensor, z: Tensor, declared: Sequence[Tensor] | None
) -> tuple[Tensor, ...]:
    """The tensors other than ``z`` that f(t, z) depends on, found in the graph of one evaluation.

    Args:
        f: vector field.
        t: any time in the form that ``f`` takes.
        z: any state ``(..., dim)``.
        declared: what the caller says they are; None looks for leaves.

    Raises:
        ArgumentError: if ``f`` depends on a tensor that ``declared`` lacks, or, without ``declared``, on one that is
            itself computed from others: gradients to those others would be wrong.
    """
    with torch.enable_grad():
        # Nodes made from here on belong to f; a lower number is older than this call.
        marker: Any = (torch.zeros((), requires_grad=True) * 1.0).grad_fn
        leaf = z.detach().requires_grad_()
        value = f(t, leaf)
        stop = {_edge(leaf)}
        wanted = tuple(p for p in declared or () if p.requires_grad)
        stop |= {_edge(p) for p in wanted}
    found: list[Tensor] = []
    for node in _edges(value, stop):
        if hasattr(node, "variable"):
            found.append(node.variable)
        elif node._sequence_nr() < marker._sequence_nr():
            raise ArgumentError(
                f"f closes over a tensor that was computed from others ({node.name()}); the continuous adjoint needs "
                "its parameters by name: ContinuousAdjoint(parameters=(...)) with that tensor among them."
            )
    if declared is None:
        return tuple(found)
    if found:
        shapes = ", ".join(str(tuple(p.shape)) for p in found)
        raise ArgumentError(
            f"f depends on {len(found)} tensor(s) of shape {shapes} that parameters= leaves out; their gradient would "
            "be lost. Add them, or detach them."
        )
    return wanted
