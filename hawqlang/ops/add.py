"""Residual addition of two stored tensors (one that follows a convolution is a ``Store`` of the convolution)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from hawqlang.base import Frozen
from hawqlang.ops.frame import Array, Frame, Shape
from hawqlang.ops.stores import Addend, addend_problems, addend_value, clamp_problems, saturated


class AddStore(Frozen):
    """``y = clamp(zero_point + R(a) + R(b), lo, hi)``."""

    output: str
    a: Addend
    b: Addend
    zero_point: int
    lo: int
    hi: int


class Add(Frozen):
    """Elementwise sum; the operands' names stand in every store's addends, since widths may differ."""

    op: Literal["add"] = "add"
    name: str
    stores: tuple[AddStore, ...]


def reads(op: Add) -> tuple[str, ...]:
    """Return the tensors that ``op`` reads, each once."""
    return tuple(dict.fromkeys(x for store in op.stores for x in (store.a.x, store.b.x)))


def writes(op: Add) -> tuple[str, ...]:
    """Return the tensors that ``op`` writes."""
    return tuple(store.output for store in op.stores)


def shapes(op: Add, frame: Frame) -> dict[str, Shape]:
    """Return the shape of every result: that of the operands."""
    return {store.output: frame.tensors[store.a.x].shape for store in op.stores}


def problems(op: Add, frame: Frame) -> Iterator[str]:
    """Yield what makes ``op`` illegal."""
    for store in op.stores:
        a, b = frame.tensors[store.a.x], frame.tensors[store.b.x]
        if a.shape != b.shape:
            yield f"operands {a.name} {a.shape} and {b.name} {b.shape} differ in shape"
        yield from addend_problems(store.a, dict(frame.tensors))
        yield from addend_problems(store.b, dict(frame.tensors))
        yield from clamp_problems(frame.tensors[store.output], store.zero_point, store.lo, store.hi)


def evaluate(op: Add, frame: Frame) -> dict[str, Array]:
    """Return every stored sum."""
    results: dict[str, Array] = {}
    for store in op.stores:
        total = addend_value(store.a, frame) + addend_value(store.b, frame)
        output = frame.tensors[store.output]
        results[store.output] = saturated(store.zero_point + total, store.lo, store.hi, output)
    return results
