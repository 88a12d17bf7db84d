"""What single searchers do beyond the rules that ``tests/testing/test_searchers.py`` checks of all of them."""

import os
import subprocess
import sys

import pytest

from metabench.errors import OptionalDependencyError, UnknownNameError
from metabench.searchers import SEARCHERS
from metabench.searchers.loop import run_loop
from metabench.searchers.objective import Objective
from metabench.searchers.regularized_evolution import RegularizedEvolution, scaled_sizes


def search(name, benchmark, trials=15, seed=0):
    searcher = SEARCHERS.get(name)(
        benchmark.space_definition, epochs=benchmark.epochs, seeds=benchmark.seeds, seed=seed, trials=trials
    )
    return run_loop(searcher, Objective(benchmark), trials)


def test_registry_names_every_searcher_and_suggests():
    assert SEARCHERS.names()[:2] == ("random", "regularized-evolution")
    with pytest.raises(UnknownNameError, match="Did you mean 'random'"):
        SEARCHERS.check("randon")
    with pytest.raises(UnknownNameError, match="Did you mean 'local-search'"):
        SEARCHERS.check("local_search")


def test_importing_searchers_loads_nothing_heavy():
    heavy = ("smac", "torch", "ConfigSpace", "matplotlib", "numpy", "optuna")
    code = f"import sys, metabench.searchers; print([m for m in {heavy} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_random_visits_each_architecture_once_then_stops(benchmark_table):
    trials = search("random", benchmark_table, trials=100)
    assert sorted(trial["code"] for trial in trials) == benchmark_table.space_definition.canonical_codes.tolist()


@pytest.mark.parametrize("name", ["random", "regularized-evolution", "local-search"])
def test_failures_never_lead(name, make_benchmark):
    codes = [5, 6, 7, 8, 9, 10, 11, 12, 13]
    benchmark = make_benchmark(
        diverged=[(c, s) for c in codes[:5] for s in (0, 1, 2)], missing=[(c, s) for c in codes[5:] for s in (0, 1)]
    )
    trials = search(name, benchmark)
    failed = [trial for trial in trials if trial["status"] in ("diverged", "missing")]
    assert failed
    assert all(trial["val_score"] is None for trial in failed)
    assert not any(trial["incumbent"] in codes[:5] for trial in trials)
    observed = [trial for trial in trials if trial["val_score"] is not None]
    assert trials[-1]["incumbent"] == max(observed, key=lambda trial: trial["val_score"])["code"]


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
    trials = search("smac", benchmark_table, trials=60)
    # 20 * 25 draws miss one of 25 configurations with probability < 1e-8
    assert len(trials) == benchmark_table.space_definition.size
    assert {trial["code"] for trial in trials} == set(benchmark_table.space_definition.canonical_codes.tolist())
    assert os.listdir(tmp_path) == []
    assert capfd.readouterr() == ("", "")


def test_smac_uses_the_facades_own_forest_but_for_what_only_costs_time(benchmark_table):
    from smac import HyperparameterOptimizationFacade

    searcher = SEARCHERS.get("smac")(benchmark_table.space_definition, epochs=(4,), seeds=(0,), seed=0, trials=5)
    facade = searcher._smac.facade
    assert facade.scenario.deterministic
    assert facade._model._rf_opts["n_jobs"] == 1
    expected = HyperparameterOptimizationFacade.get_model(facade.scenario).meta
    found = dict(facade._model.meta)
    differing = {key for key in expected if found[key] != expected[key]}
    assert differing <= {"n_jobs", "max_leaf_nodes"}


def test_smacs_own_limit_of_leaves_gives_the_same_search(benchmark_table, monkeypatch):
    from metabench.searchers import smac_facade

    codes = []
    for leaves in (2**14, 2**20):
        monkeypatch.setattr(smac_facade, "_MOST_LEAVES", leaves)
        codes.append([trial["code"] for trial in search("smac", benchmark_table, trials=8)])
    assert codes[0] == codes[1]


def test_smac_promotes_from_checkpoints(benchmark_table):
    trials = search("smac-multi-fidelity", benchmark_table, trials=6)
    promoted = [trial for trial in trials if trial["resumed_epoch"] == 1]
    assert promoted
    assert all(trial["epoch"] == 4 for trial in promoted)
    first = {(trial["code"], trial["seed"]) for trial in trials if trial["epoch"] == 1}
    assert all((trial["code"], trial["seed"]) in first for trial in promoted)


@pytest.mark.parametrize(("name", "package"), [("tpe", "optuna"), ("smac", "smac")])
def test_a_missing_package_is_named(name, package, benchmark_table, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)  # makes its import raise
    with pytest.raises(OptionalDependencyError, match=f"'{name}' needs the package {package}.*pip install"):
        search(name, benchmark_table)


def test_tpe_is_optunas_own_study(benchmark_table):
    optuna = pytest.importorskip("optuna")
    from metabench.seeding import derive

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    objective = Objective(benchmark_table)
    found = search("tpe", benchmark_table, trials=20, seed=3)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=derive("tpe", 3) % 2**32))
    for trial in found:
        proposal = study.ask()
        config = {f"stage{k}": proposal.suggest_categorical(f"stage{k}", objective.space.blocks) for k in (1, 2)}
        assert objective.space.code(config) == trial["code"]
        study.tell(proposal, trial["val_score"])
