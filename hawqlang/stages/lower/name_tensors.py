"""Names of stored tensors: ``layer1.0.conv1:u8`` says what it holds, and its type.

Two stores of one value at one type are told apart by whose range they have: ``conv2@concat:u8``. Names depend on the
graph and the precisions alone.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hawqlang.ir.spec import ImageInput
from hawqlang.stages.lower.affine_maps import input_map, integer_map, is_identity
from hawqlang.stages.lower.draft import Draft, Result, Slot


def name_tensors(draft: Draft) -> Draft:
    """Return the draft with a name for every slot; a slot equal to the program's input shares its name."""
    pixels = draft.pixels
    source = draft.request.settings.input
    kind = "pixels" if isinstance(source, ImageInput) else "codes"
    names: dict[Slot, str] = {pixels: f"{pixels.value}:{kind}"}
    names |= dict.fromkeys(_same_as_input(draft), names[pixels])
    for form in (_short, _long):
        candidates = {s: form(s, draft) for s in draft.slots() if s not in names}
        count = Counter([*candidates.values(), *names.values()])
        names |= {slot: name for slot, name in candidates.items() if count[name] == 1}
    seen: Counter[str] = Counter()
    for slot in draft.slots():
        if slot not in names:
            name = _long(slot, draft)
            seen[name] += 1
            names[slot] = f"{name}#{seen[name]}"
    return replace(draft, names=names)


def type_name(bits: int, *, signed: bool) -> str:
    """Return a type's name: ``u8``, ``s4``, ``i32``."""
    if bits == 32:
        return "i32"
    return f"{'s' if signed else 'u'}{bits}"


def _same_as_input(draft: Draft) -> tuple[Slot, ...]:
    entry = draft.steps[0]
    if entry.node is not None:
        return ()
    return tuple(result.slot for result in entry.results if _is_input(draft, result))


def _is_input(draft: Draft, result: Result) -> bool:
    if result.slot.bits != 8 or (result.low, result.high) != (None, None):
        return False
    real, stored = input_map(draft), draft.params(result.slot)
    return is_identity(integer_map(result.slot.value, real, stored), real.x, stored)


def _short(slot: Slot, draft: Draft) -> str:
    return f"{slot.value}:{_type(slot, draft)}"


def _long(slot: Slot, draft: Draft) -> str:
    return f"{slot.value}@{slot.root}:{_type(slot, draft)}"


def _type(slot: Slot, draft: Draft) -> str:
    return type_name(slot.bits, signed=draft.params(slot).signed)
