"""The float network with hooks on what each layer *reads* and computes: two readers of one tensor are told apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from hawqlang.ir.operands import inputs
from hawqlang.stages.float_model import FloatModel, evaluate
from hawqlang.stages.structure import LayerNode

Hook = Callable[[LayerNode, torch.Tensor], torch.Tensor]
"""Sees a tensor of a layer; what it returns takes its place there."""


def run(
    model: FloatModel,
    x: torch.Tensor,
    *,
    read: Hook | None = None,
    wrote: Hook | None = None,
    parameters: Mapping[str, torch.Tensor] | None = None,
) -> torch.Tensor:
    """Return the logits of a batch.

    Args:
        model: The float network.
        x: Samples as the network sees them.
        read: Hook on each layer's input, for this layer alone.
        wrote: Hook on each layer's result.
        parameters: Replace the network's own by name.
    """
    graph = model.graph
    merged = {**model.parameters, **(parameters or {})}
    last = {name: index for index, node in enumerate(graph.nodes) for name in inputs(node)}
    last[graph.output] = len(graph.nodes)
    alive = {graph.input.name: x}
    for index, node in enumerate(graph.nodes):
        if isinstance(node, LayerNode):
            seen = alive[node.x] if read is None else read(node, alive[node.x])
            y = evaluate(node, {node.x: seen}, merged)
            alive[node.output] = y if wrote is None else wrote(node, y)
        else:
            alive[node.output] = evaluate(node, alive, merged)
        for name in {*inputs(node), node.output}:
            if last.get(name, -1) <= index:
                del alive[name]
    return alive[graph.output]
