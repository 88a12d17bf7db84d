"""MNIST-1D: ten noisy, shifted, sheared one-dimensional shapes."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["make"]


def make(samples: int = 8000, seed: int = 42) -> tuple[np.ndarray, np.ndarray]:
    """Calls the generator of the ``mnist1d`` package; nothing is downloaded, NumPy's global state is put back.

    Returns:
        Inputs ``(samples, 40)``, standardised over all rows, and labels 0-9.

    Reference: Greydanus and Kobak (2020), arXiv:2011.14439.
    """
    import random

    import mnist1d.data as generator

    state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        arguments: Any = generator.get_dataset_args()
        arguments.num_samples, arguments.train_split, arguments.seed = samples, 1.0, seed
        data = generator.make_dataset(arguments)
    finally:
        np.random.set_state(state)  # noqa: NPY002
        random.setstate(python_state)
    return np.asarray(data["x"]), np.asarray(data["y"])
