"""The loop's bookkeeping, by hand."""

import pytest

from metabench.errors import ArchitectureError, ArgumentError, QueryError, SearcherError, TableError
from metabench.searchers.loop import run_loop
from metabench.searchers.objective import Objective
from metabench.searchers.searcher import Searcher, Trial
from metabench.searchers.settings import Settings
from metabench.testing.toy_benchmark import make_toy_benchmark


class Scripted(Searcher):
    """Asks for given (code, replicate) or (code, replicate, epoch); None waits for the next result."""

    def __init__(self, script):
        self.script, self.asked, self.told = list(script), 0, []

    def ask(self):
        if not self.script:
            raise StopIteration
        entry = self.script.pop(0)
        if entry is None:
            return None
        self.asked += 1
        code, seed, epoch = entry if len(entry) == 3 else (*entry, 4)
        return Trial(self.asked - 1, code, epoch, seed)

    def tell(self, trial, result):
        self.told.append(trial.number)


def column(trials, key):
    return [trial[key] for trial in trials]


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
    assert column(trials, "evaluations") == [1, 2, 3, 4, 5]
    assert column(trials, "worker") == [0] * 5
    assert column(trials, "started_seconds") == pytest.approx([0, 0, 2.1, 4.6, 6.1])
    assert [trial["incumbent"] for trial in trials[:3]] == [None, None, 15]
    assert trials[0]["test_regret"] is None
    observed = {
        number: benchmark._scores(code, 4, seed)[0] for number, code, seed in ((2, 15, 0), (3, 5, 2), (4, 15, 1))
    }
    best = (15, 15, 5, 15)[1 + max(range(3), key=lambda k: observed[k + 2])]
    assert trials[-1]["incumbent"] == best
    for place, name in ((0, "val"), (1, "test")):
        partial = {10: (1, 2), 11: (0, 2)}
        means = [mean_score(benchmark, code, place) for code in whole]
        means += [sum(benchmark._scores(c, 4, s)[place] for s in seeds) / 2 for c, seeds in partial.items()]
        own = mean_score(benchmark, best, place)
        assert trials[-1][f"{name}_regret"] == pytest.approx(max(means) - own)
        assert trials[-1][f"incumbent_{name}_score"] == pytest.approx(own)
    overheads = [trial["overhead_seconds"] for trial in trials]
    assert overheads == sorted(overheads)
    assert overheads[0] > 0


def test_workers_finish_in_the_order_of_the_clock(benchmark_table):
    """Costs 3, 1.5, 2, 1 + .6 = 1.6, 1.7 seconds on two workers."""
    searcher = Scripted([(20, 0), (5, 0), (10, 0), (6, 0), (7, 0)])
    trials = run_loop(searcher, Objective(benchmark_table), 9, Settings(sim_workers=2))
    # 0: 0 to 3 on worker 0; 1: 0 to 1.5 on 1; 2: 1.5 to 3.5 on 1; 3: 3 to 4.6 on 0; 4: 3.5 to 5.2 on 1
    assert column(trials, "number") == searcher.told == [1, 0, 2, 3, 4]
    assert column(trials, "simulated_seconds") == pytest.approx([1.5, 3, 3.5, 4.6, 5.2])
    assert column(trials, "started_seconds") == pytest.approx([0, 0, 1.5, 3, 3.5])
    assert column(trials, "worker") == [1, 0, 1, 0, 1]
    assert column(trials, "evaluations") == [1, 2, 3, 4, 5]


def test_equal_finishes_are_told_in_the_order_of_asking(benchmark_table):
    searcher = Scripted([(5, 2), (5, 0), (5, 1)])
    run_loop(searcher, Objective(benchmark_table), 9, Settings(sim_workers=3))
    assert searcher.told == [0, 1, 2]


def test_a_waiting_searcher_is_asked_again_when_something_is_told(benchmark_table):
    trials = run_loop(Scripted([(20, 0), None, (5, 0)]), Objective(benchmark_table), 9, Settings(sim_workers=2))
    assert column(trials, "started_seconds") == [0, 3]
    with pytest.raises(SearcherError, match="no training runs"):
        run_loop(Scripted([(20, 0), None, None]), Objective(benchmark_table), 9)


