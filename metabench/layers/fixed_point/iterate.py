"""The loop that drives a fixed-point solver."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from metabench.layers.fixed_point.batch import Batch
from metabench.layers.fixed_point.compiled import compiled_iterate
from metabench.layers.fixed_point.mapping import Mapping
from metabench.layers.fixed_point.solver import FixedPointSolver, Take
from metabench.layers.record import SolveRecord
from metabench.layers.stopping import Tolerance

__all__ = ["iterate"]

_FEW = 16  # a batch of so few samples is not narrowed: nothing would be gained


class _Image:
    """A mapping as a solver sees it: the image alone; evaluations are counted."""

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self.calls = 0

    def __call__(self, z: Tensor) -> Tensor:
        self.calls += 1
        return self.mapping(z)[0]

    def at(self, take: Take) -> Callable[[Tensor], Tensor] | None:
        """The map of other samples, whose evaluations count here."""
        if not self.mapping.narrows:
            return None
        others = self.mapping.narrow(take)

        def image(z: Tensor) -> Tensor:
            self.calls += 1
            return others(z)[0]

        return image


@torch.no_grad()
def iterate(
    mapping: Mapping, z: Tensor, solver: FixedPointSolver, stopping: Tolerance, *, scale: Tensor | None = None
) -> tuple[Tensor, SolveRecord]:
    """Solves z = f(z) for every sample by itself.

    A sample ends at the first check at which its residual meets the tolerance or is not finite; its answer is then
    fixed, whatever its neighbours do. Where the mapping allows it, ended samples leave the batch when a quarter have
    ended.

    Args:
        mapping: the map, and the value that is read off at each iterate.
        z: initial iterate, ``(..., dim)``.
        solver: proposes the iterates.
        stopping: per-sample tolerance, step limit, and how often to check.
        scale: a size of the value, root-mean-square ``(...)``, that the relative tolerance refers to at least.

    Returns:
        The value ``(..., dim)`` and the per-sample record. A sample that became non-finite has the value of its last
        finite check, or the initial iterate.
    """
    if z.numel() == 0:
        return Batch(z, stopping, scale).result()
    solved = compiled_iterate(mapping, z, solver, stopping, scale)
    if solved is not None:
        return solved
    batch = Batch(z, stopping, scale)
    f, state, every = _Image(mapping), solver.init(z), stopping.check_every or solver.check_every
    for step in range(1, stopping.max_steps + 1):
        f.calls += 1
        image, value = f.mapping(z)
        last = step == stopping.max_steps
        check = last or step % every == 0
        if check and not batch.check(image - z, value, f.calls, step, last=last):
            break
        z, state = solver.step(f, z, image, state)
        kept = batch.surplus(_FEW) if check and f.mapping.narrows else None
        if kept is not None:
            take = batch.leave(kept)
            f.mapping, z, state = f.mapping.narrow(take), take(z), solver.select(state, take)
    return batch.result()
