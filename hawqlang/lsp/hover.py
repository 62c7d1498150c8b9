"""Hover: what the word under the pointer is, from the tables that the compiler uses."""

from __future__ import annotations

from collections.abc import Mapping

from lsprotocol import types as lsp

from hawqlang.base import NOWHERE, Precision
from hawqlang.diagnostics.catalogue import entry
from hawqlang.ir.layers import Layer
from hawqlang.ir.spec import Device
from hawqlang.ir.syntax import Declaration, Param
from hawqlang.ir.units import UNITS, WORDS
from hawqlang.lsp.layers import Head, earlier_of, head_of, matched, table_of
from hawqlang.lsp.quantities import quantity_text
from hawqlang.lsp.slots import Slot, slot_at
from hawqlang.lsp.workspace import Snapshot
from hawqlang.stages.parse.literals import number_value
from hawqlang.stages.parse.place import Place, place_at
from hawqlang.stages.parse.tokens import Token
from hawqlang.stages.resolve import vocabulary as words
from hawqlang.stages.resolve.devices import device, device_names
from hawqlang.stages.resolve.functions import Signature
from hawqlang.stages.resolve.index import Use
from hawqlang.stages.resolve.keys import KEYS, Key
from hawqlang.stages.resolve.report import RejectedError
from hawqlang.stages.resolve.scope import precision_word
from hawqlang.units import size, work

MAX_LAYERS = 12
"""So many layers of a pattern are listed."""


def hover(snapshot: Snapshot, position: lsp.Position) -> lsp.Hover | None:
    """Return what stands at a position."""
    offset = snapshot.text.offset(position)
    place = place_at(snapshot.lexed, offset)
    if place.comment:
        return _ignored(snapshot, offset)
    token = place.token
    if token is None:
        return None
    text = _of_token(snapshot, place, token)
    if not text:
        return None
    content = lsp.MarkupContent(lsp.MarkupKind.Markdown, text)
    return lsp.Hover(content, snapshot.text.range(token.start, token.end))


def _of_token(snapshot: Snapshot, place: Place, token: Token) -> str:
    if token.kind in {"NUMBER", "RATE", "PERCENT"}:
        return _number(snapshot, token)
    slot = slot_at(place)
    if token.kind == "STRING":
        return _layers(snapshot, place, token) if slot.what == "selector" else ""
    if slot.what == "unit" and token.text in UNITS:
        return _number(snapshot, token)
    use = _use_at(snapshot, token)
    if use is not None:
        return _declared(snapshot, use.declared.name.text)
    return _word(snapshot, place, slot, token)


def _use_at(snapshot: Snapshot, token: Token) -> Use | None:
    if snapshot.resolution is None:
        return None
    for use in snapshot.resolution.index.uses:
        place = use.span
        if place.file == snapshot.shown and (place.line, place.column) == (
            token.line,
            token.column,
        ):
            return use
    return None


def _ignored(snapshot: Snapshot, offset: int) -> lsp.Hover | None:
    """Return what the code in an ``ignore`` comment stands for."""
    text = snapshot.text.body
    start, end = offset, offset
    while start and text[start - 1].isalnum():
        start -= 1
    while end < len(text) and text[end].isalnum():
        end += 1
    known = entry(text[start:end])
    if known is None:
        return None
    content = lsp.MarkupContent(
        lsp.MarkupKind.Markdown, f"**{known.code}** {known.title}\n\n{known.cause}"
    )
    return lsp.Hover(content, snapshot.text.range(start, end))


# ---- words ---------------------------------------------------------------------------------------


def _word(snapshot: Snapshot, place: Place, slot: Slot, token: Token) -> str:  # noqa: PLR0911 - one line a slot
    text = token.text
    match slot.what:
        case "item" | "key":
            return _statement(slot, text)
        case "name" if slot.block == "" and place.before[:1]:
            return _declared(snapshot, text)
        case "type":
            return _titled(text, words.TYPE_DOCS.get(text))
        case "emit":
            return _titled(text, words.EMIT_DOCS.get(text))
        case "value" | "argument" | "literal":
            return _value(slot, place, text)
        case "expression" | "metric" | "selector" | "property" | "unit":
            return _term(text)
        case _:
            return _titled(text, words.OPERATOR_DOCS.get(text))


