"""Which peak learning rate suits which block: probe architectures trained at several rates, judged on validation."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import tyro

from metabench.blocks import BLOCKS
from metabench.datasets import Task, load_task
from metabench.errors import ArgumentError, RunFolderError
from metabench.machine import each_done
from metabench.program import run_program
from metabench.spaces import Architecture
from metabench.tables.units import protocol_hash

__all__ = ["Probe", "best_rates", "check_rates", "family", "main", "read_finished", "table"]

RATES = (0.001, 0.003, 0.01, 0.03)
Scores = dict[tuple[str, float], float]


@dataclass(frozen=True)
class Probe:
    """One unit of work: a block twice in a row, trained at one rate with all seeds in a batch.

    Attributes:
        block: the block's name.
        rate: peak learning rate of every parameter, stem and head included.
        task: the task, its learning rate replaced.
        width: state dimension.
        seeds: replicate numbers.
    """

    block: str
    rate: float
    task: Task
    width: int
    seeds: tuple[int, ...]

    @property
    def architecture(self) -> Architecture:
        """The block twice."""
        return Architecture((self.block, self.block))

    @property
    def key(self) -> str:
        """What a finished line must agree in to count: all that decides its numbers."""
        seeds = ",".join(map(str, self.seeds))
        return f"{self.block}|{self.rate:g}|{seeds}|{protocol_hash(self.architecture, self.task, self.width)}"


def family(block: str) -> str:
    """The blocks that share a rate: a lift's, and the programs (``mlp.deq`` -> ``deq``, ``qp.box`` -> ``qp``)."""
    cell, _, lift = block.partition(".")
    return cell if cell == "qp" or not lift else lift


def _probes(task: Task, blocks: Sequence[str], rates: Sequence[float], seeds: int, width: int) -> list[Probe]:
    def at(rate: float) -> Task:
        return replace(task, protocol=replace(task.protocol, learning_rate={"default": float(rate)}))

    return [Probe(block, rate, at(rate), width, tuple(range(seeds))) for block in blocks for rate in rates]


def _score(probe: Probe) -> float:
    """Mean validation score at the last epoch, on one thread."""
    import torch

    from metabench.datasets import load_splits
    from metabench.training import METRICS, train

    torch.set_num_threads(1)
    curve = train(probe.architecture, probe.task, load_splits(probe.task), probe.width, probe.seeds)
    return float(curve.values[:, -1, METRICS.index("val_score")].mean())


def read_finished(path: Path) -> dict[str, float]:
    """Finished units by key. A last line cut short by an interruption is dropped from the file.

    Raises:
        RunFolderError: if another line is malformed.
    """
    if not path.is_file():
        return {}
    content = path.read_bytes()
    whole, newline, torn = content.rpartition(b"\n")
    if torn:
        os.truncate(path, len(whole + newline))
    finished: dict[str, float] = {}
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            row = json.loads(line)
            finished[row["key"]] = float(row["val_score"])
        except (ValueError, KeyError, TypeError) as error:
            raise RunFolderError(f"{path}:{number}: not a line of a rate check; give another --out.") from error
    return finished


def _append(path: Path, probe: Probe, score: float) -> None:
    line = {"key": probe.key, "task": probe.task.id, "block": probe.block, "rate": probe.rate, "val_score": score}
    with path.open("ab", buffering=0) as file:
        file.write(json.dumps(line).encode() + b"\n")  # one write: a line is there or not
        os.fsync(file.fileno())


