"""What one architecture costs: parameters, floating-point operations and activation bytes, counted; latency, timed."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from metabench.blocks.solving import SolveSettings
from metabench.seeding import torch_generator
from metabench.spaces.architecture import Architecture
from metabench.spaces.network import Network

__all__ = ["Cost", "measure_cost"]

_BATCH = 128


@dataclass(frozen=True)
class Cost:
    """Costs of one replicate at its initial weights (seed 0), on a batch of 128 standard normal inputs.

    Attributes:
        params: trainable parameters.
        flops: floating-point operations of matrix products in a forward pass, a sample; an implicit block's iterations
            count as often as they ran.
        activation_bytes: bytes saved for the backward pass, a sample; parameters are left out.
        latency_s: seconds of one forward pass of the batch without gradients, the median of 20 runs.
    """

    params: int
    flops: float
    activation_bytes: float
    latency_s: float


def measure_cost(
    architecture: Architecture, inputs: int, outputs: int, width: int, settings: SolveSettings | None = None
) -> Cost:
    """Counts and times ``architecture``. All but the latency are equal on every machine."""
    network = Network(architecture, inputs, outputs, width, [0], settings)
    x = torch.randn(1, _BATCH, inputs, generator=torch_generator("cost"))
    own = {p.untyped_storage().data_ptr() for p in network.parameters()}
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits, _ = network(x)
    del logits
    with torch.no_grad():
        with FlopCounterMode(display=False) as counter:
            network(x)
        times = []
        for _ in range(20):
            start = time.perf_counter()
            network(x)
            times.append(time.perf_counter() - start)
    return Cost(
        params=sum(p.numel() for p in network.parameters()),
        flops=counter.get_total_flops() / _BATCH,
        activation_bytes=sum(saved.values()) / _BATCH,
        latency_s=sorted(times)[len(times) // 2],
    )
