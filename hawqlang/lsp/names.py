"""Names across files: where they are declared, where they are used, and what renaming one changes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lsprotocol import types as lsp

from hawqlang.base import Span
from hawqlang.ir import syntax
from hawqlang.lsp.workspace import Snapshot, View
from hawqlang.stages.resolve.files import std_folder
from hawqlang.stages.resolve.quantize import build_name
from hawqlang.stages.resolve.scope import ARTICLES, reserved

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Place:
    """A piece of a file."""

    path: Path
    span: Span


@dataclass(frozen=True, slots=True)
class Symbol:
    """A thing with a name: a declaration of the namespace, a constraint, or the alias of a build."""

    kind: str
    name: str
    declared: Place
    scope: syntax.QuantizeDecl | None = None
    """The block that a constraint belongs to."""


class RefusedError(Exception):
    """A name cannot be changed; the message says why."""


def symbol_at(snapshot: Snapshot, position: lsp.Position) -> tuple[Symbol, Span] | None:
    """Return what the word at a position names, and the word."""
    offset = snapshot.text.offset(position)
    for span, symbol in _words(snapshot):
        start, end = snapshot.offsets(span)
        if start <= offset <= end:
            return symbol, span
    return None


def _words(snapshot: Snapshot) -> Iterator[tuple[Span, Symbol]]:
    """Yield every word of the main file that names something."""
    resolution = snapshot.resolution
    if resolution is not None:
        for use in resolution.index.uses:
            path = snapshot.path_of(use.declared.name.span.file)
            if use.span.file == snapshot.shown and path is not None:
                place = Place(path, use.declared.name.span)
                yield use.span, Symbol(use.declared.kind, use.declared.name.text, place)
    for item in snapshot.tree.items:
        yield from _declared(snapshot, item)


def _declared(snapshot: Snapshot, item: syntax.Item) -> Iterator[tuple[Span, Symbol]]:
    """Yield the names that an item of the main file gives."""
    match item:
        case syntax.Param():
            yield _own(snapshot, "param", item.name)
        case syntax.Declaration():
            yield _own(snapshot, item.kind, item.name)
        case syntax.QuantizeDecl():
            if item.alias is not None:
                yield _own(snapshot, "build", item.alias)
            for constraint in constraints(item):
                yield _own(snapshot, "constraint", constraint.name, item)
        case syntax.Import():
            pass


def _own(
    snapshot: Snapshot, kind: str, name: syntax.Name, scope: syntax.QuantizeDecl | None = None
) -> tuple[Span, Symbol]:
    return name.span, Symbol(kind, name.text, Place(snapshot.path, name.span), scope)


def constraints(node: syntax.QuantizeDecl) -> Iterator[syntax.Constraint]:
    """Yield the constraints of a block."""
    for statement in node.statements:
        if isinstance(statement, syntax.Subject):
            yield from statement.constraints


# ---- where -----------------------------------------------------------------------------------------


def definition(snapshot: Snapshot, position: lsp.Position) -> lsp.Location | None:
    """Return where the word at a position is declared, or the file that an import names."""
    imported = _imported(snapshot, position)
    if imported is not None:
        return imported
    found = symbol_at(snapshot, position)
    if found is None:
        return None
    return location(snapshot, found[0].declared)


def _imported(snapshot: Snapshot, position: lsp.Position) -> lsp.Location | None:
    if snapshot.resolution is None:
        return None
    offset = snapshot.text.offset(position)
    for file in snapshot.resolution.index.files:
        if file.real != snapshot.path:
            continue
        for item, target in file.imports:
            start, end = snapshot.offsets(item.span)
            uri = None if target is None else snapshot.uri_of(target.shown)
            if start <= offset <= end and uri is not None:
                top = lsp.Position(0, 0)
                return lsp.Location(uri, lsp.Range(top, top))
    return None


def location(snapshot: Snapshot, place: Place) -> lsp.Location | None:
    """Return a place as the editor takes it."""
    uri = snapshot.uri_of(place.span.file)
    return (
        None
        if uri is None
        else lsp.Location(uri, snapshot.text_of(place.span.file).range_of(place.span))
    )


def references(
    snapshot: Snapshot, position: lsp.Position, *, declaration: bool
) -> list[lsp.Location]:
    """Return every use of what the word at a position names, in all specs of the workspace."""
    found = symbol_at(snapshot, position)
    if found is None:
        return []
    places: dict[tuple[str, tuple[int, int, int, int]], lsp.Location] = {}
    for other, span in uses(snapshot.view, found[0], snapshot):
        is_declaration = other.path_of(span.file) == found[0].declared.path and _corner(
            span
        ) == _corner(found[0].declared.span)
        uri = other.uri_of(span.file)
        if uri is not None and (declaration or not is_declaration):
            where = lsp.Location(uri, other.text_of(span.file).range_of(span))
            places[uri, (span.line, span.column, span.end_line, span.end_column)] = where
    return [places[key] for key in sorted(places)]


def _corner(span: Span) -> tuple[int, int]:
    return span.line, span.column


def uses(view: View, symbol: Symbol, home: Snapshot) -> Iterator[tuple[Snapshot, Span]]:
    """Yield the declaration of a symbol and every use of it, with a snapshot that knows the file."""
    yield home, symbol.declared.span
    if symbol.kind in ("constraint", "build"):
        return
    for path in view.specs():
        other = view.snapshot(path)
        resolution = other.resolution
        if resolution is None or symbol.declared.path not in resolution.files:
            continue
        for use in resolution.index.uses:
            place = use.declared.name.span
            same = _corner(place) == _corner(symbol.declared.span)
            if same and other.path_of(place.file) == symbol.declared.path:
                yield other, use.span


# ---- renaming --------------------------------------------------------------------------------------


def renameable(snapshot: Snapshot, position: lsp.Position) -> tuple[Symbol, Span]:
    """Return what can be renamed at a position, and its word.

    Raises:
        RefusedError: Nothing can.
    """
    found = symbol_at(snapshot, position)
    if found is None:
        message = (
            "only params, models, datasets, targets, constraints and names of builds can be renamed"
        )
        raise RefusedError(message)
    symbol, span = found
    if symbol.declared.path.is_relative_to(std_folder()):
        message = f"`{symbol.name}` is declared in a catalogue that ships with the compiler"
        raise RefusedError(message)
    return symbol, span


def rename(snapshot: Snapshot, position: lsp.Position, new: str) -> dict[str, list[lsp.TextEdit]]:
    """Return the edits by address that give what stands at a position another name.

    Raises:
        RefusedError: The name would clash or mean something else, or a file cannot be read as a whole.
    """
    symbol, _ = renameable(snapshot, position)
    if not _NAME.fullmatch(new):
        message = f"`{new}` is no name: names are made of letters, digits and `_`"
        raise RefusedError(message)
    if new == symbol.name:
        return {}
    _check_clash(snapshot, symbol, new)
    edits: dict[str, dict[tuple[int, int], lsp.TextEdit]] = {}
    for other, span in uses(snapshot.view, symbol, snapshot):
        uri, text = other.uri_of(span.file), other.text_of(span.file)
        start, end = text.offsets(span)
        if uri is None or text.body[start:end] != symbol.name:
            continue  # a string param that stands for a word is used under its own name only
        edits.setdefault(uri, {})[start, end] = lsp.TextEdit(text.range(start, end), new)
    return {uri: [some[key] for key in sorted(some)] for uri, some in edits.items()}


def _check_clash(snapshot: Snapshot, symbol: Symbol, new: str) -> None:
    if symbol.kind == "constraint":
        names = {one.name.text for one in constraints(symbol.scope)} if symbol.scope else set[str]()
        if new in names:
            message = f"a constraint of this block is called `{new}` already"
            raise RefusedError(message)
        return
    if symbol.kind == "build":
        items = [i for i in snapshot.tree.items if isinstance(i, syntax.QuantizeDecl)]
        if new in {build_name(item).text for item in items}:
            message = f"another build is called `{new}` already"
            raise RefusedError(message)
        return
    why = reserved(new)
    if why is not None:
        message = f"`{new}` is {why} and cannot name {ARTICLES[symbol.kind]}"  # pyright: ignore[reportArgumentType]
        raise RefusedError(message)
    for path in snapshot.view.specs():
        _check_file(snapshot.view.snapshot(path), symbol, new)


def _check_file(other: Snapshot, symbol: Symbol, new: str) -> None:
    """Refuse a name that a spec which sees the symbol has already, and a spec that cannot be read."""
    resolution = other.resolution
    if resolution is None or symbol.declared.path not in resolution.files:
        return
    if any(file.tree.partial for file in resolution.index.files):
        message = (
            f"{other.path.name}, or what it imports, has syntax errors: uses in them are not seen"
        )
        raise RefusedError(message)
    taken = resolution.index.names.get(new)
    if taken is not None:
        where = other.path_of(taken.name.span.file)
        file = taken.file if where is None else where.name
        message = f"`{new}` is {ARTICLES[taken.kind]} already, in {file}:{taken.name.span.line}"
        raise RefusedError(message)
    model_names = {
        build_name(item).text
        for item in other.tree.items
        if isinstance(item, syntax.QuantizeDecl) and item.alias is not None
    }
    if symbol.kind == "model" and new in model_names and _names_builds(other, symbol):
        message = f"a build of {other.path.name} is called `{new}` already"
        raise RefusedError(message)


def _names_builds(other: Snapshot, symbol: Symbol) -> bool:
    """Return whether a build is called like the model."""
    return any(
        isinstance(item, syntax.QuantizeDecl)
        and item.alias is None
        and item.model.text == symbol.name
        for item in other.tree.items
    )
