"""Linear interpolation along rows and columns with weights that are whole numbers over a power of two.

acc = Σ w_y·w_x·(q − z) over two rows and two columns,   w + w' = 2^bits along each axis
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from hawqlang.base import Frozen, TensorRef
from hawqlang.ops.frame import Array, Frame, Shape
from hawqlang.ops.stores import Store, store_all, store_problems


class Resample(Frozen):
    """Every output stands between two rows and two columns of the input; no division."""

    op: Literal["resample"] = "resample"
    name: str
    x: str
    rows: TensorRef
    """int32 ``(OH, 3)``: first row, second row, weight of the second in units of ``2^−bits``."""
    columns: TensorRef
    """int32 ``(OW, 3)``, likewise."""
    bits: int
    stores: tuple[Store, ...]
    """Multipliers include the ``2^(−2·bits)`` of the weights."""


def weight_bits(width: int) -> int:
    """Return how many bits weights may have for an input of ``width`` bits: four products fit int32."""
    return min(11, (30 - width) // 2)


def reads(op: Resample) -> tuple[str, ...]:
    """Return the tensors that ``op`` reads, each once."""
    addends = (store.addend.x for store in op.stores if store.addend is not None)
    return tuple(dict.fromkeys((op.x, *addends)))


def writes(op: Resample) -> tuple[str, ...]:
    """Return the tensors that ``op`` writes."""
    return tuple(store.output for store in op.stores)


def shapes(op: Resample, frame: Frame) -> dict[str, Shape]:
    """Return the shape ``(OH, OW, C)`` of every result."""
    size = (frame.constant(op.rows).shape[0], frame.constant(op.columns).shape[0])
    return {store.output: (*size, frame.tensors[op.x].shape[-1]) for store in op.stores}


def problems(op: Resample, frame: Frame) -> Iterator[str]:
    """Yield what makes ``op`` illegal."""
    x = frame.tensors[op.x]
    if len(x.shape) != 3 or x.bits > 16:
        yield f"{x.name} is no map of at most 16 bits"
        return
    if not 0 <= op.bits <= weight_bits(x.bits):
        yield f"weights of {op.bits} bits for an input of {x.bits}"
    for ref, n in ((op.rows, x.shape[0]), (op.columns, x.shape[1])):
        taps = frame.constant(ref)
        if taps.ndim != 2 or taps.shape[1] != 3:
            yield f"taps of shape {taps.shape}"
        elif not (int(taps[:, :2].min()) >= 0 and int(taps[:, :2].max()) < n):
            yield f"taps reach {taps[:, :2].min()}..{taps[:, :2].max()} along an axis of {n}"
        elif not (int(taps[:, 2].min()) >= 0 and int(taps[:, 2].max()) <= 1 << op.bits):
            yield f"weights {taps[:, 2].min()}..{taps[:, 2].max()} are not within [0, 2^{op.bits}]"
    yield from store_problems(op.stores, (1, x.shape[-1]), frame)


def evaluate(op: Resample, frame: Frame) -> dict[str, Array]:
    """Return every stored interpolation."""
    return store_all(op.stores, accumulate(op, frame), frame)


def accumulate(op: Resample, frame: Frame) -> Array:
    """Return the weighted sums, int64 ``(N, OH, OW, C)``."""
    value = frame.centred(op.x, frame.tensors[op.x].zero_point)
    for axis, ref in ((1, op.rows), (2, op.columns)):
        taps = frame.constant(ref).astype(np.int64)
        weight = taps[:, 2].reshape(-1, *[1] * (3 - axis))
        first, second = (np.take(value, taps[:, i], axis=axis) for i in (0, 1))
        value = first * ((1 << op.bits) - weight) + second * weight
    return value
