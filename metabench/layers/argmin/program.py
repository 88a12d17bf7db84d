"""What a dense quadratic program may look like: shapes and symmetry checked, samples that are not finite set aside."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metabench.errors import ArgumentError

__all__ = ["check_program", "set_aside"]


def _shape(name: str, tensor: Tensor, expected: str, *tail: int | None) -> None:
    actual = tuple(tensor.shape[-len(tail) :])
    if tensor.ndim < len(tail) or any(want is not None and want != got for want, got in zip(tail, actual, strict=True)):
        raise ArgumentError(f"{name} has shape {tuple(tensor.shape)}; expected {expected}.")


def _pair(names: str, matrix: Tensor | None, vector: Tensor | None, like: Tensor, rows: str) -> tuple[Tensor, Tensor]:
    """A block of constraints, empty when it is left out."""
    n = like.shape[-1]
    if matrix is None and vector is None:
        return like.new_zeros(0, n), like.new_zeros(0)
    if matrix is None or vector is None:
        given, missing = names if vector is None else reversed(names)
        raise ArgumentError(f"{given} is given without {missing}; pass both or neither.")
    _shape(names[0], matrix, f"(..., {rows}, {n}): {rows} rows over the {n} variables of Q", None, n)
    count = matrix.shape[-2]
    _shape(names[1], vector, f"(..., {count}): one entry for each row of {names[0]}", count)
    return matrix, vector


def check_program(
    Q: Tensor, q: Tensor, A: Tensor | None, b: Tensor | None, G: Tensor | None, h: Tensor | None
) -> tuple[tuple[Tensor, ...], torch.Size]:
    """Q, q, A, b, G, h with empty blocks for those left out, and the sample axes that they broadcast to.

    Raises:
        ArgumentError: for a shape, dtype or asymmetry that does not fit; the message names the argument.
    """
    _shape("Q", Q, "square matrices (..., n, n)", None, None)
    n = Q.shape[-1]
    _shape("Q", Q, "square matrices (..., n, n)", n, n)
    _shape("q", q, f"(..., {n}): one entry for each of Q's {n} variables", n)
    A, b = _pair("Ab", A, b, Q, "p")
    G, h = _pair("Gh", G, h, Q, "m")
    if A.shape[-2] > n:
        raise ArgumentError(f"A has {A.shape[-2]} rows for {n} variables; expected at most {n} independent equalities.")
    named = dict(zip("QqAbGh", (Q, q, A, b, G, h), strict=True))
    for name, tensor in named.items():
        if tensor.dtype not in (torch.float32, torch.float64) or tensor.dtype != Q.dtype:
            raise ArgumentError(f"{name} is {tensor.dtype} and Q {Q.dtype}; expected all float32 or all float64.")
    axes = {name: tensor.shape[: -2 if name in "QAG" else -1] for name, tensor in named.items()}
    try:
        batch = torch.broadcast_shapes(*axes.values())
    except RuntimeError:
        text = ", ".join(f"{name} {tuple(shape)}" for name, shape in axes.items() if shape)
        raise ArgumentError(f"sample axes do not broadcast: {text}; expected equal axes, or none if shared.") from None
    fixed = Q.detach()
    size, skew = fixed.abs().amax((-2, -1)), (fixed - fixed.mT).abs().amax((-2, -1))
    if bool((skew > torch.finfo(Q.dtype).eps ** 0.5 * size).any()):
        raise ArgumentError(f"Q is not symmetric (by {float(skew.max()):.3g}); pass (Q + Q^T) / 2.")
    return tuple(named.values()), batch


def set_aside(data: Sequence[Tensor], batch: torch.Size) -> tuple[tuple[Tensor, ...], Tensor | None]:
    """Puts a harmless program in the place of each sample whose data are not finite.

    Args:
        data: Q, q, A, b, G, h.
        batch: the sample axes.

    Returns:
        The data, and which samples are sound, ``(*batch)``; None where all are.
    """
    Q, q, A, b, G, h = data
    with torch.no_grad():
        total = Q.sum((-2, -1)) + q.sum(-1) + A.sum((-2, -1)) + b.sum(-1) + G.sum((-2, -1)) + h.sum(-1)
        sound = torch.isfinite(total).expand(batch)  # a NaN or an infinity stays in a sum
        if bool(sound.all()):
            return (Q, q, A, b, G, h), None

    def repaired(matrix: Tensor, fill: Tensor) -> Tensor:
        return torch.where(torch.isfinite(matrix).all(-1).all(-1)[..., None, None], matrix, fill)

    eye = torch.eye(Q.shape[-1], dtype=Q.dtype, device=Q.device)
    here = sound.unsqueeze(-1)
    Q, A, G = repaired(Q, eye), repaired(A, eye[: A.shape[-2]]), repaired(G, torch.zeros_like(G))
    return (Q, torch.where(here, q, 0.0), A, torch.where(here, b, 0.0), G, torch.where(here, h, 1.0)), sound
