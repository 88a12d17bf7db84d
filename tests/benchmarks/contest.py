"""One problem solved by several libraries: what is timed, what is counted, and how right the answers are.

Timing is process-CPU time of one forward and one backward pass, contenders interleaved. A contender's floor is what
its own evaluations and vector-Jacobian products cost by themselves: they are counted in a run that is not timed, by
kind and batch size, and each kind is timed alone between the contenders.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

Solve = Callable[[], Tensor]
Event = tuple[str, int]  # kind, batch size
_CALLS = 20  # at most, in one timing; after the other contenders the first call of a short one finds cold caches
_LONG = 20.0  # milliseconds; what takes longer is called once in a timing


@dataclass
class Ledger:
    """Counts what a contender spends, while it is open.

    Kinds are "evaluation" (without a graph), "recorded" (with one), "vjp" (to the state), "vjp-all" (to everything, in
    the outermost backward pass), "product" (one by hand), "jacobian" (a dense one, by a batched product), and what a
    case adds.
    """

    events: Counter[Event] = field(default_factory=Counter)
    is_open: bool = False
    _depth: int = 0
    _batched: bool = False

    def add(self, kind: str, rows: int, times: int = 1) -> None:
        if self.is_open:
            self.events[kind, rows] += times

    def watch(self, f: Callable[..., Tensor], z_at: int = 0) -> Callable[..., Tensor]:
        """``f`` with its evaluations and the products through it counted; its argument ``z_at`` is the state."""

        def watched(*arguments: Any) -> Tensor:
            image = f(*arguments)
            if self.is_open:
                rows = arguments[z_at].shape[0]
                self.add("recorded" if image.requires_grad else "evaluation", rows)
                if image.requires_grad:
                    image.register_hook(self._product)
            return image

        return watched

    def _product(self, grad: Tensor) -> None:
        inner = "jacobian" if self._batched else "vjp"
        self.add("vjp-all" if self._depth == 1 else inner, grad.shape[-2])

    @contextmanager
    def opened(self) -> Iterator[Counter[Event]]:
        """Counts from empty; sees which backward pass is the outermost."""
        self.events, self.is_open, self._depth = Counter(), True, 0
        original = torch.autograd.grad

        def grad(*arguments: Any, **options: Any) -> Any:
            self._depth += 1
            self._batched = bool(options.get("is_grads_batched"))
            try:
                return original(*arguments, **options)
            finally:
                self._depth -= 1
                self._batched = False

        torch.autograd.grad = grad
        try:
            yield self.events
        finally:
            torch.autograd.grad = original
            self.is_open = False


@dataclass(frozen=True)
class Goal:
    """Something to reach with the recommended setting.

    Attributes:
        quantity: "floor" (times our floor), "speed-up" (over the best peer of comparable accuracy), "ms", "value" and
            "gradient" (errors).
        limit: at most this; at least this for a speed-up.
        peer: how the peers' names begin, for a speed-up.
    """

    quantity: Literal["floor", "speed-up", "ms", "value", "gradient"]
    limit: float
    peer: str = ""


@dataclass(frozen=True)
class Contender:
    """A way to solve the case's problem.

    Attributes:
        name: as it stands in the table.
        side: "ours", "peer", or "baseline" for what is no library and not part of the ratios.
        build: makes the settings to choose from, label -> solve. What it imports may be missing.
        role: "recommended" is the one of ours that the ratios are about; "other" stands beside it.
        exact: False for a gradient that is biased by design, which is never compared on speed.
    """

    name: str
    side: Literal["ours", "peer", "baseline"]
    build: Callable[[], dict[str, Solve]]
    role: Literal["recommended", "other"] = "other"
    exact: bool = True


@dataclass(frozen=True)
class Case:
    """One problem.

    Attributes:
        name: what ``--cases`` takes.
        title: one line for the table.
        leaves: the tensors that get a gradient.
        cotangent: of the value, the gradient of the loss.
        value: exact, float64.
        gradients: exact, float64, one for each leaf.
        contenders: in the order of the table.
        costs: for each kind of event, what makes a callable that spends one of the given batch size.
        ledger: the one that the contenders' functions report to.
        value_limit: worst-sample relative error that is asked for.
        gradient_limit: relative error of the gradient that is asked for.
        goals: what is to be reached.
        unit: what the columns of counts count.
        symmetric: leaves whose gradient is symmetrised before it is compared.
        notes: facts about the problem, measured.
    """

    name: str
    title: str
    leaves: tuple[Tensor, ...]
    cotangent: Tensor
    value: Tensor
    gradients: tuple[Tensor, ...]
    contenders: tuple[Contender, ...]
    costs: dict[str, Callable[[int], Callable[[], object]]]
    ledger: Ledger
    value_limit: float
    gradient_limit: float
    goals: tuple[Goal, ...]
    unit: str = "evaluations"
    symmetric: tuple[int, ...] = ()
    notes: dict[str, float] = field(default_factory=dict)

    def run(self, solve: Solve) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Forward and backward: what is timed."""
        value = solve()
        return value, torch.autograd.grad(value, self.leaves, self.cotangent)

    def errors(self, value: Tensor, gradients: Sequence[Tensor]) -> tuple[float, float]:
        """Worst-sample relative error of the value, and the relative error of all gradients taken together."""
        off = value.detach().double() - self.value
        norm = torch.linalg.vector_norm
        worst = norm(off, dim=-1) / norm(self.value, dim=-1).clamp_min(1e-300)
        missed = wanted = 0.0
        for i, (found, exact) in enumerate(zip(gradients, self.gradients, strict=True)):
            found = found.double()
            if i in self.symmetric:
                found, exact = (found + found.mT) / 2, (exact + exact.mT) / 2
            missed += float(norm(found - exact)) ** 2
            wanted += float(norm(exact)) ** 2
        return float(worst.max().nan_to_num(torch.inf)), (missed / wanted) ** 0.5


