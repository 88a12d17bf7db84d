"""``metabench build``: trains the rows of a table that are still missing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

import tyro

from metabench.cli.output import print_json, short_path, show_progress
from metabench.cli.parse import optional
from metabench.errors import ArgumentError

__all__ = ["Options", "run"]


@dataclass(frozen=True)
class Options:
    """Train the rows of a table that are still missing. Stop it at any time: a second run does only the rest."""

    space: Annotated[str, tyro.conf.arg(metavar="SPACE")]
    """The space: an id, or a path to your own .toml definition."""
    tasks: Annotated[tuple[str, ...], optional("TASK...")] = ()
    """The tasks; all that the space names if left out."""
    seeds: Annotated[int | None, optional("N")] = None
    """Replicates of each architecture; each task's own number if left out."""
    samples: Annotated[int | None, optional("N")] = None
    """Configurations of a joint space, from the first; as many as its definition says if left out."""
    workers: Annotated[int | None, optional("N")] = None
    """Single-threaded processes on this machine; one a core if left out."""
    scheduler: Annotated[str | None, optional("ADDRESS")] = None
    """A Dask scheduler to send the work to instead, as tcp://host:port."""
    jobqueue: Annotated[str | None, optional("QUEUE")] = None
    """A batch queue whose jobs do the work instead: slurm, pbs, sge, lsf, oar or htcondor."""
    device: str = "cpu"
    """Where the workers train: cpu, or cuda."""
    group: Annotated[int | None, optional("N")] = None
    """Architectures that are trained in one batch, about; 27 on a CPU and 1728 on a GPU if left out."""
    dry_run: bool = False
    """Only say what would be trained, and show the job script."""
    json: bool = False
    """Print one JSON document."""


def run(options: Options) -> None:
    """Builds, and prints what was done."""
    if options.seeds is not None and options.seeds < 1:
        raise ArgumentError(f"--seeds {options.seeds}: expected at least 1.")
    if options.samples is not None and options.samples < 1:
        raise ArgumentError(f"--samples {options.samples}: expected at least 1.")
    if options.workers is not None and options.workers < 1:
        raise ArgumentError(f"--workers {options.workers}: expected at least 1.")
    from metabench.tables import build_table

    report = build_table(
        options.space,
        list(options.tasks) or None,
        seeds=options.seeds,
        samples=options.samples,
        workers=options.workers,
        scheduler=options.scheduler,
        queue=options.jobqueue,
        device=options.device,
        group=options.group,
        progress=show_progress(),
        dry_run=options.dry_run,
    )
    script = None
    if options.dry_run and options.jobqueue is not None:
        from metabench.tables.cluster import job_script

        script = job_script(options.jobqueue)
    if options.json:
        print_json({**asdict(report), "dry_run": options.dry_run, "job_script": script})
        return
    missing = report.planned - report.done_before
    if options.dry_run:
        print(f"{report.space}: {report.planned:,} trainings in all, {report.done_before:,} done, {missing:,} to do.")
        if script is not None:
            print(f"\nThe script of each job (set partition, account and time in Dask's jobqueue.yaml):\n{script}")
        return
    rate = f", {report.trained / report.seconds:.1f} a second" if report.trained and report.seconds > 0 else ""
    print(
        f"{report.space}: {report.planned:,} trainings in all, {report.done_before:,} were done, "
        f"{report.trained:,} trained now in {report.seconds:.0f} s{rate}."
    )
    print(f"folder: {short_path(report.folder)}")
    if report.samples is not None:
        print(f"next: metabench fit {options.space}")
    elif not report.packed:
        print(f"next: metabench pack --space {options.space}")