TOY = make_toy_benchmark()
ROW = 7
CODE = int(TOY.space_definition.canonical_codes[ROW])
SECONDS = [float(TOY.query(CODE, epoch=epoch, seed=1).train_seconds) for epoch in (1, 3, 9)]


def test_promotions_go_on_from_the_checkpoint():
    script = [(CODE, 1, 1), (CODE, 1, 3), (CODE, 1, 9), (CODE, 2, 3), (CODE, 1, 3)]
    trials = run_loop(Scripted(script), Objective(TOY), 9)
    assert column(trials, "resumed_epoch") == [
        0,
        1,
        3,
        0,
        0,
    ]  # another replicate, and a lower epoch, start from scratch
    charged = [SECONDS[0], SECONDS[1] - SECONDS[0], SECONDS[2] - SECONDS[1], SECONDS[1], SECONDS[1]]
    assert column(trials, "train_seconds") == pytest.approx(charged, rel=1e-5)
    assert column(trials, "evaluations") == pytest.approx([1 / 9, 3 / 9, 1, 12 / 9, 15 / 9])


def test_promotions_may_be_charged_in_full():
    trials = run_loop(Scripted([(CODE, 1, 1), (CODE, 1, 9)]), Objective(TOY), 9, Settings(promotions="restart"))
    assert column(trials, "resumed_epoch") == [0, 0]
    assert column(trials, "train_seconds") == pytest.approx([SECONDS[0], SECONDS[2]], rel=1e-5)
    assert trials[-1]["evaluations"] == pytest.approx(10 / 9)


def test_a_training_that_still_runs_is_no_checkpoint():
    trials = run_loop(Scripted([(CODE, 1, 1), (CODE, 1, 3)]), Objective(TOY), 9, Settings(sim_workers=2))
    assert column(trials, "resumed_epoch") == [0, 0]


def test_the_budget_ends_at_the_first_trial_that_does_not_fit():
    script = [(CODE, 0, 9), (CODE, 1, 3), (CODE, 2, 9), (CODE, 2, 1)]
    searcher = Scripted(script)
    trials = run_loop(searcher, Objective(TOY), 2)  # 18 epochs: 9 + 3, then 9 is too much
    assert column(trials, "evaluations") == pytest.approx([1, 12 / 9])
    assert searcher.script == [(CODE, 2, 1)]


def test_clocks_that_count():
    script = [(CODE, 1, 1), (CODE, 1, 9)]
    epochs = run_loop(Scripted(script), Objective(TOY), 9, Settings(clock="epochs"))
    assert column(epochs, "simulated_seconds") == [1, 9]
    # 3 x 1 FLOP x 1 training row x epochs at 1e9 a second
    flops = run_loop(Scripted(script), Objective(TOY), 9, Settings(clock="flops"))
    assert column(flops, "simulated_seconds") == pytest.approx([3e-9, 27e-9])
    gone = Objective(make_toy_benchmark(missing=[(ROW, 1)]))
    for clock in ("seconds", "epochs", "flops"):
        assert column(run_loop(Scripted(script), gone, 9, Settings(clock=clock)), "simulated_seconds") == [0, 0]


def test_clock_flops_needs_a_task(benchmark_table):
    with pytest.raises(ArgumentError, match="needs a benchmark with a task"):
        run_loop(Scripted([(5, 0)]), Objective(benchmark_table), 1, Settings(clock="flops"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"clock": "second"}, "unknown clock 'second'. Did you mean 'seconds'"),
        ({"promotions": "x"}, "unknown promotions"),
        ({"replicates": "x"}, "unknown replicates"),
        ({"sim_workers": 0}, "at least 1"),
        ({"sim_workers": True}, "at least 1"),
    ],
)
def test_settings_are_checked(values, words):
    with pytest.raises(ArgumentError, match=words):
        Settings(**values)


def test_replicates_of_a_run():
    assert Settings().replicates_of((4, 5, 6), 7) == (4, 5, 6)
    assert Settings(replicates="fixed").replicates_of((4, 5, 6), 7) == (5,)


