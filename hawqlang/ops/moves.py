"""Operators that move values and compute nothing: concat, pad, slice, reshape. Scale, zero point, width are kept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np

from hawqlang.base import Frozen
from hawqlang.ops.frame import Array, Frame, Shape


class Concat(Frozen):
    """Concatenation along channels; every input already has the output's scale."""

    op: Literal["concat"] = "concat"
    name: str
    inputs: tuple[str, ...]
    output: str


class Pad(Frozen):
    """Padding of an ``(H, W, C)`` tensor with its zero point."""

    op: Literal["pad"] = "pad"
    name: str
    x: str
    output: str
    channels: tuple[int, int]
    padding: tuple[int, int, int, int]


class Slice(Frozen):
    """``x[start:stop:step]`` on every axis, in the program's HWC order."""

    op: Literal["slice"] = "slice"
    name: str
    x: str
    output: str
    start: tuple[int, ...]
    stop: tuple[int, ...]
    step: tuple[int, ...]


class Reshape(Frozen):
    """The same elements in the same (HWC) order under another shape."""

    op: Literal["reshape"] = "reshape"
    name: str
    x: str
    output: str


Move = Concat | Pad | Slice | Reshape


def reads(op: Move) -> tuple[str, ...]:
    """Return the tensors that ``op`` reads, each once."""
    return tuple(dict.fromkeys(op.inputs)) if isinstance(op, Concat) else (op.x,)


def writes(op: Move) -> tuple[str, ...]:
    """Return the tensors that ``op`` writes."""
    return (op.output,)


def shapes(op: Move, frame: Frame) -> dict[str, Shape]:
    """Return the shape of the result; a reshape takes the one it declares."""
    match op:
        case Concat():
            parts = [frame.tensors[name].shape for name in op.inputs]
            return {op.output: (*parts[0][:-1], sum(part[-1] for part in parts))}
        case Pad():
            height, wide, channels = frame.tensors[op.x].shape
            top, left, bottom, right = op.padding
            return {
                op.output: (height + top + bottom, wide + left + right, channels + sum(op.channels))
            }
        case Slice():
            ranges = zip(op.start, op.stop, op.step, strict=True)
            return {op.output: tuple(len(range(*r)) for r in ranges)}
        case Reshape():
            return {op.output: frame.tensors[op.output].shape}


def problems(op: Move, frame: Frame) -> Iterator[str]:
    """Yield what makes ``op`` illegal."""
    output = frame.tensors[op.output]
    for name in reads(op):
        if frame.tensors[name].kind != output.kind:
            yield f"{name} and {output.name} differ in width, sign or zero point"
    match op:
        case Concat():
            if len({frame.tensors[name].shape[:-1] for name in op.inputs}) != 1:
                yield "parts differ in height or width"
        case Slice():
            yield from _slice_problems(op, frame.tensors[op.x].shape)
        case Reshape():
            if math.prod(frame.tensors[op.x].shape) != math.prod(output.shape):
                yield f"{frame.tensors[op.x].shape} does not reshape to {output.shape}"
        case Pad():
            if min(*op.padding, *op.channels) < 0:
                yield "padding is negative"


def _slice_problems(op: Slice, size: Shape) -> Iterator[str]:
    if not len(op.start) == len(op.stop) == len(op.step) == len(size):
        yield f"a slice of {len(op.start)} axes for {size}"
    elif any(stop > n for stop, n in zip(op.stop, size, strict=True)):
        yield f"stop {op.stop} is beyond {size}"
    elif min(op.start) < 0 or min(op.step) < 1:
        yield "starts are negative or steps not positive"


def evaluate(op: Move, frame: Frame) -> dict[str, Array]:
    """Return the moved values."""
    match op:
        case Concat():
            return {op.output: np.concatenate([frame.arrays[x] for x in op.inputs], axis=-1)}
        case Pad():
            top, left, bottom, right = op.padding
            amounts = ((0, 0), (top, bottom), (left, right), op.channels)
            zero = frame.tensors[op.x].zero_point
            return {op.output: np.pad(frame.arrays[op.x], amounts, constant_values=zero)}
        case Slice():
            axes = (slice(*r) for r in zip(op.start, op.stop, op.step, strict=True))
            return {op.output: np.ascontiguousarray(frame.arrays[op.x][(slice(None), *axes)])}
        case Reshape():
            x = frame.arrays[op.x]
            return {op.output: x.reshape(x.shape[0], *frame.tensors[op.output].shape)}
