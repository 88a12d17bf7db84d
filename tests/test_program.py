"""How programs end: what is a user's mistake is one line and exit code 2, from any module that is run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from metabench.errors import ArgumentError
from metabench.program import EXIT_INTERRUPTED, EXIT_MISTAKE, run_program


def test_a_mistake_is_one_line(capsys) -> None:
    def work() -> None:
        raise ArgumentError("n=0: expected\nat least 1.")

    assert run_program("tool", work) == EXIT_MISTAKE
    assert capsys.readouterr().err == "tool: error: n=0: expected at least 1.\n"


def test_an_interruption_says_what_is_kept(capsys) -> None:
    def work() -> None:
        raise KeyboardInterrupt

    assert run_program("tool", work, kept="It goes on.") == EXIT_INTERRUPTED
    assert capsys.readouterr().err == "\ntool: interrupted. It goes on.\n"


def test_the_works_own_code_is_the_exit_code() -> None:
    assert [run_program("tool", lambda code=code: code) for code in (None, 0, 1)] == [0, 0, 1]


def test_a_fault_of_the_program_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run_program("tool", lambda: 1 // 0)


@pytest.mark.parametrize(
    "words",
    [
        ["metabench.learned.evaluate", "nosuch", "--out", "x"],
        ["metabench.learned.second_protocol", "mlp-v1", "--out", "x", "--sample", "0"],
        ["metabench.learned.dac_scores", "nosuch"],
        ["metabench.envs.references", "nosuch"],
    ],
)
def test_a_module_that_is_run_says_a_mistake_in_one_line(words, tmp_path) -> None:
    done = subprocess.run([sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == EXIT_MISTAKE
    assert ": error: " in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
