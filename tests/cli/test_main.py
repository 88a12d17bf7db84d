"""Exit codes, and one clear line for every mistake."""

import errno
import importlib
import os
import re
import subprocess
import sys

import pytest

import metabench
from metabench.cli.main import COMMANDS, main


def _complaint(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("metabench: error: ")
    assert captured.err.count("\n") == 1
    return captured.err.removeprefix("metabench: error: ").strip()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"metabench {metabench.__version__}\n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {command} " in out for command in COMMANDS)


def test_no_command_prints_the_help_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("usage: metabench")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_a_line_for_each_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert f"usage: metabench {command}" in captured.out
    assert "--json" in captured.out
    assert "{None}" not in captured.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["quary"], r"unknown command 'quary'\. Did you mean 'query'\?"),
        (["--verison"], r"unknown option '--verison'"),
        (["query"], r"missing SPACE/TASK\."),
        (["build"], r"missing --space SPACE\."),
        (["query", "a/b", "--cod", "4"], r"unrecognized options: --cod, 4; did you mean --code\?"),
        (["query", "a/b", "--code", "four"], r"--code: cannot read 'four'; expected a whole number"),
        (["search", "random", "--on", "a/b", "--seeds", "x"], r"--seeds: cannot read 'x'; expected a whole number"),
        (["query", "a/b", "--kind", "tabel"], r"--kind: unknown choice 'tabel'\. Did you mean 'table'\?"),
        (["query", "a/b", "--arch"], r"missing value for argument '--arch'"),
    ],
)
def test_a_usage_mistake_is_one_line_with_a_hint(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    message = _complaint(capsys, words)
    assert re.match(expected, message)
    if words[0] in COMMANDS:
        assert message.endswith(f"See 'metabench {words[0]} --help'.")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["query", "a/b"], "exactly one of --arch"),
        (["query", "a/b", "--code", "1", "--best", "2"], "exactly one of --arch"),
        (["query", "a/b", "--best", "0"], "--best 0: expected at least 1"),
        (["query", "a/b", "--code", "1", "--seed", "some"], "--seed 'some': expected a replicate's number"),
        (["search"], "at least one searcher"),
        (["search", "random"], "at least one benchmark"),
        (["search", "random", "--on", "a/b", "--trials", "0"], "--trials 0: expected at least 1"),
        (["search", "random", "--on", "a/b", "--workers", "-1"], "--workers -1: expected at least 1"),
        (["build", "--space", "cells2-v1", "--seeds", "0"], "--seeds 0: expected at least 1"),
        (["list", "spcaes"], "Did you mean 'spaces'?"),
        (["cite"], "name what you used"),
        (["cite", "mlp.deqq"], "Did you mean 'mlp.deq'?"),
    ],
)
def test_a_wrong_value_is_one_line(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert expected in _complaint(capsys, words)


def _raise_from_list(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def run(options: object) -> None:
        raise error

    monkeypatch.setattr(importlib.import_module("metabench.cli.list"), "run", run)


def test_an_interruption_is_one_line_and_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _raise_from_list(monkeypatch, KeyboardInterrupt())
    assert main(["list"]) == 130
    assert capsys.readouterr().err == "\nmetabench: interrupted.\n"


def test_an_interrupted_build_says_that_it_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("metabench.cli.build"), "run", run)
    assert main(["build", "--space", "cells2-v1"]) == 130
    assert "What is finished is kept; the same command goes on" in capsys.readouterr().err


def test_an_unwritable_place_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    _raise_from_list(monkeypatch, OSError(errno.EACCES, os.strerror(errno.EACCES), "/there"))
    assert _complaint(capsys, ["list"]) == "/there: permission denied."


def test_a_bug_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    _raise_from_list(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main(["list"])


def test_a_reader_that_goes_away_is_quiet() -> None:
    command = [sys.executable, "-m", "metabench", "list", "spaces", "--json"]
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 141
