"""The equilibrium layer: policies, warm starts, records, bad input."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

import metabench.layers.record as record_module
from metabench.errors import ArgumentError, SolverError
from metabench.layers import Picard, Solution, SolveStatus, Tolerance, fixed_point


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


W = 0.2 * normal(4, 4)
X = normal(5, 4, seed=1)


def layer(z0: Tensor, **arguments: Any) -> Solution:
    return fixed_point(lambda z: torch.tanh(z @ W.mT + X), z0, **arguments)


@torch.no_grad()
def halving(stopping: Tolerance) -> Solution:
    """z = z / 2 + 1 from 0, by plain iteration."""
    return fixed_point(
        lambda z: 0.5 * z + 1, torch.zeros(1, 1, dtype=torch.float64), solver=Picard(), stopping=stopping
    )


def half_divergent(policy: Any) -> Solution:
    """z = z / 2 + 1, and z = 2z + 1, which plain iteration does not solve."""
    factor = torch.tensor([0.5, 2.0])[:, None]
    return fixed_point(
        lambda z: factor * z + 1, torch.zeros(2, 1), solver=Picard(), policy=policy, stopping=Tolerance(max_steps=30)
    )


def test_without_settings_it_solves() -> None:
    solution = layer(torch.zeros_like(X))
    value = solution.value.detach()
    residual = torch.tanh(value @ W.mT + X) - value
    assert float(residual.abs().max()) < 1e-5
    assert bool(solution.record.converged.all())


def test_a_sample_ends_at_its_tolerance_and_not_before() -> None:
    # z <- z / 2 + 1 from 0: after k evaluations the value is z_k = 2 - 2^(1-k), and the residual z_k - z_(k-1) =
    # 2^(1-k); relative to z_k it is first <= 0.01 at k = 7, where it is 2^-6 / (2 - 2^-6) = 0.00787.
    solution = halving(Tolerance(0.0, 0.01, check_every=1))
    assert solution.record.steps.tolist() == solution.record.nfe.tolist() == [7]
    assert solution.record.residual.item() == pytest.approx(2**-6 / (2 - 2**-6), rel=1e-12)
    assert solution.value.item() == 2 - 2**-6
    # Left open, a solver's own: plain steps are cheap, and checked every third one.
    assert halving(Tolerance(0.0, 0.01)).record.steps.tolist() == [9]
    # The absolute part: 2^(1-k) <= 0.1 at k = 5.
    assert halving(Tolerance(0.1, 0.0, check_every=1)).record.steps.tolist() == [5]


@pytest.mark.parametrize("check_every", [2, 3, 10])
def test_a_sample_ends_at_a_check(check_every: int) -> None:
    record = halving(Tolerance(0.0, 0.01, check_every=check_every)).record
    assert record.steps.tolist() == [-(-7 // check_every) * check_every]


def test_the_last_step_is_always_checked() -> None:
    record = halving(Tolerance(0.0, 0.01, max_steps=7, check_every=5)).record
    assert record.steps.tolist() == [7]
    assert bool(record.converged.all())


def test_policy_raise() -> None:
    with pytest.raises(SolverError, match="fixed point: 1 of 2 samples: reached the step limit"):
        half_divergent("raise")


def test_policy_nan_marks_only_what_failed() -> None:
    value = half_divergent("nan").value
    assert torch.isnan(value[:, 0]).tolist() == [False, True]
    assert value[0].item() == pytest.approx(2.0, rel=1e-4)


def test_policy_warn_speaks_once_and_keep_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_module, "_warned", set())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = half_divergent("keep")
    with pytest.warns(RuntimeWarning, match="1 of 2 samples.*policy='keep' silences it"):
        warned = half_divergent("warn")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = half_divergent("warn")
    for solution in (warned, again):
        torch.testing.assert_close(solution.value, kept.value)
        assert solution.record.status.tolist() == [SolveStatus.CONVERGED.code, SolveStatus.MAX_STEPS.code]
    assert bool(torch.isfinite(kept.value).all())


def test_a_converged_solve_is_silent_under_every_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_module, "_warned", set())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for policy in ("raise", "warn", "nan", "keep"):
            assert bool(torch.isfinite(layer(torch.zeros_like(X), policy=policy).value).all())


def test_an_unknown_policy_is_refused_even_where_all_is_well() -> None:
    with pytest.raises(ArgumentError, match="unknown policy 'ignore'"):
        layer(torch.zeros_like(X), policy="ignore")


@pytest.mark.parametrize("near", [1e-3, 1e-6])
def test_a_warm_start_takes_fewer_steps(near: float) -> None:
    stopping = Tolerance(atol=0.0, rtol=1e-9, check_every=1)
    cold = layer(torch.zeros_like(X), solver=Picard(), stopping=stopping)
    warm = layer(cold.value + near * normal(5, 4, seed=2), solver=Picard(), stopping=stopping)
    assert bool((warm.record.steps < cold.record.steps).all())
    torch.testing.assert_close(warm.value, cold.value, rtol=1e-8, atol=1e-8)
    there = layer(cold.value, solver=Picard(), stopping=stopping)
    assert there.record.steps.tolist() == [1] * 5


def test_no_gradient_flows_to_the_initial_iterate() -> None:
    weight, z0 = W.clone().requires_grad_(), torch.zeros_like(X).requires_grad_()
    value = fixed_point(lambda z: torch.tanh(z @ weight.mT + X), z0).value
    assert torch.autograd.grad(value.sum(), z0, allow_unused=True) == (None,)


def test_the_record_counts_and_names() -> None:
    record = half_divergent("keep").record
    assert record.counts() == {
        SolveStatus.CONVERGED: 1,
        SolveStatus.MAX_STEPS: 1,
        SolveStatus.DIVERGED: 0,
        SolveStatus.INFEASIBLE: 0,
        SolveStatus.INVALID: 0,
    }
    assert record.status.dtype == torch.int8
    assert record.steps.dtype == record.nfe.dtype == torch.int32
    assert record.converged.tolist() == [True, False]
    assert record.backward is None


def test_bad_input() -> None:
    with pytest.raises(ArgumentError, match=r"f returned \(2, 4\)"):
        fixed_point(lambda z: torch.zeros(2, 4), torch.zeros(2, 3))
    with pytest.raises(ArgumentError, match=r"f returned \(2, 3\) torch.float64"):
        fixed_point(lambda z: z.double(), torch.zeros(2, 3))
    with pytest.raises(ArgumentError, match="floating point"):
        fixed_point(lambda z: z, torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(ArgumentError, match="floating point"):
        fixed_point(lambda z: z, torch.tensor(1.0))
    with pytest.raises(ArgumentError, match=r"inputs\[1\] has shape \(3, 4\) and z0 \(2, 3\)"):
        fixed_point(lambda z, x, y: z, torch.zeros(2, 3), inputs=(torch.zeros(2, 3), torch.zeros(3, 4)))
