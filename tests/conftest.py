"""What every test shares: one torch thread, and property tests that are the same in every run."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

# Two or more threads on small tensors cost 30-100x when cores are shared.
torch.set_num_threads(1)

settings.register_profile(
    "metabench", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("metabench")


@pytest.fixture(scope="session")
def write_synthetic_table() -> Callable[..., Path]:
    """``write_table`` of ``tests/benchmarks/synthetic.py``, which is no package."""
    path = Path(__file__).parent / "benchmarks" / "synthetic.py"
    spec = importlib.util.spec_from_file_location("synthetic_table", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.write_table
