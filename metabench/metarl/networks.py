"""Small networks with initial weights from a generator."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from metabench.blocks import BLOCKS
from metabench.blocks.tally import SolveMeans, SolveTally

__all__ = ["Body", "SplitMLP", "dense", "mlp"]


def dense(inputs: int, outputs: int, generator: torch.Generator, gain: float = 2**0.5) -> nn.Linear:
    """An affine map with orthogonal weights times ``gain`` and zero biases."""
    with torch.device("meta"):  # nn.Linear itself would draw from the global generator
        layer = nn.Linear(inputs, outputs)
    layer = layer.to_empty(device="cpu")
    nn.init.orthogonal_(layer.weight, gain, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


def mlp(
    inputs: int, layers: Sequence[int], outputs: int, generator: torch.Generator, gain: float = 2**0.5
) -> nn.Sequential:
    """Hidden ReLU layers of orthogonal weights times ``gain``, then an affine map."""
    parts: list[nn.Module] = []
    for width in layers:
        parts += [dense(inputs, width, generator, gain), nn.ReLU()]
        inputs = width
    return nn.Sequential(*parts, dense(inputs, outputs, generator, gain=1.0))


class Body(nn.Module):
    """Hidden tanh layers, then any registered block if one is named: a policy's or a critic's body.

    Args:
        inputs: input dimension.
        layers: widths of the hidden layers; at least one.
        block: name in the block registry, or ``skip`` for none.
        generator: of the initial weights.
    """

    def __init__(self, inputs: int, layers: Sequence[int], block: str, generator: torch.Generator) -> None:
        super().__init__()
        self.width = layers[-1]
        hidden: list[nn.Module] = []
        for width in layers:
            hidden += [dense(inputs, width, generator), nn.Tanh()]
            inputs = width
        self.hidden = nn.Sequential(*hidden)
        self.block = None if block == "skip" else BLOCKS.get(block)(self.width, [generator])
        self._tally = SolveTally()

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(..., inputs)`` to ``(..., width)``."""
        h = self.hidden(x)
        if self.block is None:
            return h
        out, record = self.block(h.reshape(1, -1, self.width))
        self._tally.add(record)
        return out.reshape(h.shape)

    def take_solves(self) -> SolveMeans | None:
        """What the block cost a sample, of the calls trained through since the last time; None without a block."""
        return None if self.block is None else self._tally.take()


class SplitMLP(nn.Module):
    """A ReLU network of pairs (latent, input). The first layer of a pair is a sum: each side of it is computed once.

    With no hidden layers that sum is the output: affine in both, and without a product of the two.

    Args:
        latent: dimension of the latents.
        inputs: dimension of the other inputs.
        layers: widths of the hidden layers.
        outputs: output dimension.
        generator: of the initial weights.
    """

    def __init__(
        self, latent: int, inputs: int, layers: Sequence[int], outputs: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        first = layers[0] if layers else outputs
        self.of_latent = dense(latent, first, generator)
        self.of_inputs = dense(inputs, first, generator)
        self.rest = mlp(first, layers[1:], outputs, generator) if layers else None

    def forward(self, latent: Tensor, inputs: Tensor) -> Tensor:
        """Broadcasts latents ``(..., latent)`` against inputs ``(..., inputs)``; gives ``(..., outputs)``."""
        both = self.of_latent(latent) + self.of_inputs(inputs)
        return both if self.rest is None else self.rest(torch.relu(both))
