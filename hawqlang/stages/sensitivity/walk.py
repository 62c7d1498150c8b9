"""The float network node by node, for samples in memory, and what follows a node for one of them.

What a node changes can only be seen behind it. A walk keeps, for every sample, what is alive between two nodes and
nothing else, so that a changed layer costs the network behind it and no more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from hawqlang.ir.graph import Graph
from hawqlang.ir.operands import inputs
from hawqlang.stages.float_model import FloatModel, evaluate
from hawqlang.stages.structure import LayerNode

Alive = dict[str, torch.Tensor]
"""Values that a later node reads, of some samples."""


@dataclass(frozen=True, slots=True)
class Place:
    """The walk has come to a layer and has not run it yet."""

    node: LayerNode
    position: int
    chunks: Sequence[Alive]
    """What is alive, by batch."""


def walk(
    model: FloatModel, batches: Sequence[torch.Tensor], visit: Callable[[Place], None]
) -> None:
    """Run the network on all batches side by side; ``visit`` sees each layer before it runs."""
    graph = model.graph
    last = _last_readers(graph)
    chunks: list[Alive] = [{graph.input.name: x} for x in batches]
    for position, node in enumerate(graph.nodes):
        if isinstance(node, LayerNode):
            visit(Place(node, position, chunks))
        for alive in chunks:
            alive[node.output] = evaluate(node, alive, model.parameters)
            for name in {*inputs(node), node.output}:
                if last.get(name, -1) <= position:
                    del alive[name]


def follow(model: FloatModel, place: Place, alive: Alive, output: torch.Tensor) -> torch.Tensor:
    """Return the logits of a batch whose layer at ``place`` gave ``output``; nothing of ``alive`` changes."""
    graph = model.graph
    last = _last_readers(graph)
    values = {**alive, place.node.output: output}
    for position, node in enumerate(graph.nodes):
        if position < place.position:
            continue
        if position > place.position:
            values[node.output] = evaluate(node, values, model.parameters)
        for name in {*inputs(node), node.output}:
            if last.get(name, -1) <= position:
                values.pop(name, None)
    return values[graph.output]


def widest(graph: Graph) -> int:
    """Return the most bytes that one sample's values take between two nodes."""
    last = _last_readers(graph)
    sizes = {value.name: 4 * math.prod(value.shape) for value in graph.values}
    alive = {graph.input.name}
    most = sizes[graph.input.name]
    for position, node in enumerate(graph.nodes):
        alive.add(node.output)
        most = max(most, sum(sizes[name] for name in alive))
        alive = {name for name in alive if last.get(name, -1) > position}
    return most


def _last_readers(graph: Graph) -> dict[str, int]:
    last = {name: index for index, node in enumerate(graph.nodes) for name in inputs(node)}
    last[graph.output] = len(graph.nodes)
    return last
