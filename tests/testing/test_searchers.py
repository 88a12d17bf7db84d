"""Every registered searcher keeps the rules, and the kit finds those that do not."""

from __future__ import annotations

import importlib.util
import random
from functools import partial

import numpy as np
import pytest

from metabench.errors import ConformanceError
from metabench.searchers import SEARCHERS
from metabench.searchers.objective import Objective
from metabench.searchers.random_search import RandomSearch
from metabench.searchers.searcher import Trial
from metabench.testing import check_searcher
from metabench.testing.toy_benchmark import make_toy_benchmark

SMAC = ("smac", "smac-multi-fidelity")  # a tenth of a second a trial, and more
NEEDS = {"tpe": "optuna"}
HARD = {"trials": 15, "exhaust": True}


def factory_of(name):
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    maker = SEARCHERS.get(name)
    if not maker.needs_other_tasks:
        return maker
    others = {task: Objective(make_toy_benchmark(seed=seed))._scores[:, 0] for task, seed in (("x", 7), ("y", 8))}
    return partial(maker, others=others)


@pytest.mark.parametrize("name", [name for name in SEARCHERS.names() if name not in SMAC])
def test_every_searcher_conforms(name):
    check_searcher(factory_of(name), **HARD, name=name)


@pytest.mark.parametrize("name", SMAC)
def test_smac_conforms_on_a_tiny_budget(name):
    check_searcher(factory_of(name), trials=2, exhaust=False, name=name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMAC)
def test_smac_conforms(name):
    check_searcher(factory_of(name), **HARD, name=name)


class Broken(RandomSearch):
    """Base of searchers that break one rule each."""

    def change(self, trial):
        return trial

    def ask(self):
        trial = super().ask()
        return self.change(trial)


class WrongEpoch(Broken):
    def change(self, trial):
        return Trial(trial.number, trial.config, 2, trial.seed)


class WrongSeed(Broken):
    def change(self, trial):
        return Trial(trial.number, trial.config, trial.epoch, 0)


class WrongCode(Broken):
    def change(self, trial):
        return Trial(trial.number, 25, trial.epoch, trial.seed)


class WrongNumber(Broken):
    def change(self, trial):
        return Trial(trial.number + 1, trial.config, trial.epoch, trial.seed)


class NoTrial(Broken):
    def change(self, trial):
        return trial.config


class Waits(Broken):
    def ask(self):
        return None


class StopsEarly(Broken):
    def change(self, trial):
        if trial.number == 5:
            raise StopIteration
        return trial


class GlobalRandomness(Broken):
    def change(self, trial):
        return Trial(trial.number, trial.config, trial.epoch, random.choice([0, 1, 2]))


class GlobalNumpyRandomness(Broken):
    def change(self, trial):
        return Trial(trial.number, trial.config, trial.epoch, int(np.random.randint(3)))  # noqa: NPY002


class SharedState(Broken):
    count = 0

    def change(self, trial):
        SharedState.count += 1
        return Trial(trial.number, SharedState.count // 2 % 5, trial.epoch, trial.seed)


class IgnoresSeed(Broken):
    def __init__(self, space, **arguments):
        super().__init__(space, **{**arguments, "seed": 0})


class BreaksOnFailure(Broken):
    def tell(self, trial, result):
        if result.val_score != result.val_score:
            raise ValueError("NaN")


class BreaksOnUnconverged(Broken):
    def tell(self, trial, result):
        if result.status.value == "unconverged":
            raise ValueError("unconverged")


class BreaksOutOfOrder(Broken):
    told = -1

    def tell(self, trial, result):
        if trial.number != self.told + 1:
            raise ValueError("out of order")
        self.told = trial.number


class BreaksWhenExhausted(Broken):
    def ask(self):
        trial = super().ask()
        if trial.number == 20:
            raise IndexError("pop from empty list")
        return trial


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (WrongEpoch, r"\[valid trials\].*asks for epoch 2"),
        (WrongSeed, r"\[one replicate\].*asks for seed 0 of \(1,\)"),
        (WrongCode, r"\[valid trials\].*asks for 25"),
        (WrongNumber, r"\[valid trials\].*trial number 1 came where 0 was due"),
        (NoTrial, r"\[valid trials\].*expected a Trial"),
        (Waits, r"\[valid trials\].*no training runs"),
        (StopsEarly, r"\[budget\].*stopped after 5 of 12"),
        (GlobalRandomness, r"\[reproducible\]"),
        (GlobalNumpyRandomness, r"\[reproducible\]"),
        (SharedState, r"\[reproducible\]"),
        (IgnoresSeed, r"\[seeds\]"),
        (BreaksOnFailure, r"\[some failed results\].*ValueError: NaN"),
        (BreaksOnUnconverged, r"\[unconverged results\].*ValueError: unconverged"),
        (BreaksOutOfOrder, r"\[checkpoint and resume\].*out of order"),
        (BreaksWhenExhausted, r"\[a budget larger than the space\].*IndexError"),
        (lambda *_, **__: object(), r"\[interface\].*expected an object with ask"),
    ],
)
def test_the_kit_finds_what_is_broken(broken, words):
    with pytest.raises(ConformanceError, match=words):
        check_searcher(broken)


def test_the_kit_leaves_global_generators_alone():
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    before = random.getstate(), repr(np.random.get_state())  # noqa: NPY002
    check_searcher(RandomSearch)
    assert (random.getstate(), repr(np.random.get_state())) == before  # noqa: NPY002
