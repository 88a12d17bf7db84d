"""Claims are made from numbers: each verdict, place and sentence on runs whose outcome is put in."""

import json

import numpy as np
import pytest

from metabench.analysis.claims import ranks_at, verdict
from metabench.analysis.claims_page import claims_document, claims_in_short, claims_markdown, write_claims
from metabench.analysis.comparison import compare
from metabench.analysis.report import report_on
from metabench.analysis.rivals import rivals_section
from metabench.analysis.runs import read_folder
from metabench.errors import ArgumentError

TASKS = ("cells9-v1/hills-v1", "cells9-v1/plains-v1")
SEEDS = 6


def _run(regret, trials=20):
    """Half way at 1, then at its end."""
    return [
        {
            "number": number,
            "code": number,
            "architecture": "mlp.deq",
            "epoch": 20,
            "seed": 0,
            "val_score": 0.5 + 0.01 * number,
            "status": "ok",
            "simulated_seconds": number + 1.0,
            "overhead_seconds": 1e-5 * (number + 1),
            "incumbent": number,
            "val_regret": 1.0 if number < trials // 2 else regret,
            "test_regret": 1.0 if number < trials // 2 else regret,
            "evaluations": number + 1.0,
        }
        for number in range(trials)
    ]


@pytest.fixture
def study(made_up, tmp_path):
    """On hills: good < smac < random in every run; on plains smac < good < random."""
    ends = {
        ("random", TASKS[0]): 0.30,
        ("random", TASKS[1]): 0.30,
        ("good", TASKS[0]): 0.01,
        ("good", TASKS[1]): 0.02,
        ("smac", TASKS[0]): 0.10,
        ("smac", TASKS[1]): 0.01,
    }
    names = ("random", "good", "smac")
    folder = made_up.folder(tmp_path / "run", searchers=names, tasks=TASKS, seeds=SEEDS, trials=20)
    for (searcher, task), regret in ends.items():
        for seed in range(SEEDS):
            made_up.run(folder, task, searcher, seed, _run(regret + 0.001 * seed))
    return compare([read_folder(folder)])


def test_places_rivals_and_exact_tests(study):
    (smac,) = rivals_section(study, ["smac"])
    hills, plains = smac["tasks"]
    assert (hills["place"], plains["place"], hills["searchers"]) == (2, 1, 3)
    assert [rival["searcher"] for rival in hills["rivals"]] == ["good", "random"]
    good, random = hills["rivals"]
    assert good["probability"] == {"value": 1, "lower": 1, "upper": 1}
    assert random["probability"] == {"value": 0, "lower": 0, "upper": 0}
    # All 6 of one below all 6 of the other: 2 of the 924 choices of 6 out of 12; times 2 rivals by Holm.
    assert good["p_value"] == pytest.approx(2 * 2 / 924, rel=1e-5)
    # the middle half of six regrets: 0.10 and 0.001 times 1.25 to 3.75, symmetric
    assert hills["mean"]["value"] == pytest.approx(0.1025)


def test_the_sentences_say_who_is_better_and_where(study):
    document = report_on(study)
    found = claims_document(study, document, ["smac"])
    texts = {claim["topic"]: [] for claim in found["claims"]}
    for claim in found["claims"]:
        texts[claim["topic"]].append(claim["text"])
    # Each pair has 12 blocks, all one way or half and half: good and smac cannot be told apart.
    assert [verdict(document, name, "random") for name in ("good", "smac")] == ["better", "better"]
    assert verdict(document, "random", "good") == "worse"
    assert verdict(document, "good", "smac") == "open"
    (against,) = texts["against random"]
    assert against.startswith("End better than random: good 100 % [100, 100], smac 100 % [100, 100] (")
    overall, where, hills = texts["smac"]
    assert overall.startswith("smac is not the best overall: place 1 of 3 by mean rank (1.50), place 2 by")
    assert "Nothing ends better than smac; not told apart from it: good 50 % [50, 50]; end worse: random 0 %" in overall
    assert where == (
        f"Task by task: no searcher has a lower interquartile mean than smac on {TASKS[1]}; others end better than "
        f"smac on {TASKS[0]}."
    )
    assert hills == (
        f"On {TASKS[0]} smac is not the best: place 2 of 3, 10.2 points against 1.25 of good. End better: good 100 % "
        "[100, 100]."
    )


