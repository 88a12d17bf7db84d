"""A BANANAS-style search: an ensemble predicts, mutations of the best are candidates, Thompson sampling picks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from metabench.searchers.encoding import PathEncoding
from metabench.searchers.sampling import NewArchitectures, neighbours_in
from metabench.searchers.searcher import Searcher, Trial, score
from metabench.seeding import numpy_generator
from metabench.tables.result import Result

if TYPE_CHECKING:
    from metabench.spaces import Space

__all__ = ["Bananas", "fit_ensemble", "ridge_penalty"]

_PENALTIES = np.geomspace(1e-3, 1e3, 13)


class Bananas(Searcher):
    """Ten random architectures, then batches of ten picked by independent Thompson sampling.

    Candidates are up to 100 untried one-block mutations of the ten best. The predictor is an ensemble of five ridge
    regressions on bootstrap samples of a path encoding, where the paper has five networks: linear models need
    milliseconds, and rank among the better predictors where few trainings are known. For each candidate a score is
    drawn from the normal distribution of the ensemble's mean and deviation there; the ten highest draws are asked for,
    each once, at the last epoch. A failed training counts as the worst score seen.

    Reference:
        White, Neiswanger and Savani (2021), BANANAS: Bayesian optimization with neural architectures for neural
        architecture search, AAAI, arXiv:1910.11858 (algorithm 1; sections 4 and 5 for encoding and sampling). White et
        al. (2021), How powerful are performance predictors in neural architecture search?, NeurIPS, arXiv:2104.01177.
    """

    slow = True
    seconds_per_trial = 1e-3
    blocks_only = True

    def __init__(
        self,
        space: Space,
        *,
        epochs: Sequence[int],
        seeds: Sequence[int],
        seed: int,
        trials: int,
        batch: int = 10,
        members: int = 5,
        parents: int = 10,
        candidates: int = 100,
    ) -> None:
        """Prepares a search; see :class:`Searcher`.

        Args:
            space: as in the base class.
            epochs: likewise.
            seeds: likewise.
            seed: likewise.
            trials: not used.
            batch: random architectures at first, and picks of each fit.
            members: regressions of the ensemble.
            parents: best architectures that are mutated.
            candidates: most mutations to choose from.
        """
        self._batch, self._members, self._parents, self._candidates = batch, members, parents, candidates
        self._generator = numpy_generator("bananas", seed)
        self._new = NewArchitectures(space, seeds, self._generator)
        self._seeds = [int(replicate) for replicate in seeds]
        self._neighbours = neighbours_in(space)
        self._encode = PathEncoding(space)
        self._epoch = epochs[-1]
        self._scores: dict[int, float | None] = {}
        self._queue: list[int] = []  # picks that were not asked yet, best last
        self._asked = 0

    def ask(self) -> Trial:
        if not self._queue:
            known = [value for value in self._scores.values() if value is not None]
            if self._asked >= self._batch and len(known) > 1:
                self._queue = self._pick(min(known))
        if self._queue:
            code = self._queue.pop()
        else:
            drawn = self._new.draw()
            if drawn is None:
                raise StopIteration
            code = drawn[0]
        number = self._asked
        self._asked += 1
        return Trial(number, code, self._epoch, self._seeds[int(self._generator.integers(len(self._seeds)))])

    def _pick(self, worst: float) -> list[int]:
        """The next batch; empty if all mutations of the best were tried."""
        codes = list(self._scores)
        targets = np.array([worst if value is None else value for value in self._scores.values()])
        best = [codes[place] for place in np.argsort(-targets, kind="stable")[: self._parents]]
        near = dict.fromkeys(code for parent in best for code in self._neighbours(parent))
        untried = [code for code in near if not self._new.taken(code)]
        if not untried:
            return []
        order = self._generator.permutation(len(untried))[: self._candidates].tolist()
        chosen = [untried[place] for place in order]
        weights = fit_ensemble(self._encode(codes), targets, self._members, self._generator)
        predicted = self._encode(chosen) @ weights
        mean, deviation = predicted.mean(axis=1), predicted.std(axis=1, ddof=1)
        draws = mean + deviation * self._generator.standard_normal(len(chosen))
        draws = np.round(draws, 9)  # so that the last digits of a machine's linear algebra decide nothing
        picks = [chosen[place] for place in np.argsort(draws, kind="stable")[-self._batch :]]
        for code in picks:
            self._new.take(code)
        return picks

    def tell(self, trial: Trial, result: Result) -> None:
        self._scores[int(trial.config)] = score(result)  # type: ignore[arg-type]  # this searcher asks by code


def fit_ensemble(x: np.ndarray, y: np.ndarray, members: int, generator: np.random.Generator) -> np.ndarray:
    """Ridge regressions on bootstrap samples, with one penalty that suits the whole sample.

    Args:
        x: features ``(n, d)``; the last column is 1 and not penalised less than others, so ``y`` is centred here.
        y: targets ``(n,)``.
        members: regressions.
        generator: draws the bootstrap samples.

    Returns:
        Weights ``(d, members)``; ``x @ weights`` predicts ``y``.
    """
    n, d = x.shape
    centre = y.mean()
    residual = y - centre
    penalty = ridge_penalty(x, residual) * np.eye(d)
    counts = generator.multinomial(n, np.full(n, 1 / n), size=members)
    grams = np.array([(x * count[:, None]).T @ x for count in counts])
    moments = (counts * residual) @ x
    weights = np.linalg.solve(grams + penalty, moments[..., None])[..., 0].T
    weights[-1] += centre
    return weights


def ridge_penalty(x: np.ndarray, y: np.ndarray) -> float:
    """The penalty that minimises the generalised cross-validation score.

    Reference:
        Golub, Heath and Wahba (1979), Generalized cross-validation as a method for choosing a good ridge parameter,
        Technometrics 21.
    """
    n = len(y)
    u, singular, _ = np.linalg.svd(x, full_matrices=False)
    projected = u.T @ y
    kept = singular**2 / (singular**2 + _PENALTIES[:, None])  # (penalties, rank)
    squares = y @ y - projected @ projected + ((1 - kept) ** 2 * projected**2).sum(axis=1)
    freedom = 1 - kept.sum(axis=1) / n
    return float(_PENALTIES[np.argmin(squares / np.maximum(freedom, 1e-9) ** 2)])
