"""A build on a real Dask scheduler whose workers are processes of their own, one of which is killed on the way."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from metabench.errors import ArgumentError, TableError
from metabench.tables import build_table
from metabench.tables.cluster import QUEUES, dask_client, job_script
from metabench.tables.shards import lock_table, read_shards

SPACE = """id = "tiny"
description = "Two stages, five blocks."
stages = 2
width = 8
blocks = ["skip", "mlp.residual", "mlp.tied", "mlp.ode", "gated.tied"]
"""


def start(*arguments: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    file = tmp_path / "scheduler.json"
    process = start(
        "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
        "--scheduler-file", str(file),
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not file.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    import json

    yield json.loads(file.read_text())["address"]
    process.kill()
    process.wait()


def test_a_killed_worker_changes_nothing(own: Path, scheduler: str) -> None:
    (own / "space.toml").write_text(SPACE)
    text = (own / "task.toml").read_text().replace("epochs = 2", "epochs = 30").replace("[1, 2]", "[1, 30]")
    (own / "task.toml").write_text(text)
    build_table("./space.toml", ["./task.toml"], workers=1, seeds=2, out=own / "calm")

    worker = ("distributed.cli.dask_worker", scheduler, "--nthreads", "1", "--no-nanny", "--no-dashboard")
    workers = [start(*worker, "--local-directory", str(own / "one"))]
    failures: list[BaseException] = []

    def build() -> None:
        try:
            build_table("./space.toml", ["./task.toml"], scheduler=scheduler, seeds=2, out=own / "stormy")
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=build)
    thread.start()
    deadline = time.monotonic() + 120
    while not list((own / "stormy").glob("shards/*/*.npz")) and time.monotonic() < deadline:
        time.sleep(0.01)
    workers[0].send_signal(signal.SIGKILL)  # it has begun the next unit
    workers.append(start(*worker, "--local-directory", str(own / "two")))
    thread.join(timeout=180)
    for process in workers:
        process.kill()
        process.wait()
    assert not failures
    calm, stormy = (own / name / "table" / "results.npy" for name in ("calm", "stormy"))
    assert calm.read_bytes() == stormy.read_bytes()
    assert not np.isnan(np.load(calm)).any()
    names = [sorted(path.name for path in (own / name).glob("shards/*/*")) for name in ("calm", "stormy")]
    assert names[0] == names[1]
    assert len(list(read_shards(own / "calm", "tiny-task"))) == 3  # architectures of no, one and two blocks


def test_two_builds_of_one_table_do_not_meet(own: Path) -> None:
    with lock_table(own / "out"), pytest.raises(TableError, match="another build of this table is running"):
        build_table("./space.toml", ["./task.toml"], workers=1, seeds=1, out=own / "out")
    with lock_table(own / "out"):
        pass


def test_a_job_script_is_shown_without_submitting() -> None:
    pytest.importorskip("dask_jobqueue")
    script = job_script("slurm")
    assert "#SBATCH" in script
    assert "--nthreads 1" in script


def test_queues_are_checked() -> None:
    with pytest.raises(ArgumentError, match=r"unknown job queue 'slum'\. Did you mean 'slurm'"):
        job_script("slum")
    with pytest.raises(ArgumentError, match="expected one of them"), dask_client(scheduler="tcp://x:1", queue="slurm"):
        pass
    assert "slurm" in QUEUES
