"""What every test shares: one torch thread, and property tests that are the same in every run."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from hypothesis import HealthCheck, settings

# Two or more threads on small tensors cost 30-100x when cores are shared.
torch.set_num_threads(1)

settings.register_profile(
    "metabench", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("metabench")


def _load_script(path: str) -> ModuleType:
    file = Path(__file__).parent / path
    name = f"script_{file.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def load_script() -> Callable[[str], ModuleType]:
    """A script as a module, by its path under ``tests``, where the scripts are no package."""
    return _load_script


@pytest.fixture(scope="session")
def write_synthetic_table() -> Callable[..., Path]:
    """``write_table`` of ``tests/benchmarks/synthetic.py``."""
    return _load_script("benchmarks/synthetic.py").write_table
