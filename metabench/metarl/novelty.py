"""Random network distillation: what has been seen often is predicted well, what is new is not."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metabench.metarl.networks import dense, mlp
from metabench.metarl.settings import Settings

__all__ = ["Novelty", "annealed"]

# Weights of variance 1 / (3 inputs), as nn.Linear's own: what the factor on the prior's weights refers to.
_GAIN = 3**-0.5


class _Features(nn.Module):
    """A ReLU embedding of each input, hidden ReLU layers, then features."""

    def __init__(self, inputs: tuple[int, ...], settings: Settings, generator: torch.Generator) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(dense(size, settings.novelty_embedding, generator, _GAIN) for size in inputs)
        width = len(inputs) * settings.novelty_embedding
        self.network = mlp(width, settings.novelty_layers, settings.novelty_outputs, generator, _GAIN)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        parts = [embed(part) for embed, part in zip(self.embeddings, inputs, strict=True)]
        return self.network(torch.relu(torch.cat(parts, -1)))


class Novelty(nn.Module):
    """The squared error of a predictor that learns the features of a fixed random network, the prior.

    Args:
        inputs: dimension of each input, such as state, belief mean and belief log variance.
        settings: sizes, and the predictor's learning rate.
        generator: of the initial weights.

    Reference:
        Burda et al. (2019), arXiv:1810.12894; Zintgraf et al. (2021), HyperX, arXiv:2010.01062.
    """

    def __init__(self, inputs: tuple[int, ...], settings: Settings, generator: torch.Generator) -> None:
        super().__init__()
        self.prior = _Features(inputs, settings, generator)
        self.predictor = _Features(inputs, settings, generator)
        with torch.no_grad():
            for weight in self.prior.parameters():
                weight.mul_(settings.novelty_prior_scale).requires_grad_(False)
        self.batch, self.updates = settings.novelty_batch, settings.novelty_updates
        self.optimizer = torch.optim.Adam(self.predictor.parameters(), lr=settings.novelty_learning_rate, fused=True)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The mean squared error over features, ``(...)``, for inputs ``(..., size)``."""
        return (self.predictor(inputs) - self.prior(inputs)).square().mean(-1)

    def learn(self, *inputs: Tensor, generator: torch.Generator) -> float:
        """A few steps on random parts of the samples ``(samples, size)``; gives the mean error on the way.

        With more copies a smaller share is learnt from, so that novelty does not wear off faster.
        """
        order, total = torch.randperm(len(inputs[0]), generator=generator)[: self.batch * self.updates], 0.0
        for batch in order.split(self.batch):
            loss = self(*(part[batch] for part in inputs)).mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += float(loss.detach()) * len(batch)
        return total / len(order)


def annealed(frames: int, total: float) -> float:
    """The bonus's factor after ``frames`` of ``total`` environment steps: falls linearly from one to zero."""
    return max(0.0, 1.0 - frames / total)
