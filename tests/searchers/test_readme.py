"""The example adapter of ``metabench/searchers/README.md`` is short, and keeps the rules."""

import re
from pathlib import Path

import pytest

import metabench
from metabench.testing import check_searcher

TEXT = (Path(metabench.__file__).parent / "searchers" / "README.md").read_text()
CODE = re.search(r"```python\n(.*?)```", TEXT, re.S)[1]


def test_the_adapter_has_twenty_lines():
    lines = [line for line in CODE.splitlines() if line.strip() and not line.startswith(("import", "from"))]
    assert len(lines) <= 20


def test_the_adapter_keeps_the_rules():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    names = {}
    exec(CODE, names)
    check_searcher(names["NSGA2"], trials=15)
