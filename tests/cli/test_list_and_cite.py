"""What there is, and what to cite for it."""

import json
from pathlib import Path

import pytest
import torch

from metabench.blocks import BLOCKS
from metabench.cli.main import main
from metabench.searchers import SEARCHERS


def test_overview_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name in ("cells-v1", "cells2-v1", "mnist1d-v1", *BLOCKS.names(), *SEARCHERS.names()):
        assert name in out


def test_overview_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["spaces", "tasks", "blocks", "searchers", "agents", "optimizers"]
    assert [entry["name"] for entry in document["blocks"]] == list(BLOCKS.names())


def test_spaces_have_their_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "spaces", "--json"]) == 0
    spaces = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)["spaces"]}
    assert spaces["cells2-v1"]["configurations"] == 13**2
    assert spaces["cells2-v1"]["architectures"] == 1 + 12 + 12**2
    assert spaces["cells-v1"]["architectures"] == 1 + 12 + 12**2 + 12**3


@pytest.mark.parametrize("kind", ["blocks", "searchers"])
def test_every_component_has_a_line(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", kind, "--json"]) == 0
    for entry in json.loads(capsys.readouterr().out)[kind]:
        assert entry["description"].strip("`.") not in ("", entry["name"])


def test_a_shared_citation_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cite", "mlp.deq", "gated.deq", "mlp.deq"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("% block mlp.deq, block gated.deq\n")
    assert out.count("arXiv:1909.01377") == 1


def test_a_benchmark_cites_its_space_and_task(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cite", "cells2-v1/mnist1d-v1", "random", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)["citations"]
    assert [(entry["kind"], entry["name"]) for entry in entries] == [
        ("space", "cells2-v1"),
        ("task", "mnist1d-v1"),
        ("searcher", "random"),
    ]
    assert all(entry["citation"] for entry in entries)


@pytest.mark.parametrize("name", [name for name in (*BLOCKS.names(), *SEARCHERS.names()) if name != "skip"])
def test_every_component_can_be_cited(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cite", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["citations"][0]["citation"]


def test_optimizers_are_the_shipped_ones_and_what_they_are_compared_with(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from metabench.learned.optimizers import MLPRule, save_weights

    rule = MLPRule()
    place = tmp_path / "optimizers" / "mine"
    save_weights(place, rule, rule.weights(torch.Generator().manual_seed(0)), {"iterations": 12})
    monkeypatch.setattr("metabench.content.folder", lambda kind: tmp_path)
    assert main(["list", "optimizers", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)["optimizers"]
    assert [entry["name"] for entry in entries] == ["mine", "sgd", "momentum", "rmsprop", "adam"]
    assert [entry["kind"] for entry in entries] == ["learned (mlp)", *["hand-made"] * 4]
    assert "190 weights from 12 meta-steps" in entries[0]["description"]  # (39 + 1) 4 + (4 + 1) 4 + (4 + 1) 2
    assert entries[0]["weights"] == "surrogates/optimizers/mine"
    assert all(entry["citation"] for entry in entries)


def test_an_optimizer_can_be_cited(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cite", "adam"]) == 0
    assert capsys.readouterr().out.startswith("% optimizer adam\nKingma")
