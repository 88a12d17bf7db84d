"""How each metric of a result is named, in which unit, and how its number is written."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["METRICS", "Metric", "write_number"]


@dataclass(frozen=True, slots=True)
class Metric:
    """The face of one metric."""

    label: str
    """Words for a header."""
    unit: str
    """Unit of the number as written."""
    form: str
    """Format specification."""
    meaning: str
    """What it says, in one line."""
    scale: float = 1.0
    """What the stored number is multiplied by."""

    def write(self, value: float) -> str:
        """The number as text; a dash where it was not measured."""
        return write_number(value * self.scale, self.form)


def write_number(value: float | None, form: str) -> str:
    """``value`` in the format ``form``; a dash if it is missing."""
    return "-" if value is None or not math.isfinite(value) else format(value, form)


METRICS: dict[str, Metric] = {
    "val_score": Metric("val score", "0 to 1", ".4f", "validation score, what a search selects on"),
    "test_score": Metric("test score", "0 to 1", ".4f", "test score, what is reported"),
    "train_loss": Metric("train loss", "nats", ".4f", "mean training loss of the last epoch"),
    "nfe_forward": Metric("NFE forward", "/sample", ".1f", "function evaluations in one forward pass"),
    "nfe_backward": Metric("NFE backward", "/sample", ".1f", "vector-Jacobian products in one backward pass"),
    "unconverged": Metric("unconverged", "%", ".2f", "samples for which a solve missed its tolerance", 100.0),
    "residual": Metric("residual", "relative", ".1e", "mean residual of the forward solves, worst block"),
    "train_seconds": Metric("train time", "s", ".2f", "process-CPU time of one replicate's training so far"),
    "params": Metric("parameters", "", ",.0f", "trainable parameters"),
    "flops": Metric("FLOPs", "/sample", ",.0f", "floating-point operations of one forward pass"),
    "activation_bytes": Metric("activations", "B/sample", ",.0f", "memory kept for the backward pass"),
    "latency_s": Metric("latency", "ms", ".3f", "one forward pass of a batch on a quiet core", 1000.0),
}
"""In the order in which a user reads them."""
