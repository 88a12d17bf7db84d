"""A small problem, small settings and made-up trajectories."""

from __future__ import annotations

import pytest
import torch

from metabench.envs import make_environment
from metabench.metarl.presets import preset
from metabench.metarl.problem import Problem, Trajectories, problem_of
from metabench.metarl.settings import Settings

GRID = "grid-navigation-v0"


@pytest.fixture
def problem() -> Problem:
    return problem_of(make_environment(GRID, 1))


@pytest.fixture
def small() -> Settings:
    return preset("hyperx", GRID).changed(
        {
            "copies": 8,
            "frames": 8 * 60 * 6,
            "eval_copies": 4,
            "evaluations": 3,
            "memory_width": 12,
            "latent": 3,
            "buffer": 20,
            "vae_batch": 5,
            "vae_updates": 2,
            "novelty_layers": (16,),
            "state_bonus": 1.0,
            "reward_bonus": 1.0,
        }
    )


@pytest.fixture
def trajectories() -> Trajectories:
    """Seven steps of four made-up grid trajectories."""
    generator = torch.Generator().manual_seed(3)
    obs = torch.randint(5, (8, 4, 2), generator=generator).float()
    action = torch.randint(5, (7, 4), generator=generator)
    reward = torch.where(torch.rand(7, 4, generator=generator) < 0.3, 1.0, -0.1)
    return Trajectories(obs[:-1], action, obs[1:], reward)
