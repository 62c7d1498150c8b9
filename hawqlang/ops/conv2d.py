"""Convolution, grouped and depthwise included: int32 accumulation, then ``Store``."""

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
from hawqlang.ops.window import output_size, pad, windows


class Conv2d(Frozen):
    """``acc[oc] = bias[oc] + Σ w·q_x``; a padded tap counts as the input's zero point."""

    op: Literal["conv2d"] = "conv2d"
    name: str
    x: str
    weight: TensorRef
    """Packed at ``weight_bits`` (see ``arith.pack``); unpacked ``(OC, KH, KW, IC/groups)``."""
    weight_bits: int
    weight_shape: tuple[int, int, int, int]
    bias: TensorRef
    """int32 ``(OC,)``, the zero point folded in: ``bias − z_x · Σ q_w``."""
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    """(top, left, bottom, right)."""
    dilation: tuple[int, int]
    groups: int
    stores: tuple[Store, ...]
    terms: WeightTerms | None = None
    """Of affine and group weights; ``None`` where the codes are the integers."""
    accumulator: width.Accumulator = "int32"
    """What the sum of products fits in any order; the bias is added after widening."""


def reads(op: Conv2d) -> tuple[str, ...]:
    """Return the tensors that ``op`` reads, each once."""
    addends = (store.addend.x for store in op.stores if store.addend is not None)
    return tuple(dict.fromkeys((op.x, *addends)))


def writes(op: Conv2d) -> tuple[str, ...]:
    """Return the tensors that ``op`` writes."""
    return tuple(store.output for store in op.stores)


def shapes(op: Conv2d, frame: Frame) -> dict[str, Shape]:
    """Return the shape ``(OH, OW, OC)`` of every result."""
    height, wide, _ = frame.tensors[op.x].shape
    channels, *kernel, _ = op.weight_shape
    size = output_size((height, wide), (kernel[0], kernel[1]), op.stride, op.padding, op.dilation)
    return {store.output: (*size, channels) for store in op.stores}


def problems(op: Conv2d, frame: Frame) -> Iterator[str]:
    """Yield what makes ``op`` illegal."""
    x = frame.tensors[op.x]
    channels, _, _, depth = op.weight_shape
    if x.bits > 16:
        yield f"{x.name} is wider than 16 bits"
    if len(x.shape) != 3 or x.shape[-1] != depth * op.groups or channels % op.groups:
        yield f"weight {op.weight_shape} in {op.groups} groups does not fit input {x.shape}"
    yield from frame.weight_problems(op.weight, op.weight_bits, op.weight_shape, op.terms)
    if frame.constant(op.bias).shape != (channels,):
        yield f"{frame.constant(op.bias).shape} biases for {channels} channels"
    if any(min(size) < 1 for size in shapes(op, frame).values()):
        yield "the window does not fit into the padded input"
    yield from store_problems(op.stores, (1, channels), frame)


def evaluate(op: Conv2d, frame: Frame) -> dict[str, Array]:
    """Return every stored result."""
    return store_all(op.stores, accumulate(op, frame), frame)


def accumulate(op: Conv2d, frame: Frame) -> Array:
    """Return the int64 accumulators ``(N, OH, OW, OC)``, bias included, which the certificate keeps within int32."""
    x = frame.tensors[op.x]
    channels, tall, wide, depth = op.weight_shape
    weights = frame.weights(op.weight, op.weight_bits, op.weight_shape, op.terms)
    padded = pad(frame.arrays[op.x], op.padding, x.zero_point)
    taps = windows(padded, (tall, wide), op.stride, op.dilation)
    count, height, breadth = taps.shape[:3]
    grouped = taps.reshape(count, height, breadth, tall, wide, op.groups, depth)
    rows = grouped.transpose(5, 0, 1, 2, 3, 4, 6).reshape(op.groups, -1, tall * wide * depth)
    columns = weights.reshape(op.groups, channels // op.groups, -1).transpose(0, 2, 1)
    bound = width.accumulator_bound(weights, x.bits, signed=x.signed)
    sums = exact_matmul(rows, columns, int(bound.max())).transpose(1, 0, 2)
    acc = sums.reshape(count, height, breadth, channels).astype(np.int64)
    acc += frame.constant(op.bias)
    return acc


def macs(op: Conv2d, frame: Frame) -> int:
    """Return the multiply-accumulates for one sample."""
    height, wide, _ = next(iter(shapes(op, frame).values()))
    return height * wide * math.prod(op.weight_shape)
