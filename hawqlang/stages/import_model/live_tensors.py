"""Which stored activations are alive at each step of execution, and who decides their width.

This follows how the integer program stores tensors, with readers in place of widths, since no plan is known yet: a
demand for a value runs from the logits back to what computes it. Clamps are part of what they clamp; a move stores
one result per demand and demands its own input alike; an addition dissolves into the last convolution before it, and
another convolution's result waits for it as int32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import assert_never

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
from hawqlang.ir.layers import LiveTensor
from hawqlang.ir.operands import inputs
from hawqlang.stages.structure import (
    BYTE_BITS,
    INNER_BITS,
    LOGITS_BITS,
    TAIL_BITS,
    Reader,
    computed_for,
    enters_unrounded,
    range_root,
)

PIXEL_BITS = 8
PARTIAL_BITS = 32
_LOGITS = Reader("logits", "")


@dataclass(frozen=True, slots=True)
class _Slot:
    """A value stored in the range of ``root`` for ``reader``."""

    value: str
    root: str
    reader: Reader
    partial: bool = False
    """Whether it is the int32 result of a convolution that waits for the sum that ``root`` and ``reader`` name."""


@dataclass(frozen=True, slots=True)
class _Step:
    position: int
    reads: tuple[_Slot, ...]
    writes: tuple[_Slot, ...]


def live_tensors(graph: Graph, *, residual: int = 8) -> tuple[tuple[LiveTensor, ...], ...]:
    """Return the activations alive at each step, in order of execution, the conversion of the pixels first.

    Entries of one tensor whose widths turn out equal are one stored copy.

    Args:
        graph: The float network.
        residual: Bits of a stored tensor that an addition reads.
    """
    steps = _steps(graph)
    birth: dict[_Slot, int] = {}
    death: dict[_Slot, int] = {}
    for i, step in enumerate(steps):
        birth |= dict.fromkeys(step.writes, i)
        death |= dict.fromkeys((*step.reads, *step.writes), i)
    shapes = {value.name: value.shape for value in graph.values}
    roots = range_root(graph)

    def described(slot: _Slot) -> LiveTensor:
        apart = slot.reader != _LOGITS and roots[slot.value] != slot.root
        return LiveTensor(
            tensor=f"{slot.value} for {slot.root}" if apart or slot.partial else slot.value,
            elements=prod(shapes[slot.value]),
            reader=slot.reader.name if slot.reader.kind == "layer" else None,
            bits=_fixed_bits(slot.reader, residual),
            stored_bits=PARTIAL_BITS if slot.partial else None,
        )

    pixels = LiveTensor(
        tensor="pixels", elements=prod(graph.input.shape), reader=None, bits=PIXEL_BITS
    )
    alive = [
        tuple(described(slot) for slot in birth if birth[slot] <= i <= death[slot])
        for i in range(len(steps))
    ]
    return ((pixels, *alive[0]), *alive[1:])


def _fixed_bits(reader: Reader, residual: int) -> int | None:
    match reader.kind:
        case "layer":
            return None
        case "add":
            return residual
        case "inner":
            return min(residual, INNER_BITS)
        case "tail":
            return TAIL_BITS
        case "byte":
            return BYTE_BITS
        case "logits":
            return LOGITS_BITS
        case _:
            assert_never(reader.kind)


def _steps(graph: Graph) -> list[_Step]:
    """Return every step that stores something, in order of execution."""
    planner = _Planner(graph)
    place = {node.output: i for i, node in enumerate(graph.nodes)}
    moved = {operand: place[total] for total, operand in planner.fused.items()}
    steps: list[_Step] = []
    for node in reversed(graph.nodes):
        position = moved.get(node.output, place[node.output])
        steps += [_Step(position, *parts) for parts in planner.plan(node)]
    steps.sort(key=lambda step: step.position)
    return [_Step(-1, (), planner.slots(graph.input.name)), *steps]


_Parts = tuple[tuple[_Slot, ...], tuple[_Slot, ...]]
"""What a step reads and writes."""


class _Planner:
    """What is wanted of every value, filled from the logits back to the input."""

    def __init__(self, graph: Graph) -> None:
        self._roots = range_root(graph)
        self._unrounded = enters_unrounded(graph)
        self._wanted: dict[str, dict[_Slot, None]] = {value.name: {} for value in graph.values}
        self._wanted[graph.output][_Slot(graph.output, graph.output, _LOGITS)] = None
        self._addends: dict[_Slot, tuple[_Slot, ...]] = {}
        """By a sum, the stored operands its addition reads."""
        self.fused = _fusions(graph)

    def slots(self, value: str) -> tuple[_Slot, ...]:
        """Return what is wanted of a value, in the order of its readers."""
        return tuple(reversed(self._wanted[value]))

    def plan(self, node: Operator) -> Iterator[_Parts]:
        """Yield the steps of one operator, and want what they read."""
        slots = self.slots(node.output)
        if not slots:
            return
        match node:
            case Conv2d() | Linear():
                yield self._step(slots, (self._own(node.x, Reader("layer", node.name)),))
            case Table() | Multiply():
                reader = Reader("byte", node.name)
                yield self._step(slots, tuple(self._own(x, reader) for x in inputs(node)))
            case AvgPool2d() | BatchNorm() | Resample():
                for slot in slots:
                    reads = (self._own(node.x, computed_for(slot.reader)),)
                    yield self._step((slot,), reads)
            case Clamp():
                self._wanted[node.x].update(dict.fromkeys(slots))
            case MaxPool2d() | Slice() | Pad() | Flatten() | Rearrange() | Take() | Concat():
                for slot in slots:
                    reads = (_Slot(x, slot.root, slot.reader) for x in inputs(node))
                    yield self._step((slot,), tuple(reads))
            case Add():
                yield from self._addition(node, slots)
            case _:
                assert_never(node)

    def _own(self, value: str, reader: Reader) -> _Slot:
        return _Slot(value, self._roots[value], reader)

    def _step(self, writes: tuple[_Slot, ...], reads: tuple[_Slot, ...]) -> _Parts:
        for slot in reads:
            self._wanted[slot.value][slot] = None
        return (*reads, *(x for slot in writes for x in self._addends.get(slot, ()))), writes

    def _addition(self, node: Add, slots: tuple[_Slot, ...]) -> Iterator[_Parts]:
        fused = self.fused.get(node.output)
        for slot in slots:
            operands = tuple(
                _Slot(x, slot.root, slot.reader, partial=True)
                if (node.name, x) in self._unrounded
                else self._own(x, Reader("add", node.name))
                for x in (node.a, node.b)
                if x != fused
            )
            reads, writes = self._step((slot,), operands)
            if fused is None:
                yield reads, writes
                continue
            self._addends[slot] = operands
            self._wanted[fused][slot] = None


def _fusions(graph: Graph) -> dict[str, str]:
    """Return, by an addition's output, the last layer's result that nothing else reads."""
    uses: dict[str, int] = {graph.output: 1}
    for node in graph.nodes:
        for name in inputs(node):
            uses[name] = uses.get(name, 0) + 1
    place = {node.output: i for i, node in enumerate(graph.nodes)}
    unrounded = enters_unrounded(graph)
    found: dict[str, str] = {}
    for node in graph.nodes:
        if isinstance(node, Add):
            own = [x for x in (node.a, node.b) if (node.name, x) in unrounded and uses[x] == 1]
            if own:
                found[node.output] = max(own, key=lambda x: place[x])
    return found
