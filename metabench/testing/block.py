"""The kit for blocks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metabench.blocks.block import Block
from metabench.layers import SolveRecord
from metabench.testing.requirement import (
    directional_error,
    normal,
    require,
    require_close,
    require_record,
    without_global_randomness,
)

__all__ = ["check_block"]

_REPLICATES, _BATCH = 3, 5


def check_block(block_class: type[Block], width: int = 8, *, gradient_error: float | None = 0.01) -> None:
    """Checks that a block can take part in a search: its shapes, its record, its gradient, and its replicates.

    Version and citation; initial weights decided by the generators alone; as many parameters a replicate however many
    there are; shape, dtype and record; deterministic values and gradients; a gradient to every parameter that is finite
    and agrees with central differences; replicates and samples that do not see each other; batches of none and one; a
    NaN sample; ``no_grad``; no global randomness.

    Args:
        block_class: the class, built here as ``block_class(width, generators)``.
        width: channels of the state, at least 2 where a block normalises them.
        gradient_error: largest relative error of the gradient against central differences in float64. It includes the
            block's own solver tolerance. None leaves the check out, for a block whose gradient is biased on purpose.

    Raises:
        ConformanceError: at the first property that fails.
    """
    require(
        isinstance(block_class, type) and issubclass(block_class, Block),
        block_class,
        "interface",
        "expected a subclass of metabench.blocks.block.Block.",
    )
    with without_global_randomness(block_class):
        _metadata(block_class, width)
        _initial_weights(block_class, width)
        _value(block_class, width)
        _gradient_reaches(block_class, width)
        if gradient_error is not None:
            _gradient_is_right(block_class, width, gradient_error)
        _replicates(block_class, width)
        _samples(block_class, width)
        _small_batches(block_class, width)
        _nan_sample(block_class, width)


def _generators(seeds: Sequence[int]) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def _make(block_class: type[Block], width: int, seeds: Sequence[int] = range(_REPLICATES)) -> Block:
    return block_class(width, _generators(seeds))


def _state(width: int, replicates: int = _REPLICATES) -> Tensor:
    return normal(replicates, _BATCH, width, seed=9, dtype=torch.float32)


def _backward(block: Block, h: Tensor) -> tuple[Tensor, SolveRecord, list[Tensor | None]]:
    """Value, record, and the gradients of a fixed linear functional to h and the parameters."""
    h = h.detach().requires_grad_()
    out, record = block(h)
    loss = (out * normal(*out.shape, seed=10, dtype=out.dtype)).sum()
    gradients = torch.autograd.grad(loss, (h, *block.parameters()), allow_unused=True)
    return out.detach(), record, list(gradients)


def _metadata(block_class: type[Block], width: int) -> None:
    version = block_class.version
    require(
        type(version) is int and version >= 1, block_class, "version", f"it is {version!r}; expected an integer >= 1."
    )
    has_parameters = any(True for _ in _make(block_class, width).parameters())
    cited = isinstance(block_class.citation, str) and bool(block_class.citation.strip())
    require(cited or not has_parameters, block_class, "citation", "it is empty; say where the block comes from.")


def _initial_weights(block_class: type[Block], width: int) -> None:
    name = "initial weights"
    first, again, other = (
        dict(_make(block_class, width, seeds).named_parameters()) for seeds in ((4, 5), (4, 5), (4, 6))
    )
    for key, value in first.items():
        require(
            value.ndim >= 1 and value.shape[0] == 2,
            block_class,
            "parameters of each replicate",
            f"{key} has shape {tuple(value.shape)} for 2 replicates; expected the first axis to be theirs.",
        )
        require(value.is_floating_point(), block_class, "dtype", f"parameter {key} is {value.dtype}.")
        require(torch.equal(value, again[key]), block_class, name, f"{key} differs between equal generators.")
        require(
            torch.equal(value[0], other[key][0]),
            block_class,
            name,
            f"{key} of a replicate depends on another replicate's generator.",
        )
    changed = any(not torch.equal(value[1], other[key][1]) for key, value in first.items())
    require(changed or not first, block_class, name, "they do not depend on the generators; replicates would be alike.")
    alone = dict(_make(block_class, width, (4,)).named_parameters())
    require(
        {key: value.shape[1:] for key, value in alone.items()}
        == {key: value.shape[1:] for key, value in first.items()},
        block_class,
        "parameter count",
        "a replicate's parameters change with the number of replicates.",
    )


def _value(block_class: type[Block], width: int) -> None:
    block, h = _make(block_class, width), _state(width)
    copy = h.clone()
    out, record = block(h)
    name = "state"
    require(
        isinstance(out, Tensor) and out.shape == h.shape and out.dtype == h.dtype,
        block_class,
        name,
        f"{tuple(h.shape)} {h.dtype} came back as {tuple(out.shape)} {out.dtype}; expected the same.",
    )
    require(torch.equal(h, copy), block_class, name, "the incoming state was written to.")
    require(torch.isfinite(out).all(), block_class, name, "it is not finite for a standard normal input.")
    require_record(record, h.shape[:-1], block_class)
    again, _ = block(h)
    require(torch.equal(out, again), block_class, "deterministic", "two calls give different values.")
    with torch.no_grad():
        plain, record = block(h)
    require(not plain.requires_grad, block_class, "no_grad", "the value requires a gradient under no_grad.")
    require_record(record, h.shape[:-1], block_class)
    # An equilibrium may be evaluated once more where a graph is asked for: equal to the solver's tolerance.
    require_close(plain, out.detach(), block_class, "no_grad", "the value without a graph", rtol=1e-3, atol=1e-3)
    double, _ = _make(block_class, width).double()(h.double())
    require(double.dtype == torch.float64, block_class, "dtype", f"float64 came back as {double.dtype}.")


def _gradient_reaches(block_class: type[Block], width: int) -> None:
    block, h = _make(block_class, width), _state(width)
    _, record, gradients = _backward(block, h)
    _, _, again = _backward(block, h)
    names = ["the incoming state", *(key for key, _ in block.named_parameters())]
    for name, gradient, second in zip(names, gradients, again, strict=True):
        if gradient is None or second is None:
            require(False, block_class, "gradient", f"none reaches {name}.")
            continue
        require(torch.isfinite(gradient).all(), block_class, "gradient", f"that of {name} is not finite.")
        require(gradient.any(), block_class, "gradient", f"that of {name} is zero everywhere.")
        require(torch.equal(gradient, second), block_class, "deterministic", f"two gradients to {name} differ.")
    require_record(record.backward, h.shape[:-1], block_class, "backward record")


def _gradient_is_right(block_class: type[Block], width: int, tolerance: float) -> None:
    block = _make(block_class, width, (1,)).double()
    h = _state(width, 1).double().requires_grad_()
    weights = normal(*h.shape, seed=10)

    def loss() -> Tensor:
        return (block(h)[0] * weights).sum()

    leaves = {"the incoming state": h, **dict(block.named_parameters())}
    gradients = torch.autograd.grad(loss(), list(leaves.values()))
    for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
        error = directional_error(loss, leaf, gradient, step=1e-3, seed=11)
        require(
            error <= tolerance,
            block_class,
            "right gradient",
            f"that of {name} has a relative error of {error:.2g} against central differences; expected at most "
            f"{tolerance}.",
        )


def _replicates(block_class: type[Block], width: int) -> None:
    h, name = _state(width), "independent replicates"
    out, _, gradients = _backward(_make(block_class, width), h)
    weights = normal(*out.shape, seed=10, dtype=out.dtype)
    for i in range(_REPLICATES):
        block, at = _make(block_class, width, (i,)), slice(i, i + 1)
        row = h[at].clone().requires_grad_()
        alone, record = block(row)
        require_record(record, (1, _BATCH), block_class)
        message = f"replicate {i} alone and in a batch"
        require_close(alone.detach(), out[at], block_class, name, message, rtol=1e-4, atol=1e-5)
        found = torch.autograd.grad((alone * weights[at]).sum(), (row, *block.parameters()))
        for gradient, wanted in zip(found, gradients, strict=True):
            if wanted is not None:
                message = f"a gradient of replicate {i} alone and in a batch"
                require_close(gradient, wanted[at], block_class, name, message, rtol=1e-2, atol=1e-3)


def _samples(block_class: type[Block], width: int) -> None:
    block, h = _make(block_class, width), _state(width)
    with torch.no_grad():
        out, record = block(h)
        for i in range(_BATCH):
            at = slice(i, i + 1)
            alone, alone_record = block(h[:, at])
            message = f"sample {i} alone and in a batch"
            require_close(alone, out[:, at], block_class, "independent samples", message, rtol=1e-4, atol=1e-5)
            same = torch.equal(alone_record.status, record.status[:, at])
            require(same, block_class, "independent samples", f"the status of {message} differs.")


def _small_batches(block_class: type[Block], width: int) -> None:
    block = _make(block_class, width)
    for batch in (0, 1):
        h = _state(width)[:, :batch]
        out, record, gradients = _backward(block, h)
        name = "a batch of one" if batch else "an empty batch"
        require(out.shape == h.shape, block_class, name, f"it came back as {tuple(out.shape)}.")
        require_record(record, h.shape[:-1], block_class, name)
        finite = all(gradient is None or bool(torch.isfinite(gradient).all()) for gradient in gradients)
        require(finite, block_class, name, "a gradient is not finite.")


def _nan_sample(block_class: type[Block], width: int) -> None:
    block, h = _make(block_class, width), _state(width)
    broken = h.clone()
    broken[1, 2, 0] = float("nan")
    others = torch.ones(h.shape[:-1], dtype=torch.bool)
    others[1, 2] = False
    with torch.no_grad():
        clean, clean_record = block(h)
        out, record = block(broken)
    name = "a NaN sample"
    message = "the other samples' values"
    require_close(out[others], clean[others], block_class, name, message, rtol=1e-4, atol=1e-5)
    same = torch.equal(record.status[others], clean_record.status[others])
    require(same, block_class, name, "the other samples' status changes.")
    require(not record.converged[1, 2], block_class, name, "it is reported as converged.")
