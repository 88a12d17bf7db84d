"""``metabench query``: what an architecture scored, or the best ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from metabench.cli.numbers import METRICS
from metabench.cli.output import Column, print_json, print_table
from metabench.cli.parse import optional
from metabench.errors import ArgumentError
from metabench.spaces import JointSpace

if TYPE_CHECKING:
    from metabench.tables import Benchmark, JointBenchmark
    from metabench.tables.result import Result

__all__ = ["Options", "run"]


@dataclass(frozen=True)
class Options:
    """Look up what an architecture scored (--arch or --code), or the best architectures (--best)."""

    benchmark: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SPACE/TASK")]
    """The benchmark, for example cells2-v1/mnist1d-v1."""
    arch: Annotated[str | None, optional("BLOCK,BLOCK,...")] = None
    """The architecture, one block name a stage: mlp.deq,skip. Of a joint space, 'mlp.deq width=32 ...' with all that is
    active; metabench query --best shows some."""
    code: Annotated[int | None, optional("N")] = None
    """The architecture, by its integer code in the space."""
    best: Annotated[int | None, optional("K")] = None
    """The K architectures of the best validation score (mean over seeds, last epoch)."""
    epoch: Annotated[int | None, optional("E")] = None
    """Epochs trained, one of the benchmark's checkpoints; the last if left out."""
    seed: Annotated[str, tyro.conf.arg(metavar="mean|all|K")] = "mean"
    """The replicate: a number, their mean, or all of them, one row each."""
    kind: Literal["table", "surrogate", "live"] = "table"
    """Where results come from: measured table, fitted surrogate, or trained now."""
    protocol: Annotated[str, tyro.conf.arg(metavar="adam|learned")] = "adam"
    """How they were trained: by Adam at tuned rates, or, a sample of them, by the shipped learned optimizer."""
    json: bool = False
    """Print one JSON document."""


def run(options: Options) -> None:
    """Prints the results asked for."""
    seed = _seed(options.seed)
    if sum(choice is not None for choice in (options.arch, options.code, options.best)) != 1:
        raise ArgumentError("give exactly one of --arch BLOCK,BLOCK,..., --code N and --best K.")
    if options.best is not None and options.best < 1:
        raise ArgumentError(f"--best {options.best}: expected at least 1.")
    from metabench.tables import open_benchmark

    benchmark = open_benchmark(options.benchmark, kind=options.kind)
    if options.protocol != "adam":
        benchmark = benchmark.under(options.protocol)
    results = _results(benchmark, options, seed)
    if options.json:
        print_json({"benchmark": benchmark.id, "kind": options.kind, "protocol": options.protocol, "results": results})
    elif options.best is not None:
        _print_best(benchmark, results, options)
    elif len(results) == 1:
        _print_one(benchmark, results[0], options)
    else:
        _print_replicates(benchmark, results, options)


def _seed(text: str) -> int | Literal["mean", "all"]:
    if text == "mean" or text == "all":
        return text
    try:
        return int(text)
    except ValueError:
        raise ArgumentError(f"--seed {text!r}: expected a replicate's number, 'mean' or 'all'.") from None


def _results(
    benchmark: Benchmark | JointBenchmark, options: Options, seed: int | Literal["mean", "all"]
) -> list[Result]:
    if options.best is None:
        wanted: list[Any] = [options.code if options.arch is None else options.arch]
    else:
        best = benchmark.best(options.best)
        if options.epoch is None and seed == "mean":
            return best
        wanted = [result.code for result in best]
    found: list[Result] = []
    for architecture in wanted:
        answer = benchmark.query(architecture, epoch=options.epoch, seed=seed)
        found.extend(answer if isinstance(answer, list) else [answer])
    return found


def _name(benchmark: Benchmark | JointBenchmark, result: Result) -> str:
    """The architecture as ``--arch`` takes it: one block a stage, or a joint space's text."""
    if isinstance(benchmark.space_definition, JointSpace):
        return str(benchmark.space_definition.architecture(result.code))
    skips = benchmark.space_definition.stages - len(result.architecture)
    return ",".join((*result.architecture, *("skip",) * skips))


