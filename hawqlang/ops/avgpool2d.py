"""Average pooling: ``R`` of ``Σ(q − z)`` with ``1/n`` inside the dyadic number; no division."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from hawqlang.base import Frozen
from hawqlang.ops.frame import Array, Frame, Shape
from hawqlang.ops.stores import Store, store_problems, store_value
from hawqlang.ops.window import output_size, pad, populations, windows


class AvgPool2d(Frozen):
    """One dyadic number per distinct window population ``n`` (borders, ceil mode)."""

    op: Literal["avg_pool2d"] = "avg_pool2d"
    name: str
    x: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    counted: tuple[int, int, int, int]
    """The part of ``padding`` that counts as zeros in ``n``."""
    populations: tuple[int, ...]
    """Distinct ``n``, ascending; each store's multipliers and shifts are in this order."""
    stores: tuple[Store, ...]


def reads(op: AvgPool2d) -> tuple[str, ...]:
    """Return the tensors that ``op`` reads, each once."""
    addends = (store.addend.x for store in op.stores if store.addend is not None)
    return tuple(dict.fromkeys((op.x, *addends)))


def writes(op: AvgPool2d) -> tuple[str, ...]:
    """Return the tensors that ``op`` writes."""
    return tuple(store.output for store in op.stores)


def shapes(op: AvgPool2d, frame: Frame) -> dict[str, Shape]:
    """Return the shape ``(OH, OW, C)`` of every result."""
    height, wide, channels = frame.tensors[op.x].shape
    size = output_size((height, wide), op.kernel, op.stride, op.padding, (1, 1))
    return {store.output: (*size, channels) for store in op.stores}


def problems(op: AvgPool2d, frame: Frame) -> Iterator[str]:
    """Yield what makes ``op`` illegal."""
    x = frame.tensors[op.x]
    if x.bits > 16:
        yield f"{x.name} is wider than 16 bits"
    if any(counted > pad for counted, pad in zip(op.counted, op.padding, strict=True)):
        yield f"counted padding {op.counted} is more than the padding {op.padding}"
    if any(min(size) < 1 for size in shapes(op, frame).values()):
        yield "the window does not fit into the padded input"
    elif op.populations != distinct_populations(op, x.shape):
        yield f"populations {op.populations}, not {distinct_populations(op, x.shape)}"
    elif op.populations[0] < 1:
        yield "a window counts no element"
    yield from store_problems(op.stores, (len(op.populations),), frame)


def population_map(op: AvgPool2d, shape: Shape) -> npt.NDArray[np.int64]:
    """Return how many elements each window counts: int64 ``(OH, OW)`` for an input ``(H, W, C)``."""
    return populations((shape[0], shape[1]), op.kernel, op.stride, op.padding, op.counted)


def distinct_populations(op: AvgPool2d, shape: Shape) -> tuple[int, ...]:
    """Return the distinct window populations, ascending."""
    return tuple(int(n) for n in np.unique(population_map(op, shape)))


def evaluate(op: AvgPool2d, frame: Frame) -> dict[str, Array]:
    """Return every stored mean."""
    acc = accumulate(op, frame)
    which = np.searchsorted(op.populations, population_map(op, frame.tensors[op.x].shape))
    results: dict[str, Array] = {}
    for store in op.stores:
        m, s = frame.constant(store.multiplier)[which], frame.constant(store.shift)[which]
        results[store.output] = store_value(store, acc, (m[..., None], s[..., None]), frame)
    return results


def accumulate(op: AvgPool2d, frame: Frame) -> Array:
    """Return ``Σ(q − z)`` of every window, int64 ``(N, OH, OW, C)``: padding counts as ``q = z`` and adds nothing."""
    centred = frame.centred(op.x, frame.tensors[op.x].zero_point)
    taps = windows(pad(centred, op.padding, 0), op.kernel, op.stride, (1, 1))
    return taps.sum(axis=(3, 4))
