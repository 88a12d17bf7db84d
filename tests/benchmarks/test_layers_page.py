"""The layers' page: its examples print what it says."""

import contextlib
import io
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "metabench" / "layers" / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```\n\nprints\n\n```\n(.*?)```", PAGE.read_text(), re.S)


def test_every_example_says_what_it_prints() -> None:
    assert len(EXAMPLES) == PAGE.read_text().count("```python\n") > 5


@pytest.mark.parametrize(("code", "shown"), EXAMPLES)
def test_the_example_prints_what_the_page_says(code: str, shown: str) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, {})
    assert out.getvalue() == shown