def _source(options: Options) -> str:
    if options.protocol != "adam":
        return f" (protocol {options.protocol})"
    return "" if options.kind == "table" else f" ({options.kind})"


def _when(benchmark: Benchmark | JointBenchmark, result: Result) -> str:
    return f"epoch {result.epoch} of {benchmark.epochs[-1]}"


def _which(benchmark: Benchmark | JointBenchmark, result: Result) -> str:
    if result.seed == "mean" and benchmark.kind == "surrogate":
        return "predicted mean"
    return f"mean of {len(benchmark.seeds)} seeds" if result.seed == "mean" else f"seed {result.seed}"


def _print_one(benchmark: Benchmark | JointBenchmark, result: Result, options: Options) -> None:
    title = (
        f"{_name(benchmark, result)}  on {benchmark.id}{_source(options)}\n"
        f"code {result.code}, {_when(benchmark, result)}, {_which(benchmark, result)}, {result.status.value}"
    )
    columns = [Column("metric", "left"), Column("value"), Column("unit", "left"), Column("meaning", "left", wrap=True)]
    rows = [
        (metric.label, metric.write(getattr(result, name)), metric.unit, metric.meaning)
        for name, metric in METRICS.items()
    ]
    print_table(title, columns, rows)


_COMPACT = (
    "val_score",
    "test_score",
    "nfe_forward",
    "unconverged",
    "train_seconds",
    "params",
)


def _headers(metrics: Sequence[str]) -> list[Column]:
    columns = []
    for name in metrics:
        metric = METRICS[name]
        unit = f"\n[{metric.unit}]" if metric.unit else ""
        columns.append(Column(f"{metric.label}".replace(" ", "\n", 1) + unit))
    return columns


def _numbers(metrics: Sequence[str], result: Result) -> list[str]:
    return [METRICS[name].write(getattr(result, name)) for name in metrics]


def _print_best(benchmark: Benchmark | JointBenchmark, results: Sequence[Result], options: Options) -> None:
    replicates = any(result.seed == "all" or result.seed != results[0].seed for result in results)
    which = "each seed" if replicates else _which(benchmark, results[0])
    architectures = list(dict.fromkeys(result.code for result in results))
    title = f"The best {len(architectures)} on {benchmark.id}{_source(options)}"
    columns = [Column("#"), Column("architecture", "left", wrap=True), Column("code")]
    if replicates:
        columns.append(Column("seed"))
    rows = []
    for result in results:
        rank = str(architectures.index(result.code) + 1)
        seed = [str(result.seed)] if replicates else []
        rows.append([rank, _name(benchmark, result), str(result.code), *seed, *_numbers(_COMPACT, result)])
    caption = (
        f"{_when(benchmark, results[0])}, {which}; "
        "ranked by the mean validation score at the last epoch. All metrics: --json."
    )
    print_table(title, [*columns, *_headers(_COMPACT)], rows, caption=caption)


def _print_replicates(benchmark: Benchmark | JointBenchmark, results: Sequence[Result], options: Options) -> None:
    first = results[0]
    metrics = [name for name in METRICS if name not in ("params", "flops", "activation_bytes", "latency_s")]
    title = (
        f"{_name(benchmark, first)}  on {benchmark.id}{_source(options)}\n"
        f"code {first.code}, {_when(benchmark, first)}, {len(results)} seeds"
    )
    fixed = ("params", "flops", "activation_bytes")
    caption = ", ".join(
        f"{METRICS[name].label} {METRICS[name].write(getattr(first, name))} {METRICS[name].unit}".rstrip()
        for name in fixed
    )
    rows = [[str(result.seed), *_numbers(metrics, result), result.status.value] for result in results]
    print_table(title, [Column("seed"), *_headers(metrics), Column("status", "left")], rows, caption=caption)
