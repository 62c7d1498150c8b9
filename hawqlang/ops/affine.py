"""Per-channel affine requantization of a stored tensor: the input's normalisation, unfolded batch norm, clamps.

y = clamp(zero_point + ((int64(q)·m[c] + add[c]) >> s[c]), lo, hi)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from hawqlang.base import Frozen, TensorRef
from hawqlang.ops.frame import Array, Frame, Shape
from hawqlang.ops.stores import clamp_problems, dyadic_problems, saturated


class Affine(Frozen):
    """One reader width of an affine map; ``−2^31 < m < 2^31``."""

    op: Literal["affine"] = "affine"
    name: str
    x: str
    output: str
    multiplier: TensorRef
    """int32 ``(C,)`` or ``(1,)``."""
    shift: TensorRef
    """uint8, as ``multiplier``."""
    add: TensorRef
    """int64, as ``multiplier``: offset, zero point of ``x`` and rounding constant."""
    zero_point: int
    lo: int
    hi: int


def reads(op: Affine) -> tuple[str, ...]:
    """Return the tensors that ``op`` reads."""
    return (op.x,)


def writes(op: Affine) -> tuple[str, ...]:
    """Return the tensors that ``op`` writes."""
    return (op.output,)


def shapes(op: Affine, frame: Frame) -> dict[str, Shape]:
    """Return the shape of the result: that of the input."""
    return {op.output: frame.tensors[op.x].shape}


def problems(op: Affine, frame: Frame) -> Iterator[str]:
    """Yield what makes ``op`` illegal."""
    multipliers, shifts = frame.constant(op.multiplier), frame.constant(op.shift)
    if multipliers.shape[0] not in (1, frame.tensors[op.x].shape[-1]):
        yield f"{multipliers.shape[0]} multipliers for {frame.tensors[op.x].shape[-1]} channels"
    if frame.constant(op.add).shape != multipliers.shape:
        yield "offsets and multipliers differ in shape"
    if frame.tensors[op.x].bits > 16:
        yield f"{op.x} is wider than 16 bits"
    yield from dyadic_problems(multipliers, shifts, signed=True)
    yield from clamp_problems(frame.tensors[op.output], op.zero_point, op.lo, op.hi)


def evaluate(op: Affine, frame: Frame) -> dict[str, Array]:
    """Return the stored result; the rounding constant is part of ``add``."""
    m = frame.constant(op.multiplier).astype(np.int64)
    s = frame.constant(op.shift).astype(np.int64)
    value = np.right_shift(frame.arrays[op.x].astype(np.int64) * m + frame.constant(op.add), s)
    output = frame.tensors[op.output]
    return {op.output: saturated(op.zero_point + value, op.lo, op.hi, output)}
