"""The learning-rate check: what it trains, that it goes on where it stopped, and its verdict by hand."""

from pathlib import Path

import pytest

from metabench.datasets import Task, load_task
from metabench.errors import ArgumentError, RunFolderError, UnknownNameError
from metabench.tables import rate_check
from metabench.tables.rate_check import Probe, best_rates, check_rates, family, main, table


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Probe]:
    """The probes that were trained; the score is 1 / (1 + rate)."""
    probes: list[Probe] = []

    def score(probe: Probe) -> float:
        probes.append(probe)
        return 1 / (1 + probe.rate)

    monkeypatch.setattr(rate_check, "_score", score)
    return probes


@pytest.fixture(scope="module")
def task() -> Task:
    return load_task("spirals-v1")


def test_each_block_twice_at_each_rate(trained: list[Probe], task: Task, tmp_path: Path) -> None:
    scores = check_rates(task, tmp_path / "out" / "r.jsonl", blocks=["mlp.tied", "qp.box"], rates=(0.01, 0.03))
    assert [str(probe.architecture) for probe in trained] == ["mlp.tied,mlp.tied"] * 2 + ["qp.box,qp.box"] * 2
    assert [probe.task.protocol.learning_rate for probe in trained[:2]] == [{"default": 0.01}, {"default": 0.03}]
    assert scores["qp.box", 0.03] == pytest.approx(1 / 1.03)


def test_finished_units_are_not_trained_again(trained: list[Probe], task: Task, tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    first = check_rates(task, out, blocks=["mlp.tied"], rates=(0.01, 0.03))
    with out.open("ab") as file:
        file.write(b'{"key": "cut sh')
    assert check_rates(task, out, blocks=["mlp.tied"], rates=(0.01, 0.03)) == first
    assert len(trained) == 2
    assert len(out.read_bytes().splitlines()) == 2
    check_rates(task, out, blocks=["mlp.tied"], rates=(0.01, 0.03), seeds=3)
    assert len(trained) == 4


def test_another_file_is_left_alone(trained: list[Probe], task: Task, tmp_path: Path) -> None:
    out = tmp_path / "notes.txt"
    out.write_text("my notes\n")
    with pytest.raises(RunFolderError, match=r"notes\.txt:1: not a line of a rate check"):
        check_rates(task, out, blocks=["mlp.tied"])
    assert out.read_text() == "my notes\n"
    assert not trained


def test_verdict_by_hand() -> None:
    scores = {
        ("mlp.deq", 0.01): 0.5,
        ("mlp.deq", 0.03): 0.7,
        ("gated.deq", 0.01): 0.6,
        ("gated.deq", 0.03): 0.3,
        ("qp.box", 0.01): 0.4,
        ("qp.box", 0.03): 0.4,
    }
    assert best_rates(scores) == {"deq": 0.01, "qp": 0.01}  # means .55 and .5; of equals the lower
    lines = table(scores).splitlines()
    assert lines[0].split() == ["block", "0.01", "0.03"]
    assert lines[1].split() == ["mlp.deq", "0.500", "0.700"]
    assert lines[4].split() == ["mean", "0.500", "0.467"]
    assert [family(name) for name in ("mlp.deq-monotone", "qp.simplex", "skip")] == ["deq-monotone", "qp", "skip"]


def test_command(trained: list[Probe], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["spirals-v1", "--out", str(tmp_path / "r.jsonl"), "--blocks", "mlp.ode", "--rates", "0.01", "0.03"])
    assert "best for ode: 0.01" in capsys.readouterr().out
    assert len(trained) == 2


def test_bad_arguments(task: Task, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="seeds=0"):
        check_rates(task, tmp_path / "r", seeds=0)
    with pytest.raises(ArgumentError, match="positive"):
        check_rates(task, tmp_path / "r", rates=(0.01, -1))
    with pytest.raises(UnknownNameError, match=r"Did you mean 'mlp\.ode'"):
        check_rates(task, tmp_path / "r", blocks=["mlp.oed"])
