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


class Equilibrium(torch.nn.Module):
    """z = tanh(W z + b + x)."""

    def __init__(self, adjoint: Adjoint) -> None:
        super().__init__()
        self.cell = torch.nn.Linear(3, 3, dtype=torch.float64)
        with torch.no_grad():
            self.cell.weight.copy_(W)
        self.adjoint = adjoint

    def forward(self, x: Tensor) -> Tensor:
        f: Callable[..., Tensor] = lambda z, y: torch.tanh(self.cell(z) + y)  # noqa: E731
        return fixed_point(
            f, torch.zeros_like(x), inputs=(x,), solver=Picard(), stopping=TIGHT, adjoint=self.adjoint
        ).value


def linearise(model: Equilibrium) -> Callable[..., Any]:
    def at(z: Tensor, y: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        weight = model.cell.weight.detach()
        slope = 1 - torch.tanh(model.cell(z) + y).detach().square()
        return lambda u, w: w + (u * slope) @ weight

    return at


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("kind", all_adjoints)
def test_functional_call_is_right_or_refused(kind: type[Adjoint], spread: bool, by_hand: bool) -> None:
    # When backward runs the module has its own parameters again. A batch of unequal samples is narrowed on the way.
    model = Equilibrium(kind())
    if by_hand:
        if kind is not Implicit:
            return
        model.adjoint = Implicit(linearise=linearise(model))
    x = normal(64, 3, seed=3) * (torch.logspace(-3, 1, 64, dtype=torch.float64)[:, None] if spread else 1.0)
    other = {name: (1.5 * p.detach()).requires_grad_() for name, p in model.named_parameters()}
    value = torch.func.functional_call(model, other, (x,))
    found, refused = (), ""
    try:
        found = torch.autograd.grad(value.square().sum(), list(other.values()))
    except DifferentiationError as error:
        refused = str(error)
    if refused:
        assert kind is Implicit
        assert "other values in the backward pass" in refused
        return
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(other[name])
    want = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    for ours, theirs in zip(found, want, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("kind", ONCE)
def test_parameters_changed_in_place_are_refused(kind: type[Adjoint]) -> None:
    model = Equilibrium(kind())
    value = model(X)
    with torch.no_grad():
        model.cell.weight.mul_(0.5)
    with pytest.raises((DifferentiationError, RuntimeError), match=r"backward pass|modified by an inplace"):
        value.sum().backward()
