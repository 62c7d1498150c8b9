"""How quantized tensors flow through a float graph: range roots, signs, stored forms.

A *move* (max pool, slice, pad, flatten, rearrangement, take) and a clamp keep scale and zero point, so a tensor behind
them shares the range of its *root*: the convolution, linear, addition, average pool, batch norm,
concat or input before them, after its clamp. What reads a tensor decides how it is stored: a
:class:`Form` is a range (named by its root) and a width, and a tensor is stored once per form, each
time straight from the value that computed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, assert_never

from hawqlang.arith import functions
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
from hawqlang.ir.operands import inputs

LayerNode = Conv2d | Linear
"""A layer with weights."""

Move = MaxPool2d | Slice | Pad | Flatten | Rearrange | Take
"""An operator that computes nothing; its output has its input's scale and zero point."""

LOGITS_BITS = 32
"""Width of the network's result."""

TAIL_BITS = 8
"""Width of what an average pool or batch norm between the last layer and the logits reads."""

INNER_BITS = 16
"""Most bits that an average pool or batch norm reads: its sums have to fit int32."""

BYTE_BITS = 8
"""Width of what a table or a product reads, whatever its result is stored in: a table has 256 entries."""


@dataclass(frozen=True, slots=True, order=True)
class Reader:
    """What decides a width: a layer, an addition, the logits or the tail before them."""

    kind: Literal["layer", "add", "inner", "logits", "tail", "byte"]
    """``inner``: an addition whose operand is the result of an average pool or batch norm, which
    reads this; ``tail``: likewise the logits; ``byte``: a table or product, which reads 8 bits."""
    name: str
    """The node's name; ``""`` for the logits and their tail."""


@dataclass(frozen=True, slots=True, order=True)
class Demand:
    """A reader wants a tensor in the range of ``root``."""

    root: str
    reader: Reader


@dataclass(frozen=True, slots=True, order=True)
class Form:
    """How a tensor is stored: in the range of ``root``, at ``bits``.

    At 32 bits nothing is clipped: logits and residual operands take the smallest scale at which
    every value they can reach fits int32.
    """

    root: str
    bits: int


def producers(graph: Graph) -> dict[str, Operator]:
    """Return the node that computes each value; the graph's input has none."""
    return {node.output: node for node in graph.nodes}


def readers(graph: Graph) -> dict[str, tuple[Operator, ...]]:
    """Return the nodes that read each value, in execution order."""
    found: dict[str, list[Operator]] = {value.name: [] for value in graph.values}
    for node in graph.nodes:
        for name in dict.fromkeys(inputs(node)):
            found[name].append(node)
    return {name: tuple(nodes) for name, nodes in found.items()}


def layer_nodes(graph: Graph) -> tuple[LayerNode, ...]:
    """Return the layers with weights, in execution order."""
    return tuple(node for node in graph.nodes if isinstance(node, Conv2d | Linear))


def range_root(graph: Graph) -> dict[str, str]:
    """Return, for every value, the value whose range a reader of it uses.

    A move hands on its input's root; everything else is a root of its
    own, clamps included (``conv → relu`` is stored in the range of the ReLU's output). The parts of
    a concat are observed together: the copy of a part that the concat reads is stored in the
    *concat's* range, as :func:`demands` says.
    """
    root = {graph.input.name: graph.input.name}
    for node in graph.nodes:
        match node:
            case MaxPool2d() | Slice() | Pad() | Flatten() | Rearrange() | Take():
                root[node.output] = root[node.x]
            case (
                Conv2d()
                | Linear()
                | BatchNorm()
                | Clamp()
                | Add()
                | Concat()
                | AvgPool2d()
                | Table()
                | Multiply()
                | Resample()
            ):
                root[node.output] = node.output
            case _:
                assert_never(node)
    return root


def nonnegative(graph: Graph, *, input_nonnegative: bool = False) -> frozenset[str]:
    """Return the values that cannot be negative: these are stored unsigned, all others signed.

    A clamp from 0 upwards makes a value non-negative; moves, concats, averages, sums and
    products of such values keep it, and some functions give nothing else. ``input_nonnegative`` says
    that of the graph's input (its smallest pixel maps to 0 or above).
    """
    found: set[str] = {graph.input.name} if input_nonnegative else set()
    for node in graph.nodes:
        inherited = all(name in found for name in inputs(node))
        match node:
            case Clamp():
                floor = node.low is not None and node.low >= 0
                positive = (floor or inherited) and (node.high is None or node.high >= 0)
            case Table():
                positive = functions.is_nonnegative(node.function, x=inherited)
            case (
                MaxPool2d()
                | Slice()
                | Pad()
                | Flatten()
                | Rearrange()
                | Take()
                | Resample()
                | AvgPool2d()
                | Concat()
                | Add()
                | Multiply()
            ):
                positive = inherited
            case Conv2d() | Linear() | BatchNorm():
                positive = False
            case _:
                assert_never(node)
        if positive:
            found.add(node.output)
    return frozenset(found)


