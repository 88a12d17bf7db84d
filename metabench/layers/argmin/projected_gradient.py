"""The argmin of a smooth convex objective over a convex set, as the fixed point of projected gradient descent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.adjoint.adjoint import Adjoint
from metabench.layers.argmin.convex_set import ConvexSet
from metabench.layers.argmin.projection import project
from metabench.layers.equilibrium import fixed_point
from metabench.layers.fixed_point import Anderson, FixedPointSolver
from metabench.layers.record import Policy, Solution
from metabench.layers.stopping import Tolerance

__all__ = ["projected_gradient"]

_POWER_STEPS = 8
_MARGIN = 1.1  # the power iteration's estimate is from below

Objective = Callable[..., Tensor]


def _gradient_of(g: Objective, is_gradient: bool) -> Objective:
    """The gradient map ``(z, *x)`` to ``(..., dim)``, with a graph wherever gradients are enabled."""
    if is_gradient:

        def given(z: Tensor, *x: Tensor) -> Tensor:
            slope = g(z, *x)
            if slope.shape != z.shape:
                raise ArgumentError(f"g returned {tuple(slope.shape)} for points {tuple(z.shape)}; expected the same.")
            return slope

        return given

    def gradient(z: Tensor, *x: Tensor) -> Tensor:
        graph = torch.is_grad_enabled()
        with torch.enable_grad():
            leaf = z if graph and z.requires_grad else z.detach().requires_grad_()
            value = g(leaf, *x)
            if value.shape != z.shape[:-1]:
                raise ArgumentError(
                    f"g returned {tuple(value.shape)} for points {tuple(z.shape)}; expected one objective value a "
                    f"sample, {tuple(z.shape[:-1])}, or is_gradient=True with the gradient."
                )
            if not value.requires_grad:
                return torch.zeros_like(z)
            (slope,) = torch.autograd.grad(value.sum(), leaf, create_graph=graph, allow_unused=True)
        return torch.zeros_like(z) if slope is None else slope

    return gradient


def _lipschitz_step(gradient: Objective, z: Tensor, inputs: Sequence[Tensor]) -> Tensor:
    """1 / L for each sample, ``(..., 1)``: L by power iteration on the Hessian at ``z``."""
    with torch.enable_grad():
        leaf = z.detach().requires_grad_()
        slope = gradient(leaf, *(x.detach() for x in inputs))
    tiny = torch.finfo(z.dtype).tiny
    v = torch.sin(1.0 + 2.4 * torch.arange(z.shape[-1], dtype=z.dtype, device=z.device)).expand_as(z)
    size = torch.zeros_like(z[..., :1])
    for _ in range(_POWER_STEPS if slope.requires_grad else 0):
        v = v / torch.linalg.vector_norm(v, dim=-1, keepdim=True).clamp_min(tiny)
        (product,) = torch.autograd.grad(slope, leaf, v, retain_graph=True, allow_unused=True)
        if product is None:
            break
        v = product
        size = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    return torch.where(size > 0, 1.0 / (_MARGIN * size.clamp_min(tiny)), torch.ones_like(size)).detach()


def projected_gradient(
    g: Objective,
    z0: Tensor,
    onto: ConvexSet,
    *,
    is_gradient: bool = False,
    step: float | Tensor | None = None,
    inputs: Sequence[Tensor] | None = None,
    solver: FixedPointSolver | None = None,
    stopping: Tolerance | None = None,
    adjoint: Adjoint | None = None,
    policy: Policy = "warn",
) -> Solution:
    """Argmin over C of g(z, x): the fixed point of z <- Proj_C(z - step grad g(z, x)), differentiated implicitly.

    The gradient is exact wherever the argmin is differentiable. It goes to what g depends on and to the tensors of C.
    A fixed point is an argmin for every positive step, so the step changes neither the value nor its gradient, only
    how fast they are found: plain iteration converges for steps below 2 / L, with L the largest curvature of g, and
    for curvatures in [mu, L] a step of 1 / L shrinks the error by 1 - mu / L. g must be strongly convex along the
    active face, else the argmin is not unique and has no gradient.

    Args:
        g: the objective ``g(z, *inputs)``, ``(..., dim)`` to one value a sample ``(...)``, twice differentiable in z;
            parameters may be closed over.
        z0: initial iterate ``(..., dim)``, for a warm start the last solution; no gradient flows to it.
        onto: the set C. With per-sample tensors of its own the whole batch runs until its last sample ends.
        is_gradient: g returns its gradient ``(..., dim)`` instead.
        step: a positive number, or one for each sample, ``(...)``. Left out, 1 / (1.1 L) with L estimated for each
            sample by 8 steps of power iteration on the Hessian at the projection of z0, at 8 products: right for a
            quadratic g. Where g curves more on the way than there, pass a step.
        inputs: per-sample tensors ``(..., batch, k)``, as for :func:`~metabench.layers.fixed_point`.
        solver: Anderson acceleration after ten plain steps by default; ``Picard()`` is plain projected gradient.
        stopping: when a sample is done: rms of the change of one step; up to 1000 steps by default.
        adjoint: implicit by default.
        policy: what to do with samples that do not converge.

    Raises:
        ArgumentError: if shapes do not fit.
        SolverError: under ``policy="raise"``.

    Reference: Goldstein (1964), doi:10.1090/S0002-9904-1964-11178-2; Blondel et al. (2022), arXiv:2105.15183.
    """
    if isinstance(step, float | int) and not step > 0:
        raise ArgumentError(f"step={step}: expected a positive number, or None for an estimate.")
    if isinstance(step, Tensor) and ((step.ndim and step.shape != z0.shape[:-1]) or not bool((step > 0).all())):
        raise ArgumentError(
            f"step of shape {tuple(step.shape)}: expected positive numbers, one for each sample {tuple(z0.shape[:-1])}."
        )
    gradient = _gradient_of(g, is_gradient)
    with torch.no_grad():
        start = onto.project(z0.detach())
    given = list(inputs or ())
    if step is None:
        size = _lipschitz_step(gradient, start, given)
    else:
        size = torch.as_tensor(step, dtype=z0.dtype, device=z0.device).detach()
        size = size.expand(z0.shape[:-1]).unsqueeze(-1)

    def descend(z: Tensor, *rest: Tensor) -> Tensor:
        *x, pace = rest if named else (*given, size)
        return project(z - pace * gradient(z, *x), onto)

    # Where samples may leave the batch, all that belongs to them must be named.
    named = inputs is not None and not _has_sample_axes(onto, start)
    return fixed_point(
        descend,
        start,
        inputs=[*given, size] if named else None,
        solver=Anderson(delay=10) if solver is None else solver,
        stopping=Tolerance(max_steps=1000) if stopping is None else stopping,
        adjoint=adjoint,
        policy=policy,
    )


def _has_sample_axes(onto: ConvexSet, z: Tensor) -> bool:
    """Whether the projection of one point with the set's tensors has more than that point's axes."""
    if not onto.parameters or z.numel() == 0:
        return False
    with torch.no_grad():
        return onto.project(z.reshape(-1, z.shape[-1])[0]).ndim > 1
