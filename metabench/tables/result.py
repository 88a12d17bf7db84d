"""The answer to one query, whichever kind of benchmark gave it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from enum import Enum
from typing import Any

__all__ = ["ARCHITECTURE_METRICS", "METRICS", "TRAINING_METRICS", "Result", "Status", "make_result"]

TRAINING_METRICS = (
    "train_loss",
    "val_score",
    "test_score",
    "nfe_forward",
    "nfe_backward",
    "unconverged",
    "residual",
)
ARCHITECTURE_METRICS = ("params", "flops", "activation_bytes", "latency_s")
METRICS = (*TRAINING_METRICS, "train_seconds", *ARCHITECTURE_METRICS)
"""All numbers of a result, in its order."""


class Status(str, Enum):
    """What became of a training; the value is the word used in tables and JSON."""

    OK = "ok"
    DIVERGED = "diverged"
    UNCONVERGED = "unconverged"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Result:
    """One architecture, task, epoch and replicate (or the mean over replicates).

    Attributes:
        architecture: block names, skips removed.
        code: canonical integer code in the space.
        epoch: epochs trained.
        seed: replicate number, or ``"mean"``.
        train_loss: mean training loss of the last epoch (nats).
        val_score: validation score, higher is better (accuracy in [0, 1]); what a search selects on.
        test_score: test score; what is reported.
        nfe_forward: function evaluations a sample in one forward pass, all blocks together (mean over the epoch).
        nfe_backward: vector-Jacobian products a sample in one backward pass.
        unconverged: fraction of samples for which some solve, forward or backward, missed its tolerance.
        residual: mean relative residual of the forward solves, of the worst block.
        train_seconds: process-CPU seconds of this replicate's training up to ``epoch``.
        params: trainable parameters.
        flops: floating-point operations of one sample's forward pass at the mean NFE of training's end.
        activation_bytes: bytes a sample kept for the backward pass.
        latency_s: seconds of one forward pass of a batch, alone on a quiet core; NaN where it was not measured.
        status: what became of the training.
        provenance: commit, library versions and protocol of the row.
    """

    architecture: tuple[str, ...]
    code: int
    epoch: int
    seed: int | str
    train_loss: float
    val_score: float
    test_score: float
    nfe_forward: float
    nfe_backward: float
    unconverged: float
    residual: float
    train_seconds: float
    params: float
    flops: float
    activation_bytes: float
    latency_s: float
    status: Status
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


# A frozen dataclass fills its slots by `object.__setattr__`, five times as slow as plain assignment, and a query does
# little else. So a result begins as an object with the same slots that is not frozen yet.
_Draft: Any = make_dataclass("_Draft", [one.name for one in fields(Result)], slots=True, eq=False, repr=False)
_new = object.__new__


def make_result(
    architecture: tuple[str, ...],
    code: int,
    epoch: int,
    seed: int | str,
    numbers: tuple[float, ...],
    status: Status,
    provenance: Mapping[str, Any],
) -> Result:
    """A :class:`Result`; ``numbers`` are in the order of ``METRICS``. Its constructor takes nine times as long."""
    made = _new(_Draft)
    made.architecture, made.code, made.epoch, made.seed = architecture, code, epoch, seed
    (
        made.train_loss,
        made.val_score,
        made.test_score,
        made.nfe_forward,
        made.nfe_backward,
        made.unconverged,
        made.residual,
        made.train_seconds,
        made.params,
        made.flops,
        made.activation_bytes,
        made.latency_s,
    ) = numbers
    made.status, made.provenance = status, provenance
    made.__class__ = Result
    return made
