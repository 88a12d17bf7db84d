"""Every fixed-point solver: closed forms, float32, one sample apart from the others, batches, what is not finite."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers import Anderson, FixedPointSolver, Picard, Solution, SolveStatus, Tolerance, fixed_point
from metabench.layers.fixed_point import Broyden, Newton, all_solvers

SOLVERS = [
    *(kind() for kind in all_solvers),
    Picard(damping=0.7),
    Anderson(mixing=0.9),
    Anderson(memory=2),
    Anderson(delay=8),
    Broyden(memory=4),
    Newton(damping=0.8),
]
TIGHT = Tolerance(atol=1e-12, rtol=1e-12, max_steps=500)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def contraction(dim: int, norm: float) -> Tensor:
    W = normal(dim, dim)
    return norm * W / torch.linalg.matrix_norm(W, 2)


def cell(z: Tensor, x: Tensor, strength: Tensor) -> Tensor:
    """tanh(strength W z + x): strength decides how fast a sample converges."""
    return torch.tanh(strength * (z @ contraction(z.shape[-1], 0.9).to(z.dtype).mT) + x)


def solve(
    solver: FixedPointSolver, x: Tensor, strength: Tensor, *, named: bool = True, stopping: Tolerance | None = None
) -> Solution:
    return fixed_point(
        cell if named else lambda z: cell(z, x, strength),
        torch.zeros_like(x),
        inputs=(x, strength) if named else None,
        solver=solver,
        stopping=Tolerance(atol=1e-8, rtol=1e-8, max_steps=500) if stopping is None else stopping,
        policy="keep",
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_affine_map_has_the_closed_form(solver: FixedPointSolver) -> None:
    W, x, stopping = contraction(6, 0.8), normal(5, 6, seed=1), Tolerance(atol=0.0, rtol=1e-12, max_steps=500)
    solution = fixed_point(lambda z: z @ W.mT + x, torch.zeros_like(x), solver=solver, stopping=stopping)
    exact = torch.linalg.solve(torch.eye(6, dtype=torch.float64) - W, x.mT).mT
    torch.testing.assert_close(solution.value, exact, rtol=1e-10, atol=1e-11)
    assert bool(solution.record.converged.all())
    assert float(solution.record.residual.max()) <= 1e-12


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_scalar_equation_has_the_known_root(solver: FixedPointSolver) -> None:
    # z = cos z: 0.7390851332151607, the Dottie number.
    solution = fixed_point(torch.cos, torch.zeros(1, 1, dtype=torch.float64), solver=solver, stopping=TIGHT)
    assert solution.value.item() == pytest.approx(0.7390851332151607, abs=1e-11)


def test_evaluations_follow_each_methods_theory() -> None:
    """On one affine problem of dimension d, contracting by rho = 0.8 with a symmetric W."""
    d, rho, tolerance = 4, 0.8, 1e-10
    W = torch.diag(torch.tensor([0.8, -0.5, 0.3, 0.1], dtype=torch.float64))
    x = torch.ones(1, d, dtype=torch.float64)

    def nfe(solver: FixedPointSolver) -> int:
        stopping = Tolerance(atol=0.0, rtol=tolerance, max_steps=500)
        with torch.no_grad():
            record = fixed_point(lambda z: z @ W.mT + x, torch.zeros_like(x), solver=solver, stopping=stopping).record
        assert bool(record.converged.all())
        return int(record.nfe)

    # Picard: the residual is rho^k, against tolerance |z|.
    assert nfe(Picard()) == pytest.approx(math.log(tolerance) / math.log(rho), rel=0.1)
    # Newton on an affine map: exact after one step, which evaluates f twice; and the check.
    assert nfe(Newton()) == 3
    # Anderson with memory > d is GMRES-like: d + 1 residuals span the space; Broyden ends within 2 d steps (Gay 1979).
    assert nfe(Anderson(memory=6)) <= d + 4
    assert nfe(Broyden()) <= 2 * d + 2


@pytest.mark.parametrize("solver", SOLVERS)
def test_evaluations_are_counted(solver: FixedPointSolver) -> None:
    calls = 0

    def f(z: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return torch.tanh(0.5 * z + 1)

    with torch.no_grad():
        record = fixed_point(f, torch.zeros(3, 2), solver=solver).record
    assert int(record.nfe.max()) == calls
    calls = 0
    weight = torch.tensor(0.5, requires_grad=True)
    record = fixed_point(lambda z: f(weight * z), torch.zeros(3, 2), solver=solver).record
    assert int(record.nfe.max()) == calls  # with the evaluation that carries the graph


@pytest.mark.parametrize("check_every", [1, 3])
@pytest.mark.parametrize("solver", SOLVERS)
def test_alone_and_in_a_batch_are_the_same(solver: FixedPointSolver, check_every: int) -> None:
    batch = 40
    x, strength = normal(batch, 4, seed=1), torch.linspace(0.0, 1.0, batch, dtype=torch.float64)[:, None]
    stopping = Tolerance(atol=1e-8, rtol=1e-8, max_steps=500, check_every=check_every)
    named, closed = (solve(solver, x, strength, named=named, stopping=stopping) for named in (True, False))
    assert bool(named.record.converged.all())
    if not isinstance(solver, Newton):
        assert len(set(named.record.steps.tolist())) > 2  # samples do end at different times
    torch.testing.assert_close(named.value, closed.value, rtol=1e-12, atol=1e-12)
    for field in ("status", "steps", "nfe"):
        assert torch.equal(getattr(named.record, field), getattr(closed.record, field))
    for i in range(0, batch, 7):
        at = slice(i, i + 1)
        for how in (True, False):
            alone = solve(solver, x[at], strength[at], named=how, stopping=stopping)
            torch.testing.assert_close(alone.value, named.value[at], rtol=1e-11, atol=1e-11)
            for field in ("status", "steps", "nfe"):
                assert torch.equal(getattr(alone.record, field), getattr(named.record, field)[at]), (i, field)


@pytest.mark.parametrize("solver", SOLVERS)
def test_replicates_with_batches_that_narrow_differently(solver: FixedPointSolver) -> None:
    # In the first replicate most samples are quick, in the second most are slow.
    x = normal(2, 48, 4, seed=2)
    strength = torch.stack([torch.linspace(0.0, 1.0, 48) ** 4, torch.linspace(0.0, 1.0, 48) ** 0.25]).double()[
        ..., None
    ]
    together = solve(solver, x, strength)
    assert together.record.nfe.shape == (2, 48)
    for r in range(2):
        alone = solve(solver, x[r], strength[r])
        torch.testing.assert_close(together.value[r], alone.value, rtol=1e-11, atol=1e-11)
        assert torch.equal(together.record.nfe[r], alone.record.nfe)
    permuted = torch.randperm(48, generator=torch.Generator().manual_seed(3))
    shuffled = solve(solver, x[:, permuted], strength[:, permuted])
    torch.testing.assert_close(shuffled.value, together.value[:, permuted], rtol=1e-11, atol=1e-11)
    assert torch.equal(shuffled.record.nfe, together.record.nfe[:, permuted])


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_nan_sample_harms_nobody(solver: FixedPointSolver, named: bool) -> None:
    x, strength = normal(40, 4, seed=1), torch.linspace(0.0, 1.0, 40, dtype=torch.float64)[:, None]
    clean = solve(solver, x, strength, named=named)
    broken = x.clone()
    broken[11, 2] = math.nan
    broken[23, 0] = math.inf
    broken[23, 1] = -math.inf
    weak = strength.clone()
    weak[23] = math.nan
    solution = solve(solver, broken, weak, named=named)
    others = [i for i in range(40) if i not in (11, 23)]
    torch.testing.assert_close(solution.value[others], clean.value[others], rtol=1e-11, atol=1e-11)
    assert torch.equal(solution.record.nfe[others], clean.record.nfe[others])
    assert solution.record.counts()[SolveStatus.DIVERGED] == 2
    assert bool(torch.isfinite(solution.value).all())  # the last finite iterate, here the initial one


def test_a_divergent_sample_overflows_alone() -> None:
    factor = torch.tensor([0.5, 1e30, 3.0, 0.25])[:, None]
    solution = fixed_point(lambda z, a: a * z + 1, torch.zeros(4, 1), inputs=(factor,), solver=Picard(), policy="keep")
    names = [list(SolveStatus)[code] for code in solution.record.status.tolist()]
    assert names == [SolveStatus.CONVERGED, SolveStatus.DIVERGED, SolveStatus.DIVERGED, SolveStatus.CONVERGED]
    assert bool(torch.isfinite(solution.value).all())
    torch.testing.assert_close(solution.value[[0, 3], 0], torch.tensor([2.0, 4 / 3]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("solver", [Anderson(), Broyden(), Newton()])
def test_acceleration_finds_the_fixed_point_of_an_expansion(solver: FixedPointSolver) -> None:
    # z = 2z + 1 has z = -1, from which plain iteration runs away.
    solution = fixed_point(lambda z: 2 * z + 1, torch.zeros(2, 1), solver=solver)
    torch.testing.assert_close(solution.value, torch.full((2, 1), -1.0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
def test_small_batches(solver: FixedPointSolver) -> None:
    x, strength = normal(3, 4, seed=1), torch.ones(3, 1, dtype=torch.float64)
    for named in (True, False):
        whole = solve(solver, x, strength, named=named)
        empty = solve(solver, x[:0], strength[:0], named=named)
        assert empty.value.shape == (0, 4)
        assert empty.record.nfe.shape == (0,)
        one = solve(solver, x[:1], strength[:1], named=named)
        torch.testing.assert_close(one.value, whole.value[:1], rtol=1e-11, atol=1e-11)
        bare = solve(solver, x[0], strength[0], named=named)
        assert bare.record.nfe.shape == ()
        torch.testing.assert_close(bare.value, whole.value[0], rtol=1e-11, atol=1e-11)
        none = solve(solver, x.new_zeros(2, 0, 4), x.new_zeros(2, 0, 1), named=named)
        assert none.value.shape == (2, 0, 4)


@pytest.mark.parametrize("solver", SOLVERS)
def test_dtypes_and_what_was_handed_in_are_kept(solver: FixedPointSolver) -> None:
    for dtype in (torch.float32, torch.float64):
        x, z0 = normal(40, 4, seed=1).to(dtype), torch.zeros(40, 4, dtype=dtype)
        image = torch.tanh(x)
        kept = image.clone()
        solution = fixed_point(lambda z, y=image: 0.1 * z + y, z0, solver=solver)
        assert solution.value.dtype == solution.record.residual.dtype == dtype
        fixed_point(lambda z, y=image: y, z0, solver=solver)  # f may hand out one and the same tensor
        assert torch.equal(image, kept)
        assert not bool(z0.any())


@pytest.mark.parametrize("solver", SOLVERS)
def test_float32_meets_a_tolerance_under_its_resolution(solver: FixedPointSolver) -> None:
    # rtol = 1e-12 cannot be met in float32; the floor of the stopping rule ends the solve all the same.
    x, strength = normal(20, 8, seed=1).float(), torch.full((20, 1), 0.8)
    solution = solve(solver, x, strength, stopping=Tolerance(atol=0.0, rtol=1e-12, max_steps=300))
    assert bool(solution.record.converged.all())
    exact = solve(solver, x.double(), strength.double(), stopping=TIGHT)
    torch.testing.assert_close(solution.value, exact.value.float(), rtol=2e-5, atol=2e-5)


def test_anderson_near_the_stability_limit() -> None:
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(128, 128, generator=generator)
    W = (W + W.mT) / 2
    W *= 0.94 / torch.linalg.eigvalsh(W).abs().max()
    x = 0.1 * torch.randn(64, 128, generator=generator)
    stopping = Tolerance(atol=0.0, rtol=1e-5, max_steps=400)
    nfe = {}
    for solver in (Picard(), Anderson()):
        record = fixed_point(
            lambda z: torch.tanh(z @ W.mT + x), torch.zeros_like(x), solver=solver, stopping=stopping
        ).record
        assert bool(record.converged.all())
        nfe[type(solver)] = float(record.nfe.float().mean())
    assert nfe[Anderson] < 0.5 * nfe[Picard]


def test_a_full_memory_is_reused() -> None:
    W, x = contraction(12, 0.95), normal(2, 12, seed=1)
    for solver in (Anderson(memory=2), Broyden(memory=2)):
        solution = fixed_point(lambda z: z @ W.mT + x, torch.zeros_like(x), solver=solver, stopping=TIGHT)
        assert bool(solution.record.converged.all())
        assert int(solution.record.steps.min()) > 6


def test_a_singular_jacobian_falls_back_to_a_plain_step() -> None:
    # f = z + 1 has J = I, no fixed point; f = z has J = I and every point is one.
    lost = fixed_point(
        lambda z: z + 1, torch.zeros(1, 2), solver=Newton(), policy="keep", stopping=Tolerance(max_steps=5)
    )
    assert lost.record.status.tolist() == [SolveStatus.MAX_STEPS.code]
    assert bool(torch.isfinite(lost.value).all())
    found = fixed_point(lambda z: z, torch.ones(1, 2), solver=Newton())
    assert bool(found.record.converged.all())


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Picard, {"damping": 0.0}, "damping"),
        (Picard, {"damping": 1.5}, "damping"),
        (Newton, {"damping": 0.0}, "damping"),
        (Anderson, {"memory": 1}, "memory"),
        (Anderson, {"delay": -1}, "delay"),
        (Anderson, {"mixing": 0.0}, "mixing"),
        (Anderson, {"ridge": -1.0}, "ridge"),
        (Broyden, {"memory": 0}, "memory"),
        (Tolerance, {"atol": 0.0, "rtol": 0.0}, "atol"),
        (Tolerance, {"rtol": -1.0}, "rtol"),
        (Tolerance, {"max_steps": 0}, "max_steps"),
        (Tolerance, {"check_every": 0}, "check_every"),
    ],
)
def test_bad_settings(kind: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        kind(**settings)
