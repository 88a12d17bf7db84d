"""The dense quadratic program against the enumeration of active sets, SciPy and finite differences."""

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from metabench.layers.argmin import QPSolution, dense_qp
from metabench.layers.record import SolveStatus

NAMES = ("Q", "q", "A", "b", "G", "h")
OUTPUTS = ("value", "equality_dual", "inequality_dual", "slack")


def program(batch: int = 3, n: int = 4, m: int = 5, p: int = 1, seed: int = 0) -> list[Tensor]:
    """Q, q, A, b, G, h around a strictly feasible point; about half of the inequalities are active."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=generator)

    root, q, A, G = normal(batch, n, n), 2 * normal(batch, n), normal(batch, p, n), normal(batch, m, n)
    point = normal(batch, n, 1)
    room = 0.1 + torch.rand(batch, m, dtype=torch.float64, generator=generator)
    Q = root @ root.mT / n + 0.2 * torch.eye(n, dtype=torch.float64)
    return [Q, q, A, (A @ point)[..., 0], G, (G @ point)[..., 0] + room]


def solve(data: list[Tensor], **settings: object) -> QPSolution:
    Q, q, A, b, G, h = data
    return dense_qp(Q, q, A=A, b=b, G=G, h=h, **settings)  # type: ignore[arg-type]


def enumerate_active_sets(Q: np.ndarray, q: np.ndarray, A: np.ndarray, b: np.ndarray, G: np.ndarray, h: np.ndarray):
    """The one subset of inequalities, held as equalities, whose point is feasible with multipliers >= 0."""
    n, p, m = len(q), len(b), len(h)
    for size in range(min(m, n - p) + 1):
        for chosen in combinations(range(m), size):
            rows = np.concatenate([A, G[list(chosen)]])
            zero = np.zeros((len(rows), len(rows)))
            system = np.block([[Q, rows.T], [rows, zero]])
            answer = np.linalg.solve(system, np.concatenate([-q, b, h[list(chosen)]]))
            z, w = answer[:n], np.zeros(m)
            w[list(chosen)] = answer[n + p :]
            if (h - G @ z >= -1e-9).all() and (w >= -1e-9).all():
                return z, answer[n : n + p], w, h - G @ z
    raise AssertionError("no active set satisfies the optimality conditions")


@pytest.mark.parametrize("p", [0, 1, 2])
def test_agrees_with_the_enumeration_of_active_sets(p: int) -> None:
    data = program(batch=20, n=4, m=6, p=p, seed=p)
    solution = solve(data)
    assert solution.record.converged.all()
    active = 0
    for i in range(20):
        expected = enumerate_active_sets(*(tensor[i].numpy() for tensor in data))
        active += int((expected[2] > 0).sum())
        for name, want in zip(OUTPUTS, expected, strict=True):
            np.testing.assert_allclose(getattr(solution, name)[i].numpy(), want, atol=1e-9, err_msg=name)
    assert active >= 10


def test_agrees_with_scipy() -> None:
    data = program(batch=4, n=12, m=8, p=3, seed=5)
    solution = solve(data)
    for i in range(4):
        Q, q, A, b, G, h = (tensor[i].numpy() for tensor in data)
        answer = minimize(
            lambda z, Q=Q, q=q: 0.5 * z @ Q @ z + q @ z,
            np.zeros(12),
            jac=lambda z, Q=Q, q=q: Q @ z + q,
            constraints=[
                {"type": "eq", "fun": lambda z, A=A, b=b: A @ z - b, "jac": lambda z, A=A: A},
                {"type": "ineq", "fun": lambda z, G=G, h=h: h - G @ z, "jac": lambda z, G=G: -G},
            ],
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        np.testing.assert_allclose(solution.value[i].numpy(), answer.x, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_optimality_conditions(seed: int) -> None:
    data = program(batch=16, n=20, m=10, p=5, seed=seed)
    Q, q, A, b, G, h = data
    solution = solve(data)
    z, y, w, s = (getattr(solution, name) for name in OUTPUTS)
    assert solution.record.converged.all()
    assert int(solution.record.steps.max()) <= 15

    def times(matrix: Tensor, vector: Tensor) -> Tensor:
        return (matrix @ vector[..., None])[..., 0]

    close = {"rtol": 0.0, "atol": 1e-10}
    torch.testing.assert_close(times(Q, z) + q + times(A.mT, y) + times(G.mT, w), torch.zeros_like(q), **close)
    torch.testing.assert_close(times(A, z), b, **close)
    torch.testing.assert_close(h - times(G, z), s, **close)
    assert float(torch.minimum(w, s).min()) >= 0
    assert float(torch.minimum(w, s).max()) <= 1e-10


def leaves(data: list[Tensor], shared: str) -> list[Tensor]:
    """Each tensor with a gradient; those named in ``shared`` are the first sample's, without the sample axis."""
    return [(t[0] if name in shared else t).clone().requires_grad_() for name, t in zip(NAMES, data, strict=True)]


