"""Rows of a second protocol: what was sampled is found, what was not is missing, and damage is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import metabench
from metabench.cli.main import main
from metabench.errors import MissingResultError, QueryError, TableError
from metabench.spaces import load_space
from metabench.tables.protocols import ProtocolRows, open_protocol, write_protocol
from metabench.tables.result import TRAINING_METRICS

NAME = "cells2-v1/mnist1d-v1"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two architectures of two seeds in the working directory; a value is 100 row + 10 seed + metric / 10."""
    monkeypatch.chdir(tmp_path)
    space, task = load_space("cells2-v1"), metabench.load_task("mnist1d-v1")
    codes = np.array(sorted(space.code(name) for name in ("mlp.deq,skip", "mlp.tied,mlp.ode")))
    row, seed, _, metric = np.ogrid[:2, :2, : len(task.epochs), : len(TRAINING_METRICS)]
    results = np.broadcast_to(100.0 * row + 10 * seed + metric / 10, (2, 2, len(task.epochs), 7)).astype(np.float32)
    rows = ProtocolRows(codes, results, results[..., 0])
    where = tmp_path / "surrogates" / space.id / "learned"
    return write_protocol(where, space, {task.id: rows}, {task.id: task}, {"optimizer": {"name": "mine"}})


def test_sampled_rows_are_found_and_the_others_are_missing(home: Path) -> None:
    bench = metabench.open(NAME)
    codes = sorted(bench.space_definition.code(name) for name in ("mlp.deq,skip", "mlp.tied,mlp.ode"))
    second = bench.query(codes[1], seed=1, protocol="learned")
    assert (second.train_loss, second.test_score) == (110.0, pytest.approx(110.2))  # row 1, seed 1, metrics 0 and 2
    assert second.provenance["optimizer"] == {"name": "mine"}
    assert second.params == bench.query(codes[1]).params
    assert bench.query(codes[1]).test_score != second.test_score
    assert bench.query(codes[0], protocol="learned").val_score == pytest.approx(5.1)  # mean of 0.1 and 10.1
    with pytest.raises(MissingResultError, match="only a sample"):
        bench.query("gated.ode,skip", protocol="learned")
    several = bench.query_batch([*codes, bench.space_definition.code("gated.ode,skip")], protocol="learned")
    np.testing.assert_allclose(several[:, 0], [5.2, 105.2, np.nan], rtol=1e-6)
    assert [result.code for result in bench.under("learned").best(5)] == codes[::-1]
    assert bench.under("adam") is bench


def test_what_there_is_not(home: Path) -> None:
    with pytest.raises(QueryError, match="Did you mean 'learned'"):
        metabench.open(NAME).query("mlp.deq,skip", protocol="lerned")
    with pytest.raises(QueryError, match="covers mnist1d-v1, not 'spirals-v1'"):
        open_protocol("learned", load_space("cells2-v1"), metabench.load_task("spirals-v1"))
    with pytest.raises(QueryError, match="ask kind='table'"):
        metabench.open(NAME, kind="live").query("mlp.deq,skip", protocol="learned")
    (home / "manifest.json").unlink()
    with pytest.raises(QueryError, match="has no rows of protocol 'learned'"):
        metabench.open(NAME).query("mlp.deq,skip", protocol="learned")


def test_an_altered_file_is_named(home: Path) -> None:
    path = home / "mnist1d-v1.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(TableError, match="checksum"):
        metabench.open(NAME).query("mlp.deq,skip", protocol="learned")


def test_the_command_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", NAME, "--arch", "mlp.tied,mlp.ode", "--protocol", "learned", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["protocol"] == "learned"
    assert document["results"][0]["val_score"] == pytest.approx(5.1)
    assert main(["query", NAME, "--arch", "mlp.deq,skip", "--protocol", "learned"]) == 0
    assert "(protocol learned)" in capsys.readouterr().out
    assert main(["query", NAME, "--arch", "gated.ode,skip", "--protocol", "learned"]) != 0
    assert "only a sample" in capsys.readouterr().err
