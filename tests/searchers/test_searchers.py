"""Every registered searcher: valid, reproducible, survives failures, stops when the space is exhausted."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from metabench.errors import UnknownNameError
from metabench.searchers import SEARCHERS
from metabench.searchers.loop import run_loop
from metabench.searchers.objective import Objective
from metabench.searchers.regularized_evolution import RegularizedEvolution, scaled_sizes

NAMES = ("random", "regularized-evolution", "smac")


def search(name, benchmark, trials=15, seed=0):
    searcher = SEARCHERS.get(name)(
        benchmark.space_definition, epochs=benchmark.epochs, seeds=benchmark.seeds, seed=seed, trials=trials
    )
    return run_loop(searcher, Objective(benchmark), trials)


def trajectory(trials):
    return [{key: value for key, value in trial.items() if key != "overhead_seconds"} for trial in trials]


def test_registry_names_every_searcher_and_suggests():
    assert SEARCHERS.names()[:3] == NAMES
    with pytest.raises(UnknownNameError, match="Did you mean 'random'"):
        SEARCHERS.check("randon")


def test_importing_searchers_loads_nothing_heavy():
    heavy = ("smac", "torch", "ConfigSpace", "matplotlib", "numpy")
    code = f"import sys, metabench.searchers; print([m for m in {heavy} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


@pytest.mark.parametrize("name", NAMES)
def test_asks_only_valid_trials_and_respects_the_budget(name, benchmark_table):
    trials = search(name, benchmark_table)
    assert len(trials) == 15
    assert [trial["number"] for trial in trials] == list(range(15))
    assert {trial["code"] for trial in trials} <= set(benchmark_table.space_definition.canonical_codes.tolist())
    assert {trial["seed"] for trial in trials} <= {0, 1, 2}
    assert {trial["epoch"] for trial in trials} == {4}
    assert len({trial["seed"] for trial in trials}) > 1
    json.dumps(trials, allow_nan=False)


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_trajectory(name, benchmark_table, make_benchmark):
    first = trajectory(search(name, benchmark_table, seed=3))
    np.random.seed(1)  # noqa: NPY002  global state must not matter
    assert trajectory(search(name, make_benchmark(), seed=3)) == first
    assert trajectory(search(name, make_benchmark(), seed=4)) != first


@pytest.mark.parametrize("name", NAMES)
def test_survives_diverged_and_missing_results(name, make_benchmark):
    codes = [5, 6, 7, 8, 9, 10, 11, 12, 13]
    benchmark = make_benchmark(
        diverged=[(c, s) for c in codes[:5] for s in (0, 1, 2)], missing=[(c, s) for c in codes[5:] for s in (0, 1)]
    )
    trials = search(name, benchmark)
    assert len(trials) == 15
    failed = [trial for trial in trials if trial["status"] in ("diverged", "missing")]
    assert failed
    assert all(trial["val_score"] is None for trial in failed)
    assert trials[-1]["incumbent"] is not None
    assert not any(trial["incumbent"] in codes[:5] for trial in trials)
    observed = [trial for trial in trials if trial["val_score"] is not None]
    assert trials[-1]["incumbent"] == max(observed, key=lambda trial: trial["val_score"])["code"]


@pytest.mark.parametrize("name", NAMES)
def test_survives_when_everything_fails_first(name, make_benchmark):
    space = make_benchmark().space_definition
    all_but_one = [(int(c), s) for c in space.canonical_codes[:-1] for s in (0, 1, 2)]
    trials = search(name, make_benchmark(diverged=all_but_one), trials=12)
    assert len(trials) == 12
    assert all(trial["incumbent"] in (None, int(space.canonical_codes[-1])) for trial in trials)


def test_random_visits_each_architecture_once_then_stops(benchmark_table):
    trials = search("random", benchmark_table, trials=100)
    assert sorted(trial["code"] for trial in trials) == benchmark_table.space_definition.canonical_codes.tolist()


@pytest.mark.parametrize("name", NAMES)
def test_more_trials_than_the_space_has_end_well(name, benchmark_table):
    trials = search(name, benchmark_table, trials=40)
    assert 21 <= len(trials) <= 40
    assert trials[-1]["test_regret"] is not None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("trials", [1, 2])
def test_tiny_budgets(name, trials, benchmark_table):
    assert len(search(name, benchmark_table, trials=trials)) == trials


def test_evolution_sizes_scale_with_the_budget():
    assert scaled_sizes(5) == (10, 2)
    assert scaled_sizes(100) == (20, 5)
    assert scaled_sizes(500) == scaled_sizes(10_000) == (100, 10)


def test_evolution_children_are_neighbours_of_members(benchmark_table):
    space = benchmark_table.space_definition
    trials = search("regularized-evolution", benchmark_table, trials=60)
    population = scaled_sizes(60)[0]
    for number in range(population, 60):
        members = [trial["code"] for trial in trials[number - population : number]]
        assert any(trials[number]["code"] in space.neighbours(member) for member in members)
    assert len({trial["code"] for trial in trials[:population]}) == population


def test_evolution_with_a_full_tournament_breeds_from_the_best(benchmark_table):
    space = benchmark_table.space_definition
    searcher = RegularizedEvolution(space, epochs=(1, 4), seeds=(0,), seed=0, trials=30, population=5, tournament=200)
    trials = run_loop(searcher, Objective(benchmark_table), 30)
    for number in range(5, 30):  # 200 draws of 5 miss a member with probability 5 * 0.8 ** 200 < 1e-18
        best = max(trials[number - 5 : number], key=lambda trial: trial["val_score"])
        assert trials[number]["code"] in space.neighbours(best["code"])


def test_smac_leaves_no_files_and_is_quiet(benchmark_table, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    search("smac", benchmark_table, trials=30)
    assert os.listdir(tmp_path) == []
    assert capfd.readouterr() == ("", "")


def test_smac_asks_for_almost_every_configuration_before_it_gives_up(benchmark_table):
    trials = search("smac", benchmark_table, trials=60)
    assert len(trials) == benchmark_table.space_definition.size  # 20 * 25 draws miss one of 25 with probability < 1e-8
    assert {trial["code"] for trial in trials} == set(benchmark_table.space_definition.canonical_codes.tolist())


def test_smac_forest_runs_on_one_core(benchmark_table):
    searcher = SEARCHERS.get("smac")(benchmark_table.space_definition, epochs=(4,), seeds=(0,), seed=0, trials=5)
    assert searcher._facade._model._rf_opts["n_jobs"] == 1
    assert searcher._facade.scenario.deterministic


def test_smac_uses_the_facades_own_forest(benchmark_table):
    from smac import HyperparameterOptimizationFacade

    searcher = SEARCHERS.get("smac")(benchmark_table.space_definition, epochs=(4,), seeds=(0,), seed=0, trials=5)
    expected = HyperparameterOptimizationFacade.get_model(searcher._facade.scenario).meta
    assert {**searcher._facade._model.meta, "n_jobs": -1} == expected
