"""Draft: a network between a front end and the finished graph; its parameters are still recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hawqlang.base import TensorRef
from hawqlang.ir.graph import Graph, Operator, Parameter, Value
from hawqlang.ir.operands import parameters
from hawqlang.stages.import_model.recipes import Recipe, Shape

Uniform = tuple[float, float]
"""Slope and offset of ``slope · x + offset``."""

INPUT = "input"
"""Name of the value that enters the network."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A network between a front end and the finished ``Graph``: parameters are still recipes."""

    name: str
    nodes: tuple[Operator, ...]
    shapes: Mapping[str, Shape]
    """Every value by name, the input included."""
    parameters: Mapping[str, Recipe]
    output: str
    notes: tuple[str, ...] = ()
    uniform: Mapping[str, Uniform] = field(default_factory=dict[str, "Uniform"])
    """Batch norms by output that are one slope and one offset for all channels."""

    def graph(self, stored: Mapping[str, TensorRef] | None = None) -> Graph:
        """Return the finished graph; without ``stored`` its parameters have shapes only."""
        return Graph(
            name=self.name,
            input=Value(name=INPUT, shape=self.shapes[INPUT]),
            output=self.output,
            nodes=self.nodes,
            values=tuple(
                Value(name=name, shape=self.shapes[name])
                for name in (INPUT, *(node.output for node in self.nodes))
            ),
            parameters=tuple(
                Parameter(
                    name=name,
                    shape=self.parameters[name].shape,
                    ref=None if stored is None else stored[name],
                )
                for node in self.nodes
                for name in parameters(node)
            ),
            notes=self.notes,
        )
