"""Local search on a space whose neighbourhoods are known."""

from metabench.searchers.local_search import LocalSearch
from metabench.searchers.loop import run_loop
from metabench.searchers.objective import Objective
from metabench.searchers.settings import Settings


def climb(benchmark, trials=100, **options):
    searcher = LocalSearch(benchmark.space_definition, epochs=(1, 4), seeds=(0,), seed=0, trials=trials, **options)
    return run_loop(searcher, Objective(benchmark), trials, Settings(sim_workers=options.pop("workers", 1)))


def test_climbs_from_the_start_over_whole_neighbourhoods(benchmark_table):
    space = benchmark_table.space_definition
    trials = climb(benchmark_table, starts=[5])
    score = {trial["code"]: trial["val_score"] for trial in trials}
    assert trials[0]["code"] == 5
    place, current = 1, 5
    known = {5}
    while True:  # what algorithm 1 of White et al. does, with the scores that the search saw
        near = set(space.neighbours(current).tolist())
        asked = {trial["code"] for trial in trials[place : place + len(near - known)]}
        assert asked == near - known
        place += len(asked)
        known |= asked
        best = max(near, key=score.__getitem__)
        if score[best] <= score[current]:
            break
        current = best
    assert current != 5
    if place < len(trials):
        assert trials[place]["code"] not in known  # a new start


def test_asks_for_everything_once_and_then_ends(benchmark_table):
    codes = [trial["code"] for trial in climb(benchmark_table)]
    assert sorted(codes) == benchmark_table.space_definition.canonical_codes.tolist()


def test_several_starts_are_all_tried_first_and_the_best_is_climbed(benchmark_table):
    starts = [5, 12, 24, 6]
    trials = climb(benchmark_table, starts=[*starts, 5])
    assert [trial["code"] for trial in trials[:4]] == starts
    best = max(trials[:4], key=lambda trial: trial["val_score"])["code"]
    near = set(benchmark_table.space_definition.neighbours(best).tolist()) - set(starts)
    assert {trial["code"] for trial in trials[4 : 4 + len(near)]} == near


def test_a_failed_start_is_left_for_any_neighbour(make_benchmark):
    benchmark = make_benchmark(diverged=[(5, 0)])
    trials = climb(benchmark, starts=[5])
    near = set(benchmark.space_definition.neighbours(5).tolist())
    assert {trial["code"] for trial in trials[1 : 1 + len(near)]} == near
    assert trials[1]["incumbent"] is not None


def test_nothing_but_failures_still_covers_the_space(make_benchmark):
    codes = make_benchmark().space_definition.canonical_codes.tolist()
    trials = climb(make_benchmark(diverged=[(code, 0) for code in codes]))
    assert sorted(trial["code"] for trial in trials) == codes
    assert trials[-1]["incumbent"] is None
