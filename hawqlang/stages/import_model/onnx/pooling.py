"""Rules of the ONNX pools and means."""

from __future__ import annotations

from dataclasses import replace

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


def global_max(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write the maximum over the whole map as one pool."""
    x = t.feature_map(t.flow(node))
    _, height, width = t.builder.shapes[x]
    return t.result(t.builder.max_pool(name, x, (height, width), (height, width)))


def reduce_mean(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write a mean over height and width, with or without the two axes kept."""
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
