"""The scales of what is stored in 32 bits: the smallest at which every value that can be reached fits int32.

The logits have one common scale: comparing two channels, and so the predicted class, then needs no scale at all.
Residual operands of 32 bits have one per range. Neither is ever clipped, so no range has to be calibrated for them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction

from hawqlang.arith.width import INT32_MAX
from hawqlang.ir.graph import AvgPool2d, BatchNorm, Conv2d, Linear, Multiply, Resample, Table
from hawqlang.stages.lower.affine_maps import RealMap, batch_norm_map, input_map
from hawqlang.stages.lower.draft import Draft, Result, Slot, Step, counts, largest, scale_of
from hawqlang.stages.lower.tables import table_reach
from hawqlang.stages.structure import producers

ROOM = 2**12
"""Left free for rounding: a residual operand's 22-bit multiplier can be off by 2^-22 of 2^31."""
LARGEST_RATIO = 2**20
"""An operand's scale may exceed that of the sum by this much (its multiplier and shift could do twice that)."""


@dataclass(slots=True)
class _Reached:
    """What is known of the values stored in 32 bits, by the root of their range, at one step of execution."""

    reach: dict[str, Fraction] = field(default_factory=dict[str, Fraction])
    """The largest magnitude in real units."""
    scale: dict[str, Fraction] = field(default_factory=dict[str, Fraction])
    """The smallest scale that serves all of them."""


def scale_int32(draft: Draft) -> Draft:
    """Return the draft with the scale of the logits and of every residual operand of 32 bits."""
    found = _Reached()
    for step in draft.steps:
        for result in step.results:
            root = result.slot.root
            if result.slot.bits == 32 and result.slot.sum_bits is None:
                reach = _whole_reach(draft, step, result, found)
                found.reach[root] = max(found.reach.get(root, Fraction(0)), _clipped(reach, result))
                needs = (found.scale.get(root, Fraction(0)), reach / (INT32_MAX - ROOM))
                found.scale[root] = max(*needs, *_operand_needs(draft, result, found))
    return replace(draft, int32_scales={r: float(_above(s)) for r, s in found.scale.items()})


def _above(scale: Fraction) -> float:
    """Return a float64 that is at least ``scale``; 1 for a value that is always 0."""
    smallest = float(scale)
    return math.nextafter(smallest, math.inf) if smallest > 0 else 1.0


def _clipped(reach: Fraction, result: Result) -> Fraction:
    """Return the reach of a result after its clamp."""
    if result.low is None or result.high is None:
        return reach
    return min(reach, max(abs(Fraction(result.low)), abs(Fraction(result.high))))


def _operand_needs(draft: Draft, result: Result, found: _Reached) -> Iterator[Fraction]:
    """Yield the scales that the operands of a sum need."""
    for slot in result.addends:
        if slot.sum_bits is None:
            scale = found.scale[slot.root] if slot.bits == 32 else scale_of(draft.params(slot))
            yield scale / LARGEST_RATIO


def _whole_reach(draft: Draft, step: Step, result: Result, found: _Reached) -> Fraction:
    """Return the largest magnitude, in real units, of a result before its clamp."""
    operands = (_operand_reach(draft, slot, found) for slot in result.addends)
    return _reach(draft, step) + sum(operands, Fraction(0))


def _reach(draft: Draft, step: Step) -> Fraction:
    """Return the largest magnitude, in real units, of what a step computes itself."""
    match step.node:
        case Conv2d() | Linear():
            reach = layer_reach(draft, step.node.name, draft.params(step.reads[0]).scale)
        case AvgPool2d():
            x = draft.params(step.reads[0])
            share = Fraction(math.prod(step.node.kernel), min(counts(draft, step.node)))
            reach = scale_of(x) * largest(x) * share
        case Resample():
            x = draft.params(step.reads[0])
            reach = scale_of(x) * largest(x)
        case Multiply():
            a, b = (draft.params(slot) for slot in step.reads)
            reach = scale_of(a) * largest(a) * scale_of(b) * largest(b)
        case Table():
            reach = table_reach(draft, step.node, draft.params(step.reads[0]))
        case BatchNorm():
            reach = _map_reach(batch_norm_map(draft, step.node, draft.params(step.reads[0])))
        case None:
            reach = _map_reach(input_map(draft))
        case _:
            reach = Fraction(0)
    return reach


def layer_reach(draft: Draft, name: str, input_scale: float) -> Fraction:
    """Return the largest ``|acc|`` of a layer in real units."""
    layer = draft.layers[name]
    products = zip(layer.bound, layer.scale, strict=True)
    return max(int(bound) * Fraction(float(scale)) for bound, scale in products) * Fraction(
        input_scale
    )


def _operand_reach(draft: Draft, slot: Slot, found: _Reached) -> Fraction:
    if slot.sum_bits is not None:
        node = producers(draft.request.graph)[slot.value]
        return _reach(draft, next(step for step in draft.steps if step.node == node))
    if slot.bits == 32:
        return found.reach[slot.root]
    params = draft.params(slot)
    return scale_of(params) * largest(params)


def _map_reach(real: RealMap) -> Fraction:
    x = scale_of(real.x) * largest(real.x)
    return max(abs(a) * x + abs(b) for a, b in zip(real.slope, real.offset, strict=True))
