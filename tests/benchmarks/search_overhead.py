"""Own cost of a trial: our searchers beside those of Syne Tune and Optuna, on one objective in one run.

Run by `make bench-search`, or `python tests/benchmarks/search_overhead.py` in any environment; a peer that is not
installed is left out and said so. Every contender is made, asks and is told; only that is timed, not the look-up in the
table. The median over seeds of the mean over trials is shown, after one short search that loads libraries.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import metabench
from metabench.errors import MetabenchError, TableError
from metabench.searchers import SEARCHERS
from metabench.searchers.loop import run_loop
from metabench.searchers.objective import Objective
from metabench.searchers.regularized_evolution import scaled_sizes

BENCHMARKS = ("cells-v1/mnist1d-v1", "cells2-v1/mnist1d-v1")
FAMILY = {"random": "random", "regularized-evolution": "evolution", "tpe": "TPE"}


@dataclass(frozen=True)
class Peer:
    """One optimizer of another library.

    Attributes:
        family: which of ours it is compared with.
        name: library and optimizer.
        make: (objective, seed, trials) -> (ask, tell); ask gives a token and a mapping of stage to block.
    """

    family: str
    name: str
    make: Callable[[Objective, int, int], tuple[Callable[[], tuple[Any, Any]], Callable[[Any, float], None]]]


def optuna_peers() -> Iterator[Peer]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def study(sampler: Callable[[int], Any]) -> Any:
        def make(objective: Objective, seed: int, trials: int) -> Any:
            choices = optuna.distributions.CategoricalDistribution(objective.space.blocks)
            stages = {f"stage{k + 1}": choices for k in range(objective.space.stages)}
            found = optuna.create_study(direction="maximize", sampler=sampler(seed))

            def ask() -> Any:
                trial = found.ask(stages)
                return trial, trial.params

            return ask, found.tell

        return make

    version, samplers = optuna.__version__, optuna.samplers
    yield Peer("random", f"Optuna {version} RandomSampler", study(lambda seed: samplers.RandomSampler(seed=seed)))
    yield Peer("evolution", f"Optuna {version} NSGAIISampler", study(lambda seed: samplers.NSGAIISampler(seed=seed)))
    yield Peer("TPE", f"Optuna {version} TPESampler", study(lambda seed: samplers.TPESampler(seed=seed)))


def syne_tune_peers() -> Iterator[Peer]:
    from importlib.metadata import version

    from syne_tune.config_space import choice
    from syne_tune.optimizer import baselines
    from syne_tune.optimizer.schedulers.ask_tell_scheduler import AskTellScheduler

    def scheduler(maker: Callable[[Any, int, int], Any]) -> Any:
        def make(objective: Objective, seed: int, trials: int) -> Any:
            blocks = list(objective.space.blocks)
            space = {f"stage{k + 1}": choice(blocks) for k in range(objective.space.stages)}
            found = AskTellScheduler(maker(space, seed, trials))

            def ask() -> Any:
                trial = found.ask()
                return trial, trial.config

            return ask, lambda trial, score: found.tell(trial, {"score": score})

        return make

    def evolution(space: Any, seed: int, trials: int) -> Any:
        population, tournament = scaled_sizes(trials)
        return baselines.REA(
            space, "score", do_minimize=False, random_seed=seed, population_size=population, sample_size=tournament
        )

    def random(space: Any, seed: int, trials: int) -> Any:
        return baselines.RandomSearch(space, ["score"], do_minimize=False, random_seed=seed)

    def tpe(space: Any, seed: int, trials: int) -> Any:
        return baselines.TPE(space, "score", do_minimize=False, random_seed=seed)

    name = f"Syne Tune {version('syne-tune')}"
    yield Peer("random", f"{name} RandomSearch", scheduler(random))
    yield Peer("evolution", f"{name} REA", scheduler(evolution))
    yield Peer("TPE", f"{name} TPE (KDE)", scheduler(tpe))


def time_ours(name: str, objective: Objective, seed: int, trials: int) -> tuple[float, float]:
    """Seconds a trial of a searcher's own, and of the whole loop with look-ups and records."""
    maker = SEARCHERS.get(name)
    extra = {"others": objective.other_tasks(name)} if maker.needs_other_tasks else {}
    begin = perf_counter()
    searcher = maker(objective.space, epochs=objective.epochs, seeds=objective.seeds, seed=seed, trials=trials, **extra)
    made = perf_counter() - begin
    found = run_loop(searcher, objective, trials)
    whole = perf_counter() - begin
    return (made + found[-1]["overhead_seconds"]) / len(found), whole / len(found)


def time_peer(peer: Peer, objective: Objective, seed: int, trials: int) -> float:
    """Seconds a trial of a peer's own, with its making."""
    begin = perf_counter()
    ask, tell = peer.make(objective, seed, trials)
    own = perf_counter() - begin
    for number in range(trials):
        begin = perf_counter()
        token, config = ask()
        own += perf_counter() - begin
        code = objective.space.code({key: config[key] for key in sorted(config)})
        result = objective.evaluate(code, objective.epochs[-1], objective.seeds[number % len(objective.seeds)])
        begin = perf_counter()
        tell(token, result.val_score)
        own += perf_counter() - begin
    return own / trials


def open_first(names: tuple[str, ...]) -> Objective:
    for name in names[:-1]:
        try:
            return Objective(metabench.open(name))
        except TableError:
            continue
    return Objective(metabench.open(names[-1]))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--on", help="benchmark; cells-v1/mnist1d-v1 where its table is there")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--searchers", nargs="*", help="ours; all by default")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    objective = open_first((options.on,) if options.on else BENCHMARKS)
    print(f"{objective.benchmark.id}, {options.trials} trials, median of {options.seeds} seeds, microseconds a trial\n")
    print(f"{'':38}{'own':>12}{'whole loop':>14}{'times ours':>14}")
    own: dict[str, float] = {}
    for name in options.searchers or SEARCHERS.names():
        try:
            time_ours(name, objective, 0, 2)
            times = [time_ours(name, objective, seed, options.trials) for seed in range(options.seeds)]
        except MetabenchError as error:
            print(f"{name:38}  left out: {error}")
            continue
        own[name], whole = (1e6 * statistics.median(column) for column in zip(*times, strict=True))
        print(f"{name:38}{own[name]:>12,.1f}{whole:>14,.1f}")
    ours = {family: own[name] for name, family in FAMILY.items() if name in own}
    for library, peers in (("Optuna", optuna_peers), ("Syne Tune", syne_tune_peers)):
        try:
            found = list(peers())
        except ImportError as error:
            print(f"{library:38}  left out: {error}")
            continue
        for peer in found:
            time_peer(peer, objective, 0, 2)
            micros = 1e6 * statistics.median(
                time_peer(peer, objective, seed, options.trials) for seed in range(options.seeds)
            )
            ratio = f"{micros / ours[peer.family]:,.1f}" if peer.family in ours else ""
            print(f"{peer.name:38}{micros:>12,.1f}{'':>14}{ratio:>14}")


if __name__ == "__main__":
    main()
