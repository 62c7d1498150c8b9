"""What an operator of the graph reads: tensors and parameters."""

from __future__ import annotations

from typing import assert_never

from hawqlang.ir.graph import (
    Add,
    AvgPool2d,
    BatchNorm,
    Clamp,
    Concat,
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    Operator,
    Pad,
    Slice,
)


def inputs(node: Operator) -> tuple[str, ...]:
    """Return the values an operator reads, in order, a value it reads twice given twice."""
    match node:
        case Add():
            return (node.a, node.b)
        case Concat():
            return node.inputs
        case (
            Conv2d()
            | Linear()
            | BatchNorm()
            | Clamp()
            | MaxPool2d()
            | AvgPool2d()
            | Flatten()
            | Slice()
            | Pad()
        ):
            return (node.x,)
        case _:
            assert_never(node)


def parameters(node: Operator) -> tuple[str, ...]:
    """Return the names of the parameters an operator reads."""
    match node:
        case Conv2d() | Linear():
            named = (node.weight, node.bias)
        case BatchNorm():
            named = (node.gamma, node.beta, node.mean, node.var)
        case Clamp() | Add() | Concat() | MaxPool2d() | AvgPool2d() | Flatten() | Slice() | Pad():
            named = ()
        case _:
            assert_never(node)
    return tuple(name for name in named if name is not None)


def with_inputs(node: Operator, names: tuple[str, ...]) -> Operator:
    """Return the operator reading ``names`` instead of what it reads."""
    match node:
        case Add():
            return node.replace(a=names[0], b=names[1])
        case Concat():
            return node.replace(inputs=names)
        case (
            Conv2d()
            | Linear()
            | BatchNorm()
            | Clamp()
            | MaxPool2d()
            | AvgPool2d()
            | Flatten()
            | Slice()
            | Pad()
        ):
            return node.replace(x=names[0])
        case _:
            assert_never(node)