def shared_program(shared: str) -> list[Tensor]:
    """A program in which those in ``shared`` are the same for all samples, and one point is feasible for all."""
    tensors = [t[:1].expand_as(t) if name in shared else t for name, t in zip(NAMES, program(seed=7), strict=True)]
    Q, q, A, _, G, h = tensors
    A, G = (A[:1].expand_as(A) if "b" in shared else A), (G[:1].expand_as(G) if "h" in shared else G)
    point = torch.full((4,), 0.3, dtype=torch.float64)
    room = 0.1 + 0.2 * torch.sigmoid(h)
    return [Q, q, A, A @ point, G, G @ point + room]


@pytest.mark.parametrize("shared", ["", "Q", "A", "G", "QAG", "qbh", "QqAbGh"])
def test_gradcheck_of_every_output_to_every_argument(shared: str) -> None:
    data = shared_program(shared)

    def outputs(*tensors: Tensor) -> tuple[Tensor, ...]:
        Q, *rest = tensors
        solution = solve([(Q + Q.mT) / 2, *rest])
        assert solution.record.converged.all()
        return tuple(getattr(solution, name) for name in OUTPUTS)

    tensors = leaves(data, shared)
    with torch.no_grad():
        dual, slack = outputs(*tensors)[2:]
    assert float(torch.maximum(dual, slack).min()) > 1e-3  # else finite differences would cross a kink
    assert float(dual.max()) > 1e-2
    assert torch.autograd.gradcheck(outputs, tensors, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_of_a_shared_argument_is_the_sum_over_the_batch(name: str) -> None:
    data = program(batch=6, n=5, m=4, p=2, seed=2)
    place = NAMES.index(name)
    # A program that stays feasible for one b and one h: the point 0.
    data[3], data[5] = torch.zeros_like(data[3]), 0.1 + data[5].abs()
    weights = [torch.randn(6, k, dtype=torch.float64, generator=torch.Generator().manual_seed(k)) for k in (5, 2, 4, 3)]

    def gradient(leaf: Tensor, tensor: Tensor) -> Tensor:
        given = [*data[:place], tensor, *data[place + 1 :]]
        solution = solve(given)
        outputs = [getattr(solution, output) for output in OUTPUTS]
        weights[3] = weights[2].flip(0)
        total = sum((w * output).sum() for w, output in zip(weights, outputs, strict=True))
        return torch.autograd.grad(total, leaf)[0]

    one = data[place][0].clone().requires_grad_()
    many = data[place][:1].repeat(6, *[1] * (data[place].ndim - 1)).requires_grad_()
    torch.testing.assert_close(gradient(one, one), gradient(many, many).sum(0), rtol=1e-9, atol=1e-11)


def test_only_the_gradients_that_are_asked_for() -> None:
    data = program()
    q = data[1].requires_grad_()
    (gradient,) = torch.autograd.grad(solve(data).value.sum(), q)
    assert gradient.shape == q.shape
    solution = solve([t.detach() for t in data])
    assert not solution.value.requires_grad


def test_analytic_solution() -> None:
    # The point of x + y + z = 3 nearest to (4, 1, 1) has multiplier 1; with x <= 1.5 besides, (1.5, .75, .75).
    eye, q = torch.eye(3, dtype=torch.float64), torch.tensor([-4.0, -1.0, -1.0], dtype=torch.float64)
    A, b = torch.ones(1, 3, dtype=torch.float64), torch.tensor([3.0], dtype=torch.float64)
    solution = dense_qp(eye, q, A=A, b=b)
    torch.testing.assert_close(solution.value, torch.tensor([3.0, 0.0, 0.0], dtype=torch.float64))
    torch.testing.assert_close(solution.equality_dual, torch.tensor([1.0], dtype=torch.float64))
    bounded = dense_qp(eye, q, A=A, b=b, G=eye[:1], h=torch.tensor([1.5], dtype=torch.float64))
    torch.testing.assert_close(bounded.value, torch.tensor([1.5, 0.75, 0.75], dtype=torch.float64))
    torch.testing.assert_close(bounded.equality_dual, torch.tensor([0.25], dtype=torch.float64))
    torch.testing.assert_close(bounded.inequality_dual, torch.tensor([2.25], dtype=torch.float64))


def test_no_constraints() -> None:
    Q, q, A, b, G, h = program()
    expected = torch.linalg.solve(Q, -q)
    shared = torch.linalg.solve(Q[0], -q.mT).mT
    torch.testing.assert_close(dense_qp(Q, q).value, expected)
    torch.testing.assert_close(dense_qp(Q[0], q).value, shared)
    assert torch.autograd.gradcheck(lambda q: dense_qp(Q[0], q).value, (q.requires_grad_(),))
    assert dense_qp(Q, q).equality_dual.shape == (3, 0)
    assert dense_qp(Q, q, A=A, b=b).inequality_dual.shape == (3, 0)
    assert dense_qp(Q[0], q, G=G[0], h=h).equality_dual.shape == (3, 0)
    point = Q[0].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda Q: dense_qp((Q + Q.mT) / 2, q.detach(), G=G[0], h=h).value, (point,))


