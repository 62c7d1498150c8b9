"""The overflow certificate of every layer: for any input and any order of partial sums.

    |bias'[c]| + Σ|q_w[c]|·max|q_x| <= 2^31 - 1

An int16 or int24 accumulator holds the sum of products alone; the bias is added after widening.
"""

from __future__ import annotations

from dataclasses import replace

from hawqlang.arith.width import LIMITS, Accumulator, accumulator_bound
from hawqlang.ir.graph import Conv2d, Linear
from hawqlang.ir.integer import Bound
from hawqlang.stages.lower.draft import Draft, Int64, IntegerLayer, Slot
from hawqlang.stages.lower.errors import accumulator_overflow


def check_accumulators(draft: Draft) -> Draft:
    """Return the draft with the bound of every layer's accumulators, or raise HQ601."""
    layers = dict(draft.layers)
    for step in draft.steps:
        node = step.node
        if isinstance(node, Conv2d | Linear):
            layer = layers[node.name]
            sums = _sums(draft, layer, step.reads[0])
            proven(node.name, sums, draft.request.settings.layer(node.name).accumulator)
            bound = sums + abs(layer.bias)
            proven(node.name, bound, "int32")
            layers[node.name] = replace(layer, bound=bound)
    return replace(draft, layers=layers)


def proven(name: str, bounds: Int64, kind: Accumulator) -> Bound:
    """Return the proof that a layer's sums fit an accumulator, or raise HQ601."""
    channel = int(bounds.argmax())
    worst = int(bounds[channel])
    if worst > LIMITS[kind]:
        raise accumulator_overflow(name, channel, worst, LIMITS[kind], kind)
    return Bound(op=name, channel=channel, largest=worst, limit=LIMITS[kind])


def _sums(draft: Draft, layer: IntegerLayer, x: Slot) -> Int64:
    return accumulator_bound(layer.integers, x.bits, signed=draft.params(x).signed)
