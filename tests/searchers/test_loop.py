"""The loop's bookkeeping, by hand."""

import pytest

from metabench.errors import ArchitectureError, TableError
from metabench.searchers.loop import run_loop
from metabench.searchers.objective import Objective
from metabench.searchers.searcher import Searcher, Trial


class Scripted(Searcher):
    """Asks for given (code, replicate) pairs."""

    def __init__(self, script):
        self.script, self.told = list(script), []

    def ask(self):
        number = len(self.told)
        if number == len(self.script):
            raise StopIteration
        code, seed = self.script[number]
        return Trial(number, code, 4, seed)

    def tell(self, trial, result):
        self.told.append((trial, result))


def mean_score(benchmark, code, column):
    return sum(benchmark._scores(code, 4, seed)[column] for seed in (0, 1, 2)) / 3


def test_incumbent_regret_and_clock(make_benchmark):
    benchmark = make_benchmark(missing=[(10, 0)], diverged=[(11, 1)])
    codes = benchmark.space_definition.canonical_codes.tolist()
    whole = [code for code in codes if code not in (10, 11)]
    trials = run_loop(Scripted([(10, 0), (11, 1), (15, 0), (5, 2), (15, 1)]), Objective(benchmark), 9)
    assert [trial["status"] for trial in trials] == ["missing", "diverged", "ok", "ok", "ok"]
    # cost is 1 + code / 10 seconds, nothing for a missing cell
    assert [trial["simulated_seconds"] for trial in trials] == pytest.approx([0, 2.1, 4.6, 6.1, 8.6])
    assert [trial["incumbent"] for trial in trials[:3]] == [None, None, 15]
    assert trials[0]["test_regret"] is None
    observed = {
        number: benchmark._scores(code, 4, seed)[0] for number, code, seed in ((2, 15, 0), (3, 5, 2), (4, 15, 1))
    }
    best = (15, 15, 5, 15)[1 + max(range(3), key=lambda k: observed[k + 2])]
    assert trials[-1]["incumbent"] == best
    for column, key in ((0, "val_regret"), (1, "test_regret")):
        partial = {10: (1, 2), 11: (0, 2)}
        means = [mean_score(benchmark, code, column) for code in whole]
        means += [sum(benchmark._scores(c, 4, s)[column] for s in seeds) / 2 for c, seeds in partial.items()]
        assert trials[-1][key] == pytest.approx(max(means) - mean_score(benchmark, best, column))
    overheads = [trial["overhead_seconds"] for trial in trials]
    assert overheads == sorted(overheads)
    assert overheads[0] > 0


def test_regret_is_zero_for_the_best_and_positive_elsewhere(benchmark_table):
    objective = Objective(benchmark_table)
    codes = benchmark_table.space_definition.canonical_codes.tolist()
    tests = [objective.standing(objective.evaluate(code, 4, 0)).test_regret for code in codes]
    best = max(codes, key=lambda code: mean_score(benchmark_table, code, 1))
    assert min(tests) == tests[codes.index(best)] == 0
    assert sum(regret == 0 for regret in tests) == 1


def test_a_table_without_scores_is_refused(make_benchmark):
    codes = make_benchmark().space_definition.canonical_codes.tolist()
    with pytest.raises(TableError, match="build the table"):
        Objective(make_benchmark(missing=[(code, seed) for code in codes for seed in (0, 1, 2)]))


def test_an_architecture_outside_the_space_is_refused(benchmark_table):
    with pytest.raises(ArchitectureError):
        run_loop(Scripted([(25, 0)]), Objective(benchmark_table), 1)


def test_results_are_asked_once(benchmark_table):
    run_loop(Scripted([(5, 0)] * 4), Objective(benchmark_table), 4)
    assert benchmark_table.asked == 1


def test_unmeasured_architecture_has_no_regret(make_benchmark):
    objective = Objective(make_benchmark(missing=[(5, seed) for seed in (0, 1, 2)]))
    assert objective.standing(objective.evaluate(5, 4, 0)) == (None, None, None, None)
