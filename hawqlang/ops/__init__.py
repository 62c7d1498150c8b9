"""The integer operators: one file per op with its type, shape rule, legality, meaning and cost.

Every module has the functions that are dispatched here: ``reads``, ``writes``, ``shapes``,
``problems``, ``evaluate``.
"""

from collections.abc import Iterator
from typing import assert_never

from hawqlang.ops import (
    add,
    affine,
    avgpool2d,
    conv2d,
    linear,
    maxpool2d,
    moves,
    multiply,
    rearrange,
    resample,
    table,
)
from hawqlang.ops.add import Add, AddStore
from hawqlang.ops.affine import Affine
from hawqlang.ops.avgpool2d import AvgPool2d
from hawqlang.ops.conv2d import Conv2d
from hawqlang.ops.frame import Array, Frame, QTensor, Shape, WeightTerms
from hawqlang.ops.linear import Linear
from hawqlang.ops.maxpool2d import MaxPool2d
from hawqlang.ops.moves import Concat, Pad, Reshape, Slice
from hawqlang.ops.multiply import Multiply
from hawqlang.ops.rearrange import Rearrange, Take
from hawqlang.ops.resample import Resample
from hawqlang.ops.stores import Addend, Store
from hawqlang.ops.table import Table

OPS = (
    Affine,
    Conv2d,
    Linear,
    Add,
    MaxPool2d,
    AvgPool2d,
    Concat,
    Pad,
    Slice,
    Reshape,
    Table,
    Multiply,
    Rearrange,
    Take,
    Resample,
)
"""Every integer operator."""

Op = (
    Affine
    | Conv2d
    | Linear
    | Add
    | MaxPool2d
    | AvgPool2d
    | Concat
    | Pad
    | Slice
    | Reshape
    | Table
    | Multiply
    | Rearrange
    | Take
    | Resample
)

__all__ = [
    "OPS",
    "Add",
    "AddStore",
    "Addend",
    "Affine",
    "AvgPool2d",
    "Concat",
    "Conv2d",
    "Frame",
    "Linear",
    "MaxPool2d",
    "Multiply",
    "Op",
    "Pad",
    "QTensor",
    "Rearrange",
    "Resample",
    "Reshape",
    "Slice",
    "Store",
    "Table",
    "Take",
    "WeightTerms",
    "evaluate",
    "macs",
    "problems",
    "reads",
    "shapes",
    "writes",
]


def reads(op: Op) -> tuple[str, ...]:  # noqa: C901 - one case an operator
    """Return the tensors that ``op`` reads, each once, residual operands included."""
    match op:
        case Affine():
            found = affine.reads(op)
        case Conv2d():
            found = conv2d.reads(op)
        case Linear():
            found = linear.reads(op)
        case Add():
            found = add.reads(op)
        case MaxPool2d():
            found = maxpool2d.reads(op)
        case AvgPool2d():
            found = avgpool2d.reads(op)
        case Concat() | Pad() | Slice() | Reshape():
            found = moves.reads(op)
        case Table():
            found = table.reads(op)
        case Multiply():
            found = multiply.reads(op)
        case Rearrange() | Take():
            found = rearrange.reads(op)
        case Resample():
            found = resample.reads(op)
        case _:
            assert_never(op)
    return found


def writes(op: Op) -> tuple[str, ...]:  # noqa: C901 - one case an operator
    """Return the tensors that ``op`` writes."""
    match op:
        case Affine():
            found = affine.writes(op)
        case Conv2d():
            found = conv2d.writes(op)
        case Linear():
            found = linear.writes(op)
        case Add():
            found = add.writes(op)
        case MaxPool2d():
            found = maxpool2d.writes(op)
        case AvgPool2d():
            found = avgpool2d.writes(op)
        case Concat() | Pad() | Slice() | Reshape():
            found = moves.writes(op)
        case Table():
            found = table.writes(op)
        case Multiply():
            found = multiply.writes(op)
        case Rearrange() | Take():
            found = rearrange.writes(op)
        case Resample():
            found = resample.writes(op)
        case _:
            assert_never(op)
    return found


def shapes(op: Op, frame: Frame) -> dict[str, Shape]:  # noqa: C901 - one case an operator
    """Return the shape that the operator's rule gives to each tensor it writes."""
    match op:
        case Affine():
            found = affine.shapes(op, frame)
        case Conv2d():
            found = conv2d.shapes(op, frame)
        case Linear():
            found = linear.shapes(op, frame)
        case Add():
            found = add.shapes(op, frame)
        case MaxPool2d():
            found = maxpool2d.shapes(op, frame)
        case AvgPool2d():
            found = avgpool2d.shapes(op, frame)
        case Concat() | Pad() | Slice() | Reshape():
            found = moves.shapes(op, frame)
        case Table():
            found = table.shapes(op, frame)
        case Multiply():
            found = multiply.shapes(op, frame)
        case Rearrange() | Take():
            found = rearrange.shapes(op, frame)
        case Resample():
            found = resample.shapes(op, frame)
        case _:
            assert_never(op)
    return found


def problems(op: Op, frame: Frame) -> Iterator[str]:  # noqa: C901 - one case an operator
    """Yield, in words, everything that makes ``op`` illegal."""
    match op:
        case Affine():
            found = affine.problems(op, frame)
        case Conv2d():
            found = conv2d.problems(op, frame)
        case Linear():
            found = linear.problems(op, frame)
        case Add():
            found = add.problems(op, frame)
        case MaxPool2d():
            found = maxpool2d.problems(op, frame)
        case AvgPool2d():
            found = avgpool2d.problems(op, frame)
        case Concat() | Pad() | Slice() | Reshape():
            found = moves.problems(op, frame)
        case Table():
            found = table.problems(op, frame)
        case Multiply():
            found = multiply.problems(op, frame)
        case Rearrange() | Take():
            found = rearrange.problems(op, frame)
        case Resample():
            found = resample.problems(op, frame)
        case _:
            assert_never(op)
    return found


def evaluate(op: Op, frame: Frame) -> dict[str, Array]:  # noqa: C901 - one case an operator
    """Return every tensor that ``op`` writes: the meaning of the operator, to which every kernel is held."""
    match op:
        case Affine():
            found = affine.evaluate(op, frame)
        case Conv2d():
            found = conv2d.evaluate(op, frame)
        case Linear():
            found = linear.evaluate(op, frame)
        case Add():
            found = add.evaluate(op, frame)
        case MaxPool2d():
            found = maxpool2d.evaluate(op, frame)
        case AvgPool2d():
            found = avgpool2d.evaluate(op, frame)
        case Concat() | Pad() | Slice() | Reshape():
            found = moves.evaluate(op, frame)
        case Table():
            found = table.evaluate(op, frame)
        case Multiply():
            found = multiply.evaluate(op, frame)
        case Rearrange() | Take():
            found = rearrange.evaluate(op, frame)
        case Resample():
            found = resample.evaluate(op, frame)
        case _:
            assert_never(op)
    return found


def macs(op: Op, frame: Frame) -> int:
    """Return the multiply-accumulates of ``op`` for one sample; 0 for an operator without weights."""
    match op:
        case Conv2d():
            found = conv2d.macs(op, frame)
        case Linear():
            found = linear.macs(op, frame)
        case (
            Affine()
            | Add()
            | MaxPool2d()
            | AvgPool2d()
            | Concat()
            | Pad()
            | Slice()
            | Reshape()
            | Table()
            | Multiply()
            | Rearrange()
            | Take()
            | Resample()
        ):
            found = 0
        case _:
            assert_never(op)
    return found
