"""Moves that change places: rearrangement of axes, and chosen indices along axes. Scale, zero point, width are kept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np

from hawqlang.base import Frozen, TensorRef
from hawqlang.ops.frame import Array, Frame, Shape


class Rearrange(Frozen):
    """The elements in the model's order, seen as ``view``, its axes in ``order``, seen as the result's shape.

    The model's order is CHW; tensors are stored as HWC.
    """

    op: Literal["rearrange"] = "rearrange"
    name: str
    x: str
    output: str
    view: tuple[int, ...]
    order: tuple[int, ...]


class Take(Frozen):
    """``y[i, j, k] = x[rows[i], columns[j], channels[k]]``."""

    op: Literal["take"] = "take"
    name: str
    x: str
    output: str
    indices: tuple[TensorRef | None, ...]
    """int32, one per axis of the stored tensor; ``None`` keeps an axis."""


Replacement = Rearrange | Take


def reads(op: Replacement) -> tuple[str, ...]:
    """Return the tensors that ``op`` reads."""
    return (op.x,)


def writes(op: Replacement) -> tuple[str, ...]:
    """Return the tensors that ``op`` writes."""
    return (op.output,)


def shapes(op: Replacement, frame: Frame) -> dict[str, Shape]:
    """Return the shape of the result; a rearrangement takes the one it declares."""
    match op:
        case Rearrange():
            return {op.output: frame.tensors[op.output].shape}
        case Take():
            size = frame.tensors[op.x].shape
            chosen = zip(op.indices, size, strict=False)
            lengths = (n if ref is None else frame.constant(ref).shape[0] for ref, n in chosen)
            return {op.output: tuple(lengths)}


def problems(op: Replacement, frame: Frame) -> Iterator[str]:
    """Yield what makes ``op`` illegal."""
    x, output = frame.tensors[op.x], frame.tensors[op.output]
    if x.kind != output.kind:
        yield f"{x.name} and {output.name} differ in width, sign or zero point"
    match op:
        case Rearrange():
            if len({math.prod(s) for s in (x.shape, output.shape, op.view)}) != 1:
                yield f"{x.shape} does not rearrange to {output.shape} through {op.view}"
            if sorted(op.order) != list(range(len(op.view))):
                yield f"{op.order} is no order of {len(op.view)} axes"
        case Take():
            if len(op.indices) != len(x.shape):
                yield f"indices along {len(op.indices)} axes for {x.shape}"
            for ref, n in zip(op.indices, x.shape, strict=False):
                chosen = np.zeros(1, np.int32) if ref is None else frame.constant(ref)
                if chosen.ndim != 1 or not (int(chosen.min()) >= 0 and int(chosen.max()) < n):
                    yield f"indices {chosen.min()}..{chosen.max()} along an axis of {n}"


def evaluate(op: Replacement, frame: Frame) -> dict[str, Array]:
    """Return the moved values."""
    x = frame.arrays[op.x]
    match op:
        case Rearrange():
            count = x.shape[0]
            model = np.moveaxis(x, -1, 1).reshape(count, *op.view)
            permuted = model.transpose(0, *(axis + 1 for axis in op.order))
            *size, channels = frame.tensors[op.output].shape
            result = np.moveaxis(permuted.reshape(count, channels, *size), 1, -1)
        case Take():
            result = x
            for axis, ref in enumerate(op.indices, start=1):
                if ref is not None:
                    result = np.take(result, frame.constant(ref), axis=axis)
    return {op.output: np.ascontiguousarray(result)}
