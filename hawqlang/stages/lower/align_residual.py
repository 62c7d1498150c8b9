"""The operands of residual additions come to the scale of the sum.

    y = clamp(z_y + R(acc) + A)

A stored operand enters as ``R(q - z)``, up to 8 bits with ``m < 2^22`` and ``s <= 30``; another layer's accumulator was
stored as int32 at the scale of the sum and enters as it is.
"""

from __future__ import annotations

from dataclasses import replace

from hawqlang.arith import dyadic
from hawqlang.ops import Addend
from hawqlang.stages.lower.draft import Draft, Slot, scale_of
from hawqlang.stages.lower.errors import ratio_too_large


def align_residual(draft: Draft) -> Draft:
    """Return the draft with the numbers of every residual operand."""
    addends = {
        (result.slot, slot): _addend(draft, result.slot, slot)
        for step in draft.steps
        for result in step.results
        for slot in result.addends
    }
    return replace(draft, addends=addends)


def _addend(draft: Draft, total: Slot, operand: Slot) -> Addend:
    name = draft.names[operand]
    if operand.sum_bits is not None:
        return Addend(x=name, zero_point=0, multiplier=1, shift=0)
    params = draft.params(operand)
    ratio = scale_of(params) / scale_of(draft.params(total))
    try:
        chosen = dyadic.choose_operand(ratio, operand.bits)
    except dyadic.RatioTooLargeError:
        raise ratio_too_large(draft.names[total], float(ratio)) from None
    return Addend(
        x=name, zero_point=params.zero_point, multiplier=chosen.multiplier, shift=chosen.shift
    )
