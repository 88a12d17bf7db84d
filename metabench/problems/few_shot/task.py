"""A few-shot task's definition file, read and validated."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any, Literal

from metabench.content import key_line, locate, read_toml
from metabench.errors import ArgumentError, DefinitionError
from metabench.problems.few_shot.episodes import EpisodeSource
from metabench.registry import Registry, did_you_mean
from metabench.spaces.definition import check_keys

__all__ = ["EPISODES", "KIND", "FewShotProtocol", "FewShotTask", "load_few_shot"]

KIND = "few-shot"
EPISODES = Registry(
    "source of episodes",
    {
        "sinusoid": "metabench.problems.few_shot.sinusoid:Sinusoids",
        "letter": "metabench.problems.few_shot.letters:Letters",
    },
    "metabench.episodes",
)


@dataclass(frozen=True)
class FewShotProtocol:
    """How a meta-learner is trained and judged on a task.

    Attributes:
        hidden: widths of the perceptron's hidden layers (ReLU).
        support: samples to adapt to, of each class if there are classes.
        query: samples of the meta-training loss, likewise.
        step_size: of the inner gradient steps.
        inner_steps: inner steps in meta-training.
        meta_batch: problems in a meta-step.
        meta_rate: learning rate of Adam on the meta-parameters.
        iterations: meta-steps.
        test_problems: problems of the final test.
        test_query: samples a problem is judged on in the test.
        test_steps: inner steps after which it is judged, ascending.
    """

    hidden: tuple[int, ...]
    support: int
    query: int
    step_size: float
    inner_steps: int
    meta_batch: int
    meta_rate: float
    iterations: int
    test_problems: int
    test_query: int
    test_steps: tuple[int, ...]

    def __post_init__(self) -> None:
        counts = ("support", "query", "inner_steps", "meta_batch", "iterations", "test_problems", "test_query")
        for name in counts:
            if getattr(self, name) < 1:
                raise ArgumentError(f"{name}={getattr(self, name)}: expected at least 1.")
        if not self.step_size > 0 or not self.meta_rate > 0:
            raise ArgumentError(f"step_size={self.step_size}, meta_rate={self.meta_rate}: expected positive numbers.")
        if list(self.test_steps) != sorted({*self.test_steps}) or not self.test_steps or self.test_steps[0] < 0:
            raise ArgumentError(f"test_steps={self.test_steps}: expected ascending whole numbers.")


@dataclass(frozen=True)
class FewShotTask:
    """A distribution of small problems.

    Attributes:
        id: published name, with its version.
        description: one sentence.
        episodes: name in the registry of episode sources.
        parameters: passed to the source.
        metric: ``mse`` (targets are numbers) or ``accuracy`` (targets are classes; trained by cross-entropy).
        protocol: how meta-learners are trained and judged.
        reference: published or measured figures.
        citation: how to cite it.
        licence: of the data.
        history: what each version changed.
    """

    id: str
    description: str
    episodes: str
    parameters: dict[str, Any]
    metric: Literal["mse", "accuracy"]
    protocol: FewShotProtocol
    reference: dict[str, Any] = field(default_factory=dict)
    citation: str = ""
    licence: str = ""
    history: dict[str, str] = field(default_factory=dict)

    def source(self) -> EpisodeSource:
        """The episodes.

        Raises:
            DefinitionError: if the source has no parameter of a name that is given, or its value is out of range.
        """
        make = EPISODES.get(self.episodes)
        known = [name for name in inspect.signature(make).parameters if name != "self"]
        for name in self.parameters:
            if name not in known:
                raise DefinitionError(
                    f"task {self.id!r}: episodes {self.episodes!r} have no parameter {name!r}."
                    f"{did_you_mean(name, known)} Known: {', '.join(known)}."
                )
        try:
            return make(**self.parameters)
        except TypeError as error:
            raise DefinitionError(f"task {self.id!r}: key 'parameters': {error}.") from error


_TYPES: dict[str, tuple[type, str]] = {
    "id": (str, "a string"),
    "kind": (str, f"{KIND!r}"),
    "description": (str, "a string"),
    "episodes": (str, "the name of a source of episodes"),
    "parameters": (dict, "a table"),
    "metric": (str, "'mse' or 'accuracy'"),
    "protocol": (dict, "a table"),
    "reference": (dict, "a table of scores"),
    "citation": (str, "a string"),
    "licence": (str, "a string"),
    "history": (dict, "a table from version to text"),
}
_WHOLE = (int, "a positive whole number")
_PROTOCOL: dict[str, tuple[type, str]] = {
    "hidden": (list, "a list of widths"),
    "support": _WHOLE,
    "query": _WHOLE,
    "step_size": (float, "a positive number"),
    "inner_steps": _WHOLE,
    "meta_batch": _WHOLE,
    "meta_rate": (float, "a positive number"),
    "iterations": _WHOLE,
    "test_problems": _WHOLE,
    "test_query": _WHOLE,
    "test_steps": (list, "an ascending list of whole numbers"),
}


def load_few_shot(name: str) -> FewShotTask:
    """Reads ``tasks/<name>.toml``, or the user's own file if ``name`` is a path.

    Raises:
        ContentError: if there is no such task.
        DefinitionError: naming file, line and key; also for a task of another kind.
    """
    path = locate("tasks", name)
    data = read_toml(path)
    if data.get("kind") != KIND:
        raise DefinitionError(f"{path}:{key_line(path, 'kind')}: task {name!r} is not of kind {KIND!r}.")
    check_keys(path, data, _TYPES, ("id", "description", "episodes", "metric", "protocol"))
    raw = data["protocol"]
    check_keys(path, raw, _PROTOCOL, tuple(_PROTOCOL))

    def bad(key: str, why: str) -> DefinitionError:
        return DefinitionError(f"{path}:{key_line(path, key)}: key {key!r} {why}")

    if data["episodes"] not in EPISODES:
        raise bad("episodes", f"is {data['episodes']!r}, unknown.{did_you_mean(data['episodes'], EPISODES.names())}")
    if data["metric"] not in ("mse", "accuracy"):
        raise bad("metric", f"is {data['metric']!r}; expected 'mse' or 'accuracy'.")
    lists = {key: tuple(raw[key]) for key in ("hidden", "test_steps")}
    for key, values in lists.items():
        if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
            raise bad(key, "has something that is not a whole number.")
    try:
        protocol = FewShotProtocol(**{**raw, **lists})
    except ArgumentError as error:
        raise bad("protocol", str(error)) from error
    kept = {key: value for key, value in data.items() if key != "kind"}
    return FewShotTask(**{**kept, "parameters": data.get("parameters", {}), "protocol": protocol})
