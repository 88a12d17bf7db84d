"""The kit for fixed-point solvers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from metabench.layers import FixedPointSolver, SolveRecord, SolveStatus, Tolerance, fixed_point
from metabench.testing.requirement import normal, require, require_close, require_record, without_global_randomness

__all__ = ["check_fixed_point_solver"]

_DIM = 4
_BATCH = 40  # so many that samples which have ended leave the batch


def _weight(dtype: torch.dtype = torch.float64) -> Tensor:
    W = normal(_DIM, _DIM, seed=0)
    return (0.7 * W / torch.linalg.matrix_norm(W, 2)).to(dtype)


def _samples(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Injections ``(batch, dim)`` and how strongly each sample's map contracts ``(batch, 1)``, from 0 to 0.9."""
    x = normal(_BATCH, _DIM, seed=1)
    strength = torch.linspace(0.0, 0.9 / 0.7, _BATCH, dtype=torch.float64)[:, None]
    return x.to(dtype), strength.to(dtype)


def _cell(z: Tensor, x: Tensor, strength: Tensor) -> Tensor:
    return torch.tanh(strength * (z @ _weight(z.dtype).mT) + x)


def check_fixed_point_solver(solver: FixedPointSolver, *, max_steps: int = 2000) -> None:
    """Checks that a solver finds the equilibria of contractions, sample by sample.

    Closed form of affine maps in float64; float32; samples that do not see each other, with the batch narrowed and not;
    batches of none, one and several axes; a constant map, whose residual is soon exactly zero; a sample that is NaN;
    images that are not written to; two solves in a row alike; no global randomness.

    Args:
        solver: an instance, as it would be handed to :func:`metabench.layers.fixed_point`.
        max_steps: the step limit of each solve; the maps contract by 0.9 at worst.

    Raises:
        ConformanceError: at the first property that fails.
    """
    require(
        isinstance(solver, FixedPointSolver),
        solver,
        "interface",
        "expected an instance of metabench.layers.FixedPointSolver.",
    )
    with torch.no_grad(), without_global_randomness(solver):
        _closed_form(solver, max_steps)
        _float32(solver, max_steps)
        _independent(solver, max_steps)
        _shapes(solver, max_steps)
        _nan_sample(solver, max_steps)
        _leaves_tensors_alone(solver, max_steps)


def _solve(
    solver: FixedPointSolver,
    x: Tensor,
    strength: Tensor,
    max_steps: int,
    *,
    named: bool = True,
    tolerance: float = 1e-9,
) -> tuple[Tensor, SolveRecord]:
    f: Callable[..., Tensor] = _cell if named else lambda z: _cell(z, x, strength)
    solution = fixed_point(
        f,
        torch.zeros_like(x),
        inputs=(x, strength) if named else None,
        solver=solver,
        stopping=Tolerance(atol=tolerance, rtol=tolerance, max_steps=max_steps),
        policy="keep",
    )
    return solution.value, solution.record


def _closed_form(solver: FixedPointSolver, max_steps: int) -> None:
    W, x = _weight(), normal(5, _DIM, seed=2)
    solution = fixed_point(
        lambda z: z @ W.mT + x,
        torch.zeros_like(x),
        solver=solver,
        stopping=Tolerance(atol=1e-11, rtol=1e-11, max_steps=max_steps),
        policy="keep",
    )
    record = require_record(solution.record, (5,), solver)
    require(
        record.converged.all(),
        solver,
        "converges",
        f"{int((~record.converged).sum())} of 5 samples of an affine map that contracts by 0.7 did not converge.",
    )
    exact = torch.linalg.solve(torch.eye(_DIM, dtype=x.dtype) - W, x.mT).mT
    require_close(
        solution.value, exact, solver, "closed form", "z = W z + x against a dense solve", rtol=1e-8, atol=1e-8
    )


