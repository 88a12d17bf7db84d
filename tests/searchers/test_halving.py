"""Rungs, brackets and promotions, by hand."""

import pytest

from metabench.searchers.asha import ASHA, Rung
from metabench.searchers.hyperband import Hyperband, bracket_sizes
from metabench.searchers.loop import run_loop
from metabench.searchers.objective import Objective
from metabench.searchers.settings import Settings
from metabench.searchers.successive_halving import Bracket, Job, SuccessiveHalving, rung_epochs
from metabench.testing.toy_benchmark import make_toy_benchmark


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        ((1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 17, 20), [2, 6, 20]),  # 20, 6.67, 2.22
        ((1, 2, 3, 4, 5, 7, 9, 12, 15, 18, 22, 27), [1, 3, 9, 27]),
        ((20,), [20]),
        ((10, 20), [20]),  # 20 / 3 < 10
        ((1, 100), [1, 100]),  # 11.1 and 33.3 have no epoch of their own
    ],
)
def test_rungs_are_the_nearest_recorded_epochs(epochs, expected):
    assert rung_epochs(epochs, 3) == expected


def test_a_bracket_halves():
    bracket = Bracket([(code, 0) for code in range(9)], [1, 3, 9], 3)
    first = [bracket.next() for _ in range(9)]
    assert first == [Job(code, 0, 1) for code in range(9)]
    assert bracket.next() is None
    for job in first[:8]:
        bracket.tell(job, float(job.code % 5))  # 4 and 3, 8 score 4, 3, 3
        assert bracket.next() is None
    bracket.tell(first[8], 3.0)
    second = [bracket.next() for _ in range(3)]
    assert second == [Job(4, 0, 3), Job(3, 0, 3), Job(8, 0, 3)]
    assert bracket.next() is None
    for job, score in zip(second, (None, 0.1, 0.2), strict=True):
        bracket.tell(job, score)
    last = bracket.next()
    assert last == Job(8, 0, 9)
    assert not bracket.done
    bracket.tell(last, 1.0)
    assert bracket.done


def test_a_bracket_of_failures_ends():
    bracket = Bracket([(0, 0), (1, 0), (2, 0)], [1, 3], 3)
    for _ in range(3):
        bracket.tell(bracket.next(), None)
    assert bracket.done


def test_hyperbands_brackets_are_those_of_its_formula():
    # ceil((s_max + 1) / (s + 1) eta^s), s_max = 4: 81, ceil(33.75), 15, ceil(7.5), 5
    assert bracket_sizes(5, 3) == [81, 34, 15, 8, 5]
    assert bracket_sizes(3, 3) == [9, 5, 3]
    assert bracket_sizes(1, 3) == [1]


def test_hyperbands_brackets_are_those_of_smac():
    peer = pytest.importorskip("smac.intensifier.successive_halving").SuccessiveHalving
    for rungs in (1, 2, 3, 4, 5):
        sizes = [
            peer._compute_configs_and_budgets_for_stages(3, 3 ** (rungs - 1), s, rungs - 1)[1] for s in range(rungs)
        ]
        assert bracket_sizes(rungs, 3) == [shares[0] for shares in reversed(sizes)]
        for shares in sizes:
            bracket = Bracket([(code, 0) for code in range(shares[0])], range(1, 1 + len(shares)), 3)
            assert bracket._shares == shares


def counts(trials):
    return [sum(trial["epoch"] == epoch for trial in trials) for epoch in (1, 3, 9)]


def test_hyperband_goes_round_its_brackets():
    objective = Objective(make_toy_benchmark())
    searcher = Hyperband(objective.space, epochs=(1, 3, 9), seeds=(0, 1, 2), seed=0, trials=9)
    # 9 at epoch 1, 3 at 3, 1 at 9; then 5 at 3, 1 at 9; then 3 at 9: the space has 21
    trials = run_loop(searcher, objective, 100)[: 9 + 3 + 1 + 5 + 1 + 3]
    assert [trial["epoch"] for trial in trials] == [1] * 9 + [3] * 3 + [9] + [3] * 5 + [9] + [9] * 3
    assert len({trial["code"] for trial in trials}) == 17


def test_successive_halving_repeats_one_bracket_and_promotes_the_best():
    objective = Objective(make_toy_benchmark())
    searcher = SuccessiveHalving(objective.space, epochs=(1, 3, 9), seeds=(0, 1, 2), seed=0, trials=9)
    trials = run_loop(searcher, objective, 100)
    # 21 architectures: 9, 9 and 3, of which 3 + 3 + 1 and 1 + 1 + 0 climb
    assert counts(trials) == [21, 7, 2]
    best = sorted(trials[:9], key=lambda trial: -trial["val_score"])[:3]
    assert [(trial["code"], trial["seed"]) for trial in trials[9:12]] == [(t["code"], t["seed"]) for t in best]
    # promotions go on from checkpoints: 9 + 3 * 2 + 1 * 6 epochs
    assert trials[12]["evaluations"] == pytest.approx(21 / 9)


def test_idle_workers_open_another_bracket():
    objective = Objective(make_toy_benchmark())
    searcher = SuccessiveHalving(objective.space, epochs=(1, 3, 9), seeds=(0, 1, 2), seed=0, trials=9)
    trials = run_loop(searcher, objective, 100, Settings(sim_workers=12))
    early = [trial for trial in trials if trial["started_seconds"] == 0.0]
    assert len(early) == 12
    assert {trial["epoch"] for trial in early} == {1}


def test_a_rung_promotes_by_rank():
    rung = Rung(3)
    jobs = [Job(code, 0, 1) for code in range(7)]
    rung.tell(jobs[0], 0.5)
    rung.tell(jobs[1], 0.9)
    assert rung.promote() is None  # 2 // 3 == 0
    rung.tell(jobs[2], None)
    assert rung.promote() == jobs[1]  # best of 3, a failed one counts
    assert rung.promote() is None
    rung.tell(jobs[3], 0.95)
    rung.tell(jobs[4], 0.1)
    assert rung.promote() == jobs[3]  # 5 // 3 == 1: rank 0 is the new best
    rung.tell(jobs[5], 0.2)
    assert rung.promote() is None  # 6 // 3 == 2: both went up already
    for job in jobs[3:6]:
        rung.tell(job, 0.0)
    assert rung.promote() == jobs[0]  # 9 // 3 == 3
    assert rung.promote() is None


def test_asha_with_one_worker_by_hand():
    objective = Objective(make_toy_benchmark())
    searcher = ASHA(objective.space, epochs=(1, 3, 9), seeds=(0, 1, 2), seed=0, trials=9)
    trials = run_loop(searcher, objective, 100)
    assert [trial["epoch"] for trial in trials[:4]] == [1, 1, 1, 3]
    best = max(trials[:3], key=lambda trial: trial["val_score"])
    assert (trials[3]["code"], trials[3]["seed"]) == (best["code"], best["seed"])
    assert counts(trials)[0] == 21
    low, middle, high = counts(trials)
    assert middle <= low
    assert high <= middle // 3 + 3
    assert high >= 1
    for trial in trials:
        assert trial["resumed_epoch"] == {1: 0, 3: 1, 9: 3}[trial["epoch"]]
