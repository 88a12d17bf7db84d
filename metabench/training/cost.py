"""What one architecture costs: parameters, floating-point operations and activation bytes, counted; latency, timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from metabench.blocks.solving import SolveSettings
from metabench.seeding import torch_generator
from metabench.spaces.architecture import Architecture
from metabench.spaces.network import Network

__all__ = ["Cost", "count_cost", "measure_cost"]

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
    return count_cost(lambda: network(x)[0], network.parameters(), _BATCH)


def count_cost(step: Callable[[], object], weights: Iterable[torch.Tensor], samples: int) -> Cost:
    """Counts and times ``step``.

    Args:
        step: does the work once, and returns what holds the graph.
        weights: the trainable parameters, each once.
        samples: that a step works on.
    """
    weights = list(weights)
    own = {weight.untyped_storage().data_ptr() for weight in weights}
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    # A step that is watched runs operation by operation; a compiled one would keep its tensors from the hooks.
    with FlopCounterMode(display=False), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        graph = step()
    del graph
    with torch.no_grad():
        with FlopCounterMode(display=False) as counter:
            step()
        times = []
        for _ in range(20):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
    return Cost(
        params=sum(weight.numel() for weight in weights),
        flops=counter.get_total_flops() / samples,
        activation_bytes=sum(saved.values()) / samples,
        latency_s=sorted(times)[len(times) // 2],
    )