def _float32(solver: FixedPointSolver, max_steps: int) -> None:
    x, strength = _samples(torch.float32)
    value, record = _solve(solver, x, strength, max_steps, tolerance=1e-5)
    require(value.dtype == torch.float32, solver, "dtype", f"float32 came back as {value.dtype}.")
    require(
        record.converged.all(),
        solver,
        "float32",
        f"{int((~record.converged).sum())} of {_BATCH} samples did not converge to 1e-5 in float32, and contract by "
        "at most 0.9.",
    )


def _independent(solver: FixedPointSolver, max_steps: int) -> None:
    x, strength = _samples()
    name = "independent samples"
    first, again = (_solve(solver, x, strength, max_steps) for _ in range(2))
    require(
        torch.equal(first[0], again[0]) and torch.equal(first[1].nfe, again[1].nfe),
        solver,
        "deterministic",
        "two solves of one problem differ; the solver must hold settings only, its memory belongs in the state.",
    )
    value, record = first
    whole, whole_record = _solve(solver, x, strength, max_steps, named=False)
    require_close(
        whole, value, solver, name, "values with and without ended samples leaving the batch", rtol=1e-10, atol=1e-10
    )
    _same_record(whole_record, record, slice(None), solver, "select() must keep each sample's memory with its sample")
    for i in (0, 7, 20, 33, _BATCH - 1):
        at = slice(i, i + 1)
        alone, alone_record = _solve(solver, x[at], strength[at], max_steps)
        require_close(alone, value[at], solver, name, f"sample {i} alone and in a batch", rtol=1e-10, atol=1e-10)
        _same_record(alone_record, record, at, solver, f"sample {i} alone against in a batch")


def _same_record(found: SolveRecord, record: SolveRecord, at: slice, solver: FixedPointSolver, message: str) -> None:
    for field in ("status", "steps", "nfe"):
        require(
            torch.equal(getattr(found, field), getattr(record, field)[at]),
            solver,
            "independent samples",
            f"{field} differ: {message}.",
        )


def _shapes(solver: FixedPointSolver, max_steps: int) -> None:
    x, strength = _samples()
    value, _ = _solve(solver, x, strength, max_steps)
    axes, record = _solve(solver, x.view(2, _BATCH // 2, _DIM), strength.view(2, _BATCH // 2, 1), max_steps)
    require_record(record, (2, _BATCH // 2), solver)
    name = "sample axes"
    require_close(axes.flatten(0, 1), value, solver, name, "a batch split in two axes", rtol=1e-10, atol=1e-10)
    single, record = _solve(solver, x[9], strength[9], max_steps)
    require_record(record, (), solver)
    require_close(single, value[9], solver, name, "a state (dim,) without sample axes", rtol=1e-10, atol=1e-10)
    empty, record = _solve(solver, x[:0], strength[:0], max_steps)
    require_record(record, (0,), solver)
    require(empty.shape == (0, _DIM), solver, name, f"an empty batch came back as {tuple(empty.shape)}.")


def _nan_sample(solver: FixedPointSolver, max_steps: int) -> None:
    x, strength = _samples()
    clean, _ = _solve(solver, x, strength, max_steps)
    broken = x.clone()
    broken[3, 1] = float("nan")
    value, record = _solve(solver, broken, strength, max_steps, named=False)
    others = torch.arange(_BATCH) != 3
    require_close(
        value[others], clean[others], solver, "a NaN sample", "the other samples' values", rtol=1e-10, atol=1e-10
    )
    require(int(record.status[3]) == SolveStatus.DIVERGED.code, solver, "a NaN sample", "its status is not DIVERGED.")


def _leaves_tensors_alone(solver: FixedPointSolver, max_steps: int) -> None:
    x, strength = _samples()
    z0 = torch.zeros_like(x)
    images: list[tuple[Tensor, Tensor]] = []

    def f(z: Tensor) -> Tensor:
        image = _cell(z, x, strength)
        images.append((image, image.detach().clone()))
        return image

    fixed_point(f, z0, solver=solver, stopping=Tolerance(1e-6, 1e-6, max_steps=max_steps), policy="keep")
    name = "tensors handed in"
    require(not bool(z0.any()), solver, name, "z0 was written to.")
    for image, copy in images:
        require(torch.equal(image.detach(), copy), solver, name, "an image f(z) was written to.")
