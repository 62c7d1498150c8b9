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
from hawqlang.stages.import_model.recipes import Filled

Pads = tuple[list[int], list[int]]
"""Before and after, per axis without the batch's."""


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
    """See the tensor with channels last or first, or with its axes in any other order."""
    flow = t.tail(node)
    shape = t.batched(flow)
    order = node.integers("perm") or tuple(range(len(shape)))[::-1]
    if sorted(order) != list(range(len(shape))) or order[0] != 0:
        raise RefusedError(f"it permutes {shape} by {list(order)}, moving the batch axis")
    dims = tuple(shape[axis] for axis in order[1:])
    if order == (0, 2, 3, 1) and not flow.channels_last and not flow.order:
        return replace(flow, dims=dims, channels_last=True, named=name)
    if order == (0, 3, 1, 2) and flow.channels_last:
        return replace(flow, dims=dims, channels_last=False, named=name)
    long_axes = [axis for axis in order if shape[axis] > 1]
    if long_axes != sorted(long_axes):
        return t.transposed(flow, tuple(axis - 1 for axis in order[1:]), name)
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
    """Write a concatenation; along another axis than the channels' that axis is brought to their place and back."""
    flows = [t.flow(node, i) for i in range(len(node.inputs))]
    dims = flows[0].dims
    axis = node.integer("axis", 1) % (len(dims) + 1) - 1
    if axis < 0 or any(len(flow.dims) != len(dims) for flow in flows):
        raise RefusedError("it concatenates batches, or tensors of different rank")
    if axis == 0 and len(dims) in (1, 3):
        return t.result(t.builder.concat(name, [t.tensor(flow) for flow in flows]))
    order = (axis, *(i for i in range(len(dims)) if i != axis))
    rest = tuple(dims[i] for i in order[1:])
    parts: list[str] = []
    for i, flow in enumerate(flows):
        turned = t.transposed(flow, order, f"{name}.part{i}")
        parts.append(t.feature_map(replace(turned, dims=(flow.dims[axis], prod(rest), 1))))
    joined = t.result(t.builder.concat(name, parts))
    back = tuple(order.index(i) for i in range(len(dims)))
    return t.transposed(replace(joined, dims=(joined.dims[0], *rest)), back, f"{name}.view")


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
        indices = [tuple(range(*bound)) for bound in bounds]
        return t.result(t.builder.take(name, t.tensor(flow), indices))
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
    """Write padding with a constant, by reflection or by repetition; negative pads cut."""
    flow = t.flow(node)
    rank = len(flow.dims) + 1
    written = t.integers(node, 1, "pads")
    mode, value = node.text("mode", "constant"), t.scalar(node, 2, "value") or 0.0
    axes = [axis % rank for axis in t.integers(node, 3, "axes") or range(rank)]
    if written is None or len(written) != 2 * len(axes):
        raise RefusedError("its pads do not fit its input")
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        before[axis], after[axis] = written[i], written[i + len(axes)]
    if before[0] or after[0]:
        raise RefusedError(f"its pads are {list(written)}, which pad the batch")
    flow = _cut(t, flow, (before[1:], after[1:]), name)
    before, after = ([max(n, 0) for n in side] for side in (before, after))
    if not any((*before, *after)):
        return flow
    if mode != "constant":
        return _mirrored(t, flow, (before[1:], after[1:]), mode, name)
    if value != 0.0:
        if not np.isfinite(value):
            raise RefusedError(f"it pads with {value}")
        low = shifted(t, f"{name}.below", t.feature_map(flow), -value)
        around = t.builder.pad(
            f"{name}.around",
            low,
            channels=(before[1], after[1]),
            padding=(before[2], before[3], after[2], after[3]),
        )
        return t.result(shifted(t, name, around, value))
    x = t.feature_map(flow)
    padding = (before[2], before[3], after[2], after[3])
    return t.result(t.builder.pad(name, x, channels=(before[1], after[1]), padding=padding))


