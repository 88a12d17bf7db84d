"""Training a network on a task of the benchmark: a perceptron, or one of the benchmark's own architectures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from metabench.blocks.block import stacked_normal
from metabench.datasets import Splits, load_splits, load_task
from metabench.errors import ArgumentError
from metabench.problems.binding import bind
from metabench.problems.problem import Parameters, Problem, draw_rows
from metabench.seeding import torch_generator
from metabench.spaces.architecture import Architecture
from metabench.spaces.network import Network

__all__ = ["ArchitectureProblem", "Classification", "PerceptronProblem"]

_FULL = 1000  # rows the full loss is measured on at most, as many at a time


@dataclass(frozen=True)
class Classification(Problem):
    """Mean cross-entropy on batches drawn with replacement from a task's training split.

    Attributes:
        task: id of the task, or path of a definition.
        batch_size: samples a step.
        held_out: whether it is kept from meta-training.
    """

    task: str = "mnist1d-v1"
    batch_size: int = 128
    held_out: bool = False

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ArgumentError(f"batch_size={self.batch_size}: expected at least 1.")

    def __getstate__(self) -> dict[str, object]:
        """The settings alone, for other processes; arrays and networks are made there."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def splits(self) -> Splits:
        """The task's arrays."""
        return load_splits(load_task(self.task))

    @cached_property
    def _train(self) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(self.splits.train_x), torch.from_numpy(self.splits.train_y)

    def batch(self, seeds: Sequence[int], step: int) -> tuple[Tensor, Tensor]:
        """Inputs ``(instances, batch, inputs)`` and labels ``(instances, batch)``."""
        x, y = self._train
        rows = torch.from_numpy(draw_rows(seeds, step, self.batch_size, len(x)))
        return x[rows], y[rows]

    def loss(self, parameters: Parameters, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        return cross_entropy(self.logits(parameters, x).mT, y, reduction="none").mean(-1)

    def logits(self, parameters: Parameters, x: Tensor) -> Tensor:
        """Logits ``(instances, batch, classes)`` of inputs ``(instances, batch, inputs)``."""
        raise NotImplementedError

    @torch.no_grad()
    def full_loss(self, parameters: Parameters, seeds: Sequence[int]) -> Tensor:
        """On the first 1,000 training rows."""
        x, y = (array[:_FULL] for array in self._train)
        instances = len(next(iter(parameters.values())))
        return self.loss(parameters, (x.expand(instances, *x.shape), y.expand(instances, *y.shape)))

    @torch.no_grad()
    def score(self, parameters: Parameters) -> Tensor:
        """Accuracy on the validation split."""
        x, y = torch.from_numpy(self.splits.val_x), torch.from_numpy(self.splits.val_y)
        instances = len(next(iter(parameters.values())))
        hits = torch.zeros(instances)
        for start in range(0, len(x), _FULL):
            part = x[start : start + _FULL]
            predicted = self.logits(parameters, part.expand(instances, *part.shape)).argmax(-1)
            hits += (predicted == y[start : start + _FULL]).sum(-1)
        return hits / len(x)


@dataclass(frozen=True)
class PerceptronProblem(Classification):
    """A perceptron.

    Attributes:
        hidden: widths of the hidden layers.
        activation: ``relu`` or ``tanh``.
    """

    hidden: tuple[int, ...] = (32,)
    activation: str = "relu"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.activation not in ("relu", "tanh"):
            raise ArgumentError(f"activation={self.activation!r}: expected 'relu' or 'tanh'.")
        if any(width < 1 for width in self.hidden):
            raise ArgumentError(f"hidden={self.hidden}: expected widths of at least 1.")

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return f"{self.activation}-{'x'.join(map(str, self.hidden)) or 'linear'}/{self.task}"

    def sample(self, seeds: Sequence[int]) -> Parameters:
        sizes = [self.splits.train_x.shape[1], *self.hidden, self.splits.classes]
        parameters: Parameters = {}
        for i in range(len(sizes) - 1):
            gain = 2.0 if self.activation == "relu" and i < len(sizes) - 2 else 1.0
            generators = [torch_generator("perceptron", seed, i) for seed in seeds]
            weight = stacked_normal((sizes[i + 1], sizes[i]), (gain / sizes[i]) ** 0.5, generators)
            parameters[f"weight{i}"] = weight.detach()
            parameters[f"bias{i}"] = torch.zeros(len(seeds), 1, sizes[i + 1])
        return parameters

    def logits(self, parameters: Parameters, x: Tensor) -> Tensor:
        for i in range(len(self.hidden) + 1):
            if i:
                x = x.relu() if self.activation == "relu" else x.tanh()
            x = torch.baddbmm(parameters[f"bias{i}"], x, parameters[f"weight{i}"].mT)
        return x


@dataclass(frozen=True)
class ArchitectureProblem(Classification):
    """One of the benchmark's architectures, all instances on its replicate axis.

    Attributes:
        architecture: block names with commas.
        width: state dimension.
    """

    architecture: str = "mlp.residual"
    width: int = 32

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        size = "" if self.width == 32 else f"-{self.width}"
        return f"{self.architecture}{size}/{self.task}"

    def _network(self, seeds: Sequence[int]) -> Network:
        blocks = Architecture(tuple(part.strip() for part in self.architecture.split(",")))
        return Network(blocks, self.splits.train_x.shape[1], self.splits.classes, self.width, seeds)

    @cached_property
    def _shell(self) -> Network:
        """A network whose own parameters are never used."""
        return self._network([0])

    def sample(self, seeds: Sequence[int]) -> Parameters:
        return {name: value.detach() for name, value in self._network(seeds).named_parameters()}

    def logits(self, parameters: Parameters, x: Tensor) -> Tensor:
        output, _ = bind(self._shell, parameters)(x)
        return output
