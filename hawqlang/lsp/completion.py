"""Completion: what may be written somewhere, from the tables that resolving uses and what the spec declares."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from lsprotocol import types as lsp

from hawqlang.ir.units import UNITS
from hawqlang.lsp.hover import device_text, function_text, key_text, precision_text
from hawqlang.lsp.layers import head_of, table_of
from hawqlang.lsp.slots import Slot, slot_at
from hawqlang.lsp.workspace import Snapshot
from hawqlang.stages.parse.place import Place, place_at
from hawqlang.stages.resolve import vocabulary as words
from hawqlang.stages.resolve.devices import device, device_names
from hawqlang.stages.resolve.files import std_folder
from hawqlang.stages.resolve.functions import Signature
from hawqlang.stages.resolve.keys import KEYS
from hawqlang.stages.resolve.metrics import ACCURACIES
from hawqlang.stages.resolve.scope import Kind

TRIGGERS = ['"', ".", "/", "(", ",", "=", ":", " "]
"""What an editor asks again behind."""
PRECISIONS = ("w8a8", "w4a8", "w4a4", "w2a8")
"""The precisions that are offered; any from w1a1 to w16a16 may be written."""
MAX_FILES = 200
"""So many files of a folder are offered."""

_K = lsp.CompletionItemKind
_KINDS: Mapping[Kind, lsp.CompletionItemKind] = {
    "param": _K.Constant,
    "model": _K.Class,
    "dataset": _K.Struct,
    "target": _K.Interface,
}


def completion(snapshot: Snapshot, position: lsp.Position) -> list[lsp.CompletionItem]:
    """Return what may be written at a position."""
    offset = snapshot.text.offset(position)
    place = place_at(snapshot.lexed, offset)
    if place.comment:
        return []
    token = place.token
    if token is not None and token.kind == "STRING":
        inside = token.start < offset and (offset < token.end or not _closed(token.text))
        return list(_in_string(snapshot, place, offset)) if inside else []
    if token is not None and token.kind in {"NUMBER", "RATE", "PERCENT"}:
        return []
    start = offset if token is None else token.start
    where = snapshot.text.range(start, offset if token is None else token.end)
    found = list(dict.fromkeys(_offered(snapshot, place)))
    return [item.at(where) for item in found]


def _closed(text: str) -> bool:
    return len(text) > 1 and text.endswith('"') and not text.endswith('\\"')


class Offer(NamedTuple):
    """One thing that may be written."""

    label: str
    detail: str
    kind: lsp.CompletionItemKind
    doc: str = ""
    snippet: str = ""
    """What is put in where that is more than the label."""

    def at(self, where: lsp.Range) -> lsp.CompletionItem:
        """Return the item that puts it somewhere."""
        return lsp.CompletionItem(
            label=self.label,
            kind=self.kind,
            detail=self.detail or None,
            documentation=lsp.MarkupContent(lsp.MarkupKind.Markdown, self.doc)
            if self.doc
            else None,
            text_edit=lsp.TextEdit(where, self.snippet or self.label),
            insert_text_format=lsp.InsertTextFormat.Snippet if self.snippet else None,
            filter_text=self.label,
        )


def _offered(  # noqa: C901, PLR0912 - one line a slot
    snapshot: Snapshot, place: Place
) -> Iterator[Offer]:
    slot = slot_at(place)
    match slot.what:
        case "item":
            yield from _items()
        case "key":
            yield from _keys(slot)
        case "type":
            yield from _docs(words.TYPE_DOCS, "a type", _K.TypeParameter)
        case "reference":
            yield from _names(snapshot, slot.kinds)
        case "word":
            yield from (Offer(word, "", _K.Keyword) for word in slot.words)
        case "emit":
            yield from _docs(words.EMIT_DOCS, "", _K.Module)
        case "value" | "argument" | "literal":
            yield from _values(snapshot, slot)
        case "unit":
            yield from _units()
            yield from (Offer(word, "", _K.Keyword) for word in slot.words)
        case "metric":
            yield from _metrics(goal=True)
        case "property":
            yield from _docs(words.PROPERTY_DOCS, "a property of layers", _K.Property)
        case "selector":
            yield from _selectors(snapshot, slot)
        case "expression":
            yield from _expression(snapshot, inside=slot.inside)
        case "name" | "import" | "nothing":
            pass


def _docs(table: Mapping[str, str], detail: str, kind: lsp.CompletionItemKind) -> Iterator[Offer]:
    yield from (Offer(word, detail, kind, doc) for word, doc in table.items())


_BODIES = {
    "import": 'import "$0"',
    "param": "param ${1:name}: ${2:size} = $0",
    "model": 'model ${1:net} {\n  source = onnx("${2:net.onnx}")\n  input  = image(${3:224}, ${4:224})$0\n}',
    "dataset": 'dataset ${1:photos} {\n  calibration = images("${2:calib/}", count = ${3:128})$0\n}',
    "target": "target ${1:server} {\n  device = ${2:cpu.x86_64}$0\n}",
    "quantize": "quantize ${1:net} on ${2:server} with ${3:photos} {\n  precision = [w4a4, w8a8]$0\n}",
    "minimize": "minimize ${0:perturbation}",
    "maximize": "maximize $0",
    "subject": "subject to {\n  ${1:fits}: $0\n}",
    "layer": "layer $1 {\n  $0\n}",
    "emit": "emit $0",
}


def _items() -> Iterator[Offer]:
    for word, doc in words.STATEMENTS.items():
        if word != "hawq":
            yield Offer(word, "a statement", _K.Keyword, doc, _BODIES[word])


def _keys(slot: Slot) -> Iterator[Offer]:
    if slot.block == "rates":
        for word in PRECISIONS:
            yield Offer(word, "a rate", _K.Property, precision_text(word), f"{word} = $0 TMACs/s")
        return
    for name, key in KEYS.get(slot.block, {}).items():
        if key.form != "block":
            yield Offer(name, key.takes, _K.Property, key_text(name, key), f"{name} = $0")
        if key.form != "setting":
            yield Offer(name, "a block", _K.Module, key_text(name, key), f"{name} {{\n  $0\n}}")
    if slot.block == "quantize":
        for word, doc in words.CLAUSES.items():
            yield Offer(word, "a statement", _K.Keyword, doc, _BODIES[word])


_PARAMS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(words.BOOLEANS, ("bool",)),
    **dict.fromkeys(words.PRECISIONS, ("precision",)),
    **dict.fromkeys(("batch", "threads", "attempts", "seed", "count", "epochs"), ("int",)),
}
"""The types of params that some settings and arguments take; others take any."""


def _names(
    snapshot: Snapshot, kinds: tuple[Kind, ...], types: tuple[str, ...] = ()
) -> Iterator[Offer]:
    """Yield the declarations that the file sees; params of the given types, of any where none is given."""
    if snapshot.resolution is None:
        return
    index = snapshot.resolution.index
    seen = index.visible.get(snapshot.shown, frozenset())
    for name in sorted(seen):
        declared = index.names[name]
        if declared.kind in kinds:
            value = index.params.get(name)
            if types and (value is None or value.type not in types):
                continue
            detail = declared.kind if value is None else f"{value.type} = {value.text}"
            yield Offer(name, detail, _KINDS[declared.kind])


def _function(name: str, found: Signature) -> Offer:
    """Return a function: with a place for what it requires, or its bare name where it requires nothing."""
    if not found.required:
        return Offer(name, found.example, _K.Function, function_text(name, found))
    holes = [
        (f"{one} = " if one in found.named else "") + f"${{{n}:{one}}}"
        for n, one in enumerate(found.required, 1)
    ]
    detail = found.example
    return Offer(
        name, detail, _K.Function, function_text(name, found), f"{name}({', '.join(holes)})"
    )


def _values(snapshot: Snapshot, slot: Slot) -> Iterator[Offer]:
    functions = words.functions_of(slot.block, slot.key)
    if slot.function:
        yield from _in_call(functions.get(slot.function), slot)
    else:
        yield from (_function(name, found) for name, found in functions.items())
        yield from _docs(words.words_of(slot.block, slot.key), "", _K.EnumMember)
    key = str(slot.argument) if slot.function else slot.key
    if key in words.BOOLEANS or slot.what == "literal":
        yield from (Offer(word, "", _K.Value) for word in ("true", "false"))
    if key in words.PRECISIONS or slot.what == "literal":
        for word in PRECISIONS:
            yield Offer(word, "a precision", _K.Value, precision_text(word))
    if slot.key == "device" and slot.block == "target":
        for name in device_names():
            yield Offer(name, "a device", _K.Interface, device_text(device(name)))
    if slot.what != "literal":
        wordy = bool(functions or words.words_of(slot.block, slot.key)) and not slot.function
        types = ("string",) if wordy or slot.key == "device" else _PARAMS.get(key, ())
        yield from _names(snapshot, ("param",), types)


def _in_call(found: Signature | None, slot: Slot) -> Iterator[Offer]:
    if found is None:
        return
    if slot.what == "argument":
        for name in (*found.positional, *found.named):
            if name not in slot.given and name not in found.positional[: _position(slot)]:
                doc = found.arguments.get(name, "")
                yield Offer(name, "an argument", _K.Field, doc, f"{name} = $0")
    if slot.argument == "count":
        yield Offer("all", "every sample", _K.Value)
    yield from _docs(words.words_of("input", str(slot.argument)), "", _K.EnumMember)


def _position(slot: Slot) -> int:
    return slot.argument if isinstance(slot.argument, int) else 0


def _units() -> Iterator[Offer]:
    yield from (Offer(unit, dim, _K.Unit) for unit, (dim, _) in UNITS.items())


def _metrics(*, goal: bool) -> Iterator[Offer]:
    for name, doc in words.METRIC_DOCS.items():
        if not (goal and name in ACCURACIES):
            yield Offer(name, "a metric", _K.Variable, doc)


def _expression(snapshot: Snapshot, *, inside: bool) -> Iterator[Offer]:
    if inside:
        yield from _docs(words.PROPERTY_DOCS, "of the layer", _K.Property)
    else:
        yield from _metrics(goal=False)
        for name, doc in words.PROPERTY_DOCS.items():
            yield Offer(name, "a property of layers", _K.Function, doc, f"{name}($0)")
        yield Offer(
            "count", "a number of layers", _K.Function, words.OPERATOR_DOCS["count"], "count($0)"
        )
        yield Offer(
            "same", "a tie", _K.Keyword, words.OPERATOR_DOCS["same"], "same precision across $0"
        )
        yield Offer(
            "each", "a rule for each layer", _K.Keyword, words.OPERATOR_DOCS["each"], "each $1: $0"
        )
    for word in ("and", "or", "not", "implies", "of"):
        yield Offer(word, "an operator", _K.Operator, words.OPERATOR_DOCS[word])
    yield from (Offer(word, "a precision", _K.Value, precision_text(word)) for word in PRECISIONS)
    yield from _names(snapshot, ("param",))


def _selectors(snapshot: Snapshot, slot: Slot) -> Iterator[Offer]:
    for name, doc in words.SELECTOR_DOCS.items():
        snippet = {"kernel": "kernel(${1:3}, ${2:3})", "channels": "channels >= ${1:256}"}.get(
            name, ""
        )
        yield Offer(name, "selects layers", _K.EnumMember, doc, snippet)
    if slot.function in words.METRIC_DOCS and slot.argument in (0, None):
        yield from (
            Offer(word, "a baseline", _K.Value, precision_text(word)) for word in PRECISIONS
        )
        yield Offer("fp32", "a baseline", _K.Value, words.OPERATOR_DOCS["fp32"])
    yield from (
        Offer(word, "", _K.Operator, words.OPERATOR_DOCS[word]) for word in ("except", "and")
    )
    if slot.function == "count":
        yield Offer("where", "", _K.Operator, words.OPERATOR_DOCS["where"])
    yield from _names(snapshot, ("param",))


# ---- inside of strings ---------------------------------------------------------------------------


def _in_string(snapshot: Snapshot, place: Place, offset: int) -> Iterator[lsp.CompletionItem]:
    """Yield layer names in a selector, specs behind ``import``, files where a path belongs."""
    token = place.token
    if token is None:
        return
    end = token.end - 1 if _closed(token.text) else token.end
    where = snapshot.text.range(token.start + 1, max(end, offset))
    typed = token.text[1 : offset - token.start]
    slot = slot_at(place)
    match slot.what:
        case "selector":
            yield from _layer_names(snapshot, place, where)
        case "import":
            for path in sorted(_importable(snapshot)):
                yield _path_item(path, where, _K.File)
        case "value" | "argument":
            yield from _files(snapshot, typed, where)
        case _:
            return


def _layer_names(
    snapshot: Snapshot, place: Place, where: lsp.Range
) -> Iterator[lsp.CompletionItem]:
    head = head_of(place.heads[0]) if place.heads else None
    table = None if head is None else table_of(snapshot, head)
    for n, layer in enumerate(() if table is None else table.layers):
        yield lsp.CompletionItem(
            label=layer.name,
            kind=_K.Field,
            detail=f"{layer.kind}, {layer.params:,} weights",
            sort_text=f"{n:05}",
            text_edit=lsp.TextEdit(where, layer.name),
            filter_text=layer.name,
        )


def _path_item(path: str, where: lsp.Range, kind: lsp.CompletionItemKind) -> lsp.CompletionItem:
    return lsp.CompletionItem(
        label=path, kind=kind, text_edit=lsp.TextEdit(where, path), filter_text=path
    )


def _importable(snapshot: Snapshot) -> Iterator[str]:
    std = std_folder()
    yield from (f"std/{path.relative_to(std).as_posix()}" for path in std.rglob("*.hawq"))
    for path in snapshot.view.specs():
        if path != snapshot.path and path.suffix == ".hawq":
            yield os.path.relpath(path, snapshot.path.parent).replace(os.sep, "/")


def _files(snapshot: Snapshot, typed: str, where: lsp.Range) -> Iterator[lsp.CompletionItem]:
    """Yield the files of the folder that is typed so far; a name alone says nothing of their content."""
    if not typed.isprintable():
        return
    folder, _, _ = typed.rpartition("/")
    base = snapshot.path.parent / folder if folder or not typed.startswith("/") else Path("/")
    try:
        found = sorted(base.iterdir())[:MAX_FILES]
    except (OSError, ValueError):
        return
    for path in found:
        if path.name.startswith("."):
            continue
        is_folder = path.is_dir()
        name = f"{folder}/{path.name}" if folder else path.name
        yield _path_item(name + "/" * is_folder, where, _K.Folder if is_folder else _K.File)
