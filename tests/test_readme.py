"""The README's example prints what the README says."""

import contextlib
import io
import re
from pathlib import Path


def test_the_example_prints_what_the_readme_says() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", text, re.S)
    shown = re.search(r"prints\n\n```\n(.*?)```", text, re.S)
    assert code is not None
    assert shown is not None
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code[1], {})
    assert out.getvalue() == shown[1]
