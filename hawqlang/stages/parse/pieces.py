"""Parsing a text again after an edit: only the items that changed, with the very same result.

A text is cut where a line starts with the first word of an item. Nothing of the language reaches over such a line
unless a bracket is open there, so pieces whose brackets match are parsed by themselves, and a piece that was parsed
before is taken as it was, moved to its line. Any text where that is not certain is parsed as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import TypeVar, cast

from hawqlang.base import Frozen, Span
from hawqlang.diagnostics.model import Diagnostic
from hawqlang.ir.syntax import IgnoreComment, Item, Quantity, SyntaxTree
from hawqlang.stages.parse import Parsed, parse_text
from hawqlang.stages.parse.brackets import balance, shallow
from hawqlang.stages.parse.build import Builder
from hawqlang.stages.parse.driver import Driver
from hawqlang.stages.parse.header import supported, with_header
from hawqlang.stages.parse.ignores import ignore_comments
from hawqlang.stages.parse.lexer import MAX_TOKENS, Lexer
from hawqlang.stages.parse.messages import explain
from hawqlang.stages.parse.read import MAX_BYTES
from hawqlang.stages.parse.tables import END, grammar_tables
from hawqlang.stages.parse.tokens import MAX_ERRORS, Findings, Token

_ITEM = re.compile(r"^(?:import|param|model|dataset|target|quantize)\b", re.MULTILINE)
_IDLE = re.compile(r"[ \t]*(?:#[^\n]*)?\r?\n")
"""A line without statements."""
_CLOSERS = {"RBRACE": "LBRACE", "RPAR": "LPAR", "RSQB": "LSQB"}

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Piece:
    """What one piece was parsed to."""

    version: Quantity
    items: tuple[Item, ...]
    ignores: tuple[IgnoreComment, ...]
    diagnostics: tuple[Diagnostic, ...]
    damaged: bool
    words: int


@dataclass(slots=True)
class Pieces:
    """The pieces of one file's last text."""

    file: str
    _kept: dict[tuple[str, bool], tuple[int, _Piece]] = field(
        default_factory=dict[tuple[str, bool], tuple[int, _Piece]]
    )
    """By text, and whether it is the first: the line that a piece stood at, and what it is."""

    def parse(self, text: str) -> Parsed:
        """Return what ``parse_text`` does."""
        bare = text.removeprefix("\ufeff")
        found = None
        if len(bare) <= MAX_BYTES // 4 and supported(bare, Findings(self.file)):
            found = self._parse(bare)
        return parse_text(text, self.file) if found is None else found

    def _parse(self, text: str) -> Parsed | None:
        kept: dict[tuple[str, bool], tuple[int, _Piece]] = {}
        pieces: list[_Piece] = []
        line = 1
        for n, (start, end) in enumerate(pairwise(_cuts(text))):
            piece = self._piece(text[start:end], line, first=n == 0)
            if piece is None:
                return None
            kept[text[start:end], n == 0] = (line, piece)
            pieces.append(piece)
            line += text.count("\n", start, end)
        self._kept = kept
        return _joined(pieces, text, self.file)

    def _piece(self, text: str, line: int, *, first: bool) -> _Piece | None:
        """Return a piece, as it was or parsed; ``None`` where it cannot stand by itself."""
        known = self._kept.get((text, first))
        if known is None:
            return _parsed(text, line, self.file, first=first)
        before, piece = known
        by = line - before
        return piece if by == 0 else _moved_piece(piece, by)


def _cuts(text: str) -> list[int]:
    """Return where the pieces of a text start, and its end; comments before an item belong to it."""
    cuts = [0]
    for match in _ITEM.finditer(text):
        start = match.start()
        while start > cuts[-1]:
            line = text.rfind("\n", 0, start - 1) + 1
            if not _IDLE.fullmatch(text, line, start):
                break
            start = line
        if start > cuts[-1]:
            cuts.append(start)
    return [*cuts, len(text)]


