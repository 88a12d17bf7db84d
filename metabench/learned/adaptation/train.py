"""Meta-trains a learner on a few-shot task and tests it; a stopped run goes on bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from metabench.errors import ArgumentError, RunFolderError
from metabench.learned.adaptation.losses import BatchedLoss, Batching, Criterion
from metabench.learned.adaptation.meta_learner import MetaLearner
from metabench.learned.array_file import read_arrays, write_arrays
from metabench.learned.optimizers.hand_made import Adam
from metabench.learned.optimizers.rule import Parameters
from metabench.problems.few_shot import EpisodeSource, FewShotTask
from metabench.registry import Registry
from metabench.seeding import torch_generator

__all__ = ["LEARNERS", "Score", "criterion_of", "few_shot_scores", "make_learner", "meta_train_few_shot", "perceptron"]

LEARNERS = Registry(
    "meta-learner",
    {
        "maml": "metabench.learned.adaptation.maml:MAML",
        "anil": "metabench.learned.adaptation.anil:ANIL",
        "meta-sgd": "metabench.learned.adaptation.meta_sgd:MetaSGD",
        "reptile": "metabench.learned.adaptation.reptile:Reptile",
        "learn2learn-maml": "metabench.learned.adaptation.peer:Learn2LearnMAML",
        "learn2learn-meta-sgd": "metabench.learned.adaptation.peer:Learn2LearnMetaSGD",
    },
    "metabench.meta_learners",
)

_CHUNK = 100  # test problems at a time


@dataclass(frozen=True)
class Score:
    """A mean over test problems.

    Attributes:
        steps: inner steps before it.
        mean: of the problems' squared errors, or of their accuracies.
        half_width: of the 95 % interval (1.96 standard errors).
        problems: how many.
    """

    steps: int
    mean: float
    half_width: float
    problems: int


def make_learner(name: str, task: FewShotTask, *, first_order: bool = False) -> MetaLearner:
    """The learner called ``name``, with the inner steps of the task's protocol.

    Raises:
        UnknownNameError: if there is none.
    """
    protocol = task.protocol
    return LEARNERS.get(name)(step_size=protocol.step_size, steps=protocol.inner_steps, first_order=first_order)


def criterion_of(task: FewShotTask) -> Criterion:
    """The loss that is minimised: squared error or cross-entropy."""
    return mse_loss if task.metric == "mse" else cross_entropy


def perceptron(task: FewShotTask, source: EpisodeSource, seed: int) -> nn.Sequential:
    """ReLU perceptron of the task's widths; weights and biases uniform in +-1/sqrt(inputs), as torch's own."""
    sizes = [source.inputs, *task.protocol.hidden, source.outputs]
    generator, layers = torch_generator("few-shot weights", seed), []
    for inputs, outputs in pairwise(sizes):
        layer = nn.Linear(inputs, outputs)
        with torch.no_grad():
            for value in layer.parameters():
                value.copy_((2 * torch.rand(value.shape, generator=generator) - 1) / inputs**0.5)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def meta_train_few_shot(
    task: FewShotTask,
    learner: MetaLearner,
    *,
    seed: int = 0,
    iterations: int | None = None,
    module: nn.Module | None = None,
    batching: Batching = "auto",
    out: Path | None = None,
    checkpoint_every: int = 500,
    progress: Callable[[int, float], None] | None = None,
) -> tuple[BatchedLoss, Parameters]:
    """Meta-trains by Adam on the meta-gradients.

    Args:
        task: the problems and the protocol.
        learner: what is learned, and how it adapts.
        seed: decides the initial weights and all problems.
        iterations: meta-steps; the task's if left out.
        module: what is adapted; the task's perceptron if left out.
        batching: how problems are batched, see :class:`BatchedLoss`.
        out: folder for ``checkpoint.npz``; a later call with the same folder goes on from it.
        checkpoint_every: meta-steps between checkpoints.
        progress: called with the meta-step (from 1) and its loss.

    Returns:
        The losses of the module, and the meta-parameters.

    Raises:
        RunFolderError: if the folder has a run with other settings.
    """
    source, protocol = task.source(), task.protocol
    total = protocol.iterations if iterations is None else iterations
    if total < 1 or checkpoint_every < 1:
        raise ArgumentError(f"iterations={total}, checkpoint_every={checkpoint_every}: expected at least 1.")
    loss = BatchedLoss(perceptron(task, source, seed) if module is None else module, criterion_of(task), batching)
    meta, rule, done = learner.initial(loss), Adam(), 0
    state = rule.init(meta)
    fixed = replace(protocol, iterations=1, test_problems=1, test_query=1, test_steps=(0,))  # do not change training
    settings = {
        "task": task.id,
        "parameters": repr(task.parameters),
        "protocol": repr(fixed),
        "learner": type(learner).__name__,
        **asdict(learner),
        "shapes": {name: list(value.shape) for name, value in meta.items()},
        "seed": seed,
    }
    path = None if out is None else out / "checkpoint.npz"
    if path is not None and path.is_file():
        tree, document = read_arrays(path)
        if document["settings"] != _plain(settings):
            raise RunFolderError(f"{path}: a run with other settings; give another --out, or the settings it has.")
        meta, state, done = tree["meta"], tree["state"], document["iterations"]
    weights = {"rate": torch.tensor(protocol.meta_rate)}
    for iteration in range(done, total):
        generator = torch_generator("episodes", seed, iteration)
        episodes = source.sample(protocol.meta_batch, protocol.support, protocol.query, "train", generator)
        value, slopes = learner.meta_gradient(loss, meta, episodes)
        meta, state = rule.step(weights, meta, slopes, state)
        if progress is not None:
            progress(iteration + 1, float(value))
        if path is not None and ((iteration + 1) % checkpoint_every == 0 or iteration + 1 == total):
            tree = {"meta": meta, "state": state}
            write_arrays(path, tree, {"settings": _plain(settings), "iterations": iteration + 1})
    return loss, meta


def _plain(settings: dict[str, object]) -> dict[str, object]:
    """As JSON gives them back."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}


@torch.no_grad()
def few_shot_scores(
    task: FewShotTask, learner: MetaLearner, loss: BatchedLoss, meta: Parameters, *, seed: int = 0
) -> tuple[Score, ...]:
    """Tests on problems of the held-out split: the task's metric after each of its ``test_steps``."""
    source, protocol = task.source(), task.protocol
    values: dict[int, list[Tensor]] = {steps: [] for steps in protocol.test_steps}
    generator, left = torch_generator("test episodes", seed), protocol.test_problems
    while left:
        count = min(left, _CHUNK)
        episodes = source.sample(count, protocol.support, protocol.test_query, "test", generator)
        for steps in protocol.test_steps:
            adapted = learner.adapt(loss, meta, episodes.support_x, episodes.support_y, steps)
            predicted = loss.predict(adapted, episodes.query_x)
            values[steps].append(_metric(task, predicted, episodes.query_y))
        left -= count
    scores = []
    for steps, parts in values.items():
        each = torch.cat(parts).double()
        spread = 1.96 * float(each.std()) / math.sqrt(len(each)) if len(each) > 1 else math.nan
        scores.append(Score(steps, float(each.mean()), spread, len(each)))
    return tuple(scores)


def _metric(task: FewShotTask, predicted: Tensor, target: Tensor) -> Tensor:
    if task.metric == "mse":
        return (predicted - target).square().flatten(1).mean(1)
    return (predicted.argmax(-1) == target).float().mean(1)
