"""Gradient error against cost, over solver x adjoint x tolerance: python tests/benchmarks/layers_figure.py --help.

Draws metabench/layers/figures/fixed_point.png and ode.png. All of it is also in the file that ``--json`` writes, and
``--redraw`` draws from such a file without measuring. Peers are drawn if they are installed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import equilibrium_case
import ode_case
import torch
from contest import Case, Solve, clock
from torch import Tensor

from metabench.errors import MetabenchError
from metabench.layers import ode_solve
from metabench.layers.adjoint import all_adjoints
from metabench.layers.fixed_point import all_solvers, batch_solvers
from metabench.layers.ode import Backprop, Bosh3, Checkpointed, ContinuousAdjoint, Dopri5, RungeKutta4, Tsit5
from metabench.layers.stopping import Tolerance

FIGURES = Path(__file__).parents[2] / "metabench" / "layers" / "figures"
TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
_PATIENCE = 2000.0  # milliseconds for all runs of one setting

Setting = tuple[str, float, Solve]  # curve, tolerance, solve
Point = dict[str, Any]


def equilibrium_settings(f: Callable[..., Tensor], case: Case) -> Iterator[Setting]:
    """Every solver with every adjoint at every tolerance, and torchdeq's exact gradient."""
    W, U, b, x = case.leaves
    for solver in (*all_solvers, *batch_solvers):
        for adjoint in all_adjoints:
            for rtol in TOLERANCES:
                stopping = Tolerance(atol=0.0, rtol=rtol, max_steps=300)
                run = partial(equilibrium_case.ours, f, case.leaves, solver(), adjoint(), stopping=stopping)
                yield f"{solver.__name__} + {adjoint.__name__}", rtol, run
    try:
        from torchdeq import get_deq
    except ImportError:
        return

    def peer(deq: Any) -> Tensor:
        injection = torch.addmm(b, x, U.mT)
        return deq(lambda z: f(z, injection, W), torch.zeros_like(x))[0][-1]

    size = float(torch.linalg.vector_norm(case.value, dim=-1).mean())
    for name in ("fixed_point_iter", "anderson", "broyden"):
        for rtol in TOLERANCES:
            tolerance = {"f_tol": rtol * size, "b_tol": rtol * size, "f_max_iter": 300, "b_max_iter": 300}
            yield (
                f"torchdeq {name}, ift",
                rtol,
                partial(peer, get_deq(f_solver=name, b_solver=name, ift=True, **tolerance)),
            )


def ode_settings(f: Callable[..., Tensor], case: Case) -> Iterator[Setting]:
    """Every adaptive solver with every adjoint at every tolerance, grids of RK4, and peers."""
    z0 = case.leaves[0]

    def ours(solver: Any, adjoint: Any) -> Tensor:
        return ode_solve(f, z0, solver=solver, adjoint=adjoint, policy="keep").value

    for adjoint in (Backprop, Checkpointed, ContinuousAdjoint):
        for solver in (Tsit5, Dopri5, Bosh3):
            for rtol in TOLERANCES[1:]:
                run = partial(ours, solver(rtol=rtol, atol=rtol / 100), adjoint())
                yield f"{solver.__name__} + {adjoint.__name__}", rtol, run
        for steps in (10, 20, 40, 80, 160):
            yield f"RungeKutta4 + {adjoint.__name__}", 1 / steps, partial(ours, RungeKutta4(steps=steps), adjoint())
    times = torch.tensor([0.0, 1.0])
    try:
        from torchdiffeq import odeint

        for rtol in TOLERANCES[1:]:
            yield (
                "torchdiffeq dopri5",
                rtol,
                lambda r=rtol: odeint(f, z0, times, rtol=r, atol=r / 100, method="dopri5")[-1],
            )
    except ImportError:
        pass
    try:
        from torchdyn.numerics import odeint as torchdyn

        for rtol in TOLERANCES[1:]:
            yield (
                "torchdyn tsit5",
                rtol,
                lambda r=rtol: torchdyn(f, z0, times, solver="tsit5", rtol=r, atol=r / 100)[1][-1],
            )
    except ImportError:
        pass


def points(case: Case, settings: Iterator[Setting], repeats: int, say: Callable[[str], None]) -> list[Point]:
    """Measures each setting: errors and counts once, the time as a median."""
    found = []
    for curve, tolerance, solve in settings:
        say(f"{case.name}: {curve}, {tolerance:g}")
        try:
            with case.ledger.opened() as events:
                value, gradients = case.run(solve)
            spent = clock(lambda solve=solve: case.run(solve))
        except (MetabenchError, RuntimeError, AssertionError) as error:  # a combination that refuses is left out
            say(f"{case.name}: {curve}: {error}")
            continue
        value_error, gradient_error = case.errors(value, gradients)
        times = max(1, min(repeats, int(_PATIENCE / spent)))
        took = [clock(lambda solve=solve: case.run(solve)) for _ in range(times)]
        whole = case.value.shape[0]  # what evaluates more samples than the batch has, as Chord once does, counts more
        weights = {(kind, rows): n * max(1.0, rows / whole) for (kind, rows), n in events.items()}
        evaluations = sum(n for (kind, _), n in weights.items() if kind in ("evaluation", "recorded"))
        products = sum(n for (kind, _), n in weights.items() if kind in ("vjp", "vjp-all"))
        products += sum(n for (kind, _), n in events.items() if kind == "jacobian") * case.value.shape[-1]
        found.append(
            {
                "curve": curve,
                "tolerance": tolerance,
                "ms": statistics.median(took),
                "evaluations": evaluations,
                "products": products,
                "value_error": value_error,
                "gradient_error": gradient_error,
            }
        )
    return found


def study(repeats: int, say: Callable[[str], None]) -> dict[str, list[Point]]:
    """Both equilibria and the ODE of the benchmark."""
    cases: dict[str, list[Point]] = {}
    for name, radius, symmetric in (("deq", 0.45, False), ("deq-slow", 0.94, True)):
        case = equilibrium_case.make(name, radius, symmetric=symmetric, gradient_limit=1.0, goals=())
        cases[name] = points(case, equilibrium_settings(case.ledger.watch(equilibrium_case.cell), case), repeats, say)
    case = ode_case.make("ode", 64, goals=())
    _, rates = ode_case.leaves(64)
    f = case.ledger.watch(lambda t, z: ode_case.field(t, z, rates, *case.leaves[1:]), z_at=1)
    cases["ode"] = points(case, ode_settings(f, case), repeats, say)
    return cases


def main() -> int:
    """Measures, draws."""
    from drawing import draw_equilibria, draw_odes

    parser = argparse.ArgumentParser(description="Gradient error against cost.")
    parser.add_argument("--repeats", type=int, default=7, help="runs of every setting")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured")
    parser.add_argument("--redraw", type=Path, metavar="FILE", help="draw from such a file, measure nothing")
    parser.add_argument("--out", type=Path, default=FIGURES, help="folder for the figures")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if chosen.redraw:
        cases = json.loads(chosen.redraw.read_text())
    else:
        cases = study(chosen.repeats, lambda text: print(text, file=sys.stderr))
    if chosen.json:
        chosen.json.write_text(json.dumps(cases, indent=1) + "\n")
    chosen.out.mkdir(parents=True, exist_ok=True)
    draw_equilibria(cases, chosen.out / "fixed_point.png")
    draw_odes(cases, chosen.out / "ode.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
