"""Max pooling on quantized values; padding never wins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from hawqlang.base import Frozen
from hawqlang.ops.frame import Array, Frame, Shape
from hawqlang.ops.window import output_size, pad, windows


class MaxPool2d(Frozen):
    """Input and output share scale, zero point and width."""

    op: Literal["max_pool2d"] = "max_pool2d"
    name: str
    x: str
    output: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]


def reads(op: MaxPool2d) -> tuple[str, ...]:
    """Return the tensors that ``op`` reads."""
    return (op.x,)


def writes(op: MaxPool2d) -> tuple[str, ...]:
    """Return the tensors that ``op`` writes."""
    return (op.output,)


def shapes(op: MaxPool2d, frame: Frame) -> dict[str, Shape]:
    """Return the shape ``(OH, OW, C)`` of the result."""
    height, wide, channels = frame.tensors[op.x].shape
    size = output_size((height, wide), op.kernel, op.stride, op.padding, op.dilation)
    return {op.output: (*size, channels)}


def problems(op: MaxPool2d, frame: Frame) -> Iterator[str]:
    """Yield what makes ``op`` illegal."""
    if frame.tensors[op.x].kind != frame.tensors[op.output].kind:
        yield f"{op.x} and {op.output} differ in width, sign or zero point"
    if min(shapes(op, frame)[op.output]) < 1:
        yield "the window does not fit into the padded input"
    height, wide, _ = frame.tensors[op.x].shape
    if not (_all_hold(height, op, 0) and _all_hold(wide, op, 1)):
        yield "a window sees padding only"


def _all_hold(size: int, op: MaxPool2d, axis: int) -> bool:
    """Return whether every window position along an axis holds an element of the input."""
    before, after = op.padding[axis], op.padding[axis + 2]
    inside = np.zeros(before + size + after, dtype=bool)
    inside[before : before + size] = True
    extent = op.dilation[axis] * (op.kernel[axis] - 1) + 1
    starts = range(0, inside.size - extent + 1, op.stride[axis])
    return all(inside[start : start + extent : op.dilation[axis]].any() for start in starts)


def evaluate(op: MaxPool2d, frame: Frame) -> dict[str, Array]:
    """Return the maximum of every window; padding is the type's smallest value and so never wins."""
    x = frame.arrays[op.x]
    padded = pad(x, op.padding, int(np.iinfo(x.dtype).min))
    taps = windows(padded, op.kernel, op.stride, op.dilation)
    result = taps[:, :, :, 0, 0].copy()
    for row in range(op.kernel[0]):
        for column in range(op.kernel[1]):
            np.maximum(result, taps[:, :, :, row, column], out=result)
    return {op.output: result}
