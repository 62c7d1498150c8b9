"""Cross-layer equalization: channels of two neighbouring layers brought to like magnitudes, the function unchanged.

A layer's channel i may be divided by any s_i > 0 if whatever reads it multiplies by s_i, as long as all between them
is positively homogeneous: f(s·x) = s·f(x). ReLU and poolings are; ReLU6 and other clamps at a value but 0 are not,
sums and concats have other operands, and the network's result must stay what it is. Nagel et al., "Data-Free
Quantization", equation 11:

    s_i = √(r1_i · r2_i) / r2_i,    r1_i = max|W1[i]|,    r2_i = max|W2[:, i]|
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch

from hawqlang.ir.graph import AvgPool2d, Clamp, Conv2d, Graph, Linear, MaxPool2d, Operator
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.structure import LayerNode, layer_nodes, readers

ROUNDS = 10
"""Passes over all chains; each pair disturbs its neighbours."""

MOST = 100.0
"""Bound of one factor and of its inverse."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A layer and the layers that alone read what it gives."""

    source: LayerNode
    readers: tuple[LayerNode, ...]


def chains(graph: Graph) -> tuple[Chain, ...]:
    """Return every layer whose channels may be scaled, in execution order."""
    users = readers(graph)
    found: list[Chain] = []
    for node in layer_nodes(graph):
        ends = _ends(graph, users, node.output)
        if ends:
            found.append(Chain(node, ends))
    return tuple(found)


def equalized(model: FloatModel) -> FloatModel:
    """Return a network that computes the same with equalized weights; ``model`` itself where no chain is legal."""
    found = chains(model.graph)
    if not found:
        return model
    own = copy.copy(model)
    own.parameters = {name: p.clone() for name, p in model.parameters.items()}
    for _ in range(ROUNDS):
        for chain in found:
            _balance(own.parameters, chain)
    return own


def _ends(
    graph: Graph, users: dict[str, tuple[Operator, ...]], value: str
) -> tuple[LayerNode, ...]:
    """Return the layers that read a value through homogeneous operators; none where something else reads it."""
    if value == graph.output:
        return ()
    ends: list[LayerNode] = []
    for node in users[value]:
        match node:
            case Conv2d() | Linear():
                ends.append(node)
            case Clamp(low=0.0 | None, high=None) | MaxPool2d() | AvgPool2d():
                behind = _ends(graph, users, node.output)
                if not behind:
                    return ()
                ends += behind
            case _:
                return ()
    return tuple(ends)


def _columns(node: LayerNode, weight: torch.Tensor) -> torch.Tensor:
    """Return the largest magnitude with which a layer reads each input channel, ``(IC,)``."""
    if isinstance(node, Linear):
        return weight.abs().amax(0)
    grouped = weight.reshape(node.groups, weight.shape[0] // node.groups, weight.shape[1], -1)
    return grouped.abs().amax((1, 3)).reshape(-1)


def _balance(parameters: dict[str, torch.Tensor], chain: Chain) -> None:
    """Scale one layer's channels, and what reads them back."""
    source = parameters[chain.source.weight]
    r1 = source.flatten(1).abs().amax(1)
    r2 = torch.stack([_columns(n, parameters[n.weight]) for n in chain.readers]).amax(0)
    alive = (r1 > 0) & (r2 > 0)
    ratio = torch.where(alive, (r1 * r2).sqrt() / r2.clamp_min(1e-30), 1.0)
    # A factor r1/√(r1·r2) = √(r1/r2): dividing by it leaves both at √(r1·r2).
    s = ratio.clamp(1 / MOST, MOST)
    parameters[chain.source.weight] = source / s.reshape(-1, *[1] * (source.ndim - 1))
    if chain.source.bias is not None:
        parameters[chain.source.bias] = parameters[chain.source.bias] / s
    for node in chain.readers:
        parameters[node.weight] = _multiplied(node, parameters[node.weight], s)


def _multiplied(node: LayerNode, weight: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    """Return a weight whose input channels are multiplied by ``s``."""
    if isinstance(node, Linear):
        return weight * s
    rows = weight.shape[0] // node.groups
    per_row = s.reshape(node.groups, 1, -1).expand(-1, rows, -1).reshape(weight.shape[0], -1)
    return weight * per_row[:, :, None, None]
