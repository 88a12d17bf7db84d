"""Worker processes end with the process that started them."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import metabench
from metabench.machine import core_count, each_done, worker_pool

PARENT = """
import os, sys, time
from metabench.machine import worker_pool

if __name__ == "__main__":
    pool = worker_pool(1)
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 600)
    time.sleep(600)
"""


def test_a_pool_calls_what_it_is_told_to_begin_with() -> None:
    with worker_pool(1, os.umask, 0o027) as pool:
        assert pool.submit(os.umask, 0o027).result() == 0o027
    assert core_count() >= 1


@pytest.mark.parametrize("workers", [1, 2])
def test_each_job_is_done_and_a_failure_comes_through(workers: int) -> None:
    jobs = {"small": (2, 3), "large": (10, 2)}
    assert dict(each_done(pow, jobs, workers)) == {"small": 8, "large": 100}
    assert dict(each_done(pow, {}, workers)) == {}
    with pytest.raises(ZeroDivisionError):
        dict(each_done(divmod, {"wrong": (1, 0)}, workers))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_busy_worker_ends_with_its_parent(tmp_path: Path, how: signal.Signals) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": str(Path(metabench.__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "parent.py"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    process.send_signal(how)
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 30
    try:
        while _is_there(worker):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        with contextlib.suppress(OSError):
            os.kill(worker, signal.SIGKILL)


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")  # an orphan that nobody waits for stays as a zombie
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")
