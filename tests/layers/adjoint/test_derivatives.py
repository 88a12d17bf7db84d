"""Second derivatives and function transforms: right, or refused with what to do instead."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from metabench.errors import DifferentiationError
from metabench.layers import Adjoint, Implicit, Picard, Tolerance, fixed_point
from metabench.layers.adjoint import ImplicitDense, JacobianFree, Phantom, Truncated, Unrolled, all_adjoints

TIGHT = Tolerance(atol=1e-13, rtol=1e-13, max_steps=500)
ONCE = (Implicit, ImplicitDense)  # refuse second derivatives and transforms
OFTEN = (Unrolled, JacobianFree, Truncated, Phantom)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


W, X = 0.25 * normal(3, 3), normal(2, 3, seed=1)


def layer(kind: type[Adjoint], W: Tensor, x: Tensor, *, named: bool = True) -> Tensor:
    f: Callable[..., Tensor] = lambda z, y: torch.tanh(z @ W.mT + y)  # noqa: E731
    return fixed_point(
        f if named else lambda z: f(z, x),
        torch.zeros_like(x),
        inputs=(x,) if named else None,
        solver=Picard(),
        stopping=TIGHT,
        adjoint=kind(),
        policy="keep",
    ).value


def test_every_adjoint_is_in_one_of_the_lists() -> None:
    assert {*ONCE, *OFTEN} == set(all_adjoints)


@pytest.mark.parametrize("kind", ONCE)
def test_second_derivatives_are_refused(kind: type[Adjoint]) -> None:
    weight, x = W.clone().requires_grad_(), X.clone().requires_grad_()
    value = layer(kind, weight, x)
    for loss in (value.sum(), value.square().sum()):  # with a constant gradient coming in, and with another
        with pytest.raises(DifferentiationError, match=r"second derivative .* create_graph=True"):
            torch.autograd.grad(loss, (weight, x), create_graph=True, retain_graph=True)
    with pytest.raises(DifferentiationError, match="second derivative"):
        layer(kind, weight, x).sum().backward(create_graph=True)
    with pytest.raises(DifferentiationError, match="second derivative"):
        torch.autograd.functional.hessian(lambda x: layer(kind, W, x).sum(), X)


def test_unrolled_has_second_derivatives() -> None:
    weight, x = W.clone().requires_grad_(), X.clone().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda W, x: layer(Unrolled, W, x), (weight, x))
    # Against the closed form: z = a z^2 / 2 + c has z = (1 - sqrt(1 - 2 a c)) / a, d2z/dc2 = a (1 - 2 a c)^(-3/2).
    c = torch.tensor([[0.3]], dtype=torch.float64, requires_grad=True)
    z = fixed_point(
        lambda z, c: 0.25 * z.square() + c,
        torch.zeros(1, 1, dtype=torch.float64),
        inputs=(c,),
        solver=Picard(),
        stopping=TIGHT,
        adjoint=Unrolled(),
    ).value
    (first,) = torch.autograd.grad(z.sum(), c, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), c)
    assert first.item() == pytest.approx(0.7**-0.5, rel=1e-10)
    assert second.item() == pytest.approx(0.5 * 0.7**-1.5, rel=1e-9)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("kind", OFTEN)
def test_func_grad(kind: type[Adjoint], named: bool) -> None:
    weight, x = W.clone().requires_grad_(), X.clone().requires_grad_()
    want = torch.autograd.grad(layer(kind, weight, x).square().sum(), (weight, x))
    found = torch.func.grad(lambda W, x: layer(kind, W, x, named=named).square().sum(), argnums=(0, 1))(W, X)
    for got, expected in zip(found, want, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-10)
    _, pullback = torch.func.vjp(lambda W: layer(kind, W, X, named=named), W)
    torch.testing.assert_close(
        pullback(torch.ones_like(X))[0],
        torch.autograd.grad(layer(kind, weight, X).sum(), weight)[0],
        rtol=1e-9,
        atol=1e-10,
    )


@pytest.mark.parametrize("kind", ONCE)
def test_func_grad_is_refused(kind: type[Adjoint]) -> None:
    with pytest.raises(DifferentiationError, match=r"torch\.func"):
        torch.func.grad(lambda W: layer(kind, W, X).sum())(W)
    with pytest.raises(DifferentiationError, match=r"torch\.func"):
        torch.func.vjp(lambda x: layer(kind, W, x), X)


@pytest.mark.parametrize(
    "transformed",
    [
        lambda kind: torch.func.vmap(lambda x: layer(kind, W, x))(X),
        lambda kind: torch.func.vmap(lambda W: layer(kind, W, X))(torch.stack([W, -W])),
        lambda kind: torch.func.vmap(torch.func.grad(lambda x: layer(kind, W, x).sum()))(X),
        lambda kind: torch.func.jacrev(lambda x: layer(kind, W, x).sum())(X),
    ],
    ids=["samples", "weights", "grad", "jacrev"],
)
@pytest.mark.parametrize("kind", all_adjoints)
def test_what_needs_vmap_is_right_or_refused(kind: type[Adjoint], transformed: Callable[..., Any]) -> None:
    found = None
    with contextlib.suppress(DifferentiationError):
        found = transformed(kind)
    if found is None:
        return
    x = X.clone().requires_grad_()
    torch.testing.assert_close(found, torch.autograd.grad(layer(kind, W, x).sum(), x)[0])  # jacrev of a sum


@pytest.mark.parametrize("kind", all_adjoints)
def test_forward_mode_is_never_silently_zero(kind: type[Adjoint]) -> None:
    direction = normal(2, 3, seed=2)
    try:
        _, tangent = torch.func.jvp(lambda x: layer(kind, W, x), (X,), (direction,))
    except (DifferentiationError, NotImplementedError):
        return
    x = X.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(layer(kind, W, x).sum(), x)
    torch.testing.assert_close(tangent.sum(), (gradient * direction).sum(), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", ONCE)
def test_a_map_that_has_changed_before_backward_is_refused(kind: type[Adjoint]) -> None:
    cell = torch.nn.Linear(3, 3, dtype=torch.float64)
    with torch.no_grad():
        cell.weight.mul_(0.3)

    def solve(x: Tensor) -> Tensor:
        return fixed_point(
            lambda z, y: torch.tanh(cell(z) + y), torch.zeros_like(x), inputs=(x,), stopping=TIGHT, adjoint=kind()
        ).value

    other = {name: (2 * p.detach()).requires_grad_() for name, p in cell.named_parameters()}

    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell

        def forward(self, x: Tensor) -> Tensor:
            return solve(x)

    value = torch.func.functional_call(Layer(), {f"cell.{name}": p for name, p in other.items()}, (X,))
    with pytest.raises(DifferentiationError, match="other values in the backward pass"):
        value.sum().backward()
    value = solve(X)
    with torch.no_grad():
        cell.weight.mul_(0.5)
    with pytest.raises((DifferentiationError, RuntimeError), match=r"backward pass|modified by an inplace"):
        value.sum().backward()
    solve(X).sum().backward()


@pytest.mark.parametrize("kind", [Unrolled, JacobianFree, Truncated, Phantom])
def test_functional_call_works_where_f_is_evaluated_forward_only(kind: type[Adjoint]) -> None:
    cell = torch.nn.Linear(3, 3, dtype=torch.float64)
    with torch.no_grad():
        cell.weight.mul_(0.3)

    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell

        def forward(self, x: Tensor) -> Tensor:
            f: Callable[..., Tensor] = lambda z, y: torch.tanh(self.cell(z) + y)  # noqa: E731
            return fixed_point(
                f, torch.zeros_like(x), inputs=(x,), solver=Picard(), stopping=TIGHT, adjoint=kind()
            ).value

    model = Layer()
    swapped = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}
    torch.func.functional_call(model, swapped, (X,)).sum().backward()
    model(X).sum().backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(swapped[name].grad, p.grad)
