"""The block kit passes on every registered block, and fails on what is wrong by construction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from metabench.blocks import BLOCKS
from metabench.blocks.block import Block, stacked_normal
from metabench.errors import ConformanceError
from metabench.layers import SolveRecord, Tolerance, fixed_point
from metabench.layers.adjoint import JacobianFree
from metabench.testing import check_block


@pytest.mark.parametrize("name", BLOCKS.names())
def test_every_registered_block_conforms(name: str) -> None:
    check_block(BLOCKS.get(name))


@pytest.mark.parametrize("width", [2, 3, 16])
def test_other_widths_conform(width: int) -> None:
    for name in ("mlp.deq", "gated.ode", "mlp.deq-monotone"):
        check_block(BLOCKS.get(name), width=width)


class Plain(Block):
    """h + tanh(W h): right; each subclass below has one fault."""

    citation = "Made for this test"

    def __init__(self, width: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__(width, generators)
        self.W = stacked_normal((width, width), 0.5 / width**0.5, generators)

    def apply_cell(self, h: Tensor) -> Tensor:
        return h + torch.tanh(h @ self.W.mT)

    def forward(self, h: Tensor) -> tuple[Tensor, SolveRecord]:
        out = self.apply_cell(h)
        return out, SolveRecord.explicit(out, nfe=1)


def test_plain_is_right() -> None:
    check_block(Plain)


class _Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor) -> Tensor:
        return h.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return 1.05 * grads[0]


class WrongGradient(Plain):
    def apply_cell(self, h: Tensor) -> Tensor:
        doubled: Any = _Doubled.apply(torch.tanh(h @ self.W.mT))
        return h + doubled


class NoGradient(Plain):
    def apply_cell(self, h: Tensor) -> Tensor:
        return h + torch.tanh(h @ self.W.detach().mT)


class UnusedParameter(Plain):
    def apply_cell(self, h: Tensor) -> Tensor:
        return h + 0 * self.W.sum() + h.square()


class BatchNormalised(Plain):
    """Couples the samples."""

    def apply_cell(self, h: Tensor) -> Tensor:
        h = h + torch.tanh(h @ self.W.mT)
        return (h - h.mean(-2, keepdim=True)) if h.shape[-2] else h


class MixedReplicates(Plain):
    """Reads the first replicate's weights everywhere."""

    def apply_cell(self, h: Tensor) -> Tensor:
        return h + torch.tanh(h @ self.W.mT) + 0.1 * torch.tanh(h @ self.W[:1].mT)


