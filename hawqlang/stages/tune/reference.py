"""What the float network gives at every layer: the targets of a fit, a bounded part of them at a time.

A layer whose result enters a sum that waits for nothing else may be asked for the *sum*: what the quantized network
adds to it is taken off where the layer is fitted, so that the layer makes up for errors on the other path.

Outputs are kept at a fixed random choice of positions, for as many layers as :data:`BYTES` allows. When the fit comes
to a layer beyond those, the float network runs again for the next ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from hawqlang.ir.graph import Add, Graph
from hawqlang.stages.batches import Stream, chunk_size
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.structure import LayerNode, layer_nodes, readers

COLUMNS = 32_768
"""Output positions of a layer that are looked at, over all samples together."""

BYTES = 512 * 2**20
"""Bound of the float outputs kept at a time."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A sum that is complete once a certain layer has run."""

    add: Add
    other: str
    """The operand that was there before."""


def joined(graph: Graph) -> dict[str, Joined]:
    """Return, by layer, the sum it completes: the sum alone reads the layer, and its other operand runs before it."""
    at = {node.output: number for number, node in enumerate(graph.nodes)}
    reading = readers(graph)
    found: dict[str, Joined] = {}
    for layer in layer_nodes(graph):
        who = reading[layer.output]
        if len(who) != 1 or not isinstance(who[0], Add) or layer.output == graph.output:
            continue
        other = who[0].b if who[0].a == layer.output else who[0].a
        if at.get(other, -1) < at[layer.output]:
            found[layer.name] = Joined(who[0], other)
    return found


@dataclass(slots=True)
class Reference:
    """A float network with the samples that a fit goes by."""

    model: FloatModel
    samples: Stream
    logits: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    """``(N, F)``, once :meth:`outputs` was asked for the first layer."""
    passes: int = 0
    """How often the float network ran."""
    kept: dict[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor])
    """Float outputs of some consecutive layers, or of the sums they complete, by the layer's name."""
    whole: bool = False
    """Whether :attr:`kept` has sums where a layer completes one."""
    sums: Mapping[str, Joined] = field(init=False)
    """The layers that may answer for a sum, by name."""

    def __post_init__(self) -> None:
        """Find the sums."""
        self.sums = joined(self.model.graph)

    def positions(self, node: LayerNode) -> torch.Tensor:
        """Return the output positions of a layer that are looked at, ascending; ``(P,)``."""
        shape = self.model.graph.shape(node.output)
        whole = math.prod(shape[1:])
        count = max(1, min(whole, COLUMNS // max(self.samples.count, 1)))
        index = [n.name for n in layer_nodes(self.model.graph)].index(node.name)
        drawn = np.random.default_rng([index, whole]).permutation(whole)[:count]
        return torch.from_numpy(np.sort(drawn))

    def outputs(self, node: LayerNode, *, whole: bool = False) -> torch.Tensor:
        """Return a layer's float outputs at its positions; ``(N, OC, P)`` or ``(N, OF)``.

        Args:
            node: The layer.
            whole: Whether to return the sum that it completes, if any, instead.
        """
        if node.name not in self.kept or (whole != self.whole and self.sums):
            self.whole = whole
            self._collect(node)
        return self.kept[node.name]

    def forget(self) -> None:
        """Let go of the outputs: up to :data:`BYTES` of memory."""
        self.kept.clear()

    def _collect(self, node: LayerNode) -> None:
        """Run the network for the layers from ``node`` on, as many as the bound allows."""
        graph = self.model.graph
        self.kept.clear()
        wanted: dict[str, LayerNode] = {}
        room = BYTES
        layers = layer_nodes(graph)
        for layer in layers[layers.index(node) :]:
            room -= (
                4 * self.samples.count * graph.shape(layer.output)[0] * len(self.positions(layer))
            )
            if wanted and room < 0:
                break
            own = self.sums.get(layer.name) if self.whole else None
            wanted[layer.output if own is None else own.add.output] = layer
        parts: dict[str, list[torch.Tensor]] = {layer.name: [] for layer in wanted.values()}
        where = {layer.name: self.positions(layer) for layer in wanted.values()}

        def see(name: str, x: torch.Tensor) -> torch.Tensor:
            if name in wanted:
                layer = wanted[name].name
                parts[layer].append(x.clone() if x.ndim == 2 else x.flatten(2)[:, :, where[layer]])
            return x

        logits = [
            self.model.run(chunk, intercept=see).output
            for chunk in self.samples.batches(chunk_size(graph))
        ]
        self.passes += 1
        self.logits = torch.cat(logits)
        for name in list(parts):
            self.kept[name] = torch.cat(parts.pop(name))
