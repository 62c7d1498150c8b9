"""The rows of one statement: how its tokens stand apart, and where a long one is broken.

Newlines mean nothing inside brackets, so a statement that is too long is broken at the widest of
its outermost brackets: what stands in it goes to rows of its own, one for each element, or for each
operand of the loosest operator, and is broken again where it is still too long.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

from hawqlang.stages.format.roles import Roles
from hawqlang.stages.parse.tokens import Token

WIDTH = 120
"""Columns of a row; what cannot be broken may be longer."""
STEP = 2

Row: TypeAlias = tuple[int, str]
"""Indent and text."""
Tokens: TypeAlias = Sequence[Token]

_OPEN = frozenset({"LPAR", "LSQB"})
_CLOSE = frozenset({"RPAR", "RSQB"})
_LOGIC = ("implies", "or", "and")
_LOOSEST_FIRST = (*_LOGIC, "COMPARE", "ADD SUB")
_CLAUSES = frozenset({"except", "where"})


def plain(tokens: Tokens) -> list[Token]:
    """Return the tokens without the commas behind last elements."""
    return [
        *(a for a, b in pairwise(tokens) if not (a.kind == "COMMA" and b.kind in _CLOSE)),
        *tokens[-1:],
    ]


def flat(tokens: Tokens, roles: Roles) -> str:
    """Return tokens on one row."""
    text = tokens[0].text if tokens else ""
    for before, token in pairwise(tokens):
        text += _gap(before, token, roles) + token.text
    return text


def _gap(before: Token, token: Token, roles: Roles) -> str:
    """Return what stands between two tokens."""
    tight = (
        before.kind in _OPEN
        or token.kind in _CLOSE
        or token.kind in {"COMMA", "COLON", "PERCENT"}
        or (token.kind == "LPAR" and roles.is_call(before))
        or roles.is_sign(before)
    )
    return "" if tight else " "


def rows(
    tokens: Tokens, roles: Roles, indent: int, behind: str = "", *, inside: bool = False
) -> list[Row]:
    """Return tokens on one row, or on several where they are too long for one.

    Args:
        tokens: What to print, without commas behind last elements.
        roles: What the tree says of them.
        indent: Columns before the first row.
        behind: What follows the last token, without a blank.
        inside: Whether brackets stand around them, so that they may be broken anywhere.
    """
    text = flat(tokens, roles) + behind
    if indent + len(text) <= WIDTH:
        return [(indent, text)]
    cuts = _operators(tokens, roles, _LOGIC) if inside else []
    if cuts:
        edges = [0, *cuts, len(tokens)]
        steps = [0, *(STEP for _ in cuts)]
        return [
            row
            for (low, high), step in zip(pairwise(edges), steps, strict=True)
            for row in rows(
                tokens[low:high],
                roles,
                indent + step,
                behind if high == len(tokens) else "",
                inside=True,
            )
        ]
    bracket = _widest(tokens, roles)
    if bracket is None:
        return [(indent, text)]
    start, end = bracket
    found = [(indent, flat(tokens[: start + 1], roles))]
    for part, comma in _parts(tokens, start, end, roles):
        found += rows(part, roles, indent + STEP, comma, inside=True)
    return [*found, (indent, flat(tokens[end:], roles) + behind)]


def _widest(tokens: Tokens, roles: Roles) -> tuple[int, int] | None:
    """Return where the widest of the outermost brackets with something in it starts and ends."""
    best: tuple[int, int] | None = None
    most, depth, start = 0, 0, 0
    for at, token in enumerate(tokens):
        if token.kind in _OPEN:
            start = start if depth else at
            depth += 1
        elif token.kind in _CLOSE:
            depth -= 1
            width = 0 if depth else len(flat(tokens[start + 1 : at], roles))
            if width > most:
                best, most = (start, at), width
    return best


def _parts(tokens: Tokens, start: int, end: int, roles: Roles) -> Iterator[tuple[Tokens, str]]:
    """Yield what stands in a bracket, row by row, with the comma behind it."""
    body = tokens[start + 1 : end]
    call = start > 0 and tokens[start].kind == "LPAR" and roles.is_call(tokens[start - 1])
    listed = tokens[start].kind == "LSQB" or (call and roles.takes_comma(tokens[start - 1]))
    cuts = [at for at, depth in _depths(body) if depth == 0 and _separates(body, at)]
    if not listed and not call and not cuts:
        cuts = _operators(body, roles, _LOOSEST_FIRST)
    edges = [0, *cuts, len(body)]
    for low, high in pairwise(edges):
        comma = low < len(body) and body[low].kind == "COMMA"
        part = body[low + comma : high]
        followed = high < len(body) and body[high].kind == "COMMA"
        yield part, "," if followed or (high == len(body) and listed) else ""


def _separates(body: Tokens, at: int) -> bool:
    """Return whether a row starts at a token: behind a comma, or at ``except`` or ``where``."""
    token = body[at]
    clause = token.kind == "NAME" and token.text in _CLAUSES and 0 < at < len(body) - 1
    return token.kind == "COMMA" or (
        clause and body[at - 1].kind != "COMMA" and body[at + 1].kind not in {"EQUAL", "COMMA"}
    )


def _operators(body: Tokens, roles: Roles, among: Sequence[str]) -> list[int]:
    """Return where the loosest operators stand outside of inner brackets."""
    outside = [at for at, depth in _depths(body) if depth == 0 and 0 < at < len(body) - 1]
    for words in among:
        found = [
            at
            for at in outside
            if (body[at].text == words or body[at].kind in words.split())
            and not roles.is_sign(body[at])
        ]
        if found:
            return found
    return []


def _depths(body: Tokens) -> Iterator[tuple[int, int]]:
    """Yield the index of every token with the number of brackets around it."""
    depth = 0
    for at, token in enumerate(body):
        depth -= token.kind in _CLOSE
        yield at, depth
        depth += token.kind in _OPEN


def kept_rows(
    tokens: Tokens, comments: Tokens, roles: Roles, indent: int
) -> Iterator[tuple[int, str, str, bool]]:
    """Yield the rows of a statement as its author broke it: indent, text, comment, empty line before.

    So is broken what has comments inside its brackets: nobody but the author knows what they belong to.
    """
    lines: dict[int, list[Token]] = {}
    for token in sorted((*tokens, *comments), key=lambda one: one.start):
        lines.setdefault(token.line, []).append(token)
    opened: list[int] = []
    last = next(iter(lines), 0)
    for line, found in lines.items():
        row = [token for token in found if token.kind != "COMMENT"]
        said = next((token.text.rstrip() for token in found if token.kind == "COMMENT"), "")
        here = _row_indent(row, opened, indent)
        yield here, flat(row, roles), said, line > last + 1
        for token in row:
            if token.kind in _OPEN:
                opened.append(here)
            elif token.kind in _CLOSE:
                opened.pop()
        last = line


def _row_indent(row: Tokens, opened: Sequence[int], indent: int) -> int:
    """Return the indent of a row: a step in from the row of the bracket around it, or level with the one it closes."""
    closed = 0
    while closed < len(row) and row[closed].kind in _CLOSE:
        closed += 1
    if closed:
        return opened[-closed]
    return opened[-1] + STEP if opened else indent
