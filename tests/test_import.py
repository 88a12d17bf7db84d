"""The public face is lazy and complete."""

import subprocess
import sys

import pytest

import metabench


def _modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines())


@pytest.mark.parametrize(
    "statement",
    [
        "import metabench",
        "import metabench.cli.main",
        "import contextlib, io\nfrom metabench.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()): main(['--help']), main(['search', '--help'])",
    ],
)
def test_import_and_help_need_no_heavy_library(statement: str) -> None:
    loaded = _modules_after(statement)
    assert not loaded & {"torch", "numpy", "scipy", "ConfigSpace", "smac", "dask", "matplotlib"}


@pytest.mark.parametrize("words", [["list", "spaces"], ["list"]])
def test_list_needs_no_torch(words: list[str]) -> None:
    loaded = _modules_after(
        "import contextlib, io\nfrom metabench.cli.main import main\n"
        f"with contextlib.redirect_stdout(io.StringIO()): assert main({words!r}) == 0"
    )
    assert "torch" not in loaded
    assert "smac" not in loaded


def test_every_public_name_is_there_and_listed() -> None:
    for name in metabench.__all__:
        assert getattr(metabench, name) is not None
        assert name in dir(metabench)


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'opne'"):
        _ = metabench.opne  # type: ignore[attr-defined]


def test_environments_are_registered_with_gymnasium_without_torch() -> None:
    loaded = _modules_after("import gymnasium, metabench.envs\nassert 'metabench/Bandit-v0' in gymnasium.registry")
    assert "torch" not in loaded
