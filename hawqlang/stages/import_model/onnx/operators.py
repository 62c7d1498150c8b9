"""One rule per ONNX operator: what it becomes in the draft.

A rule takes the translator, the node and the name the node goes by, and gives the flows of its outputs. What it cannot
express exactly it refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod

import numpy as np

from hawqlang.ir.graph import Pads
from hawqlang.stages.import_model.draft import Pair, same_padding
from hawqlang.stages.import_model.onnx.constants import (
    shape_range,
    slices,
    split_sizes,
    target_shape,
)
from hawqlang.stages.import_model.onnx.model import OnnxNode, RefusedError
from hawqlang.stages.import_model.onnx.translator import Constant, Flow, Operand, Translator
from hawqlang.stages.import_model.recipes import Filled, Recipe, Scaled, Transposed

Rule = Callable[[Translator, OnnxNode, str], Operand | list[Operand]]

# ---- operators with weights ----------------------------------------------------------------------------------------


def _conv(t: Translator, node: OnnxNode, name: str) -> Flow:
    x = t.feature_map(t.flow(node))
    weight = t.constant(node, 1, "weight")
    bias = t.optional(node, 2, "bias")
    if len(weight.shape) != 4:
        raise RefusedError(
            f"it is a convolution over {len(weight.shape) - 2} axes", "two axes are supported"
        )
    kernel = (weight.shape[2], weight.shape[3])
    if node.integers("kernel_shape") not in (None, kernel):
        raise RefusedError("its kernel_shape differs from its weight")
    stride, dilation = _pair(node, "strides"), _pair(node, "dilations")
    value = t.builder.conv_of(
        name,
        x,
        weight=weight.recipe,
        bias=None if bias is None else bias.recipe,
        stride=stride,
        padding=_padding(t, node, x, (kernel, stride, dilation)),
        dilation=dilation,
        groups=node.integer("group", 1),
    )
    return t.result(value)


def _gemm(t: Translator, node: OnnxNode, name: str) -> Flow:
    if node.integer("transA", 0):
        raise RefusedError("it transposes its input", "transA = 0 is supported")
    x = t.vector(t.flow(node))
    stored = t.constant(node, 1, "weight").recipe
    weight: Recipe = stored if node.integer("transB", 0) else Transposed(stored)
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    offset = t.optional(node, 2, "bias")
    bias = None if offset is None else t.per_channel(offset, (weight.shape[0],))
    value = t.builder.linear_of(
        name,
        x,
        weight if alpha == 1.0 else Scaled(weight, alpha),
        bias if bias is None or beta == 1.0 else Scaled(bias, beta),
    )
    return t.result(value)


def _matmul(t: Translator, node: OnnxNode, name: str) -> Flow:
    if not t.is_flow(node, 0):
        raise RefusedError("it multiplies a constant by a tensor", "tensor · constant is supported")
    weight = t.constant(node, 1, "second factor")
    if len(weight.shape) != 2:
        raise RefusedError("its second factor is not a matrix")
    x = t.vector(t.flow(node))
    return t.result(t.builder.linear_of(name, x, Transposed(weight.recipe), None))


def _batch_norm(t: Translator, node: OnnxNode, name: str) -> Flow:
    if node.integer("training_mode", 0) or len([o for o in node.outputs if o]) > 1:
        raise RefusedError("it is in training mode", "call model.eval() before the export")
    x = t.tensor(t.flow(node))
    gamma, beta, mean, var = (
        t.constant(node, i, what).recipe
        for i, what in enumerate(("scale", "bias", "mean", "variance"), start=1)
    )
    value = t.builder.batch_norm_of(
        name, x, gamma=gamma, beta=beta, mean=mean, var=var, epsilon=node.number("epsilon", 1e-5)
    )
    return t.result(value)


# ---- elementwise ---------------------------------------------------------------------------------------------------


def _add(t: Translator, node: OnnxNode, name: str) -> Flow:
    if t.is_flow(node, 0) and t.is_flow(node, 1):
        a, b = t.flow(node, 0), t.flow(node, 1)
        if a.dims != b.dims:
            raise RefusedError(
                f"it adds tensors of shapes {t.batched(a)} and {t.batched(b)}",
                "an addition of two tensors needs equal shapes",
            )
        return t.result(t.builder.add(name, t.tensor(a), t.tensor(b)))
    return _affine(t, node, name)


def _affine(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write ``x + c``, ``x - c``, ``c - x``, ``x · c`` or ``x / c`` as a batch norm, which may fold."""
    if t.is_flow(node, 0) and t.is_flow(node, 1):
        raise RefusedError(
            f"{node.op} of two tensors the network computes is not supported",
            "addition is; multiplicative gates (squeeze-and-excitation, swish) are not",
            "HQ320",
        )
    left = t.is_flow(node, 0)
    flow = t.flow(node, 0 if left else 1)
    x = t.tensor(flow)
    constant = t.per_channel(t.constant(node, 1 if left else 0, "operand"), flow.dims)
    shape = (flow.dims[0],)
    gamma: Recipe | None = None
    beta: Recipe | None = None
    match node.op, left:
        case "Add", _:
            beta = constant
        case "Sub", True:
            beta = Scaled(constant, -1.0)
        case "Sub", False:
            gamma, beta = Filled(-1.0, shape), constant
        case "Mul", _:
            gamma = constant
        case "Div", True:
            gamma = Scaled(constant, 1.0, inverse=True)
        case _:
            raise RefusedError("it divides a constant by a tensor")
    value = t.builder.batch_norm_of(
        name,
        x,
        gamma=gamma,
        beta=beta,
        mean=Filled(0.0, shape),
        var=Filled(1.0, shape),
        epsilon=0.0,
    )
    return t.result(value)