class SharedWeights(Plain):
    """One weight for all replicates."""

    def __init__(self, width: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__(width, generators)
        self.scale = nn.Parameter(torch.ones(width))


class GrowingWeights(Plain):
    """Larger matrices for more replicates."""

    def __init__(self, width: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__(width, generators)
        self.more = stacked_normal((len(generators),), 1.0, generators)


class GlobalRandomness(Plain):
    def __init__(self, width: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__(width, generators)
        self.W = nn.Parameter(torch.randn(len(generators), width, width))


class Dropout(Plain):
    def apply_cell(self, h: Tensor) -> Tensor:
        return h + nn.functional.dropout(torch.tanh(h @ self.W.mT), 0.1)


class ConstantWeights(Plain):
    def __init__(self, width: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__(width, generators)
        self.W = nn.Parameter(torch.eye(width).repeat(len(generators), 1, 1))


class ChainedGenerators(Plain):
    """Draws all replicates from the first generator."""

    def __init__(self, width: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__(width, generators)
        self.W = stacked_normal((width, width), 0.1, [generators[-1]] * len(generators))


class Writes(Plain):
    def apply_cell(self, h: Tensor) -> Tensor:
        out = h + torch.tanh(h @ self.W.mT)
        if not h.requires_grad:
            h.mul_(0.5)
        return out


class Narrows(Plain):
    def apply_cell(self, h: Tensor) -> Tensor:
        return super().apply_cell(h)[..., 1:]


class Doubles(Plain):
    def apply_cell(self, h: Tensor) -> Tensor:
        return super().apply_cell(h).double()


class Singles(Plain):
    """Constants in float32."""

    def apply_cell(self, h: Tensor) -> Tensor:
        return super().apply_cell(h).float()


class ScalarRecord(Plain):
    def forward(self, h: Tensor) -> tuple[Tensor, SolveRecord]:
        out, record = super().forward(h)
        return out, replace(record, nfe=record.nfe.sum())


class FloatRecord(Plain):
    def forward(self, h: Tensor) -> tuple[Tensor, SolveRecord]:
        out, record = super().forward(h)
        return out, replace(record, nfe=record.nfe.float())


class NoBackwardRecord(Plain):
    def forward(self, h: Tensor) -> tuple[Tensor, SolveRecord]:
        out, record = super().forward(h)
        return out, replace(record, backward=None)


class HidesNaN(Plain):
    """Reports success whatever happened."""

    def forward(self, h: Tensor) -> tuple[Tensor, SolveRecord]:
        out = self.apply_cell(h)
        return out, SolveRecord.explicit(torch.zeros_like(out), nfe=1)


class SpreadsNaN(Plain):
    def apply_cell(self, h: Tensor) -> Tensor:
        return super().apply_cell(h) + 0 * h.sum(-2, keepdim=True)


class NoEmptyBatch(Plain):
    def apply_cell(self, h: Tensor) -> Tensor:
        return super().apply_cell(h if h.shape[-2] else h.new_zeros(*h.shape[:-2], 1, h.shape[-1]))


class Uncited(Plain):
    citation = " "


class Unversioned(Plain):
    version: ClassVar[Any] = "1"


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (WrongGradient, r"\[right gradient\]: that of .* has a relative error of 0\.0\d"),
        (NoGradient, r"\[gradient\]: none reaches W"),
        (UnusedParameter, r"\[gradient\]: that of W is zero everywhere"),
        (BatchNormalised, r"\[independent samples\]"),
        (MixedReplicates, r"\[independent replicates\]"),
        (SharedWeights, r"\[parameters of each replicate\]: scale has shape \(8,\)"),
        (GrowingWeights, r"\[parameter count\]"),
        (GlobalRandomness, r"\[initial weights\]: W differs between equal generators"),
        (Dropout, r"\[deterministic\]"),
        (ConstantWeights, r"\[initial weights\]: they do not depend on the generators"),
        (ChainedGenerators, r"\[initial weights\]: W of a replicate depends on another"),
        (Writes, r"\[state\]: the incoming state was written to"),
        (Narrows, r"\[state\]: \(3, 5, 8\) torch.float32 came back as \(3, 5, 7\)"),
        (Doubles, r"\[state\]: .* came back as \(3, 5, 8\) torch.float64"),
        (Singles, r"\[dtype\]: float64 came back as torch.float32"),
        (ScalarRecord, r"\[record\]: nfe has shape \(\), expected \(3, 5\)"),
        (FloatRecord, r"\[record\]: nfe is torch.float32"),
        (NoBackwardRecord, r"\[backward record\]: got a NoneType"),
        (HidesNaN, r"\[a NaN sample\]: it is reported as converged"),
        (SpreadsNaN, r"\[a NaN sample\]: the other samples' values"),
        (NoEmptyBatch, r"\[an empty batch\]: it came back as \(3, 1, 8\)"),
        (Uncited, r"Uncited \[citation\]"),
        (Unversioned, r"\[version\]: it is '1'"),
        (nn.Linear, r"Linear \[interface\]"),
    ],
)
def test_a_wrong_block_is_caught(block: Any, message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        check_block(block)


def test_a_seed_that_moves_the_global_generator_is_caught() -> None:
    class Peeks(Plain):
        def __init__(self, width: int, generators: Sequence[torch.Generator]) -> None:
            super().__init__(width, generators)
            torch.rand(())

    with pytest.raises(ConformanceError, match=r"Peeks \[no global random state\]"):
        check_block(Peeks)


def test_a_biased_gradient_passes_when_it_is_declared() -> None:
    class Biased(Plain):
        def forward(self, h: Tensor) -> tuple[Tensor, SolveRecord]:
            solution = fixed_point(
                lambda z, x: torch.tanh(z @ self.W.mT + x),
                torch.zeros_like(h),
                inputs=(h,),
                stopping=Tolerance(1e-6, 1e-6),
                adjoint=JacobianFree(),
                policy="keep",
            )
            return solution.value, solution.record

    check_block(Biased, gradient_error=None)
    with pytest.raises(ConformanceError, match=r"Biased \[right gradient\]"):
        check_block(Biased)
