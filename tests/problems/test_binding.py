"""A bound copy computes with the tensors it was given, also when a layer evaluates itself again going back.

With ``torch.func.functional_call`` in its place the gradient of ``gated.deq`` below is wrong by a third.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from metabench.errors import ArgumentError
from metabench.problems import bind
from metabench.spaces import Architecture, Network


@pytest.mark.parametrize("blocks", [("mlp.deq",), ("gated.deq", "qp.simplex"), ("mlp.deq-monotone", "gated.ode")])
def test_gradients_are_those_of_a_network_that_owns_the_parameters(blocks) -> None:
    owner, shell = (Network(Architecture(blocks), 2, 3, 8, [seed]) for seed in (1, 2))
    with torch.no_grad():  # samples then end at different steps, and going back the cell is evaluated for those left
        for name, value in owner.named_parameters():
            if name.endswith("cell.W"):
                value.mul_(1.6)
    x = 3 * torch.randn(1, 200, 2, generator=torch.Generator().manual_seed(0))
    owner(x)[0].square().sum().backward()
    given = {name: value.detach().clone().requires_grad_() for name, value in owner.named_parameters()}
    output, _ = bind(shell, given)(x)
    slopes = torch.autograd.grad(output.square().sum(), list(given.values()))
    for (name, value), slope in zip(owner.named_parameters(), slopes, strict=True):
        torch.testing.assert_close(slope, value.grad, msg=name)


def test_the_module_itself_stays_and_shared_parameters_stay_shared() -> None:
    first = nn.Linear(2, 2)
    module = nn.Sequential(first, nn.Tanh(), first)
    before = first.weight.detach().clone()
    given = {"0.weight": torch.eye(2) * 2, "0.bias": torch.zeros(2)}
    output = bind(module, given)(torch.tensor([[0.5, 0.0]]))
    torch.testing.assert_close(output, torch.tensor([[2 * torch.tanh(torch.tensor(1.0)).item(), 0.0]]))
    assert torch.equal(first.weight, before)
    assert isinstance(first.weight, nn.Parameter)


def test_recurrent_modules_keep_no_second_list() -> None:
    module = nn.GRU(2, 3)
    given = {name: torch.zeros_like(value) for name, value in module.named_parameters()}
    assert torch.equal(bind(module, given)(torch.ones(4, 2))[0], torch.zeros(4, 3))


@pytest.mark.parametrize("given", [{}, {"weight": torch.zeros(1, 1)}, {"weight": 0, "bias": 0, "scale": 0}])
def test_names_have_to_fit(given) -> None:
    with pytest.raises(ArgumentError, match="exactly those of Linear"):
        bind(nn.Linear(1, 1), given)
