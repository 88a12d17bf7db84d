"""A run folder: ``run.json`` (the plan without its seed), a folder for each seed, and ``summary.json``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metabench.errors import RunFolderError
from metabench.files import replace_file
from metabench.metarl.settings import complete_settings

if TYPE_CHECKING:
    from metabench.metarl.run import Plan

__all__ = ["PLAN_FILE", "open_folder", "seed_folder", "write_json"]

PLAN_FILE, SCHEMA = "run.json", 1


def seed_folder(folder: Path, seed: int) -> Path:
    """Where one seed's files are."""
    return folder / f"seed-{seed:03d}"


def write_json(path: Path, document: Any) -> None:
    """Writes a file that is either wholly there or not at all."""
    replace_file(path, json.dumps(document, indent=2, default=str) + "\n")


def open_folder(folder: Path, plan: Plan, *, resume: bool) -> None:
    """Makes the folder, or accepts one that holds the same plan if it is to be resumed. More seeds may be added.

    Raises:
        RunFolderError: if the folder holds another plan or something else, or this plan and it is not to be resumed.
    """
    path = folder / PLAN_FILE
    wanted = {"schema": SCHEMA, "agent": plan.agent, "env": plan.env, "settings": dataclasses.asdict(plan.settings)}
    wanted = json.loads(json.dumps(wanted))
    if not path.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunFolderError(f"{folder} is not empty and holds no {PLAN_FILE}; choose another --out.")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, wanted)
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        there = found | complete_settings(found["settings"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunFolderError(f"{path} cannot be read ({error}); choose another --out or remove it.") from error
    asked = wanted | wanted["settings"]
    for key in [key for key in asked if key != "settings"]:
        if there.get(key) != asked[key]:
            raise RunFolderError(
                f"{folder} belongs to another plan: its {key} is {there.get(key)!r}, not {asked[key]!r}; "
                "choose another --out."
            )
    if not resume:
        raise RunFolderError(
            f"{folder} holds this run already; add --resume to go on with it, or choose another --out."
        )
