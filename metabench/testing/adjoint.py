"""The kit for ways back through a fixed-point solve."""

from __future__ import annotations

import torch
from torch import Tensor

from metabench.errors import ConformanceError, DifferentiationError
from metabench.layers import Adjoint, FixedPointSolver, Picard, Solution, Tolerance, fixed_point
from metabench.testing.requirement import (
    directional_error,
    normal,
    require,
    require_close,
    require_record,
    without_global_randomness,
)

__all__ = ["check_adjoint"]

_DIM, _BATCH = 4, 5
_TIGHT = Tolerance(atol=1e-12, rtol=1e-12, max_steps=500)


def check_adjoint(adjoint: Adjoint, *, exact: bool, solver: FixedPointSolver | None = None) -> None:
    """Checks the gradient that an adjoint gives, on z = tanh(W z + x).

    An exact one has to equal the dense implicit gradient (I - J)^-T w in float64; a biased one has to point its way
    (cosine at least 0.9) where the map contracts by 0.1. Every one: gradients to shared and per-sample tensors, named
    and closed over; independent samples; proportional to the incoming gradient; a backward record; a diverged sample
    that does not spoil the gradient of shared weights; ``torch.func``, and second derivatives of an exact one, right or
    refused with :class:`~metabench.errors.DifferentiationError`; nothing recorded under ``no_grad``.

    Args:
        adjoint: an instance, as it would be handed to :func:`metabench.layers.fixed_point`.
        exact: whether it claims the exact gradient of the equilibrium.
        solver: the forward solver; plain iteration by default, which every adjoint takes.

    Raises:
        ConformanceError: at the first property that fails.
    """
    require(isinstance(adjoint, Adjoint), adjoint, "interface", "expected an instance of metabench.layers.Adjoint.")
    kit = _Kit(adjoint, solver or Picard())
    with without_global_randomness(adjoint):
        kit.gradient(exact)
        kit.independent()
        kit.proportional()
        kit.record()
        kit.without_a_graph()
        kit.diverged_sample()
        kit.empty_batch()
        if exact:
            kit.second_derivative()
        kit.function_transforms()


def _problem(norm: float = 0.6) -> tuple[Tensor, Tensor, Tensor]:
    """W ``(dim, dim)`` of the given spectral norm, x ``(batch, dim)``, and an incoming gradient ``(batch, dim)``."""
    W = normal(_DIM, _DIM, seed=0)
    W = norm * W / torch.linalg.matrix_norm(W, 2)
    return W.requires_grad_(), normal(_BATCH, _DIM, seed=1).requires_grad_(), normal(_BATCH, _DIM, seed=2)


