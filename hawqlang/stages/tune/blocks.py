"""A network cut into blocks that only one tensor enters and one leaves.

A residual block or a fire module is such a block; so is every layer of a plain chain, where neighbours are put
together until a block has :data:`LEAST_LAYERS`, since what a block may trade between its layers is what makes it
worth more than its layers alone (Li et al., "BRECQ", section 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass

from hawqlang.ir.graph import Clamp, Conv2d, Graph, Linear, Operator
from hawqlang.ir.operands import inputs
from hawqlang.stages.structure import LayerNode, readers

LEAST_LAYERS = 2


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive operators between two cuts."""

    nodes: tuple[Operator, ...]
    x: str
    """The value that enters."""
    y: str
    """The value that leaves."""

    @property
    def layers(self) -> tuple[LayerNode, ...]:
        """Return its layers with weights."""
        return tuple(node for node in self.nodes if isinstance(node, Conv2d | Linear))


def blocks(graph: Graph) -> tuple[Block, ...]:
    """Return the blocks of a network in execution order; together they are the whole of it."""
    found: list[Block] = []
    start, x = 0, graph.input.name
    ends = [position for position in _cuts(graph) if position + 1 < len(graph.nodes)]
    for end in (*ends, len(graph.nodes) - 1):
        last = end == len(graph.nodes) - 1
        block = Block(graph.nodes[start : end + 1], x, graph.nodes[end].output)
        if len(block.layers) >= LEAST_LAYERS or last:
            found.append(block)
            start, x = end + 1, block.y
    if len(found) > 1 and not found[-1].layers:
        tail, before = found.pop(), found.pop()
        found.append(Block(before.nodes + tail.nodes, before.x, tail.y))
    return tuple(found)


def _cuts(graph: Graph) -> list[int]:
    """Return the positions after which one value alone is still to be read, and not by a clamp."""
    position = {node.name: index for index, node in enumerate(graph.nodes)}
    users = readers(graph)
    last = {
        name: max((position[n.name] for n in nodes), default=-1) for name, nodes in users.items()
    }
    alive = {graph.input.name}
    cuts: list[int] = []
    for index, node in enumerate(graph.nodes):
        alive.add(node.output)
        alive -= {name for name in (*inputs(node), node.output) if last[name] <= index}
        clamped = any(isinstance(user, Clamp) for user in users[node.output])
        if alive == {node.output} and not clamped:
            cuts.append(index)
    return cuts
