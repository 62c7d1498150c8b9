"""Graph → LayerTable: the layers with weights, in execution order, and the structure selectors speak of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.graph import Add, Conv2d, Graph, Linear, Operator
from hawqlang.ir.layers import Layer, LayerKind, LayerTable
from hawqlang.ir.operands import inputs
from hawqlang.ir.spec import Model
from hawqlang.stages.import_model.layer_file import read_layer_table
from hawqlang.stages.import_model.live_tensors import live_tensors

__all__ = ["layer_table", "read_layer_table"]

LayerNode = Conv2d | Linear


def layer_table(graph: Graph, *, residual: int = 8) -> LayerTable:
    """Return the layers of a graph and their groups.

    Args:
        graph: The float network; parameter values are not needed.
        residual: Bits of a stored tensor that an addition reads.
    """
    shapes = {value.name: value.shape for value in graph.values}
    weights = {parameter.name: parameter.shape for parameter in graph.parameters}
    layers = [node for node in graph.nodes if isinstance(node, Conv2d | Linear)]
    return LayerTable(
        layers=tuple(_layer(node, shapes, weights[node.weight]) for node in layers),
        residual=_residual(graph),
        shared_input=_shared_input(layers),
        downsample=_downsample(graph),
        live=live_tensors(graph, residual=residual),
    )


def network_table(graph: Graph, model: Model, *, residual: int) -> LayerTable:
    """Return the layers of a model's network, of which there has to be one.

    Raises:
        HawqError: No operator of it has weights (HQ326).
    """
    table = layer_table(graph, residual=residual)
    if table.layers:
        return table
    raise HawqError(
        Diagnostic(
            code="HQ326",
            severity="error",
            message=f"the network of model '{model.name}' has no layer with weights: there is nothing to quantize",
            span=model.source_span,
            help="check that the file is the whole network, and not its last or first part alone",
        )
    )


def _layer(
    node: LayerNode, shapes: Mapping[str, tuple[int, ...]], weight: tuple[int, ...]
) -> Layer:
    output = shapes[node.output]
    return Layer(
        name=node.name,
        kind=_kind(node, shapes[node.x]),
        params=prod(weight),
        macs=prod(weight[1:]) * prod(output),
        kernel=(weight[2], weight[3]) if isinstance(node, Conv2d) else None,
        channels=weight[0],
        input_elements=prod(shapes[node.x]),
        output_elements=prod(output),
    )


def _kind(node: LayerNode, shape: tuple[int, ...]) -> LayerKind:
    """Return the kind of a layer; a convolution over one channel is no depthwise one."""
    if isinstance(node, Linear):
        return "linear"
    return "depthwise" if node.groups == shape[0] > 1 else "conv"


def _residual(graph: Graph) -> tuple[tuple[str, ...], ...]:
    """Return, per addition, the layers whose outputs meet in it, in execution order.

    Weightless operators are looked through, other additions are not, so an addition of a block's result to another
    sum has one layer.
    """
    producers = {node.output: node for node in graph.nodes}
    place = {node.name: i for i, node in enumerate(graph.nodes)}
    groups: list[tuple[str, ...]] = []
    for node in graph.nodes:
        if isinstance(node, Add):
            met = {name for x in (node.a, node.b) for name in _sources(x, producers)}
            if met:
                groups.append(tuple(sorted(met, key=lambda name: place[name])))
    return tuple(groups)


def _sources(value: str, producers: Mapping[str, Operator]) -> Iterator[str]:
    """Yield the layers whose results reach ``value`` through weightless operators."""
    node = producers.get(value)
    match node:
        case None | Add():
            return
        case Conv2d() | Linear():
            yield node.name
        case _:
            for x in inputs(node):
                yield from _sources(x, producers)


def _shared_input(layers: list[LayerNode]) -> tuple[tuple[str, ...], ...]:
    """Return the layers that read one and the same tensor, groups of two and more."""
    groups: dict[str, list[str]] = {}
    for node in layers:
        groups.setdefault(node.x, []).append(node.name)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


# ---- shortcut branches ---------------------------------------------------------------------------------------------


def _downsample(graph: Graph) -> tuple[str, ...]:
    """Return the layers that stand alone in a branch of an addition whose other branch has several.

    The branch forks where the layer's input (looking through weightless operators) also feeds the other operand.
    """
    producers = {node.output: node for node in graph.nodes}
    found = [
        name
        for node in graph.nodes
        if isinstance(node, Add)
        for branch, other in ((node.a, node.b), (node.b, node.a))
        if (name := _alone(branch, other, producers)) is not None
    ]
    return tuple(dict.fromkeys(found))


def _alone(branch: str, other: str, producers: Mapping[str, Operator]) -> str | None:
    """Return the layer that is the only one of ``branch`` since it forked from ``other``."""
    layer = producers.get(_through(branch, producers))
    if not isinstance(layer, Conv2d | Linear):
        return None
    depth = _depths(other, producers)
    if layer.output in depth:
        return None
    fork: str | None = layer.x
    while fork is not None:
        if depth.get(fork, 0) > 1:
            return layer.name
        node = producers.get(fork)
        fork = None if node is None or isinstance(node, LayerNode) else _only_input(node)
    return None


def _through(value: str, producers: Mapping[str, Operator]) -> str:
    """Return the value above weightless operators of one input."""
    while (node := producers.get(value)) is not None and not isinstance(node, Conv2d | Linear):
        above = _only_input(node)
        if above is None:
            break
        value = above
    return value


def _only_input(node: Operator) -> str | None:
    names = inputs(node)
    return names[0] if len(names) == 1 else None


def _depths(value: str, producers: Mapping[str, Operator]) -> dict[str, int]:
    """Return every value ``value`` depends on, itself included, with the most layers on a way between the two."""
    depth = {value: 0}
    for name in reversed(tuple(producers)):
        node = producers[name]
        if name not in depth:
            continue
        step = depth[name] + isinstance(node, Conv2d | Linear)
        for x in inputs(node):
            depth[x] = max(depth.get(x, 0), step)
    return depth
