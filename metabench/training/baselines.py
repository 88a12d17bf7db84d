"""Scores that give a task's numbers their scale: a linear model and a perceptron, trained by the task's protocol."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch
import tyro
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from metabench.blocks.block import stacked_normal
from metabench.content import locate
from metabench.datasets import Splits, Task, load_splits, load_task
from metabench.errors import ArgumentError
from metabench.program import run_program
from metabench.seeding import torch_generator
from metabench.training.clipping import clip_replicates
from metabench.training.train import one_cycle

__all__ = ["BASELINES", "RATES", "Baseline", "main", "measure_baselines", "with_reference"]

BASELINES: dict[str, tuple[int, ...]] = {"linear": (), "mlp": (64, 64)}
"""Name -> hidden widths; the hidden units are rectified linear."""

RATES = (0.001, 0.003, 0.01, 0.03)
"""Peak learning rates, of which validation chooses one a task and baseline."""


@dataclass(frozen=True)
class Baseline:
    """One baseline on one task.

    Attributes:
        learning_rate: the peak with the best mean validation accuracy.
        val_score: mean accuracy on validation at that rate.
        test_score: mean accuracy on test at that rate.
        test_sd: standard deviation of the replicates' test accuracies, of a sample; 0 for one replicate.
    """

    learning_rate: float
    val_score: float
    test_score: float
    test_sd: float


class _Perceptron(nn.Module):
    """Affine layers with rectified linear units between them; every parameter has a leading replicate axis."""

    def __init__(self, sizes: Sequence[int], seeds: Sequence[int]) -> None:
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for i, (inputs, outputs) in enumerate(pairwise(sizes)):
            gain = 1.0 if i == len(sizes) - 2 else 2.0  # of He et al. (2015), arXiv:1502.01852, under a rectifier
            generators = [torch_generator("initial weights", seed, "baseline", i) for seed in seeds]
            self.weights.append(stacked_normal((outputs, inputs), (gain / inputs) ** 0.5, generators))
            self.biases.append(nn.Parameter(torch.zeros(len(seeds), 1, outputs)))

    def forward(self, x: Tensor) -> Tensor:
        """Maps x ``(replicates, batch, inputs)`` to logits ``(replicates, batch, outputs)``."""
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x if i == 0 else x.relu(), weight.mT)
        return x


@torch.no_grad()
def _accuracy(network: _Perceptron, x: Tensor, y: Tensor, replicates: int) -> Tensor:
    return (network(x.expand(replicates, *x.shape)).argmax(-1) == y).double().mean(-1)


def _scores(hidden: Sequence[int], task: Task, splits: Splits, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Trains by the task's protocol at its default rate; accuracies on validation and test, each ``(replicates,)``."""
    protocol, replicates = task.protocol, len(seeds)
    x, y, val_x, val_y, test_x, test_y = (
        torch.from_numpy(getattr(splits, f"{part}_{axis}")) for part in ("train", "val", "test") for axis in "xy"
    )
    network = _Perceptron((x.shape[1], *hidden, splits.classes), seeds)
    parameters = list(network.parameters())
    optimizer = torch.optim.Adam(parameters, fused=True)
    orders = [torch_generator("data order", seed) for seed in seeds]
    batches, step = len(x) // protocol.batch_size, 0
    for _ in range(protocol.epochs):
        order = torch.stack([torch.randperm(len(x), generator=generator) for generator in orders])
        for batch in order[:, : batches * protocol.batch_size].split(protocol.batch_size, dim=1):
            for group in optimizer.param_groups:
                group["lr"] = protocol.learning_rate["default"] * one_cycle(step, protocol.epochs * batches)
            loss = cross_entropy(network(x[batch]).mT, y[batch], reduction="none").mean(-1).sum()
            optimizer.zero_grad()
            loss.backward()
            clip_replicates(parameters, protocol.gradient_clip)
            optimizer.step()
            step += 1
    return _accuracy(network, val_x, val_y, replicates), _accuracy(network, test_x, test_y, replicates)


def measure_baselines(task: Task, *, seeds: int = 3, rates: Sequence[float] = RATES) -> dict[str, Baseline]:
    """Trains every baseline by the task's protocol, with the learning rate chosen on validation.

    Args:
        task: its protocol is followed, but for the learning rate.
        seeds: replicates 0 to ``seeds`` - 1, all in one batch; a seed decides initial weights and order of the data.
        rates: the peak learning rates to choose from.

    Returns:
        Baselines by name. Validation chooses; the test score of the chosen rate is reported.

    Raises:
        ArgumentError: if there is no seed or no rate.
        ContentError: if the task's arrays are not those it was published with.
    """
    if seeds < 1 or not rates or min(rates) <= 0:
        raise ArgumentError(f"seeds={seeds}, rates={list(rates)}: expected at least one seed and one positive rate.")
    splits, found = load_splits(task), {}
    for name, hidden in BASELINES.items():
        tried = []
        for rate in rates:
            protocol = replace(task.protocol, learning_rate={"default": rate})
            val, test = _scores(hidden, replace(task, protocol=protocol), splits, range(seeds))
            spread = float(test.std()) if seeds > 1 else 0.0
            tried.append(Baseline(rate, float(val.mean()), float(test.mean()), spread))
        found[name] = max(tried, key=lambda baseline: baseline.val_score)
    return found


def with_reference(text: str, scores: dict[str, float]) -> str:
    """The text of a task's definition with its ``[reference]`` table replaced, or added before ``[history]``.

    Args:
        text: the TOML text.
        scores: baseline -> test score, written with three digits.
    """
    lines = "".join(f"{name} = {score:.3f}\n" for name, score in scores.items())
    table = f"[reference] # python -m metabench.training.baselines: mean test accuracy\n{lines}\n"
    text = re.sub(r"^\[reference\][^\n]*\n(?:(?!\[)[^\n]*(?:\n|\Z))*", "", text, flags=re.MULTILINE)
    history = re.search(r"^\[history\]", text, flags=re.MULTILINE)
    place = history.start() if history else len(text)
    return f"{text[:place]}{table}{text[place:]}".rstrip("\n") + "\n"


@dataclass(frozen=True)
class Options:
    """Measure the baselines of tasks, and print them."""

    tasks: tyro.conf.Positional[tuple[str, ...]]
    """Ids of tasks, or paths of definitions."""
    seeds: int = 3
    """Replicates of each baseline."""
    write: bool = False
    """Record the scores in the definitions' [reference] too."""


def main(argv: Sequence[str] | None = None) -> None:
    """``python -m metabench.training.baselines TASK...``: one line a task and baseline on stdout."""
    options = tyro.cli(Options, prog="python -m metabench.training.baselines", args=argv)
    torch.set_num_threads(1)
    for name in options.tasks:
        baselines = measure_baselines(load_task(name), seeds=options.seeds)
        for baseline, result in baselines.items():
            sys.stdout.write(
                f"{name} {baseline}: test {result.test_score:.3f} (sd {result.test_sd:.3f}), "
                f"val {result.val_score:.3f}, learning rate {result.learning_rate:g}\n"
            )
        if options.write:
            path: Path = locate("tasks", name)
            scores = {baseline: result.test_score for baseline, result in baselines.items()}
            path.write_text(with_reference(path.read_text(encoding="utf-8"), scores), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_program("baselines", main))
