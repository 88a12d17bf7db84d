"""One evaluation with a graph at a solved value, and what depends on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from metabench.errors import DifferentiationError
from metabench.layers.record import SolveRecord, SolveStatus

__all__ = ["attached_image", "depends_on_others", "require_same", "spare_diverged"]

_ROUNDING = 256.0  # multiples of the dtype's resolution by which two evaluations of one map may differ


def spare_diverged(
    record: SolveRecord, tensors: Sequence[Tensor] | None
) -> tuple[Tensor | None, Sequence[Tensor] | None]:
    """Zeros in the place of diverged samples: 0 times NaN is NaN, and would reach the weights that samples share.

    Returns:
        The mask ``(..., 1)`` of diverged samples, None if there are none, and the ``tensors`` ``(..., k)``.
    """
    diverged = record.status == SolveStatus.DIVERGED.code
    if not bool(diverged.any()):
        return None, tensors
    bad = diverged[..., None]
    return bad, None if tensors is None else [x.masked_fill(bad, 0.0) for x in tensors]


def attached_image(
    f: Callable[..., Tensor], value: Tensor, inputs: Sequence[Tensor] | None, record: SolveRecord
) -> tuple[Tensor, Tensor | None]:
    """Evaluates ``f`` at ``value`` ``(..., dim)``, a constant or a leaf, with a graph, and counts it.

    Returns:
        The image, and the mask ``(..., 1)`` of diverged samples, whose image is their value and passes no gradient on;
        None if there are none.
    """
    record.nfe = record.nfe + 1
    bad, safe = spare_diverged(record, inputs)
    if bad is None:
        return f(value, *(safe or ())), None
    return torch.where(bad, value.detach(), f(value.masked_fill(bad, 0.0), *(safe or ()))), bad


def depends_on_others(image: Tensor, leaf: Tensor) -> bool:
    """Whether anything but ``leaf`` asks for a gradient of ``image``."""
    waiting: list[Any] = [image.grad_fn]
    seen: set[Any] = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable") and node.variable is not leaf:
            return True
        waiting.extend(following for following, _ in node.next_functions)
    return unpack_dual(image).tangent is not None


def require_same(
    image: Tensor, again: Tensor, bad: Tensor | None, what: str, instead: str = "Unrolled() or Phantom()"
) -> None:
    """Refuses a map that is another one in the backward pass than it was in the forward pass.

    The adjoint evaluates the map again. With ``torch.func.functional_call`` the parameters are the module's own ones by
    then, after an optimizer's step they have moved, and with dropout they are drawn anew: the gradient would be wrong.

    Args:
        image: f at the solution in the forward pass, ``(..., dim)``.
        again: the same in the backward pass.
        bad: mask ``(..., 1)`` of samples that are left out, or None.
        what: the adjoint's name.
        instead: adjoints that evaluate f in the forward pass only.

    Raises:
        DifferentiationError: if they differ by more than rounding.
    """
    image = image.detach()
    if torch.equal(image, again.detach()):  # as it should be; and cheaper than what follows
        return
    difference = (again.detach() - image).abs().nan_to_num(0.0)
    if bad is not None:
        difference = difference.masked_fill(bad, 0.0)
    limit = _ROUNDING * torch.finfo(image.dtype).eps * max(1.0, float(image.abs().max())) if image.numel() else 0.0
    if image.numel() and float(difference.max()) > limit:
        raise DifferentiationError(
            f"{what}: f gives other values in the backward pass than in the forward pass (parameters swapped by "
            "functional_call or changed before backward, or randomness in f); keep them as they were until backward is "
            f"done, or use adjoint={instead}, which evaluate f in the forward pass only."
        )
