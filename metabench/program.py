"""How a program of the package ends: one line for every mistake, and the same exit codes everywhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from metabench.errors import MetabenchError

__all__ = ["EXIT_BROKEN_PIPE", "EXIT_INTERRUPTED", "EXIT_MISTAKE", "KEPT", "run_program"]

EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
KEPT = "What is finished is kept; the same command goes on."
"""What a program says after an interruption if it writes down each part that it finishes."""


def run_program(name: str, work: Callable[[], int | None], *, kept: str = "") -> int:
    """Does a program's work, and turns what ends it early into a line on stderr.

    Args:
        name: what its messages begin with.
        work: returns an exit code; None is 0.
        kept: what to say after an interruption that says nothing itself.

    Returns:
        Exit code: the work's, 2 for a user's mistake, 130 for an interruption, 141 for a reader that went away.
    """
    try:
        code = work()
        sys.stdout.flush()
        return code or 0
    except MetabenchError as error:
        return _complain(name, str(error))
    except KeyboardInterrupt as interruption:
        sys.stderr.write(f"\n{name}: interrupted. {str(interruption) or kept}".rstrip() + "\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return EXIT_BROKEN_PIPE
    except OSError as error:
        if error.filename is None or error.strerror is None:
            raise
        return _complain(name, f"{error.filename}: {error.strerror.lower()}.")


def _complain(name: str, message: str) -> int:
    sys.stderr.write(f"{name}: error: {' '.join(message.split())}\n")
    return EXIT_MISTAKE


def _silence_stdout() -> None:
    """Points stdout at nothing, so that the interpreter's own flush at exit is quiet too."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # a stdout without a file descriptor, as under a test's capture
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
