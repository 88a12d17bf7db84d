"""Any parametrised cvxpy problem as a layer, through the cvxpylayers package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metabench.errors import ArgumentError, OptionalDependencyError
from metabench.layers.adjoint.first_order import refuse_second_order
from metabench.layers.argmin.transforms import refuse_transform
from metabench.layers.record import Policy, SolveRecord, SolveStatus, apply_policy

__all__ = ["CvxLayer", "CvxSolution", "cvx_layer"]

_TOLERANCE = 1e-6  # largest violation of a constraint, absolute, that still counts as solved
_SOLVER_ARGS: dict[str, Any] = {"n_jobs_forward": 1, "n_jobs_backward": 1}
# The default: with Clarabel, diffcp hands on the last iterate of an infeasible problem as if it were the solution.
_SCS_ARGS: dict[str, Any] = {"solve_method": "SCS", "eps": 1e-10, "max_iters": 100_000}
_DERIVATIVE_ARGS = ("mode", "n_jobs_backward")  # diffcp passes them on to the solver, which refuses them, without one


@dataclass(frozen=True)
class CvxSolution:
    """The solution of a batch of cvxpy problems.

    Attributes:
        values: one tensor for each variable asked for, sample axes, then the variable's shape.
        record: the per-sample record. ``residual`` is the largest violation of a constraint; cvxpylayers keeps the
            solver's iterations to itself, so ``steps`` and ``nfe`` count solves.
    """

    values: tuple[Tensor, ...]
    record: SolveRecord


def cvx_layer(
    problem: Any,
    *,
    parameters: Sequence[Any],
    variables: Sequence[Any],
    solver_args: Mapping[str, Any] | None = None,
    policy: Policy = "warn",
) -> CvxLayer:
    """Makes a layer of a ``cvxpy.Problem``; the analysis of the problem is done here, once.

    Args:
        problem: convex, and "disciplined parametrised" (``problem.is_dpp()``).
        parameters: its ``cvxpy.Parameter`` objects, in the order in which tensors will be given.
        variables: the ``cvxpy.Variable`` objects whose values are wanted.
        solver_args: added to, or in place of, diffcp's arguments: SCS, to 1e-10, in this thread.
        policy: what to do with samples that do not converge.

    Raises:
        OptionalDependencyError: without the ``[cvx]`` extra.
        ArgumentError: if cvxpylayers refuses the problem.

    Reference: Agrawal et al. (2019), arXiv:1910.12430.
    """
    try:
        from cvxpylayers.torch import CvxpyLayer  # pyright: ignore[reportPrivateImportUsage, reportMissingImports]  # an extra
    except ImportError as error:
        raise OptionalDependencyError(
            f"cvx_layer needs the package cvxpylayers ({error}); install it with: pip install 'metabench[cvx]'"
        ) from error
    wanted = [*variables, *(v for v in problem.variables() if v.id not in {w.id for w in variables})]
    try:
        layer = CvxpyLayer(problem, parameters=list(parameters), variables=wanted)
    except (ValueError, AssertionError) as error:
        raise ArgumentError(f"cvxpylayers refuses the problem: {error}") from error
    return CvxLayer(layer, problem, tuple(parameters), tuple(wanted), len(variables), dict(solver_args or {}), policy)


def _refuse_second_order(_: Tensor) -> None:
    refuse_second_order("cvxpy layer")


@dataclass(frozen=True, eq=False)
class CvxLayer:
    """A cvxpy problem that has been analysed; made by :func:`cvx_layer`.

    Attributes:
        layer: the ``CvxpyLayer``.
        problem: the ``cvxpy.Problem``.
        parameters: its parameters, in the order of the tensors.
        variables: all its variables, those that are asked for first.
        asked: how many are asked for.
        solver_args: what is given to diffcp beside the defaults.
        policy: what to do with samples that do not converge.
    """

    layer: Any
    problem: Any
    parameters: tuple[Any, ...]
    variables: tuple[Any, ...]
    asked: int
    solver_args: dict[str, Any]
    policy: Policy

    def __call__(self, *tensors: Tensor) -> CvxSolution:
        """Solves each sample, in float64, and differentiates through its optimality conditions.

        A sample that is infeasible, unbounded (DIVERGED) or not finite has the value NaN and passes no gradient on.

        Args:
            tensors: one for each parameter: its shape, with the sample axes in front, or without if it is shared.

        Raises:
            ArgumentError: if their number or a shape does not fit.
            SolverError: under ``policy="raise"``.
        """
        refuse_transform("cvxpy layer")
        batch = self._batch(tensors)
        count = batch.numel()
        like = tensors[0]
        flat = [
            t.double().expand((*batch, *p.shape)).reshape((count, *p.shape))
            for t, p in zip(tensors, self.parameters, strict=True)
        ]
        code = torch.full((count,), SolveStatus.CONVERGED.code, dtype=torch.int8)
        for t, p in zip(flat, self.parameters, strict=True):
            code[~torch.isfinite(t.detach()).reshape(count, p.size).all(-1).cpu()] = SolveStatus.INVALID.code
        values, residual = self._solve(flat, code)
        record = SolveRecord(
            code.reshape(batch).to(like.device),
            torch.ones(batch, dtype=torch.int32, device=like.device),
            torch.ones(batch, dtype=torch.int32, device=like.device),
            residual.reshape(batch).to(like),
        )
        shaped = tuple(
            apply_policy(value.to(like).reshape(*batch, variable.size), record, self.policy, "cvxpy layer").reshape(
                (*batch, *variable.shape)
            )
            for value, variable in zip(values[: self.asked], self.variables, strict=False)
        )
        return CvxSolution(shaped, record)

    def _batch(self, tensors: tuple[Tensor, ...]) -> torch.Size:
        """The sample axes that the tensors broadcast to."""
        if len(tensors) != len(self.parameters) or not tensors:
            raise ArgumentError(f"{len(tensors)} tensors for {len(self.parameters)} parameters; expected one for each.")
        axes = []
        for tensor, parameter in zip(tensors, self.parameters, strict=True):
            own = len(parameter.shape)
            if tuple(tensor.shape[tensor.ndim - own :]) != tuple(parameter.shape):
                raise ArgumentError(
                    f"{parameter.name()} is given shape {tuple(tensor.shape)}; expected (..., "
                    f"{', '.join(map(str, parameter.shape))})."
                )
            axes.append(tensor.shape[: tensor.ndim - own])
        try:
            return torch.broadcast_shapes(*axes)
        except RuntimeError:
            raise ArgumentError(f"sample axes {[tuple(a) for a in axes]} do not broadcast.") from None

    def _solve(self, flat: list[Tensor], code: Tensor) -> tuple[list[Tensor], Tensor]:
        """Solves the samples whose code is CONVERGED; where that fails, finds out which and solves the rest."""
        ended = self._run(flat, code)
        if isinstance(ended, Exception):
            for i in (code == SolveStatus.CONVERGED.code).nonzero()[:, 0].tolist():
                alone = torch.full_like(code, SolveStatus.INVALID.code)
                alone[i] = SolveStatus.CONVERGED.code
                with torch.no_grad():
                    one = self._run(flat, alone)
                if isinstance(one, Exception):
                    infeasible = "infeasible" in str(one).lower()
                    code[i] = (SolveStatus.INFEASIBLE if infeasible else SolveStatus.DIVERGED).code
            ended = self._run(flat, code)
            if isinstance(ended, Exception):
                raise ended
        count, sound = code.shape[0], (code == SolveStatus.CONVERGED.code).nonzero()[:, 0]
        residual = torch.full((count,), float("nan"), dtype=torch.float64)
        for place, i in enumerate(sound.tolist()):
            violation = self._violation([t[i] for t in flat], [v[place] for v in ended])
            residual[i] = violation
            if not violation <= _TOLERANCE:
                code[i] = SolveStatus.MAX_STEPS.code
        where = sound.to(flat[0].device)
        whole = [v.new_full((count, *v.shape[1:]), float("nan")).index_copy(0, where, v) for v in ended]
        return whole, residual

    def _run(self, flat: list[Tensor], code: Tensor) -> list[Tensor] | Exception:
        """The variables of the samples whose code is CONVERGED, or the error that ended the batch."""
        from diffcp import SolverError  # pyright: ignore[reportMissingImports]

        device = flat[0].device
        where = (code == SolveStatus.CONVERGED.code).nonzero()[:, 0].to(device)
        if where.numel() == 0:
            return [flat[0].new_empty(0, *v.shape) for v in self.variables]
        own = _SCS_ARGS if self.solver_args.get("solve_method", "SCS") == "SCS" else {}
        args = {**_SOLVER_ARGS, **own, **self.solver_args}
        if not (torch.is_grad_enabled() and any(t.requires_grad for t in flat)):
            args = {key: value for key, value in args.items() if key not in _DERIVATIVE_ARGS}
        try:
            values = list(self.layer(*(t[where] for t in flat), solver_args=args))
        except SolverError as error:
            return error
        for value in values:
            if value.requires_grad:
                value.register_hook(_refuse_second_order)
        return values

    def _violation(self, parameters: list[Tensor], values: list[Tensor]) -> float:
        """How far one sample's values are from satisfying a constraint, at worst."""
        for parameter, tensor in zip(self.parameters, parameters, strict=True):
            parameter.project_and_assign(tensor.detach().cpu().numpy())
        for variable, tensor in zip(self.variables, values, strict=True):
            variable.save_value(tensor.detach().cpu().numpy())
        worst = [float(abs(constraint.violation()).max()) for constraint in self.problem.constraints]
        return max(worst, default=0.0)
