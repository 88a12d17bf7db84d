"""Meta-gradients against hand calculation, torch.func and finite differences; explicit and implicit modules."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad
from torch.nn.functional import mse_loss

from metabench.errors import ArgumentError, DifferentiationError, RunFolderError
from metabench.layers import Implicit, Picard, Tolerance, fixed_point
from metabench.layers.adjoint import Unrolled
from metabench.learned.adaptation import ANIL, MAML, BatchedLoss, MetaSGD, Reptile
from metabench.learned.adaptation.anil import head_of
from metabench.learned.adaptation.meta_sgd import RATE
from metabench.learned.adaptation.train import few_shot_scores, make_learner, meta_train_few_shot
from metabench.problems.few_shot import Episodes, load_few_shot

STEP = 0.1
TIGHT = Tolerance(atol=1e-13, rtol=1e-13, max_steps=300)


class Equilibrium(nn.Module):
    """linear -> z = tanh(Wz + x) -> linear, in float64."""

    def __init__(self, adjoint, solver=None) -> None:
        super().__init__()
        self.stem = nn.Linear(2, 3, dtype=torch.float64)
        self.inner = nn.Linear(3, 3, bias=False, dtype=torch.float64)
        self.head = nn.Linear(3, 1, dtype=torch.float64)
        self.adjoint, self.solver = adjoint, solver

    def forward(self, x):
        x = self.stem(x)
        solution = fixed_point(
            lambda z: torch.tanh(self.inner(z) + x),
            torch.zeros_like(x),
            solver=self.solver,
            stopping=TIGHT,
            adjoint=self.adjoint,
        )
        return self.head(solution.value)


def filled(module: nn.Module, scale: float = 0.4) -> nn.Module:
    with torch.no_grad():
        for i, p in enumerate(module.parameters()):
            draw = torch.randn(p.shape, generator=torch.Generator().manual_seed(i), dtype=torch.float64)
            p.copy_(scale * draw)
    return module


def explicit() -> nn.Module:
    one, two = nn.Linear(2, 3, dtype=torch.float64), nn.Linear(3, 1, dtype=torch.float64)
    return filled(nn.Sequential(one, nn.Tanh(), two))


def unrolled() -> nn.Module:
    return filled(Equilibrium(Unrolled(), Picard()))


def implicit() -> nn.Module:
    return filled(Equilibrium(Implicit()))


def episodes(problems: int = 3) -> Episodes:
    source = torch.Generator().manual_seed(7)

    def draw(*shape):
        return torch.randn(*shape, generator=source, dtype=torch.float64)

    return Episodes(draw(problems, 5, 2), draw(problems, 5, 1), draw(problems, 4, 2), draw(problems, 4, 1))


def by_torch_func(module, data, steps, first_order=False, adapted=None, rates=None):
    """The mean meta-gradient, one problem after the other, by torch.func alone."""
    start = {name: value.detach() for name, value in module.named_parameters()}

    def support_loss(parameters, i):
        return mse_loss(functional_call(module, parameters, (data.support_x[i],)), data.support_y[i])

    def query_loss(meta, rates, i):
        parameters = meta
        for _ in range(steps):
            slopes = grad(support_loss)(parameters, i)
            slopes = {k: v.detach() if first_order else v for k, v in slopes.items()}
            parameters = {
                k: v - rates[k] * slopes[k] if adapted is None or k in adapted else v for k, v in parameters.items()
            }
        return mse_loss(functional_call(module, parameters, (data.query_x[i],)), data.query_y[i])

    rates = {k: torch.full_like(v, STEP) for k, v in start.items()} if rates is None else rates
    parts = [grad(query_loss, argnums=(0, 1))(start, rates, i) for i in range(len(data.support_x))]
    return tuple({k: sum(p[j][k] for p in parts) / len(parts) for k in start} for j in range(2))


@pytest.mark.parametrize("batching", ["auto", "vmap", "loop"])
@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("steps", [1, 3])
def test_maml_equals_torch_func(batching, first_order, steps) -> None:
    module, data = explicit(), episodes()
    learner = MAML(step_size=STEP, steps=steps, first_order=first_order)
    loss = BatchedLoss(module, mse_loss, batching)
    _, slopes = learner.meta_gradient(loss, learner.initial(loss), data)
    expected, _ = by_torch_func(module, data, steps, first_order)
    for name, slope in slopes.items():
        torch.testing.assert_close(slope, expected[name], rtol=1e-9, atol=1e-12)


def test_maml_by_hand() -> None:
    # Support loss w^2, so w' = (1 - 2 STEP) w; query loss (w' - 1)^2: slope 2 (w' - 1)(1 - 2 STEP) in w = 3.
    module = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    nn.init.constant_(module.weight, 3.0)
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    loss = BatchedLoss(module, mse_loss)
    learner = MAML(step_size=STEP)
    value, slopes = learner.meta_gradient(loss, learner.initial(loss), Episodes(one, 0 * one, one, one))
    assert value.item() == pytest.approx((2.4 - 1) ** 2)
    assert slopes["weight"].item() == pytest.approx(2 * (2.4 - 1) * 0.8)
    first = replace(learner, first_order=True)
    _, slopes = first.meta_gradient(loss, learner.initial(loss), Episodes(one, 0 * one, one, one))
    assert slopes["weight"].item() == pytest.approx(2 * (2.4 - 1))


def test_a_parameter_that_is_not_used_has_no_slope() -> None:
    module, data = explicit(), episodes()
    module.register_parameter("spare", nn.Parameter(torch.ones(2, dtype=torch.float64)))
    loss, learner = BatchedLoss(module, mse_loss), MAML(step_size=STEP)
    _, slopes = learner.meta_gradient(loss, learner.initial(loss), data)
    assert slopes["spare"].tolist() == [0.0, 0.0]


def test_anil_adapts_the_head_alone() -> None:
    module, data = explicit(), episodes()
    assert head_of(module) == ("2.weight", "2.bias")
    learner = ANIL(step_size=STEP, steps=2)
    loss = BatchedLoss(module, mse_loss)
    meta = learner.initial(loss)
    _, slopes = learner.meta_gradient(loss, meta, data)
    expected, _ = by_torch_func(module, data, 2, adapted=("2.weight", "2.bias"))
    for name, slope in slopes.items():
        torch.testing.assert_close(slope, expected[name], rtol=1e-9, atol=1e-12)
    adapted = learner.adapt(loss, meta, data.support_x, data.support_y, 2)
    assert torch.equal(adapted["0.weight"][1], meta["0.weight"])
    assert not torch.equal(adapted["2.weight"][1], meta["2.weight"])


def test_meta_sgd_learns_the_rates_too() -> None:
    module, data = explicit(), episodes()
    learner = MetaSGD(step_size=STEP, steps=2)
    loss = BatchedLoss(module, mse_loss)
    meta = learner.initial(loss)
    _, slopes = learner.meta_gradient(loss, meta, data)
    expected, rates = by_torch_func(module, data, 2)
    for name in expected:
        torch.testing.assert_close(slopes[name], expected[name], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(slopes[RATE + name], rates[name], rtol=1e-9, atol=1e-12)


def test_reptile_points_from_where_training_ends() -> None:
    # One weight, loss (w - t)^2 over support and query together: w' - t = (1 - 2 STEP)^2 (w - t) after two steps.
    module = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    nn.init.constant_(module.weight, 3.0)
    one = torch.ones(2, 1, 1, dtype=torch.float64)
    target = torch.tensor([0.0, 2.0], dtype=torch.float64).reshape(2, 1, 1)
    learner = Reptile(step_size=STEP, steps=2)
    loss = BatchedLoss(module, mse_loss)
    _, slopes = learner.meta_gradient(loss, learner.initial(loss), Episodes(one, target, one, target))
    expected = sum((1 - 0.8**2) * (3.0 - t) for t in (0.0, 2.0)) / 2 / (2 * STEP)
    assert slopes["weight"].item() == pytest.approx(expected)


def finite_differences(module, data, steps, name, index, width=1e-5):
    """The slope of the mean query loss in one entry of the initialisation."""
    learner, loss = MAML(step_size=STEP, steps=steps), BatchedLoss(module, mse_loss, "loop")
    values = []
    for sign in (1, -1):
        meta = {k: v.detach().clone() for k, v in module.named_parameters()}
        meta[name][index] += sign * width
        with torch.no_grad():
            adapted = learner.adapt(loss, meta, data.support_x, data.support_y, steps)
            values.append(loss(adapted, data.query_x, data.query_y).mean().item())
    return (values[0] - values[1]) / (2 * width)


def test_second_order_through_an_unrolled_equilibrium_is_right() -> None:
    module, data = unrolled(), episodes()
    learner, loss = MAML(step_size=STEP, steps=2), BatchedLoss(module, mse_loss)
    _, slopes = learner.meta_gradient(loss, learner.initial(loss), data)
    assert loss.batching == "loop"  # a solve cannot be batched by vmap; auto went over to the loop
    for name, index in (("inner.weight", (0, 1)), ("stem.weight", (2, 0)), ("head.bias", (0,))):
        assert slopes[name][index].item() == pytest.approx(finite_differences(module, data, 2, name, index), rel=1e-6)


def test_second_order_through_an_implicit_adjoint_raises_and_first_order_is_right() -> None:
    data = episodes()
    loss = BatchedLoss(implicit(), mse_loss)
    learner = MAML(step_size=STEP, steps=2)
    with pytest.raises(DifferentiationError, match="second derivative"):
        learner.meta_gradient(loss, learner.initial(loss), data)
    first = MAML(step_size=STEP, steps=2, first_order=True)
    _, slopes = first.meta_gradient(loss, first.initial(loss), data)
    twin = BatchedLoss(unrolled(), mse_loss)
    _, expected = first.meta_gradient(twin, first.initial(twin), data)
    for name, slope in slopes.items():
        torch.testing.assert_close(slope, expected[name], rtol=1e-8, atol=1e-10)


def test_a_benchmark_network_is_batched_on_its_replicate_axis() -> None:
    from metabench.spaces import Architecture, Network

    def network(seeds):
        return Network(Architecture(("mlp.deq", "mlp.tied")), 2, 3, 8, seeds).double()

    source = torch.Generator().manual_seed(3)
    x, y = torch.randn(4, 6, 2, generator=source, dtype=torch.float64), torch.randint(3, (4, 6), generator=source)
    data = Episodes(x, y, x.flip(1), y.flip(1))
    learner = MAML(step_size=STEP, first_order=True)
    loss = BatchedLoss(network([0]), nn.functional.cross_entropy, "replicates")
    value, slopes = learner.meta_gradient(loss, learner.initial(loss), data)
    parts = []
    for i in range(4):
        one = Episodes(*(array[i : i + 1] for array in data))
        parts.append(learner.meta_gradient(loss, learner.initial(loss), one))
    assert value.item() == pytest.approx(sum(v.item() for v, _ in parts) / 4)
    for name, slope in slopes.items():
        assert slope.shape[0] == 1
        mean = torch.stack([p[name] for _, p in parts]).mean(0)
        torch.testing.assert_close(slope, mean, rtol=1e-4, atol=1e-6)  # the solves' tolerance


def test_vmap_that_a_layer_refuses_says_so() -> None:
    loss = BatchedLoss(implicit(), mse_loss, "vmap")
    learner = MAML(first_order=True)
    with pytest.raises(DifferentiationError, match="vmap"):
        learner.meta_gradient(loss, learner.initial(loss), episodes())


@pytest.mark.parametrize(
    "make",
    [
        lambda: MAML(steps=0),
        lambda: MAML(step_size=-1.0),
        lambda: BatchedLoss(nn.ReLU(), mse_loss),
        lambda: BatchedLoss(explicit(), mse_loss, "map"),  # type: ignore[arg-type]
        lambda: ANIL(head=("tail",)).adapt(
            BatchedLoss(explicit(), mse_loss), dict(explicit().named_parameters()), *episodes()[:2], 1
        ),
    ],
)
def test_bad_arguments(make) -> None:
    with pytest.raises(ArgumentError):
        make()


@pytest.mark.parametrize("name", ["maml", "anil", "meta-sgd", "reptile"])
def test_a_stopped_run_goes_on_bit_for_bit(name, tmp_path) -> None:
    task = load_few_shot("sinusoid-v1")
    learner = make_learner(name, task)
    _, whole = meta_train_few_shot(task, learner, iterations=6)
    meta_train_few_shot(task, learner, iterations=4, out=tmp_path)
    _, resumed = meta_train_few_shot(task, learner, iterations=6, out=tmp_path)
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)
    with pytest.raises(RunFolderError, match="other settings"):
        meta_train_few_shot(task, learner, iterations=6, out=tmp_path, seed=1)


def test_meta_training_helps_on_letters_never_seen() -> None:
    task = load_few_shot("letter-few-shot-v1")
    task = replace(task, protocol=replace(task.protocol, test_problems=60, test_steps=(0, 5)))
    learner = make_learner("maml", task)
    scores = []
    for iterations in (1, 60):
        loss, meta = meta_train_few_shot(task, learner, iterations=iterations)
        scores.append(few_shot_scores(task, learner, loss, meta))
    assert scores[0][0].mean == pytest.approx(0.2, abs=0.05)  # five classes, nothing adapted
    assert scores[1][1].mean > scores[0][1].mean + 0.1
    assert scores[1][1].half_width < 0.05
