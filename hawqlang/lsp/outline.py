"""Document symbols and folding ranges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lsprotocol import types as lsp

from hawqlang.base import Span
from hawqlang.ir import syntax
from hawqlang.lsp.workspace import Snapshot
from hawqlang.stages.parse.tokens import Token
from hawqlang.stages.resolve.quantize import build_name

_K = lsp.SymbolKind
_KINDS = {"model": _K.Class, "dataset": _K.Struct, "target": _K.Interface}


def symbols(snapshot: Snapshot) -> list[lsp.DocumentSymbol]:
    """Return the declarations and builds of a file, with what they hold."""
    return [found for item in snapshot.tree.items for found in _item(snapshot, item)]


def _item(snapshot: Snapshot, item: syntax.Item) -> Iterator[lsp.DocumentSymbol]:
    match item:
        case syntax.Import():
            yield _symbol(
                snapshot, item.path.value or "import", _K.Module, item.span, item.path.span
            )
        case syntax.Param():
            yield _symbol(
                snapshot, item.name.text, _K.Constant, item.span, item.name.span, item.type_.text
            )
        case syntax.Declaration():
            yield _symbol(
                snapshot,
                item.name.text,
                _KINDS[item.kind],
                item.span,
                item.name.span,
                item.kind,
                _entries(snapshot, item.body.entries),
            )
        case syntax.QuantizeDecl():
            head = f"{item.model.text} on {item.target.text}"
            name = build_name(item)
            inner = [found for one in item.statements for found in _statement(snapshot, one)]
            yield _symbol(snapshot, name.text, _K.Package, item.span, name.span, head, inner)


def _entries(
    snapshot: Snapshot, entries: Iterable[syntax.Setting | syntax.Block]
) -> list[lsp.DocumentSymbol]:
    return [found for entry in entries for found in _statement(snapshot, entry)]


def _statement(snapshot: Snapshot, statement: syntax.Statement) -> Iterator[lsp.DocumentSymbol]:
    match statement:
        case syntax.Setting():
            name = statement.name
            yield _symbol(snapshot, name.text, _K.Property, statement.span, name.span)
        case syntax.Block():
            inner = _entries(snapshot, statement.body.entries)
            name = statement.name
            yield _symbol(snapshot, name.text, _K.Namespace, statement.span, name.span, "", inner)
        case syntax.Subject():
            inner = [
                _symbol(snapshot, one.name.text, _K.Boolean, one.span, one.name.span)
                for one in statement.constraints
            ]
            span = statement.span
            yield _symbol(snapshot, "subject to", _K.Namespace, span, span, "", inner)
        case syntax.LayerBlock():
            inner = _entries(snapshot, statement.body.entries)
            where = statement.selection.span
            start, end = snapshot.offsets(where)
            name = f"layer {snapshot.text.body[start:end]}"
            yield _symbol(snapshot, name, _K.Namespace, statement.span, where, "", inner)
        case syntax.Objective():
            yield _symbol(snapshot, statement.sense, _K.Event, statement.span, statement.span)
        case syntax.Emit():
            what = ", ".join(name.text for name in statement.names)
            yield _symbol(snapshot, f"emit {what}", _K.File, statement.span, statement.span)


def _symbol(  # noqa: PLR0913, PLR0917 - one argument a field
    snapshot: Snapshot,
    name: str,
    kind: lsp.SymbolKind,
    span: Span,
    word: Span,
    detail: str = "",
    children: list[lsp.DocumentSymbol] | None = None,
) -> lsp.DocumentSymbol:
    return lsp.DocumentSymbol(
        name=name,
        kind=kind,
        range=snapshot.text.range_of(span),
        selection_range=snapshot.text.range_of(word),
        detail=detail or None,
        children=children or None,
    )


def folds(snapshot: Snapshot) -> list[lsp.FoldingRange]:
    """Return the blocks and brackets over several lines, and runs of comments."""
    found: list[lsp.FoldingRange] = []
    opened: list[Token] = []
    pairs = {"RBRACE": "LBRACE", "RPAR": "LPAR", "RSQB": "LSQB"}
    for token in snapshot.lexed.tokens:
        if token.kind in pairs.values():
            opened.append(token)
        elif token.kind in pairs:
            while opened and opened[-1].kind != pairs[token.kind]:
                opened.pop()
            if opened:
                first = opened.pop()
                if token.line > first.line + 1:
                    found.append(_fold(snapshot, first.start, token.start))
    return [*found, *_comments(snapshot)]


def _fold(snapshot: Snapshot, start: int, end: int) -> lsp.FoldingRange:
    """Return a range that leaves the line of the closing bracket visible."""
    return lsp.FoldingRange(
        snapshot.text.position(start).line, snapshot.text.position(end).line - 1
    )


def _comments(snapshot: Snapshot) -> Iterator[lsp.FoldingRange]:
    run: list[Token] = []
    body = snapshot.text.body
    own = [
        token
        for token in snapshot.lexed.comments
        if not body[body.rfind("\n", 0, token.start) + 1 : token.start].strip()
    ]
    for token in [*own, None]:
        if token is not None and run and token.line == run[-1].line + 1:
            run.append(token)
            continue
        if len(run) > 1:
            first, last = (snapshot.text.position(one.start).line for one in (run[0], run[-1]))
            yield lsp.FoldingRange(first, last, kind=lsp.FoldingRangeKind.Comment)
        run = [] if token is None else [token]
