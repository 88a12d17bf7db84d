"""Running moments, to normalise what a policy sees and what it is paid."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metabench.metarl.gae import discounted_returns

__all__ = ["ReturnScale", "RunningMoments"]

_EPSILON = 1e-8


class RunningMoments(nn.Module):
    """Mean and variance of each feature over all that was seen, merged batch by batch in double precision.

    Args:
        features: dimension.
        limit: normalised values are clipped to plus and minus this many standard deviations.

    Reference:
        Chan, Golub and LeVeque (1983), Algorithms for computing the sample variance.
    """

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, features: int, limit: float = 10.0) -> None:
        super().__init__()
        self.limit = limit
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(features, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(features, dtype=torch.float64))  # sum of squared deviations
        self._refresh()

    @property
    def variance(self) -> Tensor:
        """Population variance ``(features,)``; one before anything was seen."""
        return self.squares / self.count if self.count > 0 else torch.ones_like(self.squares)

    @torch.no_grad()
    def update(self, values: Tensor) -> None:
        """Adds ``(..., features)``."""
        batch = values.detach().reshape(-1, values.shape[-1]).double()
        mean = batch.mean(0)
        count, total = len(batch), self.count + len(batch)
        gap = mean - self.mean
        self.squares += (batch - mean).square().sum(0) + gap.square() * self.count * count / total
        self.mean += gap * count / total
        self.count.copy_(total)
        self._refresh()

    def forward(self, values: Tensor) -> Tensor:
        """(values - mean) / standard deviation, clipped; ``(..., features)``."""
        return ((values - self._shift) * self._factor).clamp(-self.limit, self.limit)

    def _refresh(self) -> None:
        self._shift, self._factor = self.mean.float(), (self.variance + _EPSILON).rsqrt().float()

    def _load_from_state_dict(self, *args: object, **kwargs: object) -> None:
        super()._load_from_state_dict(*args, **kwargs)  # type: ignore[arg-type]
        self._refresh()


class ReturnScale(nn.Module):
    """Divides rewards by the running standard deviation of their discounted return; it does not shift them.

    Args:
        discount: gamma of the return.
        limit: what is divided is then clipped to plus and minus this.
    """

    def __init__(self, discount: float, limit: float = float("inf")) -> None:
        super().__init__()
        self.discount, self.limit = discount, limit
        self.moments = RunningMoments(1)

    @property
    def scale(self) -> float:
        """The running standard deviation; one before anything was seen."""
        return float((self.moments.variance + _EPSILON).sqrt())

    @torch.no_grad()
    def forward(self, rewards: Tensor, ends: Tensor | None = None) -> Tensor:
        """Takes rewards ``(steps, copies)`` of whole trials into account, then divides and clips them.

        Args:
            rewards: of the trials' steps, the first step first.
            ends: bool ``(steps,)``: the steps that are the last of a trial. Such a step's return still counts, that
                of the next one starts from zero. Only the last step if None.
        """
        self.moments.update(discounted_returns(rewards, discount=self.discount, ends=ends)[..., None])
        return (rewards / self.scale).clamp(-self.limit, self.limit)
