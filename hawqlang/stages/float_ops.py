"""What tables, products, rearrangements and interpolations mean in float, with PyTorch; tensors are NCHW or (N, F)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import assert_never

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor

from hawqlang.arith.functions import Function
from hawqlang.ir.graph import Multiply, Rearrange, Resample, Table, Take, Tap

UNARY: Mapping[str, Callable[[Tensor], Tensor]] = {
    "neg": torch.neg,
    "abs": torch.abs,
    "exp": torch.exp,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": F.softplus,
    "erf": torch.erf,
}
BINARY: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "max": torch.maximum,
    "min": torch.minimum,
}


def evaluate(
    node: Table | Multiply | Rearrange | Take | Resample,
    values: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
) -> Tensor:
    """Return what an operator makes of the values it reads."""
    match node:
        case Table():
            slope = None if node.slope is None else parameters[node.slope]
            return applied(node.function, values[node.x], slope)
        case Multiply():
            a, b = _aligned(values[node.a], values[node.b])
            return a * b
        case Rearrange():
            return rearranged(node, values[node.x])
        case Take():
            x = values[node.x]
            for axis, chosen in enumerate(node.indices, start=1):
                x = x if chosen is None else x.index_select(axis, torch.tensor(chosen))
            return x
        case Resample():
            return _between(_between(values[node.x], node.rows, 2), node.columns, 3)
        case _:
            assert_never(node)


def applied(function: Function, x: Tensor, slope: Tensor | None = None) -> Tensor:
    """Return ``f(x)`` of every element; ``slope`` is ``(C,)``."""
    p = None if slope is None else slope.reshape(1, -1, *[1] * (x.ndim - 2))
    stack: list[Tensor] = []
    for word in function:
        if not isinstance(word, str):
            stack.append(x.new_tensor(word))
        elif word == "x":
            stack.append(x)
        elif word == "p" and p is not None:
            stack.append(p)
        elif word in UNARY:
            stack.append(UNARY[word](stack.pop()))
        else:
            b, a = stack.pop(), stack.pop()
            stack.append(BINARY[word](a, b))
    (result,) = stack
    return result.expand_as(x)


def rearranged(node: Rearrange, x: Tensor) -> Tensor:
    """Return the permuted view in its result's shape."""
    order = [0, *(1 + axis for axis in node.order)]
    seen = x.reshape(x.shape[0], *node.view).permute(order)
    return seen.reshape(x.shape[0], *node.shape)


def _aligned(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return both operands with as many axes; a vector stands for ``(C, 1, 1)``."""
    axes = max(a.ndim, b.ndim)
    first, second = (x.reshape(*x.shape, *[1] * (axes - x.ndim)) for x in (a, b))
    return first, second


def _between(x: Tensor, taps: tuple[Tap, ...], axis: int) -> Tensor:
    first = x.index_select(axis, torch.tensor([tap[0] for tap in taps]))
    second = x.index_select(axis, torch.tensor([tap[1] for tap in taps]))
    weight = torch.tensor([tap[2] for tap in taps], dtype=x.dtype)
    weight = weight.reshape(-1, *[1] * (x.ndim - axis - 1))
    return first + (second - first) * weight
