"""Rules of the ONNX operators that compute nothing: views of a tensor, its shape, and moves of its elements."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from hawqlang.stages.import_model.onnx.constants import (
    shape_range,
    slices,
    split_sizes,
    target_shape,
)
from hawqlang.stages.import_model.onnx.model import OnnxNode, RefusedError
from hawqlang.stages.import_model.onnx.translator import Constant, Flow, Operand, Translator


def flatten(t: Translator, node: OnnxNode, name: str) -> Flow:
    """See the tensor as a matrix cut at an axis."""
    flow = t.tail(node)
    shape = t.batched(flow)
    axis = node.integer("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return t.reshaped(flow, (prod(shape[:axis]), prod(shape[axis:])), name)


def reshape(t: Translator, node: OnnxNode, name: str) -> Flow:
    """See the tensor under another shape."""
    flow = t.tail(node)
    wanted = t.array(node, 1, "shape")
    if wanted is None:
        raise RefusedError("it has no shape")
    sizes = [int(n) for n in wanted.reshape(-1)]
    return t.reshaped(flow, target_shape(t.batched(flow), sizes, node), name)


def squeeze(t: Translator, node: OnnxNode, name: str) -> Flow:
    """See the tensor without axes of length 1."""
    flow = t.tail(node)
    shape = t.batched(flow)
    axes = t.integers(node, 1, "axes")
    chosen = (
        [i for i, n in enumerate(shape) if n == 1 and i > 0]
        if axes is None
        else [axis % len(shape) for axis in axes]
    )
    if any(shape[axis] != 1 for axis in chosen):
        raise RefusedError(f"it squeezes axes {chosen} of {shape}")
    kept = tuple(n for i, n in enumerate(shape) if i not in chosen)
    return t.reshaped(flow, kept, name)


def unsqueeze(t: Translator, node: OnnxNode, name: str) -> Flow:
    """See the tensor with more axes of length 1."""
    flow = t.tail(node)
    axes = t.integers(node, 1, "axes") or ()
    shape = list(t.batched(flow))
    for axis in sorted(axis % (len(shape) + len(axes)) for axis in axes):
        shape.insert(axis, 1)
    return t.reshaped(flow, tuple(shape), name)


def transpose(t: Translator, node: OnnxNode, name: str) -> Flow:
    """See the tensor with channels last or first, or with axes of length 1 elsewhere."""
    flow = t.tail(node)
    shape = t.batched(flow)
    order = node.integers("perm") or tuple(range(len(shape)))[::-1]
    if sorted(order) != list(range(len(shape))) or order[0] != 0:
        raise RefusedError(f"it permutes {shape} by {list(order)}, moving the batch axis")
    dims = tuple(shape[axis] for axis in order[1:])
    if order == (0, 2, 3, 1) and not flow.channels_last:
        return replace(flow, dims=dims, channels_last=True, named=name)
    if order == (0, 3, 1, 2) and flow.channels_last:
        return replace(flow, dims=dims, channels_last=False, named=name)
    long_axes = [axis for axis in order if shape[axis] > 1]
    if long_axes != sorted(long_axes):
        raise RefusedError(
            f"it permutes {shape} by {list(order)}",
            "only changes between channels first and channels last are supported",
        )
    return t.reshaped(flow, (t.batch, *dims), name)


def shape(t: Translator, node: OnnxNode, name: str) -> Constant:
    """Give the shape, which is known."""
    del name
    shape = shape_range(node, t.batched(t.tail(node)))
    return t.known(node.outputs[0], np.array(shape, dtype=np.int64))


def size(t: Translator, node: OnnxNode, name: str) -> Constant:
    """Give the number of elements, which is known."""
    del name
    return t.known(node.outputs[0], np.array(prod(t.batched(t.tail(node))), dtype=np.int64))


# ---- moves ------------------------------------------------------------------------------------------


def concat(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write a concatenation along channels."""
    flows = [t.flow(node, i) for i in range(len(node.inputs))]
    axis = node.integer("axis", 1)
    if axis % (len(flows[0].dims) + 1) != 1:
        raise RefusedError(f"it concatenates along axis {axis}", "along the channels is supported")
    return t.result(t.builder.concat(name, [t.tensor(flow) for flow in flows]))


def slice_(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write a slice with constant bounds; one that takes everything is nothing."""
    flow = t.flow(node)
    operands = [t.array(node, i, "bounds") for i in range(1, len(node.inputs))]
    shape = t.batched(flow)
    batch, *rest = slices(node, operands, len(shape))
    if batch.indices(t.batch) != (0, t.batch, 1):
        raise RefusedError("it takes a part of the batch")
    bounds = [part.indices(n) for part, n in zip(rest, flow.dims, strict=True)]
    if any(step < 1 for _, _, step in bounds):
        raise RefusedError("it slices backwards", "a positive step is supported")
    if all(bound == (0, n, 1) for bound, n in zip(bounds, flow.dims, strict=True)):
        return flow
    start, stop, step = zip(*bounds, strict=True)
    return t.result(t.builder.slice(name, t.tensor(flow), start, stop, step))


def split(t: Translator, node: OnnxNode, name: str) -> list[Operand]:
    """Write one slice per part."""
    flow = t.flow(node)
    axis = node.integer("axis", 0) % (len(flow.dims) + 1)
    if axis == 0:
        raise RefusedError("it splits the batch")
    sizes = split_sizes(node, t.array(node, 1, "sizes"), flow.dims[axis - 1])
    x = t.tensor(flow)
    parts: list[Operand] = []
    for i, size in enumerate(sizes):
        start, stop = [0] * len(flow.dims), list(flow.dims)
        start[axis - 1] = sum(sizes[:i])
        stop[axis - 1] = start[axis - 1] + size
        value = t.builder.slice(f"{name}.{i}", x, start, stop, [1] * len(flow.dims))
        parts.append(t.result(value))
    return parts


def pad(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write padding with zeros."""
    flow = t.flow(node)
    rank = len(flow.dims) + 1
    written = t.integers(node, 1, "pads")
    if node.text("mode", "constant") != "constant" or (t.scalar(node, 2, "value") or 0.0) != 0.0:
        raise RefusedError("it pads with something else than zeros")
    axes = [axis % rank for axis in t.integers(node, 3, "axes") or range(rank)]
    if written is None or len(written) != 2 * len(axes):
        raise RefusedError("its pads do not fit its input")
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        before[axis], after[axis] = written[i], written[i + len(axes)]
    if before[0] or after[0] or min(*before, *after) < 0:
        raise RefusedError(
            f"its pads are {list(written)}", "channels, height and width may grow, not shrink"
        )
    if not any((*before, *after)):
        return flow
    x = t.feature_map(flow)
    padding = (before[2], before[3], after[2], after[3])
    return t.result(t.builder.pad(name, x, channels=(before[1], after[1]), padding=padding))
