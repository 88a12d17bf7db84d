"""The benchmark's own instruments: exact references against autograd, counts against hand counts, missing peers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _siblings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))


def test_the_exact_gradient_of_the_equilibrium_is_that_of_a_long_unroll() -> None:
    import equilibrium_case

    tensors = equilibrium_case.leaves(0.45, symmetric=False)
    cotangent = torch.randn(64, 128, generator=torch.Generator().manual_seed(1))
    value, gradients, radius = equilibrium_case.exact(tensors, cotangent)
    W, U, b, x = wide = [t.detach().double().requires_grad_() for t in tensors]
    z = torch.zeros_like(x)
    for _ in range(60):
        z = torch.tanh(z @ W.mT + x @ U.mT + b)
    torch.testing.assert_close(value, z)
    torch.testing.assert_close(gradients, torch.autograd.grad(z, wide, cotangent.double()))
    assert 0.4 < radius < 0.45


def test_the_exact_program_satisfies_the_optimality_conditions() -> None:
    import program_case

    tensors = program_case.leaves()
    Q, q, G, h, A, b = (t.detach() for t in tensors)
    cotangent = torch.ones(64, 20, dtype=torch.float64)
    z, gradients, margin = program_case.exact(tensors, cotangent)
    assert margin > 1e-6  # the active set is the right one, and strictly so
    torch.testing.assert_close((A @ z[..., None]).squeeze(-1), b)
    assert bool(((G @ z[..., None]).squeeze(-1) <= h + 1e-9).all())
    step = 1e-6 * torch.randn(64, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    ahead, _, _ = program_case.exact((Q, q + step, G, h, A, b), cotangent)
    behind, _, _ = program_case.exact((Q, q - step, G, h, A, b), cotangent)
    torch.testing.assert_close((ahead - behind).sum() / 2, (gradients[1] * step).sum(), rtol=1e-5, atol=0.0)


def test_the_exact_projection_is_that_of_sorting() -> None:
    import simplex_case

    v = torch.randn(8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    cotangent = torch.randn(8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    value, gradient = simplex_case.exact(v, cotangent)
    z = simplex_case.by_sorting(v)
    torch.testing.assert_close(value, z.detach())
    torch.testing.assert_close(gradient, torch.autograd.grad(z, v, cotangent)[0])


def test_evaluations_and_products_are_counted() -> None:
    from contest import Ledger

    ledger, weight = Ledger(), torch.ones(2, requires_grad=True)
    f = ledger.watch(lambda z: z * weight)
    with ledger.opened() as events:
        with torch.no_grad():
            f(torch.ones(3, 2))
        torch.autograd.grad(f(f(torch.ones(5, 2))).sum(), weight)
    assert events == {("evaluation", 3): 1, ("recorded", 5): 2, ("vjp-all", 5): 2}


def test_a_missing_peer_is_a_line(tmp_path: Path) -> None:
    file = tmp_path / "measured.json"
    command = [sys.executable, str(HERE / "layers.py"), "--cases", "simplex", "--repeats", "2", "--json", str(file)]
    hidden = {"PYTHONPATH": str(tmp_path), "PATH": "", "OMP_NUM_THREADS": "1"}
    (tmp_path / "cvxpylayers.py").write_text("raise ImportError('hidden')\n")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=hidden)
    assert done.returncode == 0, done.stderr
    assert "not installed" in done.stdout
    rows = {row["name"]: row for row in json.loads(file.read_text())["cases"][0]["rows"]}
    assert rows["cvxpylayers, default"]["median_ms"] is None
    assert rows["project_simplex"]["value_error"] < 1e-6
