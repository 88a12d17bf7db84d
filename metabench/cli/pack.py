"""``metabench pack``: a space's trained rows in one table file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from metabench.cli.output import print_json, short_path

__all__ = ["Options", "run"]


@dataclass(frozen=True)
class Options:
    """Pack a space's trained rows into one memory-mapped table with its manifest."""

    space: Annotated[str, tyro.conf.arg(metavar="SPACE")]
    """The space: an id, or a path to your own .toml definition."""
    tasks: tuple[str, ...] = ()
    """Tasks to pack: ids or paths; all with trained rows by default."""
    json: bool = False
    """Print one JSON document."""


def run(options: Options) -> None:
    """Packs, and prints where the table is and how large."""
    from metabench.tables import pack_table

    packed = pack_table(options.space, options.tasks or None)
    folder = packed if packed.is_dir() else packed.parent
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    if options.json:
        print_json({"space": options.space, "folder": folder, "bytes": size})
    else:
        print(f"packed {options.space}: {short_path(folder)} ({size / 1e6:.2f} MB)")