def check_rates(
    task: Task,
    out: Path,
    *,
    blocks: Sequence[str] | None = None,
    rates: Sequence[float] = RATES,
    seeds: int = 2,
    width: int = 32,
    workers: int = 1,
) -> Scores:
    """Trains what is not finished yet, and returns everything.

    Args:
        task: its protocol is followed, the learning rates replaced.
        out: file with one JSON line a finished unit; a second call goes on from there.
        blocks: names; all but ``skip`` if left out.
        rates: peak learning rates.
        seeds: replicates 0 to ``seeds`` - 1.
        width: state dimension.
        workers: single-threaded processes.

    Returns:
        (block, rate) -> mean validation score at the last epoch.

    Raises:
        ArgumentError: for a count below 1 or a rate that is not positive.
        UnknownNameError: for an unknown block.
        RunFolderError: if ``out`` is another kind of file.
    """
    if min(seeds, width, workers) < 1:
        raise ArgumentError(f"seeds={seeds}, width={width}, workers={workers}: expected at least 1.")
    if not rates or not all(math.isfinite(rate) and rate > 0 for rate in rates):
        raise ArgumentError(f"rates={list(rates)}: expected positive numbers.")
    names = [name for name in BLOCKS.names() if name != "skip"] if blocks is None else [*map(BLOCKS.check, blocks)]
    probes = _probes(task, names, rates, seeds, width)
    finished = read_finished(out)
    missing = {probe.key: probe for probe in probes if probe.key not in finished}
    out.parent.mkdir(parents=True, exist_ok=True)
    scores = each_done(_score, {key: (probe,) for key, probe in missing.items()}, workers)
    for count, (key, score) in enumerate(scores, start=1):
        probe = missing[key]
        _append(out, probe, score)
        finished[key] = score
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{task.id}: {count} of {len(missing)} units" + "\n" * (count == len(missing)))
    return {(probe.block, probe.rate): finished[probe.key] for probe in probes}


def best_rates(scores: Scores) -> dict[str, float]:
    """The rate with the best mean score of each block family; the lower one of equals."""
    best: dict[str, float] = {}
    for name in dict.fromkeys(family(block) for block, _ in scores):
        rates = sorted({rate for block, rate in scores if family(block) == name})
        means = [fmean(v for (block, r), v in scores.items() if family(block) == name and r == rate) for rate in rates]
        best[name] = rates[means.index(max(means))]
    return best


def table(scores: Scores) -> str:
    """The scores as text, a block a row and a rate a column, and the best rate of each family below."""
    rates = sorted({rate for _, rate in scores})
    blocks = list(dict.fromkeys(block for block, _ in scores))
    width = max(map(len, (*blocks, "block")))
    lines = [f"{'block':<{width}}" + "".join(f"{rate:>8g}" for rate in rates)]
    lines += [f"{b:<{width}}" + "".join(f"{scores.get((b, r), math.nan):>8.3f}" for r in rates) for b in blocks]
    means = [fmean(v for (_, r), v in scores.items() if r == rate) for rate in rates]
    lines.append(f"{'mean':<{width}}" + "".join(f"{mean:>8.3f}" for mean in means))
    return "\n".join([*lines, "", *(f"best for {name}: {rate:g}" for name, rate in best_rates(scores).items())])


@dataclass(frozen=True)
class Options:
    """Train each block twice in a row at several learning rates; print the validation scores."""

    task: tyro.conf.Positional[str]
    """Id of a task, or path of a definition."""
    out: Path
    """File of finished units, one JSON line each; a second run goes on from there."""
    blocks: tuple[str, ...] = ()
    """Blocks; all but skip if left out."""
    rates: tuple[float, ...] = RATES
    """Peak learning rates."""
    seeds: int = 2
    """Replicates."""
    width: int = 32
    """State dimension."""
    workers: int = 1
    """Single-threaded processes."""


def main(argv: Sequence[str] | None = None) -> None:
    """``python -m metabench.tables.rate_check TASK --out FILE``: the table on stdout, progress on stderr."""
    options = tyro.cli(Options, prog="python -m metabench.tables.rate_check", args=argv)
    scores = check_rates(
        load_task(options.task),
        options.out,
        blocks=options.blocks or None,
        rates=options.rates,
        seeds=options.seeds,
        width=options.width,
        workers=options.workers,
    )
    sys.stdout.write(table(scores) + "\n")


if __name__ == "__main__":
    sys.exit(run_program("rate_check", main))
