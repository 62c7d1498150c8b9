"""Rules of the ONNX pools and means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

from hawqlang.stages.import_model.onnx.model import OnnxNode, RefusedError
from hawqlang.stages.import_model.onnx.translator import Flow, Translator
from hawqlang.stages.import_model.onnx.windows import padding_of, window_of


def max_pool(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write max pooling over height and width."""
    if any(node.outputs[1:]):
        raise RefusedError("its second output, the indices, is used")
    x = t.feature_map(t.flow(node))
    kernel, stride, dilation = window = window_of(node)
    value = t.builder.max_pool(
        name,
        x,
        kernel,
        stride,
        padding=padding_of(t, node, x, window),
        dilation=dilation,
        ceil=bool(node.integer("ceil_mode", 0)),
    )
    return t.result(value)


def average_pool(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write average pooling over height and width."""
    x = t.feature_map(t.flow(node))
    kernel, stride, dilation = window = window_of(node)
    if dilation != (1, 1):
        raise RefusedError("it is a dilated average")
    value = t.builder.avg_pool(
        name,
        x,
        kernel,
        stride,
        padding=padding_of(t, node, x, window),
        ceil=bool(node.integer("ceil_mode", 0)),
        count_padding=bool(node.integer("count_include_pad", 0)),
    )
    return t.result(value)


def global_average(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write the mean over the whole map."""
    return t.result(t.builder.global_mean(name, t.feature_map(t.flow(node))))


def reduce_max(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write a maximum over any axes but the batch's."""
    return _reduced(t, node, name, t.flow(node), t.builder.global_max)


def _reduced(
    t: Translator, node: OnnxNode, name: str, flow: Flow, pool: Callable[[str, str], str]
) -> Flow:
    """Write a reduction as one pool: the axes that stay are seen as channels, the others as height."""
    rank = len(flow.dims) + 1
    axes = t.integers(node, 1, "axes")
    if axes is None or not axes or 0 in {axis % rank for axis in axes}:
        raise RefusedError("it reduces the batch axis", "any of the other axes can be reduced")
    flow = t.permuted(flow)
    gone = sorted({axis % rank - 1 for axis in axes})
    stay = [axis for axis in range(rank - 1) if axis not in gone]
    kept = tuple(1 if i in gone else n for i, n in enumerate(flow.dims))
    count = prod(flow.dims[axis] for axis in gone)
    turned = t.transposed(flow, (*stay, *gone), f"{name}.view")
    seen = replace(turned, dims=(prod(flow.dims) // count, count, 1))
    pooled = t.result(pool(name, t.feature_map(seen)))
    if not node.integer("keepdims", 1):
        kept = tuple(flow.dims[axis] for axis in stay)
    return replace(pooled, dims=kept, named=f"{name}.flatten")


def global_max(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write the maximum over the whole map as one pool."""
    return t.result(t.builder.global_max(name, t.feature_map(t.flow(node))))


def reduce_mean(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write a mean over any axes but the batch's, with or without the axes kept."""
    flow = t.flow(node)
    rank = len(flow.dims) + 1
    axes = t.integers(node, 1, "axes")
    spatial = (1, 2) if flow.channels_last else (2, 3)
    if rank != 4 or axes is None or sorted(axis % rank for axis in axes) != list(spatial):
        return _reduced(t, node, name, flow, t.builder.global_mean)
    pooled = t.result(t.builder.global_mean(name, t.feature_map(t.channels_first(flow))))
    if node.integer("keepdims", 1):
        if not flow.channels_last:
            return pooled
        return replace(pooled, dims=pooled.dims[::-1], channels_last=True)
    return replace(pooled, dims=pooled.dims[:1], named=f"{name}.flatten")
