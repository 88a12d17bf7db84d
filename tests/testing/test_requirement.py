"""The package's face: light to import, complete, and its error is an assertion and a metabench error at once."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import metabench.testing
from metabench.errors import ConformanceError, MetabenchError
from metabench.testing.requirement import directional_error, require, require_close


def test_importing_the_package_needs_no_torch() -> None:
    code = "import metabench.testing, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_name_is_there_and_listed() -> None:
    for name in metabench.testing.__all__:
        assert callable(getattr(metabench.testing, name))
        assert name in dir(metabench.testing)
    with pytest.raises(AttributeError, match="no attribute 'check_blok'"):
        _ = metabench.testing.check_blok  # type: ignore[attr-defined]


def test_the_error_names_component_and_property() -> None:
    assert issubclass(ConformanceError, MetabenchError)
    assert issubclass(ConformanceError, AssertionError)
    with pytest.raises(ConformanceError, match=r"^int \[even\]: got 3\.$"):
        require(False, int, "even", "got 3.")
    require(True, int, "even", "got 4.")
    with pytest.raises(ConformanceError, match=r"'x' \[a\]: b: they differ by up to inf"):
        require_close(torch.tensor([1.0]), torch.tensor([float("nan")]), "x", "a", "b", rtol=0.0, atol=0.0)
    nan = torch.tensor([float("nan")])
    require_close(nan, nan, "x", "a", "b", rtol=0.0, atol=0.0)


def test_directional_error_by_hand() -> None:
    x = torch.tensor([2.0], dtype=torch.float64)

    def f() -> torch.Tensor:
        return x.square().sum()  # its gradient is 2x, and central differences are exact

    assert directional_error(f, x, 2 * x, step=1e-3, seed=0) == pytest.approx(0.0, abs=1e-9)
    assert directional_error(f, x, 2.2 * x, step=1e-3, seed=0) == pytest.approx(0.1, abs=1e-9)
    assert directional_error(f, x, -2 * x, step=1e-3, seed=0) == pytest.approx(2.0, abs=1e-9)
    assert directional_error(f, x, 0 * x, step=1e-3, seed=0) == pytest.approx(1.0, abs=1e-9)
    assert x.tolist() == [2.0]


def test_directional_error_sees_one_wrong_entry_of_many() -> None:
    x = torch.linspace(-1, 1, 50, dtype=torch.float64)
    wrong = 2 * x.clone()
    wrong[7] += 1.0
    assert directional_error(lambda: x.square().sum(), x, wrong, step=1e-3, seed=0) > 0.03
