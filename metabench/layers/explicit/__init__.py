"""Explicit solves of maps whose form is known: iterated a few times, or integrated on a fixed grid, as one call."""

from metabench.layers.explicit.reversed import compiled_flow_reversed
from metabench.layers.explicit.steps import Plan, compiled_steps

__all__ = ["Plan", "compiled_flow_reversed", "compiled_steps"]
