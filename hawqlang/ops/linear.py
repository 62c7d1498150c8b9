"""Fully connected layer: int32 accumulation over the input flattened in HWC order, then ``Store``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np

from hawqlang.arith import width
from hawqlang.base import Frozen, TensorRef
from hawqlang.ops.frame import Array, Frame, Shape, WeightTerms
from hawqlang.ops.matmul import exact_matmul
from hawqlang.ops.stores import Store, store_all, store_problems


class Linear(Frozen):
    """``acc[of] = bias[of] + Σ w·q_x``; weights are permuted at compile time from the model's CHW order to HWC."""

    op: Literal["linear"] = "linear"
    name: str
    x: str
    weight: TensorRef
    """Packed at ``weight_bits``; unpacked ``(OF, IF)``."""
    weight_bits: int
    weight_shape: tuple[int, int]
    bias: TensorRef
    """int32 ``(OF,)``, the zero point folded in."""
    stores: tuple[Store, ...]
    terms: WeightTerms | None = None
    """Of affine and group weights; ``None`` where the codes are the integers."""
    accumulator: width.Accumulator = "int32"
    """What the sum of products fits in any order; the bias is added after widening."""


def reads(op: Linear) -> tuple[str, ...]:
    """Return the tensors that ``op`` reads, each once."""
    addends = (store.addend.x for store in op.stores if store.addend is not None)
    return tuple(dict.fromkeys((op.x, *addends)))


def writes(op: Linear) -> tuple[str, ...]:
    """Return the tensors that ``op`` writes."""
    return tuple(store.output for store in op.stores)


def shapes(op: Linear, frame: Frame) -> dict[str, Shape]:
    """Return the shape ``(OF,)`` of every result."""
    del frame
    return {store.output: (op.weight_shape[0],) for store in op.stores}


def problems(op: Linear, frame: Frame) -> Iterator[str]:
    """Yield what makes ``op`` illegal."""
    x = frame.tensors[op.x]
    if x.bits > 16:
        yield f"{x.name} is wider than 16 bits"
    if x.shape != (op.weight_shape[1],):
        yield f"weight {op.weight_shape} does not fit input {x.shape}"
    yield from frame.weight_problems(op.weight, op.weight_bits, op.weight_shape, op.terms)
    if frame.constant(op.bias).shape != op.weight_shape[:1]:
        yield f"{frame.constant(op.bias).shape} biases for {op.weight_shape[0]} outputs"
    yield from store_problems(op.stores, (1, op.weight_shape[0]), frame)


def evaluate(op: Linear, frame: Frame) -> dict[str, Array]:
    """Return every stored result."""
    return store_all(op.stores, accumulate(op, frame), frame)


def accumulate(op: Linear, frame: Frame) -> Array:
    """Return the int64 accumulators ``(N, OF)``, bias included, which the certificate keeps within int32."""
    x = frame.tensors[op.x]
    weights = frame.weights(op.weight, op.weight_bits, op.weight_shape, op.terms)
    bound = width.accumulator_bound(weights, x.bits, signed=x.signed)
    sums = exact_matmul(frame.arrays[op.x], weights.T, int(bound.max()))
    return sums.astype(np.int64) + frame.constant(op.bias)


def macs(op: Linear, frame: Frame) -> int:
    """Return the multiply-accumulates for one sample."""
    del frame
    return math.prod(op.weight_shape)
