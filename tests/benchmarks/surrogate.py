"""How fast surrogates fit, load and predict, on one thread: ``python tests/benchmarks/surrogate.py``.

Times a made-up table of the size of one task of cells-v1 (1,885 architectures, 3 seeds, 12 epochs), as speed does not
depend on what the numbers are. A row is one architecture at one epoch. Rates are in process-CPU seconds, the best of
several, because the machine may be shared. The goal is 60,000 rows a second a core, which is what YAHPO's raw ONNX
surrogates reach (56,000 to 86,000 on a machine of this kind).
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from metabench.spaces import load_space
from metabench.surrogate import Settings, fit_surrogate, load_surrogate, surrogate_files
from metabench.tables.fitted import space_digits
from metabench.testing.synthetic import synthetic_table

EPOCHS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 17, 20)
GOAL = 60_000


def best_of(times: int, work: Callable[[], object]) -> float:
    """The least CPU seconds of several runs."""
    seconds = []
    for _ in range(times):
        start = process_time()
        work()
        seconds.append(process_time() - start)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["lightgbm", "neural"])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    space = load_space("cells-v1")
    digits = space_digits(space, space.canonical_codes)
    measured = synthetic_table(digits, space.blocks, EPOCHS, interaction_sd=0.02).measured
    codes = space.canonical_codes
    for model in options.models:
        start = process_time()
        surrogate = fit_surrogate(measured, Settings(model=model), name="cells-v1/made-up")
        print(f"{model}: fit {process_time() - start:.1f} CPU s")
        files = surrogate_files(surrogate)
        print(f"{model}: {sum(map(len, files.values())) / 1e6:.2f} MB in {len(files)} files")
        with tempfile.TemporaryDirectory() as folder:
            for name, data in files.items():
                Path(folder, name).write_bytes(data)
            print(f"{model}: load {best_of(options.repeats, lambda f=folder: load_surrogate(Path(f))):.3f} CPU s")
        every, last = len(codes) * len(EPOCHS), len(codes)
        rates = {
            "one metric, last epoch": (
                last,
                lambda s=surrogate: s.predict(digits, epochs=[11], metrics=("test_score",), noise=False),
            ),
            "one metric, all epochs": (
                every,
                lambda s=surrogate: s.predict(digits, metrics=("test_score",), noise=False),
            ),
            "all 8 metrics, last epoch": (last, lambda s=surrogate: s.predict(digits, epochs=[11], noise=False)),
            "all 8 metrics, all epochs": (every, lambda s=surrogate: s.predict(digits, noise=False)),
            "all 8 metrics, all epochs, and noise": (every, lambda s=surrogate: s.predict(digits)),
        }
        for what, (rows, work) in rates.items():
            rate = rows / best_of(options.repeats, work)
            print(f"{model}: {what}: {rate:,.0f} rows/s ({rate / GOAL:.2f} x goal)")
        prediction = surrogate.predict(digits)
        seconds = best_of(options.repeats, lambda s=surrogate, p=prediction: s.replicate(p, np.asarray(codes), 0))
        print(f"{model}: a noisy replicate of them: {every / seconds:,.0f} rows/s")


if __name__ == "__main__":
    main()
