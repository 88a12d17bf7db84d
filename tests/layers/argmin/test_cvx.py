"""The cvxpy adapter: with the ``[cvx]`` extra against closed forms, without it one clear line."""

import sys

import pytest
import torch
from torch import Tensor

from metabench.errors import ArgumentError, DifferentiationError, OptionalDependencyError, SolverError
from metabench.layers.argmin import CvxLayer, Simplex, cvx_layer, project
from metabench.layers.record import SolveStatus


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cvxpylayers", None)
    monkeypatch.setitem(sys.modules, "cvxpylayers.torch", None)
    with pytest.raises(OptionalDependencyError, match=r"pip install 'metabench\[cvx\]'"):
        cvx_layer(None, parameters=[], variables=[])


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def nearest(policy: str = "keep") -> CvxLayer:
    """The projection of v on the simplex of size r."""
    pytest.importorskip("cvxpylayers")
    cp = pytest.importorskip("cvxpy")
    x, v, r = cp.Variable(3, name="x"), cp.Parameter(3, name="v"), cp.Parameter(name="r")
    problem = cp.Problem(cp.Minimize(cp.sum_squares(x - v)), [x >= 0, cp.sum(x) == r])
    return cvx_layer(problem, parameters=[v, r], variables=[x], policy=policy)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_agrees_with_the_closed_form(shape: tuple[int, ...]) -> None:
    v, r = normal(*shape, 3).requires_grad_(), torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    solution = nearest()(v, r)
    assert solution.record.converged.all()
    assert solution.record.status.shape == shape
    assert float(solution.record.residual.max()) < 1e-8
    expected = project(v, Simplex(r))
    torch.testing.assert_close(solution.values[0], expected, rtol=0, atol=1e-8)
    weights = normal(*shape, 3, seed=1)
    found, want = (torch.autograd.grad(value, (v, r), weights) for value in (solution.values[0], expected))
    for gradient, other in zip(found, want, strict=True):
        torch.testing.assert_close(gradient, other, rtol=0, atol=1e-5)


def test_a_bad_sample_harms_no_other() -> None:
    v, r = normal(4, 3), torch.ones(4, dtype=torch.float64)
    expected = project(v, Simplex())
    v[1, 0], r[2] = torch.nan, -1.0
    v.requires_grad_()
    solution = nearest()(v, r)
    status = [SolveStatus.CONVERGED, SolveStatus.INVALID, SolveStatus.INFEASIBLE, SolveStatus.CONVERGED]
    assert solution.record.status.tolist() == [each.code for each in status]
    (value,) = solution.values
    torch.testing.assert_close(value[[0, 3]], expected[[0, 3]], rtol=0, atol=1e-8)
    assert value[[1, 2]].isnan().all()
    (gradient,) = torch.autograd.grad(value.nan_to_num().square().sum(), v)
    assert not gradient[[1, 2]].any()
    assert gradient[[0, 3]].any(-1).all()
    with pytest.raises(SolverError, match="1 of 4 samples: the constraints are infeasible"):
        nearest("raise")(v, r)


def test_an_unbounded_sample() -> None:
    pytest.importorskip("cvxpylayers")
    cp = pytest.importorskip("cvxpy")
    y, c = cp.Variable(2), cp.Parameter(2)
    layer = cvx_layer(cp.Problem(cp.Minimize(c @ y), [y >= 0]), parameters=[c], variables=[y], policy="keep")
    solution = layer(torch.tensor([[-1.0, 1.0], [1.0, 1.0]]))
    assert solution.record.status.tolist() == [SolveStatus.DIVERGED.code, SolveStatus.CONVERGED.code]
    torch.testing.assert_close(solution.values[0][1], torch.zeros(2), rtol=0, atol=1e-6)


def test_a_solution_that_breaks_its_constraints_is_not_called_converged() -> None:
    # diffcp takes what Clarabel gives for an infeasible problem; its constraints tell.
    layer = nearest()
    layer.solver_args.update({"solve_method": "Clarabel"})
    solution = layer(normal(2, 3), torch.tensor([1.0, -1.0], dtype=torch.float64))
    assert solution.record.status.tolist()[0] == SolveStatus.CONVERGED.code
    assert solution.record.status.tolist()[1] != SolveStatus.CONVERGED.code


def test_shapes_dtypes_and_several_variables() -> None:
    pytest.importorskip("cvxpylayers")
    cp = pytest.importorskip("cvxpy")
    X, t, a = cp.Variable((2, 3)), cp.Variable(), cp.Parameter((2, 3))
    problem = cp.Problem(cp.Minimize(cp.sum_squares(X - a) + cp.square(t - 2)), [X >= 0])
    both = cvx_layer(problem, parameters=[a], variables=[t, X])
    given = normal(5, 2, 3).float()
    solution = both(given)
    assert [value.dtype for value in solution.values] == [torch.float32, torch.float32]
    torch.testing.assert_close(solution.values[0], torch.full((5,), 2.0), rtol=0, atol=1e-5)
    torch.testing.assert_close(solution.values[1], given.clamp_min(0), rtol=0, atol=1e-5)
    only = cvx_layer(problem, parameters=[a], variables=[X])(given)
    assert len(only.values) == 1
    assert both(given[:0]).values[1].shape == (0, 2, 3)


def test_bad_input() -> None:
    layer = nearest()
    one = torch.ones((), dtype=torch.float64)
    with pytest.raises(ArgumentError, match="1 tensors for 2 parameters"):
        layer(one)
    with pytest.raises(ArgumentError, match=r"v is given shape \(4, 2\); expected \(..., 3\)"):
        layer(normal(4, 2), one)
    with pytest.raises(ArgumentError, match="do not broadcast"):
        layer(normal(4, 3), one.expand(3))
    v = normal(3).requires_grad_()
    with pytest.raises(DifferentiationError, match="second derivative"):
        torch.autograd.grad(layer(v, one).values[0].square().sum(), v, create_graph=True)
    cp = pytest.importorskip("cvxpy")
    x, a, b = cp.Variable(), cp.Parameter(), cp.Parameter()
    with pytest.raises(ArgumentError, match="DPP"):
        cvx_layer(cp.Problem(cp.Minimize(cp.square(a * b * x - 1))), parameters=[a, b], variables=[x])
