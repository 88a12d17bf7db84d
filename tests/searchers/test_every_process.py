"""Equal seeds give equal searches in every process, whatever Python's hash of strings is there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import metabench
from metabench.searchers import SEARCHERS

SCRIPT = """
import importlib.util, json, sys
import numpy as np
from metabench.searchers import SEARCHERS
from metabench.searchers.loop import run_loop
from metabench.searchers.objective import Objective
from metabench.searchers.settings import Settings
from metabench.spaces import load_space
from metabench.testing.toy_benchmark import make_toy_benchmark

toy = make_toy_benchmark()
space = load_space("cells-v1")
toy.space_definition = space
codes = space.canonical_codes
results, seconds, costs = toy._source.arrays
score = np.sin(codes * 0.37)[:, None, None, None] / 3 + 0.5 + np.zeros((1, *results.shape[1:]))
toy._source.arrays = (
    np.where(np.arange(7) == 5, 0, score).astype("f4"),
    np.tile(seconds, (len(codes) // len(seconds) + 1, 1, 1))[: len(codes)],
    np.ones((len(codes), costs.shape[1]), dtype="f4"),
)
objective = Objective(toy)
found = {}
for name, trials in json.loads(sys.argv[1]).items():
    if name == "tpe" and importlib.util.find_spec("optuna") is None:
        continue
    maker = SEARCHERS.get(name)
    others = {"others": {"x": score[:, 0, 0, 0] ** 2, "y": -score[:, 0, 0, 0]}} if maker.needs_other_tasks else {}
    searcher = maker(space, epochs=objective.epochs, seeds=(0, 1, 2), seed=1, trials=trials, **others)
    run = run_loop(searcher, objective, trials, Settings(sim_workers=2))
    found[name] = [(trial["code"], trial["epoch"], trial["seed"], trial["simulated_seconds"]) for trial in run]
print(json.dumps(found))
"""


def searches(hash_seed, trials):
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(metabench.__file__).parents[1]),
        "PYTHONHASHSEED": str(hash_seed),
    }
    command = [sys.executable, "-c", SCRIPT, json.dumps(trials)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("names", [[n for n in SEARCHERS.names() if "smac" not in n], ["smac"]])
def test_python_hashes_do_not_matter(names):
    trials = {name: 10 if name == "smac" else 40 for name in names}
    first = searches(0, trials)
    assert all(len(run) >= trials[name] for name, run in first.items())
    assert searches(1, trials) == first


@pytest.mark.slow
def test_python_hashes_do_not_matter_to_smac_with_fidelities():
    trials = {"smac": 25, "smac-multi-fidelity": 15}
    first = searches(0, trials)
    assert searches(1, trials) == first