def test_batch_shapes() -> None:
    data = program(batch=6)
    expected = solve(data)
    grid = solve([t.reshape(2, 3, *t.shape[1:]) for t in data])
    torch.testing.assert_close(grid.value.reshape(6, -1), expected.value)
    assert grid.record.status.shape == (2, 3)
    alone = solve([t[0] for t in data])
    torch.testing.assert_close(alone.value, expected.value[0])
    assert alone.record.status.shape == ()
    one = solve([t[:1] for t in data])
    torch.testing.assert_close(one.value, expected.value[:1])
    leaf = data[0][:0].clone().requires_grad_()
    empty = solve([leaf, *(t[:0] for t in data[1:])])
    assert empty.value.shape == (0, 4)
    assert torch.autograd.grad(empty.value.sum(), leaf)[0].shape == (0, 4, 4)


def test_almost_flat_objective() -> None:
    # Least 1e-8/2 |z|^2 - x: the minimum is far away, at x = 1e8, and a bound at 1e3 holds it.
    Q, q = 1e-8 * torch.eye(2, dtype=torch.float64), torch.tensor([-1.0, 0.0], dtype=torch.float64)
    free = dense_qp(Q, q)
    torch.testing.assert_close(free.value, torch.tensor([1e8, 0.0], dtype=torch.float64))
    held = dense_qp(Q, q, G=torch.tensor([[1.0, 0.0]], dtype=torch.float64), h=torch.tensor([1e3], dtype=torch.float64))
    assert held.record.converged.all()
    torch.testing.assert_close(held.value, torch.tensor([1e3, 0.0], dtype=torch.float64))
    torch.testing.assert_close(held.inequality_dual, torch.tensor([1 - 1e-5], dtype=torch.float64))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_units(scale: float) -> None:
    Q, q, A, b, G, h = program(batch=8, n=6, m=5, p=2)
    expected = solve([Q, q, A, b, G, h]).value
    torch.testing.assert_close(solve([scale * Q, scale * q, A, b, G, h]).value, expected, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(
        solve([Q, scale * q, A, scale * b, G, scale * h]).value, scale * expected, rtol=1e-9, atol=1e-9 * scale
    )
    torch.testing.assert_close(
        solve([Q, q, scale * A, scale * b, scale * G, scale * h]).value, expected, rtol=1e-9, atol=1e-10
    )


def test_twice_the_same_inequality() -> None:
    # x <= 1 twice, pulled with force 1: the multipliers add up to 1.
    G, h = torch.tensor([[1.0, 0.0]] * 2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    q = torch.tensor([-2.0, 0.0], dtype=torch.float64)
    solution = dense_qp(torch.eye(2, dtype=torch.float64), q, G=G, h=h)
    assert solution.record.converged.all()
    torch.testing.assert_close(solution.value, torch.tensor([1.0, 0.0], dtype=torch.float64), rtol=0, atol=1e-11)
    assert float(solution.inequality_dual.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize(("side", "status"), [(1.0, "CONVERGED"), (2.0, "CONVERGED"), (0.5, "INFEASIBLE")])
def test_an_inequality_that_the_equalities_decide(side: float, status: str) -> None:
    # x = 1 and x <= side. Their multipliers are not unique: y + w = 1.
    A, b = torch.tensor([[1.0, 0.0]], dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    q = torch.tensor([-2.0, 0.3], dtype=torch.float64, requires_grad=True)
    solution = dense_qp(
        torch.eye(2, dtype=torch.float64), q, A=A, b=b, G=A, h=torch.tensor([side], dtype=torch.float64), policy="keep"
    )
    assert int(solution.record.status) == SolveStatus[status].code
    if status == "CONVERGED":
        torch.testing.assert_close(solution.value.detach(), torch.tensor([1.0, -0.3], dtype=torch.float64))
        assert float((solution.equality_dual + solution.inequality_dual).detach()) == pytest.approx(1.0)
        torch.testing.assert_close(
            torch.autograd.grad(solution.value.sum(), q)[0], torch.tensor([0.0, -1.0], dtype=torch.float64)
        )


def test_a_zero_row() -> None:
    # 0 <= 1 says nothing, 0 <= -1 cannot hold.
    Q, q, zero = torch.eye(2, dtype=torch.float64), torch.ones(2, 2, dtype=torch.float64), torch.zeros(1, 2)
    h = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    solution = dense_qp(Q, q, G=zero.double(), h=h, policy="keep")
    assert solution.record.status.tolist() == [SolveStatus.CONVERGED.code, SolveStatus.INFEASIBLE.code]
    torch.testing.assert_close(solution.value[0], -q[0])


def test_float32() -> None:
    data = program(batch=32, n=10, m=8, p=3, seed=4)
    exact = solve([t.requires_grad_() for t in data])
    single = [t.detach().float().requires_grad_() for t in data]
    solution = solve(single)
    assert solution.record.converged.all()
    assert solution.value.dtype == torch.float32
    # Q's condition number is about 100, float32's resolution 1.2e-7.
    torch.testing.assert_close(solution.value.double(), exact.value, rtol=0, atol=2e-4)
    expected = torch.autograd.grad(exact.value.square().sum(), data[1])[0]
    gradient = torch.autograd.grad(solution.value.square().sum(), single[1])[0]
    torch.testing.assert_close(gradient.double(), expected, rtol=0, atol=2e-3 * float(expected.abs().max()))
