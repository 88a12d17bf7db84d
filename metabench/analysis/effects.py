"""What replacing one block by another does, with everything else kept: paired differences with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from metabench.seeding import numpy_generator

__all__ = ["Contrast", "Effect", "contrasts", "kind_of", "lift_effects", "paired_effect"]

_SKIP = "skip"
_LEAST_PAIRS = 3
KINDS = ("explicit", "equilibrium", "ODE", "argmin")


def kind_of(block: str) -> str:
    """How a block is solved: ``"explicit"``, ``"equilibrium"``, ``"ODE"`` or ``"argmin"`` (of the shipped blocks)."""
    cell, _, lift = block.partition(".")
    if cell == "qp":
        return "argmin"
    lift = lift.partition("-")[0]
    return {"deq": "equilibrium", "ode": "ODE"}.get(lift, "explicit")


@dataclass(frozen=True)
class Contrast:
    """One replacement; blocks in a row are joined by commas."""

    before: str
    after: str


@dataclass(frozen=True)
class Effect:
    """The mean change of a score when ``before`` is replaced by ``after``.

    Attributes:
        before, after: blocks.
        depth: blocks of the architectures before, the replaced one among them.
        stage: which of them was replaced, from 1; None for all.
        pairs: pairs of architectures that differ in this only.
        parameters: mean change of the number of trainable parameters; None if not known.
        mean: of after minus before, over pairs and seeds.
        low, high: 95% interval, from pairs and seeds both resampled; None with fewer than three pairs.
        better: share of the pairs whose mean difference is above 0.
    """

    before: str
    after: str
    depth: int
    stage: int | None
    pairs: int
    parameters: float | None
    mean: float
    low: float | None
    high: float | None
    better: float


def contrasts(blocks: Sequence[str]) -> list[Contrast]:
    """The replacements worth asking about: in each cell the first lift by each other, and the first lifts of two cells.

    ``gated`` is thus compared within itself; ``gated.residual`` against ``mlp.residual`` tells what its gate does, with
    twice the parameters of a block. To see the gate at equal parameters, two ``mlp`` blocks are replaced by the one
    ``gated`` block of the same lift. A structured lift (``mlp.deq-monotone``) is also compared with the plain one.
    """
    cells: dict[str, list[str]] = {}
    for block in blocks:
        if block != _SKIP:
            cells.setdefault(block.partition(".")[0], []).append(block)
    found: list[Contrast] = []
    first = next(iter(cells.values()), [""])[0]
    for members in cells.values():
        if members[0] != first:
            found.append(Contrast(first, members[0]))
        found += [Contrast(members[0], other) for other in members[1:]]
        for block in members:
            plain = block.partition("-")[0]
            if plain != block and plain in members and plain != members[0]:
                found.append(Contrast(plain, block))
    lifts = [block.partition(".")[2] for block in cells.get("mlp", ()) if block.replace("mlp.", "gated.") in blocks]
    return found + [Contrast(f"mlp.{lift},mlp.{lift}", f"gated.{lift}") for lift in lifts]


def paired_effect(differences: np.ndarray, draws: int, generator: np.random.Generator) -> tuple[float, float, float]:
    """Mean of ``(pairs, seeds)`` and its 95% interval when pairs and seeds are both drawn anew; NaN is a missing cell.

    Reference:
        Owen (2007), The pigeonhole bootstrap, arXiv:0712.1111; conservative for few seeds.
    """
    known = ~np.isnan(differences)
    filled = np.where(known, differences, 0.0)
    pairs, seeds = differences.shape
    p = generator.multinomial(pairs, np.full(pairs, 1 / pairs), size=draws).astype(float)
    s = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws).astype(float)
    weight = np.einsum("dp,ps,ds->d", p, known.astype(float), s, optimize=True)
    total = np.einsum("dp,ps,ds->d", p, filled, s, optimize=True)
    means = total[weight > 0] / weight[weight > 0]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(filled.sum() / known.sum()), float(low), float(high)


Pairs = tuple[list[int], list[int]]


def _pairs(
    rows: dict[tuple[int, ...], int], before: tuple[int, ...], after: tuple[int, ...], depth: int, stage: int
) -> Pairs:
    """Rows of architectures of ``depth`` blocks with ``before`` at ``stage``, and of the same with ``after`` there."""
    first, second = [], []
    end = stage + len(before)
    for blocks, row in rows.items():
        if len(blocks) == depth and blocks[stage:end] == before:
            other = rows.get((*blocks[:stage], *after, *blocks[end:]))
            if other is not None:
                first.append(row)
                second.append(other)
    return first, second


def lift_effects(
    digits: np.ndarray,
    blocks: Sequence[str],
    scores: np.ndarray,
    params: np.ndarray | None = None,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> list[Effect]:
    """The effects of all :func:`contrasts`, within each depth, at each stage and over all stages.

    A difference is taken within one seed, as the seeds of two architectures share the order of the data and the weights
    of all blocks that they share.

    Args:
        digits: blocks as indices, ``(architectures, stages)``.
        blocks: names.
        scores: ``(architectures, seeds)``; NaN is missing.
        params: trainable parameters, ``(architectures,)``.
        draws: of the bootstrap.
        seed: of the bootstrap.
    """
    skip = list(blocks).index(_SKIP) if _SKIP in blocks else -1
    rows = {tuple(int(d) for d in row if d != skip): i for i, row in enumerate(digits)}
    effects = []
    for contrast in contrasts(blocks):
        before, after = (
            tuple(map(list(blocks).index, names.split(","))) for names in (contrast.before, contrast.after)
        )
        for depth in range(len(before), digits.shape[1] + 1):
            found = [_pairs(rows, before, after, depth, stage) for stage in range(depth - len(before) + 1)]
            whole = tuple([row for pairs in found for row in pairs[side]] for side in (0, 1))
            asked = [(None, whole), *((i + 1, pairs) for i, pairs in enumerate(found) if len(found) > 1)]
            for stage, (first, second) in asked:
                generator = numpy_generator("lift effects", seed, contrast.before, contrast.after, depth, stage or 0)
                effect = _effect(contrast, depth, stage, scores[second] - scores[first], draws, generator)
                if effect is None:
                    continue
                more = np.array([]) if params is None else params[second] - params[first]
                more = more[~np.isnan(more)]
                effects.append(replace(effect, parameters=float(more.mean()) if len(more) else None))
    return effects


def _effect(
    contrast: Contrast, depth: int, stage: int | None, differences: np.ndarray, draws: int, random: np.random.Generator
) -> Effect | None:
    known = differences[~np.isnan(differences).all(axis=1)]
    if not len(known):
        return None
    mean, *bounds = paired_effect(known, draws, random)
    low, high = bounds if len(known) >= _LEAST_PAIRS else (None, None)
    better = float((np.nanmean(known, axis=1) > 0).mean())
    return Effect(contrast.before, contrast.after, depth, stage, len(known), None, mean, low, high, better)
