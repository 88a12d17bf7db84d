"""The dense quadratic program's contract: bad samples, policies, records and errors."""

import pytest
import torch
from torch import Tensor

from metabench.errors import ArgumentError, DifferentiationError, SolverError
from metabench.layers.argmin import QPSolution, dense_qp
from metabench.layers.record import SolveStatus
from metabench.layers.stopping import Tolerance

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


def bad_programs() -> dict[str, tuple[SolveStatus, list[Tensor]]]:
    """Sample 2 of five is spoilt, each time in another way."""
    found = {}
    for name in (
        "NaN in Q",
        "NaN in q",
        "infinity in h",
        "NaN in G",
        "infeasible",
        "dependent",
        "indefinite",
        "singular",
    ):
        Q, q, A, b, G, h = (t.clone() for t in program(batch=5, n=5, m=4, p=2, seed=1))
        status = SolveStatus.INVALID
        if name == "NaN in Q":
            Q[2, 0, 0] = torch.nan
        elif name == "NaN in q":
            q[2, 1] = torch.nan
        elif name == "infinity in h":
            h[2, 1] = -torch.inf
        elif name == "NaN in G":
            G[2, 1, 1] = torch.nan
        elif name == "infeasible":
            G[2, 1], h[2, 1], status = -G[2, 0], -h[2, 0] - 1, SolveStatus.INFEASIBLE
        elif name == "dependent":
            A[2, 1], b[2, 1], status = 2 * A[2, 0], 2 * b[2, 0], SolveStatus.INFEASIBLE
        elif name == "indefinite":
            Q[2] = -Q[2]
        else:
            Q[2] = torch.diag(torch.tensor([1.0, 1, 1, 1, 0], dtype=torch.float64))
        found[name] = (status, [Q, q, A, b, G, h])
    return found


@pytest.mark.parametrize("name", bad_programs())
def test_a_bad_sample_harms_no_other(name: str) -> None:
    status, data = bad_programs()[name]
    tensors = [t.requires_grad_() for t in data]
    solution = solve(tensors, policy="keep")
    good = torch.tensor([0, 1, 3, 4])
    assert SolveStatus.CONVERGED.code == int(solution.record.status[good].max())
    assert int(solution.record.status[2]) == status.code
    kept = [t.detach()[good].requires_grad_() for t in data]
    reference = solve(kept)
    for output in OUTPUTS:
        assert torch.equal(getattr(solution, output)[good], getattr(reference, output)), output
    weights = torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gradients = torch.autograd.grad((solution.value * weights).nan_to_num().sum(), tensors)
    expected = torch.autograd.grad((reference.value * weights[good]).sum(), kept)
    for gradient, want in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient[good], want, rtol=1e-12, atol=1e-13)
        assert not gradient[2].any()
    if status is SolveStatus.INVALID:
        assert solution.value[2].isnan().all()


def test_a_nan_in_a_shared_argument_spoils_all() -> None:
    Q, q, A, b, G, h = program()
    G = G[0].clone()
    G[0, 0] = torch.nan
    solution = solve([Q, q, A, b, G, h], policy="keep")
    assert (solution.record.status == SolveStatus.INVALID.code).all()
    assert solution.value.isnan().all()


@pytest.mark.parametrize("i", range(4))
def test_alone_and_in_a_batch(i: int) -> None:
    # Sample i in another company, some of which takes more steps.
    data = program(batch=4, n=6, m=5, p=1, seed=3)
    data[1] = data[1] * torch.logspace(-1, 3, 4, dtype=torch.float64)[:, None]
    together, alone = solve(data), solve([t[i : i + 1] for t in data])
    for output in OUTPUTS:
        assert torch.equal(getattr(together, output)[i], getattr(alone, output)[0]), output
    assert int(together.record.steps[i]) == int(alone.record.steps[0])


def test_policy(recwarn: pytest.WarningsRecorder) -> None:
    _, data = bad_programs()["infeasible"]
    with pytest.raises(SolverError, match="1 of 5 samples: the constraints are infeasible"):
        solve(data, policy="raise")
    blanked = solve(data, policy="nan")
    assert blanked.value.isnan().any(-1).tolist() == [False, False, True, False, False]
    assert blanked.inequality_dual.isnan().any(-1).tolist() == [False, False, True, False, False]
    assert not solve(data, policy="keep").value.isnan().any()
    assert len(recwarn) == 0
    assert solve(program(), policy="raise").record.converged.all()


def test_step_limit() -> None:
    solution = solve(program(), stopping=Tolerance(rtol=1e-12, atol=0.0, max_steps=2), policy="keep")
    assert (solution.record.status == SolveStatus.MAX_STEPS.code).all()
    assert solution.record.steps.tolist() == [2, 2, 2]
    assert float(solution.record.residual.min()) > 1e-9


def test_records() -> None:
    data = [t.requires_grad_() for t in program()]
    solution = solve(data)
    assert solution.record.backward is None
    assert (solution.record.nfe == solution.record.steps).all()
    solution.value.sum().backward()
    assert solution.record.backward is not None
    assert solution.record.backward.converged.all()
    assert float(solution.record.backward.residual.max()) < 1e-10


def test_second_derivatives_and_transforms_raise() -> None:
    Q, q, *_ = program()
    q.requires_grad_()
    with pytest.raises(DifferentiationError, match="second derivative"):
        torch.autograd.grad(dense_qp(Q, q).value.sum(), q, create_graph=True)
    with pytest.raises(DifferentiationError, match=r"torch\.func"):
        torch.func.vmap(dense_qp)(Q, q)
    with pytest.raises(DifferentiationError, match=r"torch\.func"):
        torch.func.grad(lambda q: dense_qp(Q, q).value.sum())(q)


def test_bad_input() -> None:
    Q, q, A, b, G, h = program()
    for message, arguments in {
        r"Q has shape \(3, 4, 3\)": {"Q": Q[..., :3]},
        r"q has shape \(3, 3\)": {"q": q[:, :3]},
        "A is given without b": {"b": None},
        "h is given without G": {"G": None},
        r"G has shape \(3, 5, 3\)": {"G": G[..., :3]},
        r"h has shape \(3, 4\)": {"h": h[:, :4]},
        "at most 4 independent": {"A": torch.ones(5, 4, dtype=torch.float64), "b": torch.ones(5, dtype=torch.float64)},
        r"torch\.float32": {"q": q.float()},
        "do not broadcast": {"q": q[:2]},
        "not symmetric": {"Q": Q + torch.triu(torch.ones(4, 4, dtype=torch.float64))},
        "not positive definite": {"Q": -Q[0]},
    }.items():
        given = {"Q": Q, "q": q, "A": A, "b": b, "G": G, "h": h, **arguments}
        with pytest.raises(ArgumentError, match=message):
            dense_qp(given.pop("Q"), given.pop("q"), **given)
    with pytest.raises(ArgumentError, match="unknown policy"):
        solve(bad_programs()["infeasible"][1], policy="ignore")
