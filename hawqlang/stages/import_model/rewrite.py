"""Rewriter: a draft being changed by one pass, with its readers kept up to date."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hawqlang.ir.graph import Operator
from hawqlang.ir.operands import inputs, with_inputs
from hawqlang.stages.import_model.draft import INPUT, Draft
from hawqlang.stages.import_model.recipes import Recipe, Shape


class Rewriter:
    """The operators of a draft in order, by the value each defines."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._nodes = {node.output: node for node in draft.nodes}
        self._readers: dict[str, list[str]] = {}
        for node in draft.nodes:
            for value in inputs(node):
                self._readers.setdefault(value, []).append(node.output)
        self.output = draft.output
        self.shapes: dict[str, Shape] = dict(draft.shapes)
        self.parameters: dict[str, Recipe] = dict(draft.parameters)
        self.notes = list(draft.notes)

    def __iter__(self) -> Iterator[Operator]:
        """Yield the operators in order, each as it is when its turn comes; removed ones are passed over."""
        for output in tuple(self._nodes):
            if output in self._nodes:
                yield self._nodes[output]

    def producer(self, value: str) -> Operator | None:
        """Return the operator that defines ``value``; ``None`` for the network's input."""
        return self._nodes.get(value)

    def read_once(self, value: str) -> bool:
        """Return whether one operator reads ``value``, once, and nothing else needs it."""
        return len(self._readers.get(value, ())) == 1 and value != self.output

    def replace(self, node: Operator, new: Operator) -> None:
        """Put ``new``, which reads and defines the same values, where ``node`` is."""
        self._nodes[node.output] = new

    def exchange(self, node: Operator, new: Operator) -> None:
        """Put ``new``, which defines the same value out of earlier ones, where ``node`` is."""
        for value in inputs(node):
            self._readers[value].remove(node.output)
        for value in inputs(new):
            self._readers.setdefault(value, []).append(node.output)
        self._nodes[node.output] = new

    def bypass(self, node: Operator) -> None:
        """Remove an operator of one input; whatever reads its output reads its input instead."""
        (source,) = inputs(node)
        del self._nodes[node.output]
        self._readers[source].remove(node.output)
        self._redirect(node.output, source)

    def swap(self, upper: Operator, lower: Operator) -> None:
        """Exchange two neighbours of one input each; ``lower`` alone reads ``upper``."""
        (source,) = inputs(upper)
        self._readers[upper.output] = []
        self._redirect(lower.output, upper.output)
        self._readers[lower.output] = [upper.output]
        self._readers[source].remove(upper.output)
        self._readers[source].append(lower.output)
        pair = {
            lower.output: with_inputs(lower, (source,)),
            upper.output: with_inputs(upper, (lower.output,)),
        }
        order: dict[str, Operator] = {}
        for name, node in self._nodes.items():
            order |= pair if name == upper.output else {} if name == lower.output else {name: node}
        self._nodes = order
        self.shapes[lower.output] = self.shapes[source]

    def draft(self) -> Draft:
        """Return the changed draft, without the values and parameters that nothing uses any more."""
        defined = {source for node in self._nodes.values() for source in inputs(node)}
        kept = set(self._nodes) | defined | {self.output}
        return Draft(
            name=self._draft.name,
            nodes=tuple(self._nodes.values()),
            shapes={name: shape for name, shape in self.shapes.items() if name in kept},
            parameters=self.parameters,
            output=self.output,
            notes=tuple(self.notes),
            uniform=self._draft.uniform,
        )

    def _redirect(self, old: str, new: str) -> None:
        """Make everything that reads ``old`` read ``new``."""
        readers = self._readers.pop(old, [])
        for name in dict.fromkeys(readers):
            reader = self._nodes[name]
            self._nodes[name] = with_inputs(
                reader, tuple(new if x == old else x for x in inputs(reader))
            )
        self._readers.setdefault(new, []).extend(readers)
        if self.output == old:
            self.output = new


def drop_dead(draft: Draft) -> Draft:
    """Return the draft without operators that the output does not depend on."""
    needed = {draft.output}
    for node in reversed(draft.nodes):
        if node.output in needed:
            needed.update(inputs(node))
    nodes = tuple(node for node in draft.nodes if node.output in needed)
    shapes = {name: shape for name, shape in draft.shapes.items() if name in needed | {INPUT}}
    return replace(draft, nodes=nodes, shapes=shapes)
