"""Each operator of the float graph as a torch function on a batch, and a run over all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import assert_never

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

from hawqlang.cache import TensorStore
from hawqlang.ir.graph import (
    Add,
    AvgPool2d,
    BatchNorm,
    Clamp,
    Concat,
    Conv2d,
    Flatten,
    Graph,
    Linear,
    MaxPool2d,
    Operator,
    Pad,
    Pads,
    Slice,
)
from hawqlang.stages.structure import inputs_of

Intercept = Callable[[str, torch.Tensor], torch.Tensor]
"""Sees each value by name as it is computed, and returns what takes its place."""


def load_parameters(graph: Graph, store: TensorStore) -> dict[str, torch.Tensor]:
    """Return the graph's weights, biases and statistics by name, float32."""
    return {
        p.name: torch.from_numpy(np.array(store.get(p.ref), dtype=np.float32))
        for p in graph.parameters
        if p.ref is not None
    }


def last_readers(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Return, by node name, the values that no later node reads, the graph's output excepted."""
    last: dict[str, str] = {}
    for node in graph.nodes:
        for name in (*inputs_of(node), node.output):
            last[name] = node.name
    last.pop(graph.output, None)
    done: dict[str, list[str]] = {}
    for name, node_name in last.items():
        done.setdefault(node_name, []).append(name)
    return {name: tuple(values) for name, values in done.items()}


def execute(
    graph: Graph,
    parameters: Mapping[str, torch.Tensor],
    x: torch.Tensor,
    intercept: Intercept | None = None,
) -> torch.Tensor:
    """Return the logits ``(N, F)`` of a batch; each value is dropped once nothing reads it.

    Args:
        graph: The float network.
        parameters: Its weights by name.
        x: Batch ``(N, …)`` in the model's own order.
        intercept: Sees every value, the input included, and may replace it.
    """
    done = last_readers(graph)
    values = {graph.input.name: x if intercept is None else intercept(graph.input.name, x)}
    for node in graph.nodes:
        y = apply(node, [values[name] for name in inputs_of(node)], parameters)
        values[node.output] = y if intercept is None else intercept(node.output, y)
        for name in done.get(node.name, ()):
            del values[name]
    return values[graph.output]


def apply(
    node: Operator, inputs: Sequence[torch.Tensor], parameters: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """Return what ``node`` computes from its inputs, each a batch."""
    x = inputs[0]
    match node:
        case Conv2d() | Linear():
            bias = None if node.bias is None else parameters[node.bias]
            return weigh(node, x, parameters[node.weight], bias)
        case BatchNorm():
            return _batch_norm(node, x, parameters)
        case Add():
            return x + inputs[1]
        case AvgPool2d():
            total, population = window_sums(node, x)
            return total / population
        case Clamp() | Concat() | MaxPool2d() | Flatten() | Slice() | Pad():
            return move(node, inputs)
        case _:
            assert_never(node)


def weigh(
    node: Conv2d | Linear, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """Return the layer's result for the weight and bias given."""
    if isinstance(node, Linear):
        return F.linear(x, weight, bias)
    top, left, bottom, right = node.padding
    if top == bottom and left == right:
        return F.conv2d(x, weight, bias, node.stride, (top, left), node.dilation, node.groups)
    x = F.pad(x, (left, right, top, bottom))
    return F.conv2d(x, weight, bias, node.stride, 0, node.dilation, node.groups)


def move(
    node: Clamp | Concat | MaxPool2d | Flatten | Slice | Pad, inputs: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Return the result of an operator that keeps the scale of what it reads."""
    x = inputs[0]
    match node:
        case Clamp():
            return x if node.low is None and node.high is None else x.clamp(node.low, node.high)
        case Concat():
            return torch.cat(list(inputs), 1)
        case MaxPool2d():
            x = _padded(x, node.padding, -torch.inf)
            return F.max_pool2d(x, node.kernel, node.stride, 0, node.dilation)
        case Flatten():
            return x.flatten(1)
        case Slice():
            ends = zip(node.start, node.stop, node.step, strict=True)
            return x[(slice(None), *(slice(a, b, c) for a, b, c in ends))]
        case Pad():
            top, left, bottom, right = node.padding
            return F.pad(x, (left, right, top, bottom, *node.channels))
        case _:
            assert_never(node)


def window_sums(node: AvgPool2d, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the sum of each window ``(N, C, H, W)`` and how many elements count in it ``(H, W)``."""
    area = node.kernel[0] * node.kernel[1]
    total = F.avg_pool2d(_padded(x, node.padding, 0.0), node.kernel, node.stride) * area
    top, left, bottom, right = node.counted
    ones = x.new_ones((1, 1, x.shape[2] + top + bottom, x.shape[3] + left + right))
    extra: Pads = (
        node.padding[0] - top,
        node.padding[1] - left,
        node.padding[2] - bottom,
        node.padding[3] - right,
    )
    counts = F.avg_pool2d(_padded(ones, extra, 0.0), node.kernel, node.stride) * area
    return total, counts[0, 0].round()


def _padded(x: torch.Tensor, pads: Pads, value: float) -> torch.Tensor:
    top, left, bottom, right = pads
    return F.pad(x, (left, right, top, bottom), value=value) if any(pads) else x


def _batch_norm(
    node: BatchNorm, x: torch.Tensor, parameters: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    gamma = None if node.gamma is None else parameters[node.gamma]
    beta = None if node.beta is None else parameters[node.beta]
    mean, var = parameters[node.mean], parameters[node.var]
    return F.batch_norm(x, mean, var, gamma, beta, eps=node.epsilon)
