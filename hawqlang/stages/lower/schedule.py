"""Which tensors are stored, at which widths, by whom: decided by demand, from the logits back to the input.

A reader demands a value in the range of a root at a width. A clamp hands a demand on to what it reads, as bounds; a
move, pool or concat stores one result per demand and demands its own input; a layer computes its int32 value once and
stores it once per demand. A residual addition dissolves into the convolution that comes last before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
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
from hawqlang.ir.operands import inputs
from hawqlang.stages.lower.draft import Draft, Move, Request, Result, Slot, Step, Worker
from hawqlang.stages.lower.errors import clamp_across_padding, unsupported_width
from hawqlang.stages.structure import (
    BYTE_BITS,
    LOGITS_BITS,
    enters_unrounded,
    inner_width,
    range_root,
)


@dataclass(frozen=True, slots=True)
class _Plan:
    """One node's steps, and what they demand of the values they read."""

    steps: tuple[Step, ...] = ()
    demands: tuple[tuple[str, Result], ...] = ()


@dataclass(frozen=True, slots=True)
class _Context:
    request: Request
    roots: dict[str, str]
    unrounded: frozenset[tuple[str, str]]
    fused: dict[str, str]
    """The convolution result that an addition dissolves into, by the addition's name."""

    def natural(self, value: str, bits: int) -> Slot:
        """Return the slot of a value in its own range."""
        return Slot(value, self.roots[value], bits)


def schedule(draft: Draft) -> Draft:
    """Return the draft with its steps: every stored tensor exactly once, in execution order."""
    graph = draft.request.graph
    context = _Context(
        draft.request, range_root(graph), enters_unrounded(graph), residual_fusions(graph)
    )
    place = {node.name: index for index, node in enumerate(graph.nodes)}
    moved = {
        context.fused[node.name]: place[node.name]
        for node in graph.nodes
        if node.name in context.fused
    }
    wants: dict[str, dict[Slot, Result]] = {value.name: {} for value in graph.values}
    logits = Slot(graph.output, graph.output, LOGITS_BITS)
    wants[graph.output][logits] = Result(logits)
    placed: list[tuple[int, Step]] = []
    for node in reversed(graph.nodes):
        plan = _plan(node, tuple(reversed(wants[node.output].values())), context)
        placed += [(moved.get(node.output, place[node.name]), step) for step in plan.steps]
        for value, demand in reversed(plan.demands):
            wants[value].setdefault(demand.slot, demand)
    entry = tuple(reversed(wants[graph.input.name].values()))
    first = (Step(None, (draft.pixels,), entry),) if entry else ()
    return replace(draft, steps=first + tuple(s for _, s in sorted(placed, key=lambda p: p[0])))


def residual_fusions(graph: Graph) -> dict[str, str]:
    """Return, per addition (by name), the operand whose layer the addition dissolves into.

    It is the result of a convolution or linear that only this addition reads, and the last such to execute.
    """
    uses: dict[str, int] = {graph.output: 1}
    for node in graph.nodes:
        for name in inputs(node):
            uses[name] = uses.get(name, 0) + 1
    position = {node.output: index for index, node in enumerate(graph.nodes)}
    unrounded = enters_unrounded(graph)
    found: dict[str, str] = {}
    for node in graph.nodes:
        if isinstance(node, Add):
            own = [x for x in (node.a, node.b) if (node.name, x) in unrounded and uses[x] == 1]
            if own:
                found[node.name] = max(own, key=lambda x: position[x])
    return found


def _plan(node: Operator, results: tuple[Result, ...], context: _Context) -> _Plan:
    if not results:
        return _Plan()
    match node:
        case Conv2d() | Linear():
            bits = context.request.precisions[node.name].abits
            _check_width(f"activations read by '{node.name}'", bits)
            plan = _single(node, node.x, context.natural(node.x, bits), results)
        case Table() | Multiply():
            plan = _of_bytes(node, results, context)
        case AvgPool2d() | BatchNorm() | Resample():
            plan = _joined(_computed(node, results, context))
        case Clamp():
            plan = _Plan(demands=tuple((node.x, _clamped(node, r)) for r in results))
        case MaxPool2d() | Slice() | Pad() | Flatten() | Rearrange() | Take() | Concat():
            plan = _joined(_moved(node, result) for result in results)
        case Add():
            plan = _add(node, results, context)
        case _:
            assert_never(node)
    return plan


