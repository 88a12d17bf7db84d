"""Batched draws from a generator."""

from __future__ import annotations

import torch
from torch import Tensor

from metabench.seeding import derive

__all__ = ["draw_categorical", "draw_from", "draw_gamma", "task_generator"]


def task_generator(family: str, split: str, seed: int, purpose: str, device: torch.device | str) -> torch.Generator:
    """A generator whose stream belongs to one family, split, seed and purpose."""
    return torch.Generator(device).manual_seed(derive("envs", family, split, purpose, seed))


def draw_from(choices: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """``n`` uniform draws, with replacement, from the rows of ``choices``."""
    picks = torch.randint(len(choices), (n,), generator=generator, device=choices.device)
    return choices.index_select(0, picks)


def draw_categorical(cumulated: Tensor, generator: torch.Generator) -> Tensor:
    """One draw for each row of cumulated probabilities ``(n, k)``, by inversion: ``(n,)`` int64 in 0 to k - 1."""
    uniform = torch.rand((len(cumulated), 1), generator=generator, device=cumulated.device)
    # The last sum may fall short of 1 by rounding; leaving it out keeps the draw below k.
    return (uniform >= cumulated[:, :-1]).sum(1)


def draw_gamma(shape: Tensor, generator: torch.Generator) -> Tensor:
    """Gamma draws of unit scale for each shape parameter; ratios of them are Beta and Dirichlet draws."""
    # torch.distributions draws from the global generator; what it calls underneath takes one.
    return torch._standard_gamma(shape, generator=generator)  # pyright: ignore[reportPrivateImportUsage]