def _dense(W: Tensor, z: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of <w, z*> to W and x: u = (I - J)^-T w with J = diag(1 - z^2) W."""
    slope = 1 - z.square()
    system = torch.eye(_DIM, dtype=z.dtype) - slope[..., None] * W
    u = torch.linalg.solve(system.mT, w[..., None])[..., 0]
    return (slope * u).mT @ z, slope * u


class _Kit:
    def __init__(self, adjoint: Adjoint, solver: FixedPointSolver) -> None:
        self.adjoint, self.solver = adjoint, solver

    def solve(self, W: Tensor, x: Tensor, *, named: bool = True) -> Solution:
        return fixed_point(
            (lambda z, y: torch.tanh(z @ W.mT + y)) if named else (lambda z: torch.tanh(z @ W.mT + x)),
            torch.zeros_like(x),
            inputs=(x,) if named else None,
            solver=self.solver,
            stopping=_TIGHT,
            adjoint=self.adjoint,
            policy="keep",
        )

    def gradient(self, exact: bool) -> None:
        W, x, w = _problem(0.6 if exact else 0.1)
        for named in (True, False):
            how = "named inputs" if named else "closed-over tensors"
            value = self.solve(W, x, named=named).value
            residual = (torch.tanh(value @ W.mT + x) - value).abs().max()
            require(
                residual < 1e-9, self.adjoint, "value", f"the value is not an equilibrium: residual {residual:.2g}."
            )
            found = torch.autograd.grad(value, (W, x), w, allow_unused=True)
            with torch.no_grad():
                wanted = _dense(W, value, w)
            for name, gradient, expected in zip(("shared W", "x"), found, wanted, strict=True):
                what = f"gradient to the {name} ({how})"
                if gradient is None:
                    require(False, self.adjoint, "gradient", f"no {what}.")
                elif exact:
                    message = f"{what} against the dense implicit one"
                    require_close(gradient, expected, self.adjoint, "exact gradient", message, rtol=1e-7, atol=1e-8)
                else:
                    cosine = float((gradient * expected).sum() / (gradient.norm() * expected.norm()))
                    require(
                        cosine >= 0.9,
                        self.adjoint,
                        "biased gradient",
                        f"{what} has cosine {cosine:.3f} with the exact one where the map contracts by 0.1; "
                        "expected at least 0.9.",
                    )

    def independent(self) -> None:
        W, x, w = _problem()
        (together,) = torch.autograd.grad(self.solve(W, x).value, x, w)
        for i in range(_BATCH):
            row = x[i : i + 1].detach().requires_grad_()
            (alone,) = torch.autograd.grad(self.solve(W, row).value, row, w[i : i + 1])
            message = f"gradient to sample {i} alone and in a batch"
            require_close(alone[0], together[i], self.adjoint, "independent samples", message, rtol=1e-8, atol=1e-9)

    def proportional(self) -> None:
        W, x, w = _problem()
        (plain,) = torch.autograd.grad(self.solve(W, x).value, W, w)
        for factor in (1e-9, 1e9):
            (scaled,) = torch.autograd.grad(self.solve(W, x).value, W, factor * w)
            require_close(
                scaled / factor,
                plain,
                self.adjoint,
                "proportional",
                f"the gradient of a loss scaled by {factor:g}, scaled back",
                rtol=1e-6,
                atol=1e-7,
            )

    def record(self) -> None:
        W, x, w = _problem()
        solution = self.solve(W, x)
        require_record(solution.record, (_BATCH,), self.adjoint)
        torch.autograd.grad(solution.value, (W, x), w)
        backward = require_record(solution.record.backward, (_BATCH,), self.adjoint, "backward record")
        require(
            backward.converged.all(), self.adjoint, "backward record", "a sample's backward solve did not converge."
        )

    def without_a_graph(self) -> None:
        W, x, _ = _problem()
        recorded = self.solve(W, x).value.detach()
        with torch.no_grad():
            value = self.solve(W, x).value
        require(not value.requires_grad, self.adjoint, "no_grad", "the value requires a gradient under no_grad.")
        require_close(value, recorded, self.adjoint, "no_grad", "the value without a graph", rtol=1e-9, atol=1e-9)

    def diverged_sample(self) -> None:
        W, x, w = _problem()
        broken = x.detach().clone()
        broken[2] = float("nan")
        sound = [0, 1, 3, 4]
        value = self.solve(W, broken.requires_grad_()).value
        (found,) = torch.autograd.grad(value[sound], W, w[sound])
        (wanted,) = torch.autograd.grad(self.solve(W, x[sound]).value, W, w[sound])
        message = "gradient to the shared W with a NaN sample among the named inputs, and without that sample"
        require_close(found, wanted, self.adjoint, "a diverged sample", message, rtol=1e-7, atol=1e-8)

    def empty_batch(self) -> None:
        W, x, _ = _problem()
        value = self.solve(W, x[:0]).value
        require(value.shape == (0, _DIM), self.adjoint, "empty batch", f"it came back as {tuple(value.shape)}.")
        (gradient,) = torch.autograd.grad(value.sum(), W, allow_unused=True)
        require(
            gradient is None or not bool(gradient.any()), self.adjoint, "empty batch", "the gradient to W is not zero."
        )

    def second_derivative(self) -> None:
        W, x, w = _problem()
        v = normal(_DIM, _DIM, seed=3)

        def slope(create_graph: bool) -> Tensor:
            value = self.solve(W, x).value
            (gradient,) = torch.autograd.grad((value.sin() * w).sum(), W, create_graph=create_graph)
            return (gradient * v).sum()

        try:
            second = slope(True)
            (found,) = torch.autograd.grad(second, W)
        except DifferentiationError:
            return
        except RuntimeError as error:
            raise self.not_refused("second derivative", "a second derivative", error) from error
        error = directional_error(torch.enable_grad()(lambda: slope(False)), W, found, step=1e-4, seed=4)
        require(
            error < 1e-4,
            self.adjoint,
            "second derivative",
            f"its relative error is {error:.2g} against central differences; expected it right, or refused with "
            "DifferentiationError.",
        )

    def not_refused(self, name: str, what: str, error: RuntimeError) -> ConformanceError:
        """For an error that is not the layer's own: it would not tell a user what to do."""
        return ConformanceError(
            f"{self.adjoint!r} [{name}]: {what} raised {type(error).__name__}; expected it right, or refused with "
            "DifferentiationError."
        )

    def function_transforms(self) -> None:
        W, x, w = _problem()
        (wanted,) = torch.autograd.grad(self.solve(W, x).value, x, w)
        gradient = torch.func.grad(lambda y, weight: (self.solve(W.detach(), y).value * weight).sum())
        for name, transformed in (("grad", gradient), ("vmap of grad", torch.func.vmap(gradient))):
            try:
                found = transformed(x.detach(), w)
            except DifferentiationError:
                continue
            except RuntimeError as error:
                raise self.not_refused("torch.func", f"torch.func.{name}", error) from error
            message = f"torch.func.{name} against torch.autograd.grad"
            require_close(found, wanted, self.adjoint, "torch.func", message, rtol=1e-7, atol=1e-8)