def _check_width(what: str, bits: int) -> None:
    if not 1 <= bits <= 16:
        raise unsupported_width(what, bits, 1)


def _joined(plans: Iterable[_Plan]) -> _Plan:
    parts = tuple(plans)
    return _Plan(
        tuple(step for plan in parts for step in plan.steps),
        tuple(demand for plan in parts for demand in plan.demands),
    )


def _single(node: Worker, value: str, slot: Slot, results: tuple[Result, ...]) -> _Plan:
    return _Plan((Step(node, (slot,), results),), ((value, Result(slot)),))


def _computed(
    node: AvgPool2d | BatchNorm | Resample, results: tuple[Result, ...], context: _Context
) -> Iterator[_Plan]:
    """Yield a plan per width: an average pool or batch norm reads at the width of its reader."""
    output = context.request.graph.output
    widths = [inner_width(r.slot.bits, logits=r.slot.root == output) for r in results]
    for bits in dict.fromkeys(widths):
        wanted = tuple(r for r, width in zip(results, widths, strict=True) if width == bits)
        yield _single(node, node.x, context.natural(node.x, bits), wanted)


def _of_bytes(node: Table | Multiply, results: tuple[Result, ...], context: _Context) -> _Plan:
    """Return the plan of what reads bytes, whatever its results are stored in."""
    slots = tuple(context.natural(value, BYTE_BITS) for value in inputs(node))
    return _Plan((Step(node, slots, results),), tuple((s.value, Result(s)) for s in slots))


def _clamped(node: Clamp, result: Result) -> Result:
    """Return a demand of a clamp's output as a demand of its input: clamp to both, this one first."""

    def inner(bound: float | None) -> float | None:
        if bound is None:
            return None
        bound = bound if result.low is None else max(bound, result.low)
        return bound if result.high is None else min(bound, result.high)

    low = result.low if node.low is None else inner(node.low)
    high = result.high if node.high is None else inner(node.high)
    return replace(result, low=low, high=high)


def _moved(node: Move | Concat, result: Result) -> _Plan:
    """Return the plan of a move: its input is stored as its output is, clamped before instead of after."""
    low, high = result.low, result.high
    if isinstance(node, Pad) and ((low or 0) > 0 or (high or 0) < 0):
        raise clamp_across_padding(node.name)
    reads = tuple(
        Slot(value, result.slot.root, result.slot.bits, low, high) for value in inputs(node)
    )
    demands = tuple((slot.value, Result(slot, low, high)) for slot in reads)
    return _Plan((Step(node, reads, (Result(result.slot),)),), demands)


def _add(node: Add, results: tuple[Result, ...], context: _Context) -> _Plan:
    """Return the plan of an addition: demands only where it dissolves into a convolution."""
    fused = context.fused.get(node.name)
    operands = [x for x in (node.a, node.b) if x != fused]
    demands: list[tuple[str, Result]] = []
    sums: list[Result] = []
    for result in results:
        slots = tuple(_operand(node, x, result.slot, context) for x in operands)
        demands += [(slot.value, Result(slot)) for slot in slots]
        sums.append(replace(result, addends=slots))
    if fused is None:
        return _Plan((Step(node, (), tuple(sums)),), tuple(demands))
    return _Plan(demands=(*demands, *((fused, total) for total in sums)))


def _operand(node: Add, value: str, total: Slot, context: _Context) -> Slot:
    """Return how an addition reads an operand: as int32 at the sum's scale, or stored at the residual width."""
    if (node.name, value) in context.unrounded:
        return Slot(value, total.root, 32, sum_bits=total.bits)
    return context.natural(value, context.request.settings.residual)
