"""In which order channels and features are stored: the model's own, except where a permutation is free.

Feature maps stand in memory as ``(H, W, C)`` while the model flattens ``(C, H, W)``, and pixels always enter as RGB
though a network may want BGR. Neither costs an instruction: weights are permuted at compile time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

import numpy as np

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
    Multiply,
    Operator,
    Pad,
    Rearrange,
    Resample,
    Slice,
    Table,
    Take,
)
from hawqlang.ir.spec import ImageInput
from hawqlang.stages.lower.draft import Draft, Order
from hawqlang.stages.lower.errors import order_lost


def order_channels(draft: Draft) -> Draft:
    """Return the draft with the order of every value that is not stored in the model's order."""
    graph = draft.request.graph
    image = draft.request.settings.input
    orders: dict[str, Order] = {}
    if isinstance(image, ImageInput) and image.order == "bgr":
        orders[graph.input.name] = tuple(reversed(range(image.channels)))
    for node in graph.nodes:
        found = _order(node, graph, orders)
        if found is not None and found != tuple(range(len(found))):
            orders[node.output] = found
    if graph.output in orders:
        raise order_lost(graph.output, "it is a feature map that is flattened at the very end")
    return replace(draft, orders=orders)


def _order(node: Operator, graph: Graph, orders: dict[str, Order]) -> Order | None:  # noqa: C901 - one case an operator
    """Return the order of a node's output, ``None`` where it is the model's."""
    match node:
        case Conv2d():
            found = _conv(node, graph, orders)
        case Linear():
            found = None
        case BatchNorm() | Clamp() | MaxPool2d() | AvgPool2d() | Table() | Resample():
            found = orders.get(node.x)
        case Add():
            found = _add(node, orders)
        case Multiply():
            found = _multiply(node, graph, orders)
        case Rearrange() | Take():
            found = _rearranged(node, orders)
        case Concat():
            found = _concat(node, graph, orders)
        case Flatten():
            found = _flatten(node, graph, orders)
        case Slice():
            found = _slice(node, graph, orders)
        case Pad():
            found = _pad(node, orders)
        case _:
            assert_never(node)
    return found


def _conv(node: Conv2d, graph: Graph, orders: dict[str, Order]) -> Order | None:
    order = orders.get(node.x)
    if order is None or node.groups == 1:
        return None
    if node.groups == len(order) == graph.shape(node.output)[0]:
        return order
    raise order_lost(node.name, "its input is permuted and its groups would mix")


def _add(node: Add, orders: dict[str, Order]) -> Order | None:
    if orders.get(node.a) != orders.get(node.b):
        raise order_lost(node.name, "its operands are stored in two orders")
    return orders.get(node.a)


def _multiply(node: Multiply, graph: Graph, orders: dict[str, Order]) -> Order | None:
    channels = {x: graph.shape(x)[0] for x in (node.a, node.b)}
    found = {orders.get(x) for x in (node.a, node.b) if channels[x] > 1}
    if len(found) > 1:
        raise order_lost(node.name, "its operands are stored in two orders")
    return found.pop() if found else None


def _rearranged(node: Rearrange | Take, orders: dict[str, Order]) -> Order | None:
    order = orders.get(node.x)
    if order is not None and (isinstance(node, Rearrange) or node.indices[0] is not None):
        raise order_lost(node.name, "it rearranges a permuted tensor")
    return order


def _concat(node: Concat, graph: Graph, orders: dict[str, Order]) -> Order | None:
    if not any(name in orders for name in node.inputs):
        return None
    joined: list[int] = []
    for name in node.inputs:
        size = graph.shape(name)[0]
        start = len(joined)
        joined += [start + channel for channel in orders.get(name, tuple(range(size)))]
    return tuple(joined)


def _flatten(node: Flatten, graph: Graph, orders: dict[str, Order]) -> Order | None:
    shape = graph.shape(node.x)
    if len(shape) != 3:
        return orders.get(node.x)
    channels = list(orders.get(node.x, tuple(range(shape[0]))))
    model = np.arange(np.prod(shape)).reshape(shape)[channels]
    return tuple(int(i) for i in model.transpose(1, 2, 0).reshape(-1))


def _slice(node: Slice, graph: Graph, orders: dict[str, Order]) -> Order | None:
    order = orders.get(node.x)
    whole = (node.start[0], node.stop[0], node.step[0]) == (0, graph.shape(node.x)[0], 1)
    if order is not None and not whole:
        raise order_lost(node.name, "it takes some channels of a permuted tensor")
    return order


def _pad(node: Pad, orders: dict[str, Order]) -> Order | None:
    order = orders.get(node.x)
    if order is None:
        return None
    front, back = node.channels
    size = front + len(order)
    return (*range(front), *(front + c for c in order), *range(size, size + back))
