"""Elementwise product of two stored tensors: ``R`` of ``(q_a − z_a)·(q_b − z_b)``, then ``Store``.

An axis of length 1 stands for any length, so that one number per channel gates a map (squeeze and excitation).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from hawqlang.arith.width import INT32_MAX
from hawqlang.base import Frozen
from hawqlang.ops.frame import Array, Frame, Shape
from hawqlang.ops.stores import Store, store_all, store_problems


class Multiply(Frozen):
    """``acc = (q_a − z_a)·(q_b − z_b)``; a vector ``(C,)`` counts as ``(1, 1, C)``."""

    op: Literal["multiply"] = "multiply"
    name: str
    a: str
    b: str
    stores: tuple[Store, ...]


def reads(op: Multiply) -> tuple[str, ...]:
    """Return the tensors that ``op`` reads, each once."""
    addends = (store.addend.x for store in op.stores if store.addend is not None)
    return tuple(dict.fromkeys((op.a, op.b, *addends)))


def writes(op: Multiply) -> tuple[str, ...]:
    """Return the tensors that ``op`` writes."""
    return tuple(store.output for store in op.stores)


def shapes(op: Multiply, frame: Frame) -> dict[str, Shape]:
    """Return the shape of every result: along each axis the longer operand's."""
    a, b = frame.tensors[op.a].shape, frame.tensors[op.b].shape
    longest = max(len(a), len(b))
    pairs = zip(_with_axes(a, longest), _with_axes(b, longest), strict=True)
    shape = tuple(max(pair) for pair in pairs)
    return {store.output: shape for store in op.stores}


def problems(op: Multiply, frame: Frame) -> Iterator[str]:
    """Yield what makes ``op`` illegal."""
    a, b = frame.tensors[op.a], frame.tensors[op.b]
    if max(a.bits, b.bits) > 16:
        yield f"{a.name} or {b.name} is wider than 16 bits"
    longest = max(len(a.shape), len(b.shape))
    pairs = zip(_with_axes(a.shape, longest), _with_axes(b.shape, longest), strict=True)
    if any(m != n and min(m, n) != 1 for m, n in pairs):
        yield f"operands {a.name} {a.shape} and {b.name} {b.shape} do not fit together"
    largest = _reach(a.range, a.zero_point) * _reach(b.range, b.zero_point)
    if largest > INT32_MAX:
        yield f"products can reach {largest}"
    channels = next(iter(shapes(op, frame).values()), (1,))[-1]
    yield from store_problems(op.stores, (1, channels), frame)


def _reach(ends: tuple[int, int], zero_point: int) -> int:
    return max(ends[1] - zero_point, zero_point - ends[0])


def _with_axes(shape: Shape, count: int) -> Shape:
    return (1,) * (count - len(shape)) + shape


def evaluate(op: Multiply, frame: Frame) -> dict[str, Array]:
    """Return every stored product."""
    return store_all(op.stores, accumulate(op, frame), frame)


def accumulate(op: Multiply, frame: Frame) -> Array:
    """Return the products, int64 ``(N, …, C)``."""
    operands = [frame.centred(x, frame.tensors[x].zero_point) for x in (op.a, op.b)]
    longest = max(array.ndim for array in operands)
    a, b = (
        array.reshape(array.shape[0], *[1] * (longest - array.ndim), *array.shape[1:])
        for array in operands
    )
    return np.asarray(a * b)
