"""Peaceman-Rachford splitting for 0 in A z - p + N_C(z): quadratic programs and monotone equilibria alike."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from metabench.layers.ledger import Ledger
from metabench.layers.record import SolveRecord
from metabench.layers.stopping import Tolerance

__all__ = ["peaceman_rachford", "resolvent", "step_size"]


def step_size(A: Tensor, modulus: float) -> Tensor:
    """Step 1 / sqrt(modulus * L), ``(..., 1, 1)``, with L a bound of the spectral norm of ``A`` ``(..., dim, dim)``.

    It is the best step for a symmetric A with eigenvalues in [modulus, L].
    """
    size = A.abs()
    mixed = (size.sum(-1).amax(-1) * size.sum(-2).amax(-1)).sqrt()
    bound = torch.minimum(mixed, torch.linalg.matrix_norm(A))
    return (modulus * bound).clamp_min(1e-12).rsqrt()[..., None, None]


def resolvent(A: Tensor, step: Tensor) -> Tensor:
    """(I + step A)^-1 for ``A`` ``(..., dim, dim)``; a non-finite A gives a non-finite answer, not an error."""
    eye = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
    return torch.linalg.inv_ex(eye + step * A).inverse


@torch.no_grad()
def peaceman_rachford(
    inverse: Tensor, step: Tensor, p: Tensor, project: Callable[[Tensor], Tensor], stopping: Tolerance
) -> tuple[Tensor, SolveRecord]:
    """Finds z with 0 in A z - p + N_C(z), each sample by itself.

    Args:
        inverse: (I + step A)^-1, ``(..., dim, dim)``, shared by the samples of the last batch axis.
        step: ``(..., 1, 1)``.
        p: ``(..., batch, dim)``.
        project: projection onto C (or onto a subspace), ``(..., batch, dim)`` to the same.
        stopping: a sample is done when its two half-steps agree to the tolerance.

    Returns:
        z ``(..., batch, dim)``, exactly in C, and the per-sample record (``nfe`` counts resolvent applications).

    Reference: Winston and Kolter (2020), arXiv:2006.08591; Lions and Mercier (1979).
    """
    backward_resolvent, offset = inverse.mT, step * p
    u = torch.zeros_like(p)
    ledger = Ledger(project(u), stopping)
    for _ in range(stopping.max_steps):
        half = (u + offset) @ backward_resolvent
        z = project(2 * half - u)
        if not ledger.enter(z, z - half):
            break
        u = u + 2 * (z - half)
    return ledger.value, ledger.record()
