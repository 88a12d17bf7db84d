"""One configuration of a joint space."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from metabench.spaces.architecture import Architecture

__all__ = ["JointArchitecture"]


@dataclass(frozen=True, slots=True)
class JointArchitecture:
    """Blocks in order, how they are trained, and how they are solved; what is inactive is None.

    ``str()`` gives ``"mlp.deq,gated.tied width=32 learning_rate=0.01 ..."``, which :meth:`JointSpace.code` reads.

    Attributes:
        blocks: one or more block names.
        width: state dimension of every stage.
        learning_rate: peak of the one-cycle schedule, of all parameters.
        weight_decay: decoupled from the gradient.
        fixed_point_solver: of equilibria and argmins.
        fixed_point_adjoint: how the gradient of an equilibrium is found.
        ode_solver: of differential equations.
        ode_steps: of an ODE solver on a fixed grid.
        ode_adjoint: how the gradient of a differential equation is found.
        tolerance: relative, of equilibria, argmins and adaptive ODE solvers.
    """

    blocks: tuple[str, ...]
    width: int
    learning_rate: float
    weight_decay: float
    fixed_point_solver: str | None = None
    fixed_point_adjoint: str | None = None
    ode_solver: str | None = None
    ode_steps: int | None = None
    ode_adjoint: str | None = None
    tolerance: float | None = None

    @property
    def depth(self) -> int:
        """The number of blocks."""
        return len(self.blocks)

    @property
    def network(self) -> Architecture:
        """The blocks alone."""
        return Architecture(self.blocks)

    def settings(self) -> dict[str, Any]:
        """The active hyperparameters apart from the blocks, in order."""
        names = [field.name for field in fields(self)][1:]
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def as_dict(self) -> dict[str, Any]:
        """All active hyperparameters as JSON has them: ``depth``, ``stage1`` ... and the settings."""
        stages = {f"stage{i + 1}": block for i, block in enumerate(self.blocks)}
        return {"depth": self.depth, **stages, **self.settings()}

    def __str__(self) -> str:
        return " ".join([",".join(self.blocks), *(f"{name}={value}" for name, value in self.settings().items())])