def _titled(word: str, doc: str | None) -> str:
    return "" if doc is None else f"**{word}**\n\n{doc}"


def _statement(slot: Slot, text: str) -> str:
    """Return what a key or a statement is."""
    known = KEYS.get(slot.block, {}).get(text)
    if known is not None:
        return key_text(text, known)
    if slot.what == "item":
        return _titled(text, words.STATEMENTS.get(text))
    if slot.block == "quantize":
        return _titled(text, words.CLAUSES.get(text))
    return precision_text(text)


def key_text(name: str, key: Key) -> str:
    """Return what a key is: what it takes, its default, its meaning."""
    default = f", default `{key.default}`" if key.default else ""
    needed = ", required" if key.required else ""
    return f"**{name}**: {key.takes}{default}{needed}\n\n{key.doc}"


def function_text(name: str, found: Signature) -> str:
    """Return what a function is, with its arguments."""
    known = (*found.positional, *found.named)
    lines = [
        f"- `{one}`{'' if one in found.required else ' (optional)'}: {found.arguments.get(one, '')}"
        for one in known
    ]
    more = ["- any further argument by name"] if found.open else []
    return "\n".join([f"`{found.example}`", "", found.doc, "", *lines, *more]).rstrip()


def _value(slot: Slot, place: Place, text: str) -> str:
    functions = words.functions_of(slot.block, slot.key)
    named = place.after is not None and place.after.kind == "EQUAL"
    if slot.function and named:
        found = functions.get(slot.function)
        doc = None if found is None else found.arguments.get(text)
        return "" if doc is None else f"**{text}**, argument of `{slot.function}`: {doc}"
    if not slot.function and text in functions:
        return f"**{text}**\n\n{function_text(text, functions[text])}"
    where = ("input", str(slot.argument)) if slot.function else (slot.block, slot.key)
    doc = words.words_of(*where).get(text)
    if doc is not None:
        return _titled(text, doc)
    if slot.key == "device" and text in device_names():
        return device_text(device(text))
    return precision_text(text)


def _term(text: str) -> str:
    """Return what a word of an expression is."""
    for table, kind in (
        (words.METRIC_DOCS, "a metric of the whole model"),
        (words.PROPERTY_DOCS, "a property of layers"),
        (words.SELECTOR_DOCS, "selects layers"),
        (words.OPERATOR_DOCS, ""),
    ):
        if text in table:
            return f"**{text}**{f' ({kind})' if kind else ''}\n\n{table[text]}"
    return precision_text(text)


def precision_text(text: str) -> str:
    """Return what a precision is; nothing for any other word."""
    try:
        found = precision_word(text, NOWHERE)
    except RejectedError:
        return ""
    if found is None:
        return ""
    return f"**{found}**: {found.wbits}-bit weights, {found.abits}-bit integer activations"


def device_text(found: Device) -> str:
    """Return what the catalogue says of a device."""
    lines = [
        f"**{found.name}**",
        "",
        f"- native: {', '.join(f'`{p}`' for p in found.native)}",
        *(f"- `{p}`: {quantity_text(rate, 'macs/s')}" for p, rate in found.rates),
        f"- bandwidth: {quantity_text(found.bandwidth, 'size/s')}",
        f"- launch: {quantity_text(found.launch, 'time')}",
    ]
    if found.cache is not None:
        lines.append(f"- cache: {quantity_text(found.cache, 'size')}")
    if found.arch is not None:
        lines.append(f"- architecture: `{found.arch}`")
    return "\n".join(lines)


# ---- names, numbers, layers ----------------------------------------------------------------------


def _declared(snapshot: Snapshot, name: str) -> str:
    """Return what a declaration says, as it is written."""
    resolution = snapshot.resolution
    node = None if resolution is None else resolution.index.nodes.get(name)
    if resolution is None or node is None:
        return ""
    start, end = snapshot.text_of(node.span.file).offsets(node.span)
    lines = snapshot.text_of(node.span.file).body[start:end].splitlines()
    shown = "\n".join([*lines[:MAX_LAYERS], *(["…"] if len(lines) > MAX_LAYERS else [])])
    return f"```hawq\n{shown}\n```" + _resolved(snapshot, node)


