"""Projection onto the probability simplex."""

from __future__ import annotations

import torch
from contest import Case, Contender, Goal, Ledger, Solve
from torch import Tensor

from metabench.layers import project_simplex

BATCH, DIM = 64, 100


def exact(v: Tensor, cotangent: Tensor) -> tuple[Tensor, Tensor]:
    """In float64: the threshold by bisection, the gradient as the projector on the face's tangent space."""
    v = v.detach().double()
    low, high = v.amin(-1, keepdim=True) - 1, v.amax(-1, keepdim=True)
    for _ in range(100):
        middle = (low + high) / 2
        above = (v - middle).clamp_min(0).sum(-1, keepdim=True) > 1
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    z = (v - (low + high) / 2).clamp_min(0)
    support = (z > 0).double()
    mean = (support * cotangent).sum(-1, keepdim=True) / support.sum(-1, keepdim=True)
    return z, support * (cotangent - mean)


def by_sorting(v: Tensor) -> Tensor:
    """The textbook method under autograd: sort, cumulative sum, threshold."""
    ordered = v.sort(-1, descending=True).values
    total = ordered.cumsum(-1) - 1
    count = torch.arange(1, v.shape[-1] + 1, dtype=v.dtype)
    size = (ordered * count > total).sum(-1, keepdim=True)
    return (v - total.gather(-1, size - 1) / size).clamp_min(0)


def _cvxpylayers(v: Tensor) -> dict[str, Solve]:
    import cvxpy as cp
    from cvxpylayers.torch import CvxpyLayer

    z, parameter = cp.Variable(DIM), cp.Parameter(DIM)
    problem = cp.Problem(cp.Minimize(cp.sum_squares(z - parameter)), [z >= 0, cp.sum(z) == 1])
    layer = CvxpyLayer(problem, parameters=[parameter], variables=[z])
    return {"": lambda: layer(v)[0]}


def make(name: str, *, goals: tuple[Goal, ...]) -> Case:
    """The case. Ours has no settings to choose."""
    v = torch.randn(BATCH, DIM, generator=torch.Generator().manual_seed(0)).requires_grad_()
    cotangent = torch.randn(BATCH, DIM, generator=torch.Generator().manual_seed(1))
    value, gradient = exact(v, cotangent.double())
    ledger = Ledger()

    def counted(solve: Solve) -> Solve:
        def run() -> Tensor:
            ledger.add("sort", BATCH)
            return solve()

        return run

    contenders = (
        Contender("project_simplex", "ours", lambda: {"": counted(lambda: project_simplex(v))}, "recommended"),
        Contender("sort under autograd", "peer", lambda: {"": counted(lambda: by_sorting(v))}),
        Contender("cvxpylayers, default", "peer", lambda: _cvxpylayers(v)),
    )
    return Case(
        name=name,
        title=f"projection onto the simplex, batch {BATCH}, n = {DIM}, float32",
        leaves=(v,),
        cotangent=cotangent,
        value=value,
        gradients=(gradient,),
        contenders=contenders,
        costs={"sort": lambda rows: lambda: v.detach().sort(-1, descending=True)},
        ledger=ledger,
        value_limit=1e-6,
        gradient_limit=1e-5,
        goals=goals,
        unit="sorts",
    )
