"""The scale and zero point of every stored tensor, from its calibrated range.

    s = (high - low) / (2^b - 1),  z = clamp(round(q_min - low/s))

A tensor input arrives as uint8 codes; where their grid is that of the calibrated 8-bit tensor the codes *are* it.
"""

from __future__ import annotations

from dataclasses import replace

from hawqlang.ir.spec import TensorInput
from hawqlang.stages.lower.draft import Draft
from hawqlang.stages.lower.entry import code_params
from hawqlang.stages.lower.errors import missing_range
from hawqlang.stages.quantize import QuantParams, stored_params
from hawqlang.stages.structure import Form


def scale_tensors(draft: Draft) -> Draft:
    """Return the draft with the parameters of every form that is stored."""
    graph = draft.request.graph
    known = stored_params(graph, draft.request.ranges)
    source = draft.request.settings.input
    entry = Form(graph.input.name, 8)
    if isinstance(source, TensorInput) and entry in known:
        codes = code_params(source)
        if _same_grid(codes, known[entry]):
            known[entry] = codes
    for slot in draft.slots():
        if slot.bits <= 16 and slot != draft.pixels and Form(slot.root, slot.bits) not in known:
            raise missing_range(slot.root, slot.bits)
    return replace(draft, forms=known)


def _same_grid(codes: QuantParams, stored: QuantParams) -> bool:
    offset = stored.zero_point - stored.qmin
    return codes.scale == stored.scale and offset == codes.zero_point
