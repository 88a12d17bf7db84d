"""One contender of `make bench-query`, in a process of its own: imports, opens, queries; prints its times as JSON.

Usage: python query_case.py NAME FOLDER, where FOLDER/surrogates/cells-v1/table holds the synthetic table. Times are
process-CPU seconds. A contender that takes any table holds the same numbers as ours, of one task.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

clock = time.process_time
EPOCHS, SEEDS, TASK = 12, 5, "spirals-v1"
_ENOUGH = 0.2  # seconds that a timing of single queries takes, at least


def rate(query: Callable[[Any], Any], asked: Sequence[Any]) -> float:
    """Queries a second, over ``asked`` in turn."""
    done, start = 0, clock()
    while True:
        for one in asked:
            query(one)
        done += len(asked)
        if clock() - start > _ENOUGH:
            return done / (clock() - start)


def shuffled(items: Sequence[Any], n: int = 2000) -> list[Any]:
    """``n`` of them at most, in an order that no cache likes."""
    items = list(items)
    random.Random(0).shuffle(items)
    return items[:n]


def numbers(folder: Path) -> tuple[Any, list[dict[str, str]]]:
    """What the peers are filled with: results of one task ``(1885, 5, 12, 7)``, and the configurations."""
    import numpy as np

    manifest = json.loads((folder / "surrogates/cells-v1/table/manifest.json").read_text())
    place = list(manifest["tasks"]).index(TASK)
    results = np.load(folder / "surrogates/cells-v1/table/results.npy")[place]
    return results, json.loads((folder / "configurations.json").read_text())


def ours(folder: Path) -> dict[str, Any]:
    """metabench: the whole table on disk, opened by memory map, one task's part checked by sha256."""
    import os

    os.chdir(folder)
    begin = clock()
    import metabench

    metabench.open(f"cells-v1/{TASK}").query(0)  # imports NumPy, and reads the space's definition: once a process
    first = clock() - begin
    start = clock()
    bench = metabench.open(f"cells-v1/{TASK}")
    opened = clock() - start
    import numpy as np

    codes = shuffled(bench.space_definition.canonical_codes.tolist())
    start = clock()
    for code in codes:  # nothing has been asked yet: this cuts the slice and names the blocks
        bench.query(code, epoch=5, seed=1)
    cold = len(codes) / (clock() - start)
    configurations = shuffled(json.loads(Path("configurations.json").read_text()))
    many = np.random.default_rng(0).integers(0, bench.space_definition.size, 1_000_000)
    found: dict[str, Any] = {
        "first answer": first,
        "open": opened,
        "code, first": cold,
        "code": rate(bench.query, codes),
        "dict": rate(bench.query, configurations),
    }
    for label, seed in (("batch", "mean"), ("batch, one seed", 3), ("batch, a seed a row", many % 5)):
        times = []
        for _ in range(5):
            start = clock()
            bench.query_batch(many, seed=seed)
            times.append(clock() - start)
        found[label] = len(many) / sorted(times)[2]
    return found


def syne_tune(folder: Path) -> dict[str, Any]:
    """Syne Tune's BlackboxTabular, filled with the same numbers; opening is reading them and making its index."""
    import types

    start = clock()
    sys.modules["huggingface_hub"] = types.ModuleType("huggingface_hub")  # only its downloads use it
    sys.modules["huggingface_hub"].__getattr__ = lambda name: None  # type: ignore[method-assign]
    import pandas
    from syne_tune.blackbox_repository.blackbox_tabular import BlackboxTabular
    from syne_tune.config_space import choice, randint

    imported = clock() - start
    results, configurations = numbers(folder)
    start = clock()
    blocks = sorted({name for one in configurations for name in one.values()})
    box = BlackboxTabular(
        hyperparameters=pandas.DataFrame(configurations),
        configuration_space={name: choice(blocks) for name in configurations[0]},
        fidelity_space={"epoch": randint(1, EPOCHS)},
        objectives_evaluations=results,
    )
    opened = clock() - start
    by_code = rate(lambda i: box(i, seed=1), shuffled(range(len(configurations))))
    by_dict = rate(lambda one: box(one, fidelity={"epoch": EPOCHS}, seed=1), shuffled(configurations))
    return {"first answer": imported + opened, "open": opened, "code": by_code, "dict": by_dict}


def mfpbench(folder: Path) -> dict[str, Any]:
    """mf-prior-bench's TabularBenchmark, filled with the means over seeds; opening is making its table."""
    start = clock()
    import mfpbench  # noqa: F401
    from mfpbench.config import TabularConfig
    from mfpbench.metric import Metric
    from mfpbench.result import Result
    from mfpbench.tabular import TabularBenchmark

    imported = clock() - start
    from dataclasses import dataclass

    import pandas

    @dataclass(frozen=True, eq=False, unsafe_hash=True)
    class Config(TabularConfig):
        stage1: str
        stage2: str
        stage3: str

    score, loss = Metric(minimize=False, bounds=(0, 1)), Metric(minimize=True, bounds=(0, float("inf")))
    definitions = {"accuracy": score, "test_accuracy": score, "loss": loss, "nfe": loss}
    annotations = dict.fromkeys(definitions, Metric.Value)
    body = {
        "__annotations__": annotations,
        "metric_defs": definitions,
        "default_value_metric": "accuracy",
        "default_value_metric_test": "test_accuracy",
        "default_cost_metric": "nfe",
    }
    OwnResult = dataclass(frozen=True)(type("OwnResult", (Result,), body))
    results, configurations = numbers(folder)
    means = results.mean(axis=1)
    columns = {"loss": 0, "accuracy": 1, "test_accuracy": 2, "nfe": 3}
    rows = [
        {"id": str(i), "epoch": e + 1, **one, **{name: row[e][column] for name, column in columns.items()}}
        for i, (one, row) in enumerate(zip(configurations, means.tolist(), strict=True))
        for e in range(EPOCHS)
    ]
    start = clock()
    bench = TabularBenchmark(
        "cells", pandas.DataFrame(rows), id_key="id", fidelity_key="epoch", result_type=OwnResult, config_type=Config
    )
    opened = clock() - start
    by_code = rate(lambda i: bench.query(str(i), at=EPOCHS), shuffled(range(len(configurations)), 200))
    by_dict = rate(lambda one: bench.query(one, at=EPOCHS), shuffled(configurations, 50))
    return {"first answer": imported + opened, "open": opened, "code": by_code, "dict": by_dict}


