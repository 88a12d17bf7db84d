"""What compiled solves save: ``make bench-compiled``.

Times a training step of each block that is solved iteratively (forward and backward, process-CPU, one thread) with the
operations of torch and as compiled loops, in turn, on 27 replicates of 128 samples of width 32: the shape in which
tables are built. Recurrent weights are three times their initial size, as they become in training.
"""

from __future__ import annotations

import argparse
from statistics import median
from time import process_time

import torch

from metabench.blocks.solving import SolveSettings, make_block
from metabench.layers.explicit import steps
from metabench.layers.fixed_point import compiled

BLOCKS = ("mlp.deq", "gated.deq", "mlp.deq-monotone", "qp.box", "qp.simplex", "mlp.ode", "gated.ode")
BLOCKS += ("mlp.ode-antisymmetric", "gated.tied")
PUBLISHED = SolveSettings()
CASES = [(name, name, PUBLISHED) for name in BLOCKS]
CASES += [
    (f"gated.deq {solver}", "gated.deq", SolveSettings.named(fixed_point_solver=solver, tolerance=1e-3))
    for solver in ("picard", "anderson", "broyden")
]
CASES += [
    (
        f"gated.ode {solver} {adjoint}",
        "gated.ode",
        SolveSettings.named(ode_solver=solver, ode_steps=3, ode_adjoint=adjoint, tolerance=1e-3),
    )
    for solver, adjoint in (("rk4", "continuous"), ("dopri5", "backprop"), ("dopri5", "continuous"))
]
REPLICATES, BATCH, WIDTH, GROWTH = 27, 128, 32, 3.0


def _yes() -> bool:
    return True


def _no() -> bool:
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=21)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    h = torch.randn(REPLICATES, BATCH, WIDTH, generator=torch.Generator().manual_seed(0))
    direction = torch.randn(h.shape, generator=torch.Generator().manual_seed(1))
    print(f"{'block':<28} {'torch [ms]':>10} {'compiled [ms]':>13} {'ratio':>6}")
    for label, name, settings in CASES:
        generators = [torch.Generator().manual_seed(i) for i in range(REPLICATES)]
        block = make_block(name, WIDTH, generators, settings)
        with torch.no_grad():
            dict(block.named_parameters())["cell.W"].mul_(GROWTH)
        seconds: dict[bool, list[float]] = {False: [], True: []}
        for turn in range(repeats + 2):
            for compiles, taken in seconds.items():
                steps.has_compiler = compiled.has_compiler = {False: _no, True: _yes}[compiles]
                leaf = h.clone().requires_grad_()
                start = process_time()
                block(leaf)[0].backward(direction)
                if turn >= 2:  # the first ones compile, and warm the caches
                    taken.append(process_time() - start)
        ours, theirs = median(seconds[True]), median(seconds[False])
        print(f"{label:<28} {1e3 * theirs:>10.1f} {1e3 * ours:>13.1f} {theirs / ours:>6.2f}")


if __name__ == "__main__":
    main()
