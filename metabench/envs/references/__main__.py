"""``python -m metabench.envs.references ENVIRONMENT...``: measures the reference policies and prints their returns."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import tyro

from metabench.content import locate
from metabench.envs.definition import load_environment
from metabench.envs.references.catalogue import Estimate, estimate_return, policies_of, unit_of
from metabench.program import run_program


@dataclass(frozen=True)
class Options:
    """Measure the reference policies of environments, and print them as their definitions record them."""

    environments: tyro.conf.Positional[tuple[str, ...]]
    """Ids, with parameters behind a colon if need be: bandit-v0:pulls=100,arms=5."""
    problems: int = 20_000
    """Trials to simulate where a return is not exact."""
    seed: int = 0
    """Of tasks and dynamics."""
    write: bool = False
    """Record the returns in the definitions' [[reference]] too."""


def format_reference(name: str, estimates: dict[str, Estimate], command: str) -> str:
    """The TOML of one ``[[reference]]``; where every episode of a trial is alike, one number for the trial."""
    changed = _changed_parameters(name)
    lines = ["[[reference]]"]
    if changed:
        words = ", ".join(f"{key} = {_toml(value)}" for key, value in changed.items())
        lines.append(f"parameters = {{ {words} }}")
    lines += [f'unit = "{unit_of(name)}"', f'command = "{command}"', "", "[reference.returns]"]
    for policy, estimate in estimates.items():
        short = len(estimate.mean) == 1 or len(estimate.mean) > 10
        values = [f"{value:.4f}" for value in ([sum(estimate.mean)] if short else estimate.mean)]
        lines.append(f"{policy} = {values[0] if short else '[' + ', '.join(values) + ']'}")
    errors = {policy: e.standard_error for policy, e in estimates.items() if e.standard_error > 0}
    if errors:
        lines += ["", "[reference.standard_errors] # of a trial's return; the others are exact"]
        lines += [f"{policy} = {error:.4f}" for policy, error in errors.items()]
    return "\n".join(lines) + "\n"


def with_reference(text: str, block: str) -> str:
    """The definition ``text`` with ``block`` in place of the reference of the same parameters, or added."""
    head, *rest = re.split(r"(?m)^(?=\[\[reference\]\]|\[history\])", text)
    own = _parameters_of(block)
    references = [part for part in rest if part.startswith("[[reference]]") and _parameters_of(part) != own]
    tail = [part for part in rest if part.startswith("[history]")]
    parts = [head, *sorted([*references, block], key=lambda part: (len(_parameters_of(part)), part)), *tail]
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def _parameters_of(block: str) -> dict[str, Any]:
    return tomllib.loads(block)["reference"][0].get("parameters", {})


def _changed_parameters(name: str) -> dict[str, Any]:
    task = load_environment(name)
    base = load_environment(name.partition(":")[0] if not name.endswith(".toml") else name).parameters
    return {key: value for key, value in task.parameters.items() if base.get(key) != value}


def _toml(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


def main(argv: Sequence[str] | None = None) -> None:
    """Prints one ``[[reference]]`` for each environment named."""
    options = tyro.cli(Options, prog="python -m metabench.envs.references", args=argv)
    torch.set_num_threads(1)
    for name in options.environments:
        command = f"python -m metabench.envs.references {name} --problems {options.problems}"
        estimates = {
            policy: estimate_return(name, policy, problems=options.problems, seed=options.seed)
            for policy in policies_of(name)
        }
        block = format_reference(name, estimates, command + (f" --seed {options.seed}" if options.seed else ""))
        sys.stdout.write(f"# {name}\n{block}\n")
        sys.stdout.flush()
        if options.write:
            path = locate("tasks", name.partition(":")[0])
            path.write_text(with_reference(path.read_text(encoding="utf-8"), block), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_program("references", main))
