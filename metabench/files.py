"""Files that a reader sees whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["replace_file"]


def replace_file(path: Path, content: str | bytes) -> None:
    """Writes a file beside ``path`` and renames it: a reader sees the old file or the new one, never a part.

    Raises:
        OSError: if it cannot be written; the old file stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(temporary, path)
