"""A finite space of architectures: definition <-> code <-> architecture <-> Configuration, all ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from metabench.errors import ArchitectureError, UnknownNameError
from metabench.registry import did_you_mean
from metabench.spaces.architecture import SKIP, Architecture
from metabench.spaces.definition import SpaceDefinition

if TYPE_CHECKING:
    from ConfigSpace import Configuration, ConfigurationSpace

__all__ = ["Space"]


class Space:
    """Every sequence of ``stages`` blocks, numbered; sequences that differ only in where their skips are, are one.

    A *code* is the sequence read as a number in base ``len(blocks)``, first stage first. The *canonical* code of an
    architecture has its skips last. All codes are valid in queries.
    """

    def __init__(self, definition: SpaceDefinition) -> None:
        self.definition = definition
        self.id = definition.id
        self.description = definition.description
        self.citation = definition.citation
        self.tags = definition.tags
        self.blocks = definition.blocks
        self.stages = definition.stages
        self.width = definition.width
        self.kind = definition.kind
        self.size = len(self.blocks) ** self.stages
        self._digit = {name: i for i, name in enumerate(self.blocks)}
        self._weights = len(self.blocks) ** np.arange(self.stages - 1, -1, -1)
        self._place_values = self._weights.tolist()  # Python's integers are quicker one by one

    def __repr__(self) -> str:
        return f"Space({self.id!r}, {len(self.canonical_codes)} architectures, {self.stages} stages)"

    @cached_property
    def _canonical(self) -> np.ndarray:
        codes = np.arange(self.size)
        if SKIP not in self._digit:
            return codes
        digits = codes[:, None] // self._weights % len(self.blocks)
        order = np.argsort(digits == 0, axis=1, kind="stable")
        return np.take_along_axis(digits, order, axis=1) @ self._weights

    @cached_property
    def canonical_codes(self) -> np.ndarray:
        """The canonical codes, ascending, int64 ``(n_architectures,)``; a place here is a table row."""
        return np.unique(self._canonical)

    @cached_property
    def row_of(self) -> np.ndarray:
        """The table row of every code, int64 ``(size,)``."""
        return np.searchsorted(self.canonical_codes, self._canonical)

    @cached_property
    def blocks_of(self) -> list[tuple[str, ...]]:
        """The blocks of every code, skips removed; what ``architecture(code).blocks`` gives, all at once."""
        digits = self._canonical[:, None] // self._weights % len(self.blocks)
        names = np.array(self.blocks, dtype=object)[digits]
        depths = (digits != self._digit.get(SKIP, -1)).sum(axis=1)  # a canonical code's skips are its last
        found = np.empty(self.size, dtype=object)
        for depth in np.unique(depths):
            chosen = np.flatnonzero(depths == depth)
            for code, blocks in zip(chosen.tolist(), map(tuple, names[chosen, :depth].tolist()), strict=True):
                found[code] = blocks
        return found.tolist()

    def canonical(self, code: int) -> int:
        """The canonical code of any code.

        Raises:
            ArchitectureError: if ``code`` is not in ``range(size)``.
        """
        if not 0 <= code < self.size:
            raise ArchitectureError(f"code {code} is not in space {self.id!r}; expected 0 to {self.size - 1}.")
        return int(self._canonical[code])

    def architecture(self, code: int) -> Architecture:
        """The architecture of a code."""
        code = self.canonical(code)
        return Architecture(tuple([self.blocks[code // w % len(self.blocks)] for w in self._place_values]))

    def code(self, architecture: Any) -> int:
        """The canonical code of anything that names an architecture of this space.

        Args:
            architecture: a code, an :class:`Architecture`, block names (a sequence, or one string with commas), a
                ConfigSpace ``Configuration`` or a mapping of ``stage1`` ... to block names.

        Raises:
            ArchitectureError: if the number of stages is wrong or a stage is missing.
            UnknownNameError: if a block is not in the space; the message has the nearest name.
        """
        if isinstance(architecture, int | np.integer) and not isinstance(architecture, bool):
            return self.canonical(int(architecture))
        if isinstance(architecture, Architecture):
            if len(architecture.blocks) > self.stages:
                raise self._wrong_length(len(architecture.blocks), architecture)
            if SKIP not in self._digit and len(architecture.blocks) != self.stages:
                raise self._wrong_length(len(architecture.blocks), architecture)
            return self._encode(architecture.blocks + (SKIP,) * (self.stages - len(architecture.blocks)))
        if isinstance(architecture, str):
            architecture = [name.strip() for name in architecture.split(",")]
        elif isinstance(architecture, Mapping):
            architecture = self._from_mapping(architecture)
        if not isinstance(architecture, Sequence | np.ndarray):
            raise ArchitectureError(
                f"{architecture!r} names no architecture; expected a code, block names, an Architecture or a "
                "Configuration."
            )
        if len(architecture) != self.stages:
            raise self._wrong_length(len(architecture), ",".join(map(str, architecture)))
        return self._encode(architecture)

    def _wrong_length(self, got: int, shown: object) -> ArchitectureError:
        stages = "stage" if got == 1 else "stages"
        return ArchitectureError(
            f"{str(shown)!r} has {got} {stages}; space {self.id!r} has {self.stages}: give {self.stages} block names "
            f"(use {SKIP!r} for none)."
        )

    def _from_mapping(self, values: Mapping[str, Any]) -> list[str]:
        wanted = [f"stage{i + 1}" for i in range(self.stages)]
        unknown = [key for key in values if key not in wanted]
        missing = [key for key in wanted if key not in values]
        if unknown or missing:
            problem = f"unknown hyperparameter {unknown[0]!r}" if unknown else f"missing hyperparameter {missing[0]!r}"
            raise ArchitectureError(f"{problem}; space {self.id!r} expects {', '.join(wanted)}.")
        return [str(values[key]) for key in wanted]

    def _encode(self, names: Iterable[Any]) -> int:
        code = 0
        for name in names:
            digit = self._digit.get(name)
            if digit is None:
                raise UnknownNameError(
                    f"unknown block {str(name)!r} in space {self.id!r}.{did_you_mean(str(name), self.blocks)} "
                    f"Known: {', '.join(self.blocks)}."
                )
            code = code * len(self.blocks) + digit
        return int(self._canonical[code])

    def neighbours(self, code: int) -> np.ndarray:
        """Canonical codes of the architectures one block away, ascending, itself left out, int64 ``(n,)``.

        Replacing a skip by a block may put the block anywhere among the others, since the skips' places do not matter.
        The relation is symmetric.
        """
        code, base = self.canonical(code), len(self.blocks)
        digits = [code // weight % base for weight in self._place_values]
        found = [
            code + (other - own) * weight
            for own, weight in zip(digits, self._place_values, strict=True)
            for other in range(base)
        ]
        if SKIP in self._digit and digits[-1] == 0:  # room for a block before any other: those behind move on by one
            head = 0
            for own, weight in zip(digits, self._place_values, strict=True):
                found += [head + other * weight + (code - head) // base for other in range(1, base)]
                head += own * weight
        near = np.unique(self._canonical[found])
        return near[near != code]

    def configuration_space(self, seed: int | None = None) -> ConfigurationSpace:
        """The space as a ConfigSpace of categorical hyperparameters ``stage1`` ... with equal weights."""
        from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace

        space = ConfigurationSpace(name=self.id, seed=seed)
        space.add([CategoricalHyperparameter(f"stage{i + 1}", list(self.blocks)) for i in range(self.stages)])
        return space

    def configuration(self, code: int, space: ConfigurationSpace | None = None) -> Configuration:
        """The canonical Configuration of a code, in ``space`` (one made by :meth:`configuration_space`)."""
        from ConfigSpace import Configuration

        blocks = self.architecture(code).blocks
        names = blocks + (SKIP,) * (self.stages - len(blocks))
        values = {f"stage{i + 1}": name for i, name in enumerate(names)}
        return Configuration(self.configuration_space() if space is None else space, values=values)
