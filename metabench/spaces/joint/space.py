"""A joint space: code <-> architecture <-> Configuration, on a grid too fine to be listed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from metabench.errors import ArchitectureError, UnknownNameError
from metabench.registry import did_you_mean
from metabench.seeding import numpy_generator
from metabench.spaces.joint.architecture import JointArchitecture
from metabench.spaces.joint.definition import JointDefinition
from metabench.spaces.joint.hyperparameter import Hyperparameter

if TYPE_CHECKING:
    from ConfigSpace import Configuration, ConfigurationSpace

__all__ = ["JointSpace"]


class JointSpace:
    """Blocks, training and solving together.

    A configuration is a row of *places*: of the depth, of the block at each stage, and of each hyperparameter among its
    levels. Its *code* is that row read as a number of mixed base, first place first; whatever is inactive has place 0
    in the *canonical* code. All codes are valid in queries. Codes stay below 2^53, so every JSON reader keeps them.

    Numbers given from outside (a mapping, a Configuration) are taken to the nearest level.
    """

    kind = "joint"

    def __init__(self, definition: JointDefinition) -> None:
        self.definition = definition
        self.id = definition.id
        self.description = definition.description
        self.citation = definition.citation
        self.tags = definition.tags
        self.blocks = definition.blocks
        self.stages = definition.stages
        self.hyperparameters = definition.hyperparameters
        self.sampling = definition.sampling
        self.names = ("depth", *self._stage_names, *(h.name for h in self.hyperparameters))
        bases = [self.stages, *[len(self.blocks)] * self.stages, *(len(h.levels) for h in self.hyperparameters)]
        self._bases = np.array(bases, dtype=np.int64)
        self._weights = np.array(
            [int(np.prod(bases[i + 1 :], dtype=object)) for i in range(len(bases))], dtype=np.int64
        )
        self.size = int(np.prod(bases, dtype=object))
        self._block_place = {name: i for i, name in enumerate(self.blocks)}
        # Which blocks make a hyperparameter active, and which levels of which earlier ones.
        self._by_block = [np.isin(self.blocks, h.blocks) for h in self.hyperparameters]
        self._by_level = [
            [(self._column(name), np.isin(self._of(name).levels, levels)) for name, levels in h.given.items()]
            for h in self.hyperparameters
        ]

    def __repr__(self) -> str:
        return f"JointSpace({self.id!r}, {self.count:.2g} architectures, up to {self.stages} stages)"

    @property
    def _stage_names(self) -> list[str]:
        return [f"stage{i + 1}" for i in range(self.stages)]

    def _of(self, name: str) -> Hyperparameter:
        return next(h for h in self.hyperparameters if h.name == name)

    def _column(self, name: str) -> int:
        return self.names.index(name)

    # Places: the rows that everything else is read from.

    def places(self, codes: np.ndarray) -> np.ndarray:
        """The places of codes, int64 ``(n, len(names))``; those of inactive hyperparameters say nothing."""
        return np.asarray(codes, dtype=np.int64)[:, None] // self._weights % self._bases

    def active(self, places: np.ndarray) -> np.ndarray:
        """Which of ``names`` are active, bool ``(n, len(names))``."""
        found = np.ones(places.shape, dtype=bool)
        at_work = np.arange(self.stages) <= places[:, :1]
        found[:, 1 : 1 + self.stages] = at_work
        blocks = places[:, 1 : 1 + self.stages]
        for i, h in enumerate(self.hyperparameters):
            if not h.conditional:
                continue
            on = (self._by_block[i][blocks] & at_work).any(axis=1)
            for column, levels in self._by_level[i]:
                on |= found[:, column] & levels[places[:, column]]
            found[:, 1 + self.stages + i] = on
        return found

    def _encode(self, places: np.ndarray) -> np.ndarray:
        """Canonical codes ``(n,)``."""
        return np.where(self.active(places), places, 0) @ self._weights

    @cached_property
    def count(self) -> int:
        """The number of architectures: canonical codes."""
        kinds = [
            frozenset(i for i, of in enumerate(self._by_block) if of[place]) for place in range(len(self.blocks))
        ]  # of each block: the hyperparameters that it makes active
        combinations, total = Counter({frozenset[int](): 1}), 0
        for _ in range(self.stages):
            longer: Counter[frozenset[int]] = Counter()
            for reached, n in combinations.items():
                for kind in kinds:
                    longer[reached | kind] += n
            combinations = longer
            total += sum(n * self._settings_count(reached) for reached, n in combinations.items())
        return total

    def _settings_count(self, on: frozenset[int], chosen: tuple[int | None, ...] = ()) -> int:
        """How many settings there are beside blocks that make ``on`` active; ``chosen`` are the places so far."""
        i = len(chosen)
        if i == len(self.hyperparameters):
            return 1
        h = self.hyperparameters[i]
        places = [chosen[column - 1 - self.stages] for column, _ in self._by_level[i]]
        is_active = not h.conditional or i in on
        for (_, levels), place in zip(self._by_level[i], places, strict=True):
            is_active = is_active or (place is not None and bool(levels[place]))
        if not is_active:
            return self._settings_count(on, (*chosen, None))
        if any(h.name in other.given for other in self.hyperparameters):  # later ones look at its level
            return sum(self._settings_count(on, (*chosen, place)) for place in range(len(h.levels)))
        return len(h.levels) * self._settings_count(on, (*chosen, 0))

    # Codes and architectures.

    def canonical(self, code: int) -> int:
        """The canonical code of any code.

        Raises:
            ArchitectureError: if ``code`` is not in ``range(size)``.
        """
        if not 0 <= code < self.size:
            raise ArchitectureError(f"code {code} is not in space {self.id!r}; expected 0 to {self.size - 1}.")
        return int(self._encode(self.places(np.array([code])))[0])

    def canonical_of(self, codes: np.ndarray) -> np.ndarray:
        """The canonical codes of valid ones, int64 ``(n,)``."""
        return self._encode(self.places(codes))

    def architecture(self, code: int) -> JointArchitecture:
        """The architecture of a code."""
        places = self.places(np.array([self.canonical(code)]))
        active = self.active(places)[0]
        row = places[0].tolist()
        first = 1 + self.stages
        settings = {
            h.name: h.levels[place]
            for h, place, on in zip(self.hyperparameters, row[first:], active[first:], strict=True)
            if on
        }
        return JointArchitecture(tuple(self.blocks[place] for place in row[1 : 2 + row[0]]), **settings)

    def code(self, architecture: Any) -> int:
        """The canonical code of anything that names an architecture of this space.

        Args:
            architecture: a code, a :class:`JointArchitecture` or its ``str()``, a ConfigSpace ``Configuration`` or a
                mapping of all active hyperparameters, ``depth`` and ``stage1`` ... among them.

        Raises:
            ArchitectureError: if a hyperparameter is unknown, missing, inactive or out of its range.
            UnknownNameError: if a block is not in the space; the message has the nearest name.
        """
        if isinstance(architecture, int | np.integer) and not isinstance(architecture, bool):
            return self.canonical(int(architecture))
        if isinstance(architecture, JointArchitecture):
            values: Mapping[str, Any] = architecture.as_dict()
        elif isinstance(architecture, str):
            values = self._read(architecture)
        elif isinstance(architecture, Mapping):
            values = architecture
        else:
            raise ArchitectureError(
                f"{architecture!r} names no architecture; expected a code, a JointArchitecture, its text, a mapping or "
                "a Configuration."
            )
        return self._from_mapping(values)

    def _read(self, text: str) -> dict[str, Any]:
        """The mapping of ``"mlp.deq,gated.tied width=32 ..."``."""
        blocks, *settings = text.split() or [""]
        names = [name for name in blocks.split(",") if name]
        values: dict[str, Any] = {"depth": len(names), **{f"stage{i + 1}": name for i, name in enumerate(names)}}
        for setting in settings:
            name, equals, value = setting.partition("=")
            if not equals or name in values:
                raise ArchitectureError(f"cannot read {setting!r} in {text!r}; expected NAME=VALUE, each name once.")
            values[name] = value
        return values

    def _from_mapping(self, values: Mapping[str, Any]) -> int:
        row, given = [0] * len(self.names), {str(key): values[key] for key in values}
        for key in given:
            if key not in self.names:
                raise ArchitectureError(
                    f"unknown hyperparameter {key!r}; space {self.id!r} has {', '.join(self.names)}."
                    f"{did_you_mean(key, self.names)}"
                )
        for column, name in enumerate(self.names):
            if name in given:
                row[column] = self._place(name, given[name])
        active = self.active(np.array([row]))[0]
        for name, on in zip(self.names, active.tolist(), strict=True):
            if on and name not in given:
                raise ArchitectureError(f"missing hyperparameter {name!r}: it is active in {_shown(given)}.")
            if not on and name in given:
                raise ArchitectureError(f"hyperparameter {name!r} is inactive in {_shown(given)}; leave it out.")
        return int(self._encode(np.array([row]))[0])

    def _place(self, name: str, value: Any) -> int:
        if name == "depth":
            if isinstance(value, bool) or value not in range(1, self.stages + 1):
                raise ArchitectureError(f"depth is {value!r}; space {self.id!r} has 1 to {self.stages} blocks.")
            return int(value) - 1
        if name in self._stage_names:
            place = self._block_place.get(str(value))
            if place is None:
                raise UnknownNameError(
                    f"unknown block {str(value)!r} in space {self.id!r}.{did_you_mean(str(value), self.blocks)} "
                    f"Known: {', '.join(self.blocks)}."
                )
            return place
        hyperparameter = self._of(name)
        place = hyperparameter.place(value)
        if place is None:
            raise ArchitectureError(f"{name} is {value!r}; space {self.id!r} has {hyperparameter.describe()}.")
        return place

    def vary(self, code: int, **values: Any) -> int:
        """The code with some hyperparameters changed, as ``vary(code, tolerance=0.1)``; what is inactive stays so.

        A hyperparameter that the change makes active takes its default. So a looser tolerance is a cheaper look at the
        same architecture.
        """
        row = self.places(np.array([code]))
        before = self.active(row)
        for name, value in values.items():
            if name not in self.names:
                raise ArchitectureError(f"unknown hyperparameter {name!r}.{did_you_mean(name, self.names)}")
            row[0, self._column(name)] = self._place(name, value)
        return int(self._complete(row, before | np.isin(self.names, list(values)))[0])

    def _complete(self, places: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Canonical codes of rows whose places not ``known`` take their defaults."""
        defaults = [0] * (1 + self.stages) + [h.levels.index(h.default) for h in self.hyperparameters]
        return self._encode(np.where(known, places, defaults))

    # Drawing, neighbours, ConfigSpace.

    def draw(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """``n`` canonical codes: each hyperparameter uniform on its range (of logarithms, where ``log``), ``(n,)``."""
        uniform = generator.random((n, len(self.names)))
        row = (uniform * self._bases).astype(np.int64)
        for i, h in enumerate(self.hyperparameters):
            row[:, 1 + self.stages + i] = h.level_at(uniform[:, 1 + self.stages + i])
        return self._encode(row)

    def sample(self, i: int) -> int:
        """The code of the ``i``-th configuration that is trained; it depends on the definition's seed and i alone."""
        return int(self.draw(1, numpy_generator("joint sample", self.id, self.sampling.seed, i))[0])

    def neighbours(self, code: int) -> np.ndarray:
        """Canonical codes one change away, ascending, itself left out, int64 ``(n,)``.

        A block or a choice becomes any other; a number moves by about 0.05 or 0.2 of its range; the last block goes, or
        any block comes behind it. What becomes active takes its default.
        """
        row = self.places(np.array([self.canonical(code)]))
        active, rows = self.active(row)[0], []
        for column, name in enumerate(self.names):
            places = self._moves(column, int(row[0, column]))
            grown = name == "depth" and row[0, 0] + 1 < self.stages
            for place in places if active[column] else ():
                moved = row.copy()
                moved[0, column] = place
                if grown and place > row[0, 0]:
                    for block in range(len(self.blocks)):
                        moved[0, 1 + place] = block
                        rows.append(moved.copy())
                else:
                    rows.append(moved)
        stacked = np.concatenate(rows)
        known = np.broadcast_to(active, stacked.shape).copy()
        known[:, 1 : 1 + self.stages] = True
        near = np.unique(self._complete(stacked, known))
        return near[near != self.canonical(code)]

    def _moves(self, column: int, place: int) -> list[int]:
        if column == 0:
            return [near for near in (place - 1, place + 1) if 0 <= near < self.stages]
        if column <= self.stages:
            return [other for other in range(len(self.blocks)) if other != place]
        h = self.hyperparameters[column - 1 - self.stages]
        if h.kind == "choice":
            return [other for other in range(len(h.levels)) if other != place]
        at, last = h.positions[place], len(h.levels) - 1
        found = set()
        for step in (0.05, 0.2):
            found |= {max(int(h.level_at(np.array(at + step))), min(place + 1, last))}
            found |= {min(int(h.level_at(np.array(at - step))), max(place - 1, 0))}
        return sorted(found - {place})

    def configuration_space(self, seed: int | None = None) -> ConfigurationSpace:
        """The space as a ConfigSpace: ``depth``, ``stage1`` ..., the hyperparameters, and when they are active."""
        import ConfigSpace as cs

        space = cs.ConfigurationSpace(name=self.id, seed=seed)
        depth = cs.UniformIntegerHyperparameter("depth", 1, self.stages) if self.stages > 1 else cs.Constant("depth", 1)
        stages = [cs.CategoricalHyperparameter(name, list(self.blocks)) for name in self._stage_names]
        made = {h.name: h.as_configspace() for h in self.hyperparameters}
        space.add([depth, *stages, *made.values()])
        space.add([cs.GreaterThanCondition(stage, depth, i) for i, stage in enumerate(stages) if i])
        for h in self.hyperparameters:
            child = made[h.name]
            parts: list[Any] = [cs.InCondition(child, stage, list(h.blocks)) for stage in stages if h.blocks]
            parts += [cs.InCondition(child, made[name], list(levels)) for name, levels in h.given.items()]
            if len(parts) > 1:
                space.add(cs.OrConjunction(*parts))
            elif parts:
                space.add(parts[0])
        return space

    def configuration(self, code: int, space: ConfigurationSpace | None = None) -> Configuration:
        """The Configuration of a code, in ``space`` (one made by :meth:`configuration_space`)."""
        from ConfigSpace import Configuration

        values = self.architecture(code).as_dict()
        return Configuration(self.configuration_space() if space is None else space, values=values)


def _shown(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())