def nats_bench(folder: Path) -> dict[str, Any]:
    """NATS-Bench's topology interface, on a dictionary of its own layout with the same numbers (3 seeds, 12 epochs)."""
    start = clock()
    from nats_bench.api_topology import NATStopology

    imported = clock() - start
    results, configurations = numbers(folder)
    names = ["|" + "|".join(one.values()) + "|" for one in configurations]
    sets, seeds = ("x-valid", "ori-test"), (777, 888, 999)

    def trial(i: int, j: int) -> dict[str, Any]:
        curve = results[i, j].tolist()
        by_set = {f"{name}@{e}": curve[e][1] for name in sets for e in range(EPOCHS)}
        by_epoch = {e: curve[e][0] for e in range(EPOCHS)}
        return {
            "name": "infer.tiny", "net_state_dict": None, "train_acc1es": by_epoch, "train_acc5es": by_epoch,
            "train_losses": by_epoch, "train_times": by_epoch, "arch_config": {"arch_str": names[i]}, "params": 1.0,
            "flop": 1.0, "seed": seeds[j], "epochs": EPOCHS, "latency": [1.0], "eval_names": list(sets),
            "eval_acc1es": by_set, "eval_times": by_set, "eval_losses": by_set,
        }  # fmt: skip

    def entry(i: int) -> dict[str, Any]:
        trials = {("cifar10-valid", seed): trial(i, j) for j, seed in enumerate(seeds)}
        dataset_seed = {"cifar10-valid": list(seeds)}
        about = {"arch_index": i, "arch_str": names[i], "all_results": trials, "dataset_seed": dataset_seed}
        return {"12": {**about, "clear_net_done": True}}

    infos = {i: entry(i) for i in range(len(names))}
    everything = {"meta_archs": names, "arch2infos": infos, "evaluated_indexes": list(range(len(names)))}
    start = clock()
    bench = NATStopology(everything, verbose=False)
    opened = clock() - start

    def query(arch: int | str) -> Any:
        return bench.get_more_info(arch, "cifar10-valid", hp="12", is_random=777)

    return {
        "first answer": imported + opened,
        "open": opened,
        "code": rate(query, shuffled(range(len(names)))),
        "dict": rate(query, shuffled(names)),
        "note": "dict: its architecture string",
    }


def nas_bench_graph(folder: Path) -> dict[str, Any]:
    """NAS-Bench-Graph on the table of Cora that its wheel ships (2 MB, unpickled whole)."""
    start = clock()
    from nas_bench_graph import Arch, light_read
    from nas_bench_graph.architecture import gnn_list, link_list

    imported = clock() - start
    start = clock()
    table = light_read("cora")
    opened = clock() - start
    pick = random.Random(0)
    architectures = [(list(pick.choice(link_list)), [pick.choice(gnn_list) for _ in range(4)]) for _ in range(4000)]
    known = [a for a in architectures if Arch(*a).valid_hash() in table]
    hashes = [Arch(*a).valid_hash() for a in known]
    return {
        "first answer": imported + opened,
        "open": opened,
        "code": rate(lambda one: table[one], hashes),
        "dict": rate(lambda one: table[Arch(*one).valid_hash()], known),
        "note": "code: one look-up in a Python dict, which is all there is; no epochs or seeds",
    }


def yahpo_gym(folder: Path) -> dict[str, Any]:
    """YAHPO Gym: its import only; what it answers from is data that it does not ship."""
    from yahpo_gym import benchmark_set  # noqa: F401

    return {"note": "queries not measured: its surrogates are a separate download (yahpo_data)"}


CASES: dict[str, tuple[str, Callable[[Path], dict[str, Any]]]] = {
    "metabench": ("import metabench", ours),
    "nas-bench-graph": ("import nas_bench_graph", nas_bench_graph),
    "nats-bench": ("import nats_bench", nats_bench),
    "syne-tune": ("import syne_tune", syne_tune),
    "mf-prior-bench": ("import mfpbench", mfpbench),
    "yahpo-gym": ("from yahpo_gym import benchmark_set", yahpo_gym),
}
"""Contender, by its distribution's name -> its import, and what measures the rest."""


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    _, case = CASES[name]
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        version = ""
    try:
        found = case(folder)
    except ImportError as error:
        found = {"note": f"not measured: not installed ({error})"}
    except Exception as error:  # a peer that breaks is a line in the table
        found = {"note": f"not measured: {type(error).__name__}: {error}"}
    print("\n" + json.dumps({"name": name, "version": version, **found}))


if __name__ == "__main__":
    main()
