"""``metabench query``: its screens on made-up numbers, and the shipped table with its mistakes."""

import json

import pytest

from metabench import content
from metabench.cli.main import main

NAME = "cells2-v1/mnist1d-v1"
shipped = pytest.mark.skipif(
    not (content.folder("surrogates") / "cells2-v1" / "table" / "manifest.json").is_file(),
    reason="the table of cells2-v1 is not built here",
)


def _rows(out: str) -> list[list[str]]:
    lines = out.splitlines()
    rule = next(number for number, line in enumerate(lines) if set(line) == {"─"})
    rows = []
    for line in lines[rule + 1 :]:
        if not line:
            break
        rows.append(line.split())
    return rows


@pytest.mark.usefixtures("made_up")
def test_one_result_has_every_metric_with_its_unit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", NAME, "--arch", "skip,mlp.deq"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"mlp.deq,skip  on {NAME}\ncode 39, epoch 20 of 20, mean of 3 seeds, ok\n")
    rows = {" ".join(row[:2]): row[2:] for row in _rows(out)}
    assert len(rows) == 12
    assert rows["val score"][:4] == ["0.0390", "0", "to", "1"]
    assert rows["train time"][:2] == ["1.50", "s"]
    assert "unconverged 12.50" in rows
    assert "latency -" in rows


@pytest.mark.usefixtures("made_up")
def test_json_has_null_for_what_was_not_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", NAME, "--code", "39", "--seed", "1", "--epoch", "4", "--json"]) == 0
    document = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert document["benchmark"] == NAME
    (result,) = document["results"]
    assert (result["code"], result["epoch"], result["seed"], result["status"]) == (39, 4, 1, "ok")
    assert result["latency_s"] is None
    assert result["architecture"] == ["mlp.deq"]
    assert result["provenance"] == {"commit": "abc"}


@pytest.mark.usefixtures("made_up")
def test_all_seeds_are_one_row_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", NAME, "--code", "39", "--seed", "all"]) == 0
    out = capsys.readouterr().out
    assert [(row[0], row[2]) for row in _rows(out)] == [("0", "0.0390"), ("1", "0.0490"), ("2", "0.0590")]
    assert "parameters 12,345, FLOPs 67,890 /sample" in out
    assert "[nats]" in out
    assert max(map(len, out.splitlines())) <= 120


@pytest.mark.usefixtures("made_up")
def test_best_has_k_rows_best_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", NAME, "--best", "3"]) == 0
    out = capsys.readouterr().out
    assert [row[:4] for row in _rows(out)] == [
        ["1", "qp.simplex,qp.simplex", "168", "0.1680"],
        ["2", "qp.simplex,qp.box", "167", "0.1670"],
        ["3", "qp.simplex,mlp.ode-antisymmetric", "166", "0.1660"],
    ]
    assert max(map(len, out.splitlines())) <= 120


@pytest.mark.usefixtures("made_up")
def test_best_with_all_seeds_has_a_row_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", NAME, "--best", "2", "--seed", "all", "--epoch", "4"]) == 0
    out = capsys.readouterr().out
    assert [(row[0], row[3]) for row in _rows(out)] == [
        ("1", "0"),
        ("1", "1"),
        ("1", "2"),
        ("2", "0"),
        ("2", "1"),
        ("2", "2"),
    ]
    assert "epoch 4 of 20, each seed" in out


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize(
    ("arch", "expected"),
    [("mlp.deqq,skip", "Did you mean 'mlp.deq'?"), ("mlp.deq", "has 1 stage; space 'cells2-v1' has 2")],
)
def test_a_wrong_architecture_is_one_line(arch: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", NAME, "--arch", arch]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert expected in captured.err
    assert captured.err.count("\n") == 1


@shipped
def test_the_shipped_table_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", NAME, "--best", "5", "--json"]) == 0
    best = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["results"]
    scores = [result["val_score"] for result in best]
    assert len(best) == 5
    assert scores == sorted(scores, reverse=True)
    assert main(["query", NAME, "--code", str(best[0]["code"]), "--seed", "all", "--json"]) == 0
    replicates = json.loads(capsys.readouterr().out)["results"]
    mean = sum(result["val_score"] for result in replicates) / len(replicates)
    assert mean == pytest.approx(scores[0], abs=1e-6)


@shipped
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["cells3-v1/mnist1d-v1", "--best", "1"], "cells2-v1"),
        (["cells2-v1/mnist2d-v1", "--best", "1"], "mnist1d-v1"),
        (["cells2-v1", "--best", "1"], "/"),
        ([NAME, "--arch", "mlp.deqq,skip"], "Did you mean 'mlp.deq'?"),
        ([NAME, "--arch", "mlp.deq"], "has 1 stage"),
        ([NAME, "--code", "169"], "169"),
        ([NAME, "--code", "39", "--epoch", "10000"], "10000"),
        ([NAME, "--code", "39", "--seed", "77"], "77"),
    ],
)
def test_a_mistake_about_the_shipped_table_is_one_line(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["query", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("metabench: error: ")
    assert captured.err.count("\n") == 1
    assert expected in captured.err
