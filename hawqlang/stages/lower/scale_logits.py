"""One common scale for the logits: the smallest at which the bound of every channel fits int32.

Comparing logits of two channels, and so the predicted class, then needs no scale at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from hawqlang.arith.width import INT32_MAX
from hawqlang.ir.graph import AvgPool2d, BatchNorm, Conv2d, Linear
from hawqlang.stages.lower.affine_maps import RealMap, batch_norm_map, input_map
from hawqlang.stages.lower.draft import Draft, Result, Slot, Step, counts, largest, scale_of
from hawqlang.stages.structure import producers

ROOM = 2**12
"""Left free for rounding: a residual operand's 22-bit multiplier can be off by 2^-22 of 2^31."""
LARGEST_RATIO = 2**20
"""An operand's scale may exceed that of the sum by this much (its multiplier and shift could do twice that)."""


def scale_logits(draft: Draft) -> Draft:
    """Return the draft with the scale of the logits."""
    need = [
        bound
        for step in draft.steps
        for result in step.results
        if result.slot.bits == 32 and result.slot.sum_bits is None
        for bound in _needs(draft, step, result)
    ]
    smallest = float(max(need, default=Fraction(0)))
    scale = math.nextafter(smallest, math.inf) if smallest > 0 else 1.0
    return replace(draft, logits_scale=scale)


def _needs(draft: Draft, step: Step, result: Result) -> Iterator[Fraction]:
    """Yield lower bounds on the scale, one per reason."""
    room = INT32_MAX - ROOM
    yield (_reach(draft, step) + sum(_operand_reach(draft, a) for a in result.addends)) / room
    for slot in result.addends:
        if slot.sum_bits is None:
            yield scale_of(draft.params(slot)) / LARGEST_RATIO


def _reach(draft: Draft, step: Step) -> Fraction:
    """Return the largest magnitude, in real units, of what a step computes itself."""
    match step.node:
        case Conv2d() | Linear():
            reach = layer_reach(draft, step.node.name, draft.params(step.reads[0]).scale)
        case AvgPool2d():
            x = draft.params(step.reads[0])
            share = Fraction(math.prod(step.node.kernel), min(counts(draft, step.node)))
            reach = scale_of(x) * largest(x) * share
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


def _operand_reach(draft: Draft, slot: Slot) -> Fraction:
    if slot.sum_bits is None:
        params = draft.params(slot)
        return scale_of(params) * largest(params)
    node = producers(draft.request.graph)[slot.value]
    step = next(step for step in draft.steps if step.node == node)
    return _reach(draft, step)


def _map_reach(real: RealMap) -> Fraction:
    x = scale_of(real.x) * largest(real.x)
    return max(abs(a) * x + abs(b) for a, b in zip(real.slope, real.offset, strict=True))
