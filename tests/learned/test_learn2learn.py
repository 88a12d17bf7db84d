"""learn2learn's MAML against torch.func: two independent ways to the same meta-gradient."""

from __future__ import annotations

import importlib.util
import sys

import pytest
import torch
from torch.func import functional_call, grad

from metabench.errors import OptionalDependencyError
from metabench.learned import learn2learn as adapter

STEP = 0.1

needs_learn2learn = pytest.mark.skipif(
    importlib.util.find_spec("learn2learn") is None, reason="learn2learn is not installed"
)


def regression(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(8, 3, generator=generator, dtype=torch.float64)
    return inputs, torch.randn(8, 2, generator=generator, dtype=torch.float64)


def linear(seed: int) -> torch.nn.Linear:
    generator = torch.Generator().manual_seed(seed)
    net = torch.nn.Linear(3, 2, dtype=torch.float64)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return net


def meta_gradient_by_func(net: torch.nn.Linear, steps: int, first_order: bool) -> dict[str, torch.Tensor]:
    """The gradient of the query loss after ``steps`` inner steps, in the start parameters, by torch.func alone."""

    def loss(parameters, data):
        inputs, targets = data
        return torch.nn.functional.mse_loss(functional_call(net, parameters, (inputs,)), targets)

    def query_loss(parameters):
        for _ in range(steps):
            slopes = grad(loss)(parameters, regression(1))
            slopes = {name: slope.detach() if first_order else slope for name, slope in slopes.items()}
            parameters = {name: value - STEP * slopes[name] for name, value in parameters.items()}
        return loss(parameters, regression(2))

    return grad(query_loss)({name: value.detach() for name, value in net.named_parameters()})


@needs_learn2learn
@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("steps", [1, 3])
def test_maml_meta_gradient_equals_torch_func(steps, first_order):
    net = linear(seed=0)
    expected = meta_gradient_by_func(net, steps, first_order)

    maml = adapter.load().algorithms.MAML(net, lr=STEP, first_order=first_order)
    learner = maml.clone()
    for _ in range(steps):
        inputs, targets = regression(1)
        learner.adapt(torch.nn.functional.mse_loss(learner(inputs), targets))
    inputs, targets = regression(2)
    torch.nn.functional.mse_loss(learner(inputs), targets).backward()

    for name, parameter in net.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=0, atol=1e-6)
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-10, atol=1e-12)


@needs_learn2learn
def test_maml_meta_gradient_by_hand():
    # Support loss w**2, one step: w' = (1 - 2 STEP) w. Query loss (w' - 1)**2: slope 2 (w' - 1) (1 - 2 STEP) in w.
    net = torch.nn.Linear(1, 1, bias=False, dtype=torch.float64)
    torch.nn.init.constant_(net.weight, 3.0)
    learner = adapter.load().algorithms.MAML(net, lr=STEP).clone()
    one = torch.ones(1, 1, dtype=torch.float64)
    learner.adapt(learner(one).square().sum())
    (learner(one) - 1).square().sum().backward()
    assert net.weight.grad is not None
    assert net.weight.grad.item() == pytest.approx(2 * (0.8 * 3.0 - 1) * 0.8, abs=1e-12)


@needs_learn2learn
def test_load_returns_the_same_module_and_is_silent(capfd, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] in {"learn2learn", "gym"}]:
        monkeypatch.delitem(sys.modules, name)
    module = adapter.load()
    assert adapter.load() is module
    assert hasattr(module, "optim")
    assert "torchvision" not in sys.modules
    assert capfd.readouterr() == ("", "")


def test_not_installed_says_how_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "learn2learn", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(OptionalDependencyError, match=r"^learn2learn is not installed; .*learn2learn==0\.2\.0$"):
        adapter.load()


def test_broken_install_says_why_and_leaves_nothing_behind(monkeypatch, tmp_path):
    (tmp_path / "learn2learn.py").write_text("import a_package_that_is_not_there\n", encoding="utf-8")
    for name in [name for name in sys.modules if name.partition(".")[0] == "learn2learn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(OptionalDependencyError, match="a_package_that_is_not_there"):
        adapter.load()
    assert not [name for name in sys.modules if name.partition(".")[0] == "learn2learn"]