def _relu(t: Translator, node: OnnxNode, name: str) -> Flow:
    return _clamped(t, node, name, (0.0, None))


def _clip(t: Translator, node: OnnxNode, name: str) -> Flow:
    low, high = (
        t.scalar(node, i, what) if i < len(node.inputs) else _given(node, what)
        for i, what in ((1, "min"), (2, "max"))
    )
    return _clamped(t, node, name, (low, high))


def _bound(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write ``Max(x, c)`` and ``Min(x, c)`` as clamps."""
    if len(node.inputs) != 2 or t.is_flow(node, 0) == t.is_flow(node, 1):
        raise RefusedError(f"{node.op} of two tensors the network computes is not supported")
    constant = 1 if t.is_flow(node, 0) else 0
    bound = t.scalar(node, constant, "bound")
    bounds = (bound, None) if node.op == "Max" else (None, bound)
    return _clamped(t, node, name, bounds, 1 - constant)


def _clamped(
    t: Translator, node: OnnxNode, name: str, bounds: tuple[float | None, float | None], i: int = 0
) -> Flow:
    low, high = bounds
    low = None if low is None or low == -np.inf else low
    high = None if high is None or high == np.inf else high
    if any(bound is not None and not np.isfinite(bound) for bound in (low, high)):
        raise RefusedError(f"its bounds {low} and {high} let nothing through")
    flow = t.flow(node, i)
    return replace(flow, value=t.builder.clamp(name, flow.value, low, high))


def _same(t: Translator, node: OnnxNode, name: str) -> Operand:
    """Pass on what computes nothing: identity, a cast between floats."""
    del name
    return t.values[node.inputs[0]]


def _dropout(t: Translator, node: OnnxNode, name: str) -> list[Operand]:
    training = t.array(node, 2, "training mode")
    if training is not None and training.any():
        raise RefusedError("it is in training mode", "call model.eval() before the export")
    t.builder.notes.append(f"dropout '{name}' removed")
    return [t.flow(node), *([None] * (len(node.outputs) - 1))]


def _softmax(t: Translator, node: OnnxNode, name: str) -> Flow:
    flow = t.flow(node)
    rank = len(flow.dims) + 1
    axis = node.integer("axis", -1 if t.model.opset >= 13 else 1) % rank
    classes = rank - 1 if flow.channels_last else 1
    if axis != classes and not (t.model.opset < 13 and axis == 1):
        raise RefusedError(f"it runs over axis {axis}, which is not that of the classes")
    return replace(flow, softmax=name)


def _log(t: Translator, node: OnnxNode, name: str) -> Flow:
    del name
    operand = t.values[node.inputs[0]]
    if isinstance(operand, Flow) and operand.softmax is not None:
        return operand
    raise RefusedError(
        "operator 'Log' is not supported", "it is dropped after a final softmax", "HQ320"
    )


# ---- pools ---------------------------------------------------------------------------------------------------------


def _max_pool(t: Translator, node: OnnxNode, name: str) -> Flow:
    if any(node.outputs[1:]):
        raise RefusedError("its second output, the indices, is used")
    x = t.feature_map(t.flow(node))
    kernel, stride, dilation = window = _window(node)
    value = t.builder.max_pool(
        name,
        x,
        kernel,
        stride,
        padding=_padding(t, node, x, window),
        dilation=dilation,
        ceil=bool(node.integer("ceil_mode", 0)),
    )
    return t.result(value)


def _average_pool(t: Translator, node: OnnxNode, name: str) -> Flow:
    x = t.feature_map(t.flow(node))
    kernel, stride, dilation = window = _window(node)
    if dilation != (1, 1):
        raise RefusedError("it is a dilated average")
    value = t.builder.avg_pool(
        name,
        x,
        kernel,
        stride,
        padding=_padding(t, node, x, window),
        ceil=bool(node.integer("ceil_mode", 0)),
        count_padding=bool(node.integer("count_include_pad", 0)),
    )
    return t.result(value)


def _global_average(t: Translator, node: OnnxNode, name: str) -> Flow:
    return t.result(t.builder.global_mean(name, t.feature_map(t.flow(node))))


def _global_max(t: Translator, node: OnnxNode, name: str) -> Flow:
    x = t.feature_map(t.flow(node))
    _, height, width = t.builder.shapes[x]
    return t.result(t.builder.max_pool(name, x, (height, width), (height, width)))


def _reduce_mean(t: Translator, node: OnnxNode, name: str) -> Flow:
    flow = t.flow(node)
    rank = len(flow.dims) + 1
    axes = t.integers(node, 1, "axes")
    spatial = (1, 2) if flow.channels_last else (2, 3)
    if rank != 4 or axes is None or sorted(axis % rank for axis in axes) != list(spatial):
        raise RefusedError(
            f"it averages over {'all axes' if axes is None else f'axes {list(axes)}'}",
            "the mean over height and width is supported",
        )
    pooled = t.result(t.builder.global_mean(name, t.feature_map(t.channels_first(flow))))
    if node.integer("keepdims", 1):
        if not flow.channels_last:
            return pooled
        return replace(pooled, dims=pooled.dims[::-1], channels_last=True)
    return replace(pooled, dims=pooled.dims[:1], named=f"{name}.flatten")


# ---- shape ---------------------------------------------------------------------------------------------------------


def _flatten(t: Translator, node: OnnxNode, name: str) -> Flow:
    flow = t.tail(node)
    shape = t.batched(flow)
    axis = node.integer("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return t.reshaped(flow, (prod(shape[:axis]), prod(shape[axis:])), name)


def _reshape(t: Translator, node: OnnxNode, name: str) -> Flow:
    flow = t.tail(node)
    wanted = t.array(node, 1, "shape")
    if wanted is None:
        raise RefusedError("it has no shape")
    sizes = [int(n) for n in wanted.reshape(-1)]
    return t.reshaped(flow, target_shape(t.batched(flow), sizes, node), name)


def _squeeze(t: Translator, node: OnnxNode, name: str) -> Flow:
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


def _unsqueeze(t: Translator, node: OnnxNode, name: str) -> Flow:
    flow = t.tail(node)
    axes = t.integers(node, 1, "axes") or ()
    shape = list(t.batched(flow))
    for axis in sorted(axis % (len(shape) + len(axes)) for axis in axes):
        shape.insert(axis, 1)
    return t.reshaped(flow, tuple(shape), name)


def _transpose(t: Translator, node: OnnxNode, name: str) -> Flow:
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


def _shape(t: Translator, node: OnnxNode, name: str) -> Constant:
    del name
    shape = shape_range(node, t.batched(t.tail(node)))
    return t.known(node.outputs[0], np.array(shape, dtype=np.int64))


def _size(t: Translator, node: OnnxNode, name: str) -> Constant:
    del name
    return t.known(node.outputs[0], np.array(prod(t.batched(t.tail(node))), dtype=np.int64))


# ---- moves ---------------------------------------------------------------------------------------------------------


def _concat(t: Translator, node: OnnxNode, name: str) -> Flow:
    flows = [t.flow(node, i) for i in range(len(node.inputs))]
    axis = node.integer("axis", 1)
    if axis % (len(flows[0].dims) + 1) != 1:
        raise RefusedError(f"it concatenates along axis {axis}", "along the channels is supported")
    return t.result(t.builder.concat(name, [t.tensor(flow) for flow in flows]))


def _slice(t: Translator, node: OnnxNode, name: str) -> Flow:
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


def _split(t: Translator, node: OnnxNode, name: str) -> list[Operand]:
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


def _pad(t: Translator, node: OnnxNode, name: str) -> Flow:
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


# ---- windows -------------------------------------------------------------------------------------------------------

Window = tuple[Pair, Pair, Pair]
"""Kernel, stride and dilation."""


def _window(node: OnnxNode) -> Window:
    kernel = node.integers("kernel_shape")
    if kernel is None or len(kernel) != 2:
        raise RefusedError(
            f"its window has {len(kernel or ())} axes", "two-dimensional pooling is supported"
        )
    return (kernel[0], kernel[1]), _pair(node, "strides"), _pair(node, "dilations")


def _pair(node: OnnxNode, attribute: str) -> Pair:
    values = node.integers(attribute) or (1, 1)
    if len(values) != 2 or min(values) < 1:
        raise RefusedError(
            f"its {attribute} are {list(values)}", "two positive numbers are expected"
        )
    return values[0], values[1]


def _padding(t: Translator, node: OnnxNode, x: str, window: Window) -> Pads:
    """Return the padding of a convolution or pool, ``auto_pad`` worked out."""
    mode = node.text("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        upper = mode == "SAME_UPPER"
        return same_padding(t.builder.shapes[x][1:], *window, upper=upper)
    if mode not in ("NOTSET", "VALID"):
        raise RefusedError(f"its auto_pad is '{mode}'")
    written = node.integers("pads") if mode == "NOTSET" else None
    written = written or (0, 0, 0, 0)
    if len(written) != 4 or min(written) < 0:
        raise RefusedError(f"its pads are {list(written)}", "four numbers from 0 are expected")
    return written[0], written[1], written[2], written[3]


def _given(node: OnnxNode, attribute: str) -> float | None:
    return node.number(attribute, 0.0) if attribute in node.attributes else None


RULES: Mapping[str, Rule] = {
    "Add": _add,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _same,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Div": _affine,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "GlobalMaxPool": _global_max,
    "Identity": _same,
    "Log": _log,
    "LogSoftmax": _softmax,
    "MatMul": _matmul,
    "Max": _bound,
    "MaxPool": _max_pool,
    "Min": _bound,
    "Mul": _affine,
    "Pad": _pad,
    "ReduceMean": _reduce_mean,
    "Relu": _relu,
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Squeeze": _squeeze,
    "Sub": _affine,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