def test_a_difference_that_no_test_supports_is_not_claimed(made_up, tmp_path):
    """Three seeds, all one way: the interval leaves out one half, but 2 of 20 choices are as extreme."""
    folder = made_up.folder(tmp_path / "run", searchers=("good", "smac"), tasks=TASKS[:1], seeds=3, trials=20)
    for searcher, regret in (("good", 0.1), ("smac", 0.2)):
        for seed in range(3):
            made_up.run(folder, TASKS[0], searcher, seed, _run(regret + 0.001 * seed))
    comparison = compare([read_folder(folder)])
    found = claims_document(comparison, report_on(comparison), ["smac"])
    (task,) = found["rivals"][0]["tasks"]
    assert task["rivals"][0]["probability"]["lower"] == 1
    assert task["rivals"][0]["p_value"] == pytest.approx(2 / 20)
    assert found["claims"][-1]["text"].endswith("against 10.1 of good; no rival can be said to end better.")
    assert not any("End better" in claim["text"] for claim in found["claims"])


def test_ranks_at_round_numbers(study):
    document = report_on(study)
    found = ranks_at(document)
    assert list(found) == [10, 20]
    # all stand at 1 until the tenth training is over; good and smac then win a task each
    np.testing.assert_allclose(found[10], [2, 2, 2])
    np.testing.assert_allclose(found[20], [3, 1.5, 1.5])


def test_the_folder_is_small_and_its_page_follows_from_its_numbers(study, tmp_path):
    document = report_on(study, command="metabench report run --claims study")
    paths = write_claims(study, document, tmp_path / "study", ["smac"])
    assert {path.name for path in paths} == {
        "README.md",
        "summary.json",
        "regret.png",
        "critical-difference.png",
        "mean-ranks.png",
        "interquartile-mean.png",
        "probability-of-improvement.png",
    }
    found = json.loads((tmp_path / "study" / "summary.json").read_text(), parse_constant=pytest.fail)
    page = (tmp_path / "study" / "README.md").read_text()
    assert page == claims_markdown(found, [path.name for path in paths])
    for claim in found["claims"]:
        assert f"- {claim['text']}\n" in page
    assert "| smac | 10.25 (10.12 to 10.38) | **1.25** (1.12 to 1.38) |" in page
    assert "| hills-v1 | 2 of 3 | 10.25 [" in page
    assert "| good | 1.25 | 100 [100, 100] | 0.004 | 1 / 0 / 1 |" in page
    short = claims_in_short(found, "surrogates/cells9-v1/study")
    assert "(surrogates/cells9-v1/study/README.md)" in short
    assert f"On {TASKS[0]} smac is not the best" not in short  # single tasks are on the study's own page
    assert "Task by task: no searcher has a lower" in short


def test_one_searcher_and_one_task_have_a_page_too(made_up, tmp_path):
    folder = made_up.folder(tmp_path / "run", searchers=("random",), tasks=TASKS[:1], seeds=2, trials=8)
    comparison = compare([read_folder(folder)])
    paths = write_claims(comparison, report_on(comparison), tmp_path / "study")
    assert "# 1 searcher on cells9-v1/hills-v1" in (tmp_path / "study" / "README.md").read_text()
    assert {path.suffix for path in paths} == {".png", ".md", ".json"}


def test_missing_runs_are_listed(made_up, tmp_path):
    folder = made_up.folder(tmp_path / "run", searchers=("random", "good"), tasks=TASKS[:1], seeds=2, trials=8)
    (folder / TASKS[0] / "good" / "seed-001.jsonl").unlink()
    comparison = compare([read_folder(folder)])
    page = claims_markdown(claims_document(comparison, report_on(comparison)))
    assert "## Missing runs\n\n- good on cells9-v1/hills-v1, seed 1: not finished\n" in page
    assert "1 of 2 runs |" in page


def test_a_searcher_without_runs_is_refused(study):
    with pytest.raises(ArgumentError, match=r"no finished run of 'smack'\. Did you mean 'smac'\?"):
        rivals_section(study, ["smack"])
