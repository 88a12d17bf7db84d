"""Explicit solves of maps whose form is known: iterated a few times, or integrated, as one call."""

from metabench.layers.explicit.adaptive import compiled_adaptive_flow
from metabench.layers.explicit.reversed import compiled_flow_reversed
from metabench.layers.explicit.steps import Plan, compiled_steps

__all__ = ["Plan", "compiled_adaptive_flow", "compiled_flow_reversed", "compiled_steps"]