@dataclass
class Row:
    """What was measured of one contender; times in milliseconds of process-CPU time."""

    name: str
    side: str
    role: str = "other"
    exact: bool = True
    setting: str = ""
    note: str = ""
    times: list[float] = field(default_factory=list)
    value_error: float = float("nan")
    gradient_error: float = float("nan")
    events: Counter[Event] = field(default_factory=Counter)
    floor: float = float("nan")
    _solve: Solve | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.times) if self.times else float("nan")

    @property
    def quartiles(self) -> tuple[float, float]:
        if len(self.times) < 2:
            return self.median, self.median
        low, _, high = statistics.quantiles(self.times, n=4, method="inclusive")
        return low, high

    def count(self, *kinds: str) -> int:
        return sum(n for (kind, _), n in self.events.items() if kind in kinds)

    @property
    def forward(self) -> int:
        """Evaluations, or what a case counts instead."""
        return self.count("evaluation", "recorded", "factorisation", "sort")

    @property
    def backward(self) -> int:
        return self.count("vjp", "vjp-all", "product", "jacobian")


@dataclass
class Result:
    """The rows of a case."""

    case: Case
    rows: list[Row]

    def meets(self, row: Row) -> bool:
        """Whether the accuracy that the case asks for is reached."""
        return row.value_error <= self.case.value_limit and row.gradient_error <= self.case.gradient_limit

    @property
    def ours(self) -> Row | None:
        return next((row for row in self.rows if row.role == "recommended" and row.times), None)

    def best_peer(self, prefix: str = "") -> tuple[Row, bool] | None:
        """The fastest peer with an accuracy comparable to ours, and True; without one the most accurate, and False.

        Comparable is within what the case asks for, or no more than twice our own errors. ``prefix`` picks a library.
        """
        ours = self.ours
        peers = [
            row for row in self.rows if row.side == "peer" and row.times and row.exact and row.name.startswith(prefix)
        ]
        if ours is None or not peers:
            return None
        value = max(self.case.value_limit, 2 * ours.value_error)
        gradient = max(self.case.gradient_limit, 2 * ours.gradient_error)
        fair = [row for row in peers if row.value_error <= value and row.gradient_error <= gradient]
        if fair:
            return min(fair, key=lambda row: row.median), True
        return min(peers, key=lambda row: row.gradient_error), False


def _prepare(case: Case, contender: Contender) -> Row:
    """Chooses the contender's setting: the fewest evaluations that reach the accuracy, else the least error."""
    row = Row(contender.name, contender.side, contender.role, contender.exact)
    best: tuple[tuple[bool, float], str, Solve, Counter[Event], tuple[float, float]] | None = None
    try:
        settings = contender.build()
        for label, solve in settings.items():
            with case.ledger.opened() as events:
                value, gradients = case.run(solve)
            value_error, gradient_error = errors = case.errors(value, gradients)
            meets = value_error <= case.value_limit and gradient_error <= case.gradient_limit
            key = (not meets, float(sum(events.values())) if meets else gradient_error)
            if best is None or key < best[0]:
                best = key, label, solve, Counter(events), errors
    except ImportError as error:
        row.note = f"not installed ({error})"
    except Exception as error:  # a peer that breaks is a line in the table
        row.note = f"failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    if best is not None and not row.note:
        _, row.setting, row._solve, row.events, (row.value_error, row.gradient_error) = best
    return row


def clock(work: Callable[[], object], calls: int = 1) -> float:
    """Milliseconds of process-CPU time of one call; several calls follow one that is not timed."""
    if calls > 1:
        work()
    begin = time.process_time_ns()
    for _ in range(calls):
        work()
    return (time.process_time_ns() - begin) / 1e6 / calls


def measure(case: Case, repeats: int, say: Callable[[str], None] = lambda text: None) -> Result:
    """Runs every contender ``repeats`` times in turn."""
    rows = []
    for contender in case.contenders:
        rows.append(_prepare(case, contender))
        say(f"{case.name}: {contender.name} {rows[-1].note or 'ready'}")
    running = [row for row in rows if row._solve is not None]
    units: dict[Event, Callable[[], object]] = {}
    for event in sorted({event for row in running for event in row.events}):
        if event[0] in case.costs:
            units[event] = case.costs[event[0]](event[1])
    prices: dict[Event, list[float]] = {event: [] for event in units}
    calls = {}
    for row in running:
        case.run(row._solve)  # warm
        calls[row.name] = min(_CALLS, max(1, int(_LONG / clock(lambda solve=row._solve: case.run(solve)))))
    for repeat in range(repeats):
        order = running[repeat % len(running) :] + running[: repeat % len(running)] if running else []
        for row in order:
            row.times.append(clock(lambda solve=row._solve: case.run(solve), calls[row.name]))
        for event, unit in units.items():
            prices[event].append(clock(unit, _CALLS))
        say(f"{case.name}: {repeat + 1} of {repeats}")
    for row in running:
        if row.events and all(event in prices for event in row.events):
            row.floor = sum(n * statistics.median(prices[event]) for event, n in row.events.items())
    return Result(case, rows)