def _resolved(snapshot: Snapshot, node: Param | Declaration) -> str:
    index = snapshot.resolution.index if snapshot.resolution is not None else None
    if index is None:
        return ""
    match node:
        case Param():
            value = index.params.get(node.name.text)
            set_ = "" if value is None or not value.overridden else " (set from outside)"
            return "" if value is None else f"\n\nvalue: `{value.text}`{set_}"
        case Declaration(kind="target") if node.name.text in index.targets:
            return "\n\n" + device_text(index.targets[node.name.text].device)
        case _:
            return ""


def _number(snapshot: Snapshot, token: Token) -> str:
    """Return the exact value of a number with a unit."""
    tokens = snapshot.lexed.tokens
    at = tokens.index(token)
    first = at if token.kind == "NUMBER" else at - 1
    unit = tokens[first + 1].text if first + 1 < len(tokens) else ""
    if first < 0 or tokens[first].kind != "NUMBER" or unit not in UNITS:
        return ""
    value = number_value(tokens[first].text)
    if isinstance(value, str):
        return ""
    dim, factor = UNITS[unit]
    exact = value * factor
    base = {
        "size": "B",
        "time": "s",
        "macs": "MACs",
        "bops": "BOPS",
        "size/s": "B/s",
        "macs/s": "MACs/s",
    }
    plain = f"{int(exact):,}" if exact.denominator == 1 else f"{float(exact):.9g}"
    return f"{WORDS[dim]}: `{tokens[first].text} {unit}` = {plain} {base.get(dim, '')}".rstrip()


def _layers(snapshot: Snapshot, place: Place, token: Token) -> str:
    """Return the layers that a pattern matches."""
    head = head_of(place.heads[0]) if place.heads else None
    table = None if head is None else table_of(snapshot, head)
    if head is None or table is None or snapshot.resolution is None:
        return ""
    for one in snapshot.resolution.index.selectors:
        span = one.span
        if span.file == snapshot.shown and (span.line, span.column) == (token.line, token.column):
            layers = matched(one.selector, table)
            break
    else:
        return ""
    if layers is None:
        return f"{token.text} matches none of {len(table.layers)} layers"
    if len(layers) == 1:
        return layer_text(snapshot, head, layers[0])
    more = [f"- and {len(layers) - MAX_LAYERS} more"] if len(layers) > MAX_LAYERS else []
    total = f"{sum(layer.params for layer in layers):,} weights"
    lines = [f"- `{layer.name}` ({layer.kind}): {layer.params:,} weights" for layer in layers]
    title = f"{token.text} matches {len(layers)} of {len(table.layers)} layers, {total}"
    return "\n".join([title, "", *lines[:MAX_LAYERS], *more])


def layer_text(snapshot: Snapshot, head: Head, layer: Layer) -> str:
    """Return what is known of a layer: shape, work, and what earlier runs found."""
    shape = [f"{layer.kind}"]
    if layer.kernel is not None:
        shape.append(f"{layer.kernel[0]}×{layer.kernel[1]}")
    if layer.channels is not None:
        shape.append(f"{layer.channels} output channels")
    lines = [
        f"**{layer.name}**: {', '.join(shape)}",
        "",
        f"- weights: {layer.params:,} ({size(layer.params)} at 8 bits)",
        f"- work: {work(layer.macs, 'MACs')}",
    ]
    if layer.input_elements is not None:
        lines.append(f"- reads {layer.input_elements:,} elements")
    if layer.output_elements is not None:
        lines.append(f"- writes {layer.output_elements:,} elements")
    known = earlier_of(snapshot, head, layer)
    if known.chosen is not None:
        lines.append(f"- precision of the last build: `{known.chosen}`")
    lines += [f"- sensitivity at `{p}`: {value:.4g}" for p, value in _by_bits(known.sensitivity)]
    return "\n".join(lines)


def _by_bits(values: Mapping[Precision, float]) -> list[tuple[Precision, float]]:
    """Return values by precision, narrow ones first."""
    return sorted(values.items(), key=lambda row: (row[0].wbits, row[0].abits))
