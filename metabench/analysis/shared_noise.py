"""How much noise architectures have in common because they begin from the same weights."""

from __future__ import annotations

import numpy as np

__all__ = ["shared_noise"]

_CLIPPED = (
    0.99  # quantile of the deviations' sizes beyond which they count as that: a few trainings that failed are not all
)


def shared_noise(digits: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Correlation of the noise of two architectures, by how many stages hold the same block in both.

    A seed decides a block's initial weights by its stage and name, so architectures that share blocks share these.
    Noise is a score less its architecture's mean and its seed's shift.

    Args:
        digits: blocks, ``(architectures, stages)``.
        scores: of architectures that have all seeds, ``(architectures, seeds)``.

    Returns:
        Number of shared blocks -> mean correlation; empty with fewer than two seeds or architectures, or no noise.
    """
    if min(scores.shape) < 2:
        return {}
    noise = scores - scores.mean(axis=1, keepdims=True)
    noise = noise - noise.mean(axis=0)
    limit = np.quantile(np.abs(noise), _CLIPPED)
    if limit == 0.0:
        return {}
    noise = np.clip(noise, -limit, limit)
    products = noise @ noise.T / (noise**2).sum(axis=1).mean()
    shared = sum((column[:, None] == column[None, :]).astype(int) for column in digits.T)
    pairs = np.triu(np.ones(products.shape, dtype=bool), 1)
    found = {}
    for count in range(digits.shape[1]):
        chosen = pairs & (shared == count)
        if chosen.any():
            found[str(count)] = float(products[chosen].mean())
    return found
