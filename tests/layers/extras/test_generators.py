"""Whatever draws at random draws from the generator it is handed: the same call, the same bytes, nothing global."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from metabench.layers.extras import (
    ContinuousFlow,
    hutchinson_trace,
    jacobian_energy,
    jacobian_norm,
    kinetic_energy,
    random_end_time,
    solve_with_integrals,
)

Z = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
W = 0.4 * torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def cell(z: Tensor) -> Tensor:
    return torch.tanh(z @ W.mT)


def flow(trace: str) -> ContinuousFlow:
    return ContinuousFlow(lambda t, z: cell(z), 4, trace=trace)  # type: ignore[arg-type]


DRAWS: dict[str, Callable[[torch.Generator], Tensor]] = {
    "signs": lambda source: hutchinson_trace(cell, Z, source, samples=2),
    "gaussian": lambda source: hutchinson_trace(cell, Z, source, noise="gaussian"),
    "jacobian norm": lambda source: jacobian_norm(cell, Z, source),
    "jacobian energy": lambda source: solve_with_integrals(
        lambda t, z: cell(z), Z, [kinetic_energy, jacobian_energy(Z, source)]
    )[1],
    "end time": lambda source: torch.tensor(random_end_time(1.0, 0.5, source)),
    "log prob": lambda source: flow("hutchinson").log_prob(Z, source),
    "sample": lambda source: flow("exact").sample(3, source, dtype=torch.float64),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_draws_come_from_the_generator_alone(draw: Callable[[torch.Generator], Tensor]) -> None:
    before = torch.get_rng_state()
    first, again, other = (draw(torch.Generator().manual_seed(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    source = torch.Generator().manual_seed(5)
    assert not torch.equal(draw(source), draw(source))  # it moves the generator on
    assert torch.equal(torch.get_rng_state(), before)


def test_exact_flows_need_no_generator() -> None:
    assert torch.equal(flow("exact").log_prob(Z), flow("exact").log_prob(Z))