def test_an_incumbent_that_gets_worse_loses_its_place():
    """Two trainings: B leads at epoch 1, and diverges when it goes on."""
    a, b = ROW, 12
    benchmark = make_toy_benchmark(diverged=[(b, 0)])
    codes = benchmark.space_definition.canonical_codes
    results = benchmark._source.arrays[0]
    val = benchmark.metrics.index("val_score")
    results[a, 0, :, val] = [0.2, 0.3, 0.4]
    results[b, 0, 0, val] = 0.35
    script = [(int(codes[a]), 0, 1), (int(codes[b]), 0, 1), (int(codes[a]), 0, 3), (int(codes[b]), 0, 3)]
    trials = run_loop(Scripted([*script, (int(codes[a]), 0, 9)]), Objective(benchmark), 9)
    assert column(trials, "incumbent") == [codes[a], codes[b], codes[b], codes[a], codes[a]]
    assert trials[3]["status"] == "diverged"
    alone = run_loop(Scripted([script[1], script[3]]), Objective(benchmark), 9)
    assert column(alone, "incumbent") == [codes[b], None]
    assert alone[1]["test_regret"] is None


def test_regret_is_zero_for_the_best_and_positive_elsewhere(benchmark_table):
    objective = Objective(benchmark_table)
    codes = benchmark_table.space_definition.canonical_codes.tolist()
    tests = [objective.standing(objective.evaluate(code, 4, 0)).test_regret for code in codes]
    best = max(codes, key=lambda code: mean_score(benchmark_table, code, 1))
    assert min(tests) == tests[codes.index(best)] == 0
    assert sum(regret == 0 for regret in tests) == 1


def test_a_table_is_read_as_query_answers():
    rows = {"diverged": [(3, 0)], "missing": [(4, 1)], "unconverged": [(5, 2)]}
    benchmark = make_toy_benchmark(**rows)
    objective = Objective(benchmark)
    statuses = set()
    for code in benchmark.space_definition.canonical_codes.tolist():
        for epoch in benchmark.epochs:
            for seed in benchmark.seeds:
                found = objective.evaluate(code, epoch, seed)
                statuses.add(found.status.value)
                if found.status.value == "missing":
                    assert (benchmark.space_definition.row_of[code], seed) in rows["missing"]
                else:
                    assert repr(found) == repr(benchmark.query(code, epoch=epoch, seed=seed))  # repr: NaN is not itself
    assert statuses == {"ok", "diverged", "missing", "unconverged"}


def test_a_table_without_scores_is_refused(make_benchmark):
    codes = make_benchmark().space_definition.canonical_codes.tolist()
    with pytest.raises(TableError, match="build the table"):
        Objective(make_benchmark(missing=[(code, seed) for code in codes for seed in (0, 1, 2)]))


def test_what_the_benchmark_does_not_have_is_refused(benchmark_table):
    with pytest.raises(ArchitectureError):
        run_loop(Scripted([(25, 0)]), Objective(benchmark_table), 1)
    for objective in (Objective(TOY),):
        with pytest.raises(QueryError, match="epoch 4 is not recorded"):
            run_loop(Scripted([(5, 0, 4)]), objective, 1)
        with pytest.raises(QueryError, match="seed 7"):
            run_loop(Scripted([(5, 7, 9)]), objective, 1)


def test_results_are_asked_once(benchmark_table):
    run_loop(Scripted([(5, 0)] * 4), Objective(benchmark_table), 4)
    assert benchmark_table.asked == 1


def test_unmeasured_architecture_has_no_regret(make_benchmark):
    objective = Objective(make_benchmark(missing=[(5, seed) for seed in (0, 1, 2)]))
    assert objective.standing(objective.evaluate(5, 4, 0)) == (None, None, None, None)


def test_without_known_optimum_scores_are_reported(make_benchmark):
    benchmark = make_benchmark()
    benchmark.kind = "surrogate"
    trials = run_loop(Scripted([(5, 0), (6, 1)]), Objective(benchmark), 4)
    assert column(trials, "val_regret") == column(trials, "test_regret") == [None, None]
    best = max(((5, 0), (6, 1)), key=lambda pair: benchmark._scores(pair[0], 4, pair[1])[0])
    assert trials[-1]["incumbent"] == best[0]
    val, test = benchmark._scores(best[0], 4, best[1])
    assert trials[-1]["incumbent_val_score"] == pytest.approx(val)
    assert trials[-1]["incumbent_test_score"] == pytest.approx(test)
