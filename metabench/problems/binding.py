"""A module that uses tensors handed to it in the place of its own parameters."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import Tensor, nn

from metabench.errors import ArgumentError

__all__ = ["bind"]


def bind(module: nn.Module, parameters: Mapping[str, Tensor]) -> nn.Module:
    """A copy of the module tree whose parameters are ``parameters``; buffers and everything else are shared.

    ``torch.func.functional_call`` puts a module's own parameters back when its forward pass ends. An implicit layer
    evaluates its function again in the backward pass, and would then see the wrong ones; a bound copy keeps its
    tensors as long as a graph needs them.

    Args:
        module: any module; it is not changed.
        parameters: tensors for all names of ``module.named_parameters()``; a parameter used twice has one name.

    Raises:
        ArgumentError: if a name is missing or unknown.
    """
    names = {id(value): name for name, value in module.named_parameters()}
    if set(names.values()) != set(parameters):
        wrong = sorted(set(names.values()) ^ set(parameters))
        raise ArgumentError(f"parameters {', '.join(wrong)}: expected exactly those of {type(module).__name__}.")
    return _twin(module, {key: parameters[name] for key, name in names.items()})


def _twin(module: nn.Module, tensors: Mapping[int, Tensor]) -> nn.Module:
    twin = copy.copy(module)
    own = {name: None if value is None else tensors[id(value)] for name, value in module._parameters.items()}
    children = {n: None if child is None else _twin(child, tensors) for n, child in module._modules.items()}
    twin.__dict__.update(_parameters=own, _modules=children)
    if isinstance(twin, nn.RNNBase):  # keeps a second list of its weights
        twin._flat_weights = [own[name] for name in twin._flat_weights_names]  # pyright: ignore[reportAttributeAccessIssue]
    return twin