def shifted(t: Translator, name: str, x: str, offset: float) -> str:
    """Write ``x + offset``."""
    channels = (t.builder.shapes[x][0],)
    return t.builder.batch_norm_of(
        name,
        x,
        gamma=None,
        beta=Filled(offset, channels),
        mean=Filled(0.0, channels),
        var=Filled(1.0, channels),
        epsilon=0.0,
    )


def _cut(t: Translator, flow: Flow, pads: Pads, name: str) -> Flow:
    """Write the slice that negative pads stand for."""
    start = [max(-n, 0) for n in pads[0]]
    stop = [n + min(m, 0) for n, m in zip(flow.dims, pads[1], strict=True)]
    if not any(start) and tuple(stop) == flow.dims:
        return flow
    steps = [1] * len(stop)
    return t.result(t.builder.slice(f"{name}.cut", t.tensor(flow), start, stop, steps))


def _mirrored(t: Translator, flow: Flow, pads: Pads, mode: str, name: str) -> Flow:
    """Write padding by reflection, by the edge, or around, as chosen indices."""
    indices: list[tuple[int, ...] | None] = []
    for before, after, n in zip(*pads, flow.dims, strict=True):
        span = range(-before, n + after)
        match mode:
            case "edge":
                chosen = [min(max(i, 0), n - 1) for i in span]
            case "wrap":
                chosen = [i % n for i in span]
            case "reflect" if max(before, after) < n:
                chosen = [n - 1 - abs(n - 1 - abs(i)) for i in span]
            case _:
                raise RefusedError(f"it pads by '{mode}' further than its input reaches")
        indices.append(tuple(chosen) if before or after else None)
    return t.result(t.builder.take(name, t.tensor(flow), indices))


def expand(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write a tensor repeated along its axes of length 1."""
    flow = t.flow(node)
    wanted = t.array(node, 1, "shape")
    sizes = [] if wanted is None else [int(n) for n in wanted.reshape(-1)]
    shape = t.batched(flow)
    sizes = [1] * (len(shape) - len(sizes)) + sizes
    if len(sizes) != len(shape) or sizes[0] not in (1, t.batch):
        raise RefusedError(f"it expands {shape} to {sizes}", "the batch axis must stay")
    pairs = list(zip(shape[1:], sizes[1:], strict=True))
    if any(m != n and min(m, n) != 1 for m, n in pairs):
        raise RefusedError(f"it expands {shape} to {sizes}")
    return _chosen(t, flow, [None if n in (1, m) else (0,) * n for m, n in pairs], name)


def tile(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write a tensor repeated as a whole along its axes."""
    flow = t.flow(node)
    times = t.array(node, 1, "repeats")
    counts = [] if times is None else [int(n) for n in times.reshape(-1)]
    if len(counts) != len(flow.dims) + 1 or counts[0] != 1:
        raise RefusedError(f"it repeats {t.batched(flow)} by {counts}", "the batch must stay")
    pairs = zip(flow.dims, counts[1:], strict=True)
    return _chosen(t, flow, [None if k == 1 else tuple(range(n)) * k for n, k in pairs], name)


def gather(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write constant indices chosen along one axis; a single number takes the axis away."""
    flow = t.flow(node)
    chosen = t.array(node, 1, "indices")
    axis = node.integer("axis", 0) % (len(flow.dims) + 1) - 1
    if chosen is None or chosen.ndim > 1 or axis < 0:
        raise RefusedError("it gathers along the batch, or by a table of indices")
    n = flow.dims[axis]
    indices: list[tuple[int, ...] | None] = [None] * len(flow.dims)
    indices[axis] = tuple(int(i) % n for i in chosen.reshape(-1))
    found = _chosen(t, flow, indices, name)
    if chosen.ndim == 0:
        dims = found.dims[:axis] + found.dims[axis + 1 :]
        return t.reshaped(found, (t.batch, *dims), f"{name}.view")
    return found


def _chosen(t: Translator, flow: Flow, indices: list[tuple[int, ...] | None], name: str) -> Flow:
    """Write chosen indices along every axis; nothing where all are kept."""
    if all(one is None for one in indices):
        return flow
    return t.result(t.builder.take(name, t.tensor(flow), indices))
