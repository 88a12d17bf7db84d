"""The meta-training loop: reproducible, resumable, the same in any number of processes, and it learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import metabench
from metabench.errors import ArgumentError, RunFolderError, UnknownNameError
from metabench.learned.meta_training import (
    ESTIMATORS,
    NoiseReuseES,
    PersistentES,
    Recipe,
    TruncatedBackpropagation,
    find_recipe,
    meta_train,
)
from metabench.learned.optimizers import SGD, LSTMRule, MLPRule
from metabench.problems import ArchitectureProblem, Quadratic

PROBLEMS = (Quadratic(3), ArchitectureProblem(task="spirals-v1", architecture="mlp.tied", width=4, batch_size=8))


def small(**changes) -> Recipe:
    base = Recipe(
        "small",
        MLPRule(),
        PersistentES(),
        PROBLEMS,
        groups=2,
        units=2,
        truncation=2,
        horizons=(4, 8),
        iterations=8,
    )
    return replace(base, **changes)


@pytest.mark.parametrize("estimator", list(ESTIMATORS))
def test_a_stopped_run_goes_on_bit_for_bit(estimator, tmp_path) -> None:
    plan = small(estimator=ESTIMATORS[estimator]())
    whole = meta_train(plan)
    first = meta_train(plan, iterations=5, out=tmp_path)
    assert not first.finished
    assert first.curve == whole.curve[:5]
    resumed = meta_train(plan, out=tmp_path)
    assert resumed.finished
    assert resumed.curve == whole.curve
    assert all(torch.equal(whole.weights[name], resumed.weights[name]) for name in whole.weights)
    with pytest.raises(RunFolderError, match="other settings"):
        meta_train(replace(plan, seed=1), out=tmp_path)
    with np.load(tmp_path / "checkpoint.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype != object for name in arrays.files)


@pytest.mark.slow  # two processes import torch
def test_processes_change_nothing(tmp_path) -> None:
    plan = small()
    alone, together = meta_train(plan), meta_train(plan, workers=2)
    assert alone.curve == together.curve
    assert all(torch.equal(alone.weights[name], together.weights[name]) for name in alone.weights)


@pytest.mark.slow  # a Dask cluster starts
def test_a_dask_scheduler_changes_nothing() -> None:
    from distributed import LocalCluster

    plan = small(iterations=3)
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        together = meta_train(plan, scheduler=cluster.scheduler_address)
    assert together.curve == meta_train(plan).curve


def test_no_scheduler_answers() -> None:
    with pytest.raises(ArgumentError, match="no Dask scheduler answers"):
        meta_train(small(), scheduler="tcp://127.0.0.1:1")


def test_what_is_written_can_be_loaded_and_trains(tmp_path) -> None:
    result = meta_train(small(iterations=2), out=tmp_path)
    factory = metabench.learned.load(tmp_path)
    assert all(torch.equal(factory.weights[name], result.weights[name]) for name in result.weights)
    assert factory.manifest["provenance"]["iterations"] == 2
    net = torch.nn.Linear(2, 1)
    optimizer = factory(net.parameters())
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()


def test_the_rate_of_sgd_is_found_on_quadratics() -> None:
    # One weight, from a rate far too small: both ways of meta-training lower the loss.
    for estimator, rate in (
        (PersistentES(sigma=0.003), 0.002),
        (NoiseReuseES(sigma=0.003), 0.002),
        (TruncatedBackpropagation(), 0.002),
    ):
        plan = small(
            rule=SGD(),
            estimator=estimator,
            problems=(Quadratic(3),),
            units=16,
            truncation=5,
            horizons=(10, 10),
            iterations=30,
            rate=rate,
        )
        result = meta_train(plan)
        assert result.weights["rate"] > 0.01
        assert sum(result.curve[-6:]) < sum(result.curve[:6]) - 0.5


def test_recipes_are_named_and_valid() -> None:
    assert (find_recipe("mlp-v1").rule.hidden, find_recipe("mlp-v1").rule.layers) == (4, 2)
    assert not any(isinstance(problem, Quadratic) for problem in find_recipe("mlp-v1").problems)
    assert find_recipe("lstm-v1").rule == LSTMRule(hidden=20)
    assert isinstance(find_recipe("mlp-v1").estimator, NoiseReuseES)
    with pytest.raises(UnknownNameError, match="Did you mean 'mlp-v1'"):
        find_recipe("mpl-v1")


@pytest.mark.parametrize(
    "changes",
    [
        {"groups": 0},
        {"horizons": (5, 4)},
        {"rate": 0.0},
        {"ceiling": 1.0},
        {"problems": ()},
        {"problems": (ArchitectureProblem(held_out=True),)},
    ],
)
def test_bad_recipes(changes) -> None:
    with pytest.raises(ArgumentError, match="expected"):
        small(**changes)


def test_bad_arguments() -> None:
    with pytest.raises(ArgumentError, match="at least 1"):
        meta_train(small(), workers=0)
