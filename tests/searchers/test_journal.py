"""Journals: what is written, replayed, cut off and refused."""

import json

import pytest

from metabench.errors import RunFolderError, SearcherError
from metabench.searchers import Journaled, replay
from metabench.searchers.asha import ASHA
from metabench.searchers.journal import decode_result, encode_result
from metabench.searchers.loop import run_loop
from metabench.searchers.objective import Objective
from metabench.searchers.random_search import RandomSearch
from metabench.searchers.settings import Settings
from metabench.testing.toy_benchmark import make_toy_benchmark


def make(objective, maker=ASHA, seed=0):
    return maker(objective.space, epochs=objective.epochs, seeds=objective.seeds, seed=seed, trials=5)


def asked(journal):
    return [line["ask"] for line in journal.lines if "ask" in line]


def test_results_survive_json():
    benchmark = make_toy_benchmark(diverged=[(3, 0)])
    objective = Objective(benchmark)
    for row in (2, 3):
        result = objective.evaluate(int(objective.space.canonical_codes[row]), 9, 0)
        text = json.dumps(encode_result(result), allow_nan=False)
        assert repr(decode_result(json.loads(text))) == repr(result)


@pytest.mark.parametrize("cut", [0, 1, 7, 20])
def test_a_search_goes_on_from_its_file(tmp_path, cut):
    """Three trials run at a time; the process dies after some lines, in the middle of the next."""
    objective = Objective(make_toy_benchmark())
    whole = Journaled(make(objective), tmp_path / "whole.jsonl")
    run_loop(whole, objective, 5, Settings(sim_workers=3))
    lines = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == len(whole.lines) > 20
    path = tmp_path / "cut.jsonl"
    path.write_text("".join(lines[:cut]) + '{"ask": {"num')
    resumed = Journaled(make(objective), path)
    assert path.read_text() == "".join(lines[:cut])
    assert resumed.lines == whole.lines[:cut]
    # do by hand what the loop did: the rest of the whole journal, now from the restored state
    for line in whole.lines[cut:]:
        if "tell" in line:
            trial = resumed.running[line["tell"]]
            resumed.tell(trial, objective.evaluate(trial.config, trial.epoch, trial.seed))
        else:
            resumed.ask()
    assert resumed.lines == whole.lines
    assert path.read_text() == "".join(lines)


def test_exhaustion_is_written_and_replayed(tmp_path):
    objective = Objective(make_toy_benchmark())
    journal = Journaled(make(objective, RandomSearch), tmp_path / "j.jsonl")
    run_loop(journal, objective, 99)
    assert asked(journal)[-1] == "stop"
    again = Journaled(make(objective, RandomSearch), tmp_path / "j.jsonl")
    assert asked(again) == asked(journal)
    with pytest.raises(StopIteration):
        again.ask()


def test_another_searcher_is_refused():
    objective = Objective(make_toy_benchmark())
    journal = Journaled(make(objective))
    run_loop(journal, objective, 2)
    with pytest.raises(SearcherError, match="does not repeat its journal: entry 0"):
        replay(make(objective, seed=1), journal.lines)


def test_a_file_that_is_no_journal_is_refused(tmp_path):
    path = tmp_path / "x.jsonl"
    for text in ("hello\n", "[1]\n", '{"a": 1}\n'):
        path.write_text(text)
        with pytest.raises(RunFolderError, match="no journal"):
            Journaled(make(Objective(make_toy_benchmark())), path)
        assert path.read_text() == text
