"""Meta-gradients equal learn2learn's to 1e-6 in float64, for explicit and implicit networks."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from metabench.errors import OptionalDependencyError
from metabench.layers import Implicit, Picard, Tolerance, fixed_point
from metabench.layers.adjoint import Unrolled
from metabench.learned import learn2learn as adapter
from metabench.learned.adaptation import MAML, BatchedLoss, MetaSGD
from metabench.learned.adaptation.train import few_shot_scores, make_learner, meta_train_few_shot
from metabench.problems.few_shot import Episodes, load_few_shot
from metabench.spaces import Architecture, Network

needs_learn2learn = pytest.mark.skipif(
    importlib.util.find_spec("learn2learn") is None, reason="learn2learn is not installed"
)


class Equilibrium(nn.Module):
    """linear -> z = tanh(Wz + x) -> linear; the samples are named, so solves narrow to those that are left."""

    def __init__(self, adjoint, solver=None) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(2, 4), nn.Linear(4, 1)
        self.inner = nn.Linear(4, 4, bias=False)
        self.adjoint, self.solver = adjoint, solver

    def forward(self, x):
        x = self.stem(x)
        solution = fixed_point(
            lambda z, injected: torch.tanh(self.inner(z) + injected),
            torch.zeros_like(x),
            inputs=(x,),
            solver=self.solver,
            stopping=Tolerance(atol=1e-10, rtol=1e-10, max_steps=100),
            adjoint=self.adjoint,
            policy="keep",
        )
        return self.head(solution.value)


NETWORKS = {
    "explicit": lambda: nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1)),
    "unrolled": lambda: Equilibrium(Unrolled(), Picard()),
    "implicit": lambda: Equilibrium(Implicit()),
}


def network(kind: str) -> nn.Module:
    net = NETWORKS[kind]().double()
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(0.4 * torch.randn(p.shape, generator=torch.Generator().manual_seed(i), dtype=torch.float64))
    return net


def episodes() -> Episodes:
    source = torch.Generator().manual_seed(5)

    def draw(*shape):
        return torch.randn(*shape, generator=source, dtype=torch.float64)

    return Episodes(draw(2, 40, 2), draw(2, 40, 1), draw(2, 40, 2), draw(2, 40, 1))


def both(ours, name: str, loss: BatchedLoss, data: Episodes):
    from metabench.learned.adaptation import peer

    theirs = getattr(peer, name)(step_size=ours.step_size, steps=ours.steps, first_order=ours.first_order)
    meta = ours.initial(loss)
    return ours.meta_gradient(loss, meta, data), theirs.meta_gradient(loss, theirs.initial(loss), data)


@needs_learn2learn
@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("algorithm", [(MAML, "Learn2LearnMAML"), (MetaSGD, "Learn2LearnMetaSGD")], ids=["maml", "sgd"])
@pytest.mark.parametrize(
    ("kind", "first_order"),
    [("explicit", False), ("explicit", True), ("unrolled", False), ("unrolled", True), ("implicit", True)],
)
def test_meta_gradients_equal_those_of_learn2learn(kind, first_order, algorithm, steps) -> None:
    make, name = algorithm
    ours = make(step_size=0.1, steps=steps, first_order=first_order)
    (value, slopes), (peer_value, peer_slopes) = both(ours, name, BatchedLoss(network(kind), mse_loss), episodes())
    assert value.item() == pytest.approx(peer_value.item(), abs=1e-9)
    assert sorted(slopes) == sorted(peer_slopes)
    for key, slope in slopes.items():
        assert slope.abs().max() > 1e-6
        torch.testing.assert_close(slope, peer_slopes[key], rtol=0, atol=1e-6, msg=key)


@needs_learn2learn
def test_a_network_of_the_benchmark_agrees_too() -> None:
    net = Network(Architecture(("mlp.deq", "gated.tied")), 2, 3, 8, [0]).double()
    source = torch.Generator().manual_seed(3)
    x, y = torch.randn(3, 40, 2, generator=source, dtype=torch.float64), torch.randint(3, (3, 40), generator=source)
    data, loss = Episodes(x, y, x.flip(1), y.flip(1)), BatchedLoss(net, cross_entropy, "replicates")
    (_, slopes), (_, peer_slopes) = both(MAML(step_size=0.1, first_order=True), "Learn2LearnMAML", loss, data)
    for key, slope in slopes.items():
        torch.testing.assert_close(slope, peer_slopes[key], rtol=0, atol=1e-6, msg=key)


@needs_learn2learn
@pytest.mark.parametrize("name", ["learn2learn-maml", "learn2learn-meta-sgd"])
def test_theirs_train_on_our_tasks_as_ours_do(name) -> None:
    task = load_few_shot("sinusoid-v1")
    task = replace(task, protocol=replace(task.protocol, meta_batch=4, test_problems=20, test_steps=(0, 1)))
    results = []
    for learner in (make_learner(name, task), make_learner(name.removeprefix("learn2learn-"), task)):
        loss, meta = meta_train_few_shot(task, learner, iterations=3)
        results.append((meta, few_shot_scores(task, learner, loss, meta)))
    (theirs, their_scores), (ours, our_scores) = results
    for key, value in ours.items():
        torch.testing.assert_close(value, theirs[key], rtol=1e-3, atol=1e-4, msg=key)
    for mine, peers in zip(our_scores, their_scores, strict=True):
        assert mine.mean == pytest.approx(peers.mean, rel=1e-3)


def test_without_learn2learn_one_line_says_how_to_get_it(monkeypatch) -> None:
    def missing():
        raise OptionalDependencyError("learn2learn is not installed; install it with: pip install ...")

    monkeypatch.setattr(adapter, "load", missing)
    with pytest.raises(OptionalDependencyError, match="install it with"):
        make_learner("learn2learn-maml", load_few_shot("sinusoid-v1"))
