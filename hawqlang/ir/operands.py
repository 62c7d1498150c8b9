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
    Multiply,
    Operator,
    Pad,
    Rearrange,
    Resample,
    Slice,
    Table,
    Take,
)


def inputs(node: Operator) -> tuple[str, ...]:
    """Return the values an operator reads, in order, a value it reads twice given twice."""
    match node:
        case Add() | Multiply():
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
            | Table()
            | Rearrange()
            | Take()
            | Resample()
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
        case Table():
            named = (node.slope,)
        case (
            Clamp()
            | Add()
            | Multiply()
            | Concat()
            | MaxPool2d()
            | AvgPool2d()
            | Flatten()
            | Slice()
            | Pad()
            | Rearrange()
            | Take()
            | Resample()
        ):
            named = ()
        case _:
            assert_never(node)
    return tuple(name for name in named if name is not None)


def with_inputs(node: Operator, names: tuple[str, ...]) -> Operator:
    """Return the operator reading ``names`` instead of what it reads."""
    match node:
        case Add() | Multiply():
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
            | Table()
            | Rearrange()
            | Take()
            | Resample()
        ):
            return node.replace(x=names[0])
        case _:
            assert_never(node)