def enters_unrounded(graph: Graph) -> frozenset[tuple[str, str]]:
    """Return the pairs (addition's name, operand) whose operand enters as an accumulator.

    That is the result of a convolution or linear read by the addition directly; behind a clamp, a
    move or any other operator an operand is stored at the residual width.
    """
    computed = {node.output for node in layer_nodes(graph)}
    return frozenset(
        (node.name, operand)
        for node in graph.nodes
        if isinstance(node, Add)
        for operand in (node.a, node.b)
        if operand in computed
    )


def demands(graph: Graph) -> dict[str, tuple[Demand, ...]]:
    """Return, for every value, what its readers want of it, through operators without a width.

    A layer wants its input in the input's own range (:func:`range_root`) and so does an addition of
    a stored operand. Moves, clamps and concats hand what is wanted of their output to what they
    read, so a part of a concat is wanted in the concat's range. An average pool or batch norm
    computes a new value: the width that is wanted of its output is wanted of its input, in the
    input's own range. Reading order is execution order; repeats are dropped.
    """
    root = range_root(graph)
    unrounded = enters_unrounded(graph)
    found: dict[str, dict[Demand, None]] = {value.name: {} for value in graph.values}
    found[graph.output][Demand(graph.output, Reader("logits", ""))] = None
    for node in reversed(graph.nodes):
        for name in inputs(node):
            if (node.name, name) not in unrounded:
                found[name].update(dict.fromkeys(_wanted_of_input(node, root[name], found)))
    position = {node.name: index for index, node in enumerate(graph.nodes)}
    last = len(graph.nodes)
    return {
        name: tuple(sorted(wanted, key=lambda d: (position.get(d.reader.name, last), d)))
        for name, wanted in found.items()
    }


def _wanted_of_input(
    node: Operator, root: str, found: Mapping[str, Mapping[Demand, None]]
) -> tuple[Demand, ...]:
    """Return what ``node`` wants of a value it reads whose range root is ``root``."""
    match node:
        case Conv2d() | Linear():
            return (Demand(root, Reader("layer", node.name)),)
        case Add():
            return (Demand(root, Reader("add", node.name)),)
        case Table() | Multiply():
            return (Demand(root, Reader("byte", node.name)),) if found[node.output] else ()
        case AvgPool2d() | BatchNorm() | Resample():
            return tuple(Demand(root, computed_for(d.reader)) for d in found[node.output])
        case MaxPool2d() | Slice() | Pad() | Flatten() | Rearrange() | Take() | Clamp() | Concat():
            return tuple(found[node.output])
        case _:
            assert_never(node)


def computed_for(reader: Reader) -> Reader:
    """Return what reads the input of an average pool or batch norm whose result ``reader`` reads."""
    match reader.kind:
        case "logits":
            return Reader("tail", "")
        case "add":
            return Reader("inner", reader.name)
        case "layer" | "inner" | "tail" | "byte":
            return reader
        case _:
            assert_never(reader.kind)


def inner_width(bits: int, *, logits: bool) -> int:
    """Return the bits at which an average pool or batch norm reads for a result of ``bits``.

    Args:
        bits: Width of the result.
        logits: Whether the result is the network's own.
    """
    if bits == LOGITS_BITS and logits:
        return TAIL_BITS
    return min(bits, INNER_BITS)


def root_readers(graph: Graph) -> dict[str, tuple[Reader, ...]]:
    """Return, for every range that something is stored in, its readers in execution order.

    A layer, addition or tail appears under each root it reads through moves and concats; logits
    have no range.
    """
    found: dict[str, dict[Reader, None]] = {}
    for wanted in demands(graph).values():
        for demand in wanted:
            if demand.reader.kind != "logits":
                found.setdefault(demand.root, {})[demand.reader] = None
    return {root: tuple(who) for root, who in found.items()}


def width(reader: Reader, abits: Mapping[str, int], residual: int) -> int:
    """Return the bits at which ``reader`` reads."""
    match reader.kind:
        case "layer":
            return abits[reader.name]
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


def forms(graph: Graph, abits: Mapping[str, int], residual: int) -> dict[str, tuple[Form, ...]]:
    """Return, for every value, the forms it is stored in.

    Empty where it only enters additions as an accumulator.

    Args:
        graph: The float network.
        abits: Bits at which each layer with weights reads its input.
        residual: Bits of a stored tensor that an addition reads.
    """
    return {
        name: tuple(dict.fromkeys(Form(d.root, width(d.reader, abits, residual)) for d in wanted))
        for name, wanted in demands(graph).items()
    }
