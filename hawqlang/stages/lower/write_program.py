"""The finished draft as the two nouns that leave lowering."""

from __future__ import annotations

from hawqlang.ir.integer import IntegerProgram, QTensor
from hawqlang.ir.scales import ScaleTable, TensorScale
from hawqlang.ir.spec import ImageInput
from hawqlang.stages.lower.draft import Draft, Slot
from hawqlang.stages.lower.dyadic_requantize import channels_last
from hawqlang.stages.structure import LOGITS_BITS


def write_program(draft: Draft) -> IntegerProgram:
    """Return the integer program; its tensors stand in order of definition."""
    graph = draft.request.graph
    output = Slot(graph.output, graph.output, LOGITS_BITS)
    return IntegerProgram(
        name=graph.name,
        input=draft.names[draft.pixels],
        output=draft.names[output],
        tensors=(_input(draft), *(_tensor(draft, slot) for slot in _own(draft))),
        ops=draft.ops,
        bounds=(),
    )


def write_scales(draft: Draft) -> ScaleTable:
    """Return the real scale of every tensor; pixels have one only where they are what the network sees."""
    entry = draft.names[draft.pixels]
    same = [s for s in draft.slots() if draft.names[s] == entry and s != draft.pixels]
    first = same[:1]
    if not first and not isinstance(draft.request.settings.input, ImageInput):
        first = [draft.pixels]
    return ScaleTable(scales=tuple(_scale(draft, slot) for slot in (*first, *_own(draft))))


def _own(draft: Draft) -> list[Slot]:
    """Return the slots that are not the program's input."""
    pixels = draft.names[draft.pixels]
    return [slot for slot in draft.slots() if draft.names[slot] != pixels]


def _input(draft: Draft) -> QTensor:
    zero_point = draft.params(draft.pixels).zero_point
    shape = channels_last(draft.request.graph.input.shape)
    name = draft.names[draft.pixels]
    return QTensor(name=name, shape=shape, bits=8, signed=False, zero_point=zero_point)


def _tensor(draft: Draft, slot: Slot) -> QTensor:
    params = draft.params(slot)
    return QTensor(
        name=draft.names[slot],
        shape=channels_last(draft.request.graph.shape(slot.value)),
        bits=slot.bits,
        signed=params.signed,
        zero_point=params.zero_point,
    )


def _scale(draft: Draft, slot: Slot) -> TensorScale:
    params = draft.params(slot)
    return TensorScale(
        tensor=draft.names[slot],
        value=slot.value,
        scale=params.scale,
        zero_point=params.zero_point,
    )