def _parsed(text: str, line: int, file: str, *, first: bool) -> _Piece | None:
    """Return a piece that starts at a line; ``None`` where it cannot stand by itself."""
    findings, tables = Findings(file), grammar_tables()
    lexer = Lexer(text, tables.terminals, findings, line)
    lexer.run()
    if not (lexer.whole and _balanced(lexer.tokens)):
        return None
    words = len(lexer.tokens) + len(lexer.comments)
    tokens = [*balance(lexer.tokens, findings), lexer.token(END, len(text), len(text))]
    if not shallow(tokens, findings):
        return None
    ignores = ignore_comments(lexer.comments, tokens, findings)
    if not first:
        head = tokens[0]
        header = (head.virtual("NAME", "hawq"), head.virtual("NUMBER", "1"), head.virtual("_NL"))
        tokens = [*header, *tokens]
    driver = Driver(tables, Builder(file, findings), findings, partial(explain, findings=findings))
    value = driver.run(with_header(tokens, findings) if first else tokens)
    if value is None or findings.cut:
        return None
    version, items = value
    return _Piece(version, items, ignores, findings.sorted(), findings.damaged, words)


def _balanced(tokens: Sequence[Token]) -> bool:
    opened: list[str] = []
    for token in tokens:
        if token.kind in {"LBRACE", "LPAR", "LSQB"}:
            opened.append(token.kind)
        elif token.kind in _CLOSERS and (not opened or opened.pop() != _CLOSERS[token.kind]):
            return False
    return not opened


def _joined(pieces: Sequence[_Piece], text: str, file: str) -> Parsed | None:
    """Return the tree of all pieces; ``None`` where a bound on the whole counts, or a comment reaches into the next."""
    diagnostics = tuple(d for piece in pieces for d in piece.diagnostics)
    astray = any(one.line == 0 for piece in pieces[:-1] for one in piece.ignores)
    words = sum(piece.words for piece in pieces)
    if astray or len(diagnostics) >= MAX_ERRORS or words > MAX_TOKENS:
        return None
    tree = SyntaxTree(
        file=file,
        text=text,
        version=pieces[0].version,
        items=tuple(item for piece in pieces for item in piece.items),
        ignores=tuple(one for piece in pieces for one in piece.ignores),
        partial=any(piece.damaged for piece in pieces),
    )
    return tree, diagnostics


# ---- moving --------------------------------------------------------------------------------------


def _moved_piece(piece: _Piece, by: int) -> _Piece:
    return _Piece(
        version=piece.version,
        items=_moved(piece.items, by),
        ignores=tuple(
            _moved(one, by).replace(
                line=one.line + by if one.line else 0,
                last_line=one.last_line + by if one.last_line else 0,
            )
            for one in piece.ignores
        ),
        diagnostics=_moved(piece.diagnostics, by),
        damaged=piece.damaged,
        words=piece.words,
    )


def _moved(value: _T, by: int) -> _T:
    """Return a value with every span some lines further down; what was valid stays so and is not validated."""
    if isinstance(value, Span):
        fields = value.__dict__
        lines = {"line": fields["line"] + by, "end_line": fields["end_line"] + by}
        return cast("_T", _remade(value, {**fields, **lines}))
    if isinstance(value, tuple):
        elements = cast("tuple[object, ...]", value)
        return cast("_T", tuple([_moved(element, by) for element in elements]))
    if isinstance(value, Frozen):
        fields = value.__dict__
        moved = {
            name: inner if inner.__class__ in _PLAIN else _moved(inner, by)
            for name, inner in fields.items()
        }
        return cast("_T", _remade(value, moved))
    return value


_PLAIN = frozenset({str, int, bool, Fraction, type(None)})
"""Types of values without spans."""


def _remade(value: Frozen, fields: dict[str, object]) -> Frozen:
    made = value.__class__.__new__(value.__class__)
    _set(made, "__dict__", fields)
    _set(made, "__pydantic_fields_set__", value.__pydantic_fields_set__)
    _set(made, "__pydantic_extra__", None)
    _set(made, "__pydantic_private__", None)
    return made


_set = object.__setattr__
"""How pydantic itself fills a frozen value."""
