"""Instances are named by seeds and do not see their neighbours; losses are those of plain torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.func import vmap
from torch.nn.functional import cross_entropy

from metabench.datasets import load_task
from metabench.errors import ArgumentError
from metabench.problems import (
    ArchitectureProblem,
    PerceptronProblem,
    Quadratic,
    draw_rows,
    held_out_problems,
    shifted_problems,
    training_problems,
    validation_problems,
)
from metabench.spaces import Architecture, Network

PROBLEMS = (
    Quadratic(5),
    PerceptronProblem(task="spirals-v1", hidden=(8,), activation="tanh", batch_size=16),
    ArchitectureProblem(task="spirals-v1", architecture="mlp.tied", width=8, batch_size=16),
    ArchitectureProblem(task="annuli-v1", architecture="mlp.deq,qp.box", width=8, batch_size=16),
)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_an_instance_does_not_depend_on_its_neighbours(problem) -> None:
    many, alone = problem.sample([3, 8, 5]), problem.sample([8])
    losses = problem.loss(many, problem.batch([3, 8, 5], 4))
    single = problem.loss(alone, problem.batch([8], 4))
    assert losses.shape == (3,)
    assert all(torch.equal(many[name][1], alone[name][0]) for name in alone)
    torch.testing.assert_close(losses[1:2], single, rtol=1e-4, atol=1e-5)
    assert len(set(losses.tolist())) == 3


@pytest.mark.parametrize("problem", PROBLEMS[:3], ids=lambda problem: problem.name)
def test_explicit_problems_run_under_vmap(problem) -> None:
    seeds = [0, 1]
    parameters, batch = problem.sample(seeds), problem.batch(seeds, 0)

    def single(p, b):
        return problem.loss({name: value[None] for name, value in p.items()}, tuple(part[None] for part in b))[0]

    torch.testing.assert_close(vmap(single)(parameters, batch), problem.loss(parameters, batch))


def test_quadratic_by_hand_and_its_minimum() -> None:
    problem = Quadratic(2)
    W, y = torch.tensor([[[2.0, 0.0], [1.0, 1.0]]]), torch.tensor([[1.0, -1.0]])
    assert problem.loss({"theta": torch.tensor([[1.0, 3.0]])}, (W, y)).item() == pytest.approx(1 + 25)
    seeds = range(4)
    assert torch.all(problem.minimum(seeds) < 1e-6)  # a square system can be solved


def test_architecture_loss_is_the_networks() -> None:
    problem = ArchitectureProblem(task="spirals-v1", architecture="gated.ode", width=8, batch_size=16)
    x, y = problem.batch([2, 6], 3)
    network = Network(Architecture(("gated.ode",)), 2, 3, 8, [2, 6])
    logits, _ = network(x)
    expected = torch.stack([cross_entropy(logits[i], y[i]) for i in range(2)])
    torch.testing.assert_close(problem.loss(problem.sample([2, 6]), (x, y)), expected)


def test_scores_are_accuracies_on_validation() -> None:
    problem = PerceptronProblem(task="spirals-v1", hidden=())
    parameters = problem.sample([0])
    parameters = {"weight0": torch.zeros_like(parameters["weight0"]), "bias0": torch.tensor([[[0.0, 1.0, 0.0]]])}
    share = float((problem.splits.val_y == 1).mean())
    assert problem.score(parameters).item() == pytest.approx(share)


def test_rows_are_a_pure_function_and_uniform() -> None:
    rows = draw_rows([1, 2], 5, 30000, 10)
    np.testing.assert_array_equal(rows[1:], draw_rows([2], 5, 30000, 10))
    assert not np.array_equal(rows[0], rows[1])
    assert not np.array_equal(rows, draw_rows([1, 2], 6, 30000, 10))
    counts = np.stack([np.bincount(row, minlength=10) for row in rows])
    statistic = ((counts - 3000) ** 2 / 3000).sum(1)
    assert statistic.max() < 27.9  # chi-squared with 9 degrees of freedom: 0.1 %
    # successive steps do not repeat: a counter moves on by what was drawn
    first, second = draw_rows([1], 0, 4, 2**62), draw_rows([1], 1, 4, 2**62)
    assert not set(first[0]) & set(second[0])


def test_held_out_problems_share_no_block_and_no_task_with_training() -> None:
    def blocks(problems):
        return {name for p in problems if isinstance(p, ArchitectureProblem) for name in p.architecture.split(",")}

    def tasks(problems):
        return {p.task for p in problems if not isinstance(p, Quadratic)}

    training, held_out = training_problems(), (*held_out_problems(), *shifted_problems())
    assert not blocks(validation_problems()) & blocks(held_out)
    assert not tasks(validation_problems()) & tasks(held_out)
    assert not {p.name for p in validation_problems()} & {p.name for p in training}
    assert not blocks(training) & blocks(held_out)
    assert not tasks(training) & tasks(held_out)
    assert all(load_task(name) for name in tasks(training) | tasks(held_out))
    assert not any(problem.held_out for problem in training)
    assert all(problem.held_out for problem in held_out)
    names = [problem.name for problem in (*training, *held_out)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Quadratic(0),
        lambda: PerceptronProblem(activation="gelu"),
        lambda: PerceptronProblem(hidden=(0,)),
        lambda: ArchitectureProblem(batch_size=0),
        lambda: draw_rows([0], -1, 1, 1),
    ],
)
def test_bad_arguments(make) -> None:
    with pytest.raises(ArgumentError):
        make()
