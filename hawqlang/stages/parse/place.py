"""Where in a text a position is: the blocks around it, the statement before it, the brackets open there.

It is found from tokens alone, so it is known in every text, however broken.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from hawqlang.stages.parse import lexemes
from hawqlang.stages.parse.braces import STATEMENT_WORDS
from hawqlang.stages.parse.tokens import Token

_OPENERS = {"RPAR": "LPAR", "RSQB": "LSQB"}


@dataclass(frozen=True, slots=True)
class Lexed:
    """The tokens and comments of a text, and where each starts."""

    tokens: tuple[Token, ...]
    comments: tuple[Token, ...]
    starts: tuple[int, ...]
    comment_starts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a position is."""

    heads: tuple[tuple[Token, ...], ...]
    """The tokens before the brace of every open block, outermost first."""
    before: tuple[Token, ...]
    """The statement's tokens in front of ``token``."""
    token: Token | None
    """The word, number or string that the position is in or at the end of."""
    after: Token | None
    """The token behind ``token``; ``None`` at the end of the text."""
    opened: tuple[int, ...]
    """Indices in ``before`` of the brackets that are open, outermost first."""
    comment: bool
    """Whether the position is in a comment; then there is no ``token``."""


def lex(text: str) -> Lexed:
    """Return the tokens of any text; what is no token is left out."""
    tokens, comments = lexemes(text)
    return Lexed(
        tuple(tokens),
        tuple(comments),
        tuple(token.start for token in tokens),
        tuple(comment.start for comment in comments),
    )


def place_at(lexed: Lexed, offset: int) -> Place:
    """Return where an offset is."""
    at = bisect_left(lexed.starts, offset)
    # The token that the offset is in, or directly behind; in front of one it is that one's as well.
    token = None
    for n in (at - 1, at):
        if 0 <= n < len(lexed.tokens) and _touches(lexed.tokens[n], offset):
            token, at = lexed.tokens[n], n
            break
    begun = _begun(lexed.tokens, at)
    before = lexed.tokens[begun:at]
    behind = at + (token is not None)
    comment = _in_comment(lexed, offset)
    return Place(
        heads=_heads(lexed.tokens, begun),
        before=before,
        token=None if comment else token,
        after=lexed.tokens[behind] if behind < len(lexed.tokens) else None,
        opened=_opened(before),
        comment=comment,
    )


def _touches(token: Token, offset: int) -> bool:
    wordy = token.kind in {"NAME", "DOTTED", "NUMBER", "STRING", "RATE", "PERCENT"}
    return wordy and token.start <= offset <= token.end


def _in_comment(lexed: Lexed, offset: int) -> bool:
    n = bisect_left(lexed.comment_starts, offset) - 1
    return n >= 0 and lexed.comments[n].start < offset <= lexed.comments[n].end


def _begun(tokens: Sequence[Token], at: int) -> int:
    """Return the index of the first token of the statement that index ``at`` belongs to."""
    brace = at
    while brace and tokens[brace - 1].kind not in {"LBRACE", "RBRACE"}:
        brace -= 1
    begun, opened = brace, list[Token]()
    for n in range(brace, at):
        token = tokens[n]
        if token.kind in {"LPAR", "LSQB"}:
            opened.append(token)
        elif token.kind in _OPENERS and opened:
            opened.pop()
        elif token.kind == "_NL" and (not opened or _forgotten(tokens, n, opened[-1])):
            begun = n + 1
            opened.clear()
    return begun


def _forgotten(tokens: Sequence[Token], newline: int, opener: Token) -> bool:
    """Return whether the line behind a newline starts a statement, so that the bracket was never closed."""
    if newline + 2 >= len(tokens):
        return False
    first, second = tokens[newline + 1], tokens[newline + 2]
    return (
        first.kind == "NAME"
        and first.column < opener.column
        and (second.kind in {"COLON", "LBRACE"} or first.text in STATEMENT_WORDS)
    )


def _heads(tokens: Sequence[Token], at: int) -> tuple[tuple[Token, ...], ...]:
    """Return what stands before every open brace in front of index ``at``."""
    heads: list[tuple[Token, ...]] = []
    depth = 0
    for n in range(at - 1, -1, -1):
        kind = tokens[n].kind
        if kind == "RBRACE":
            depth += 1
        elif kind == "LBRACE" and depth:
            depth -= 1
        elif kind == "LBRACE":
            start = n
            while start and tokens[start - 1].kind not in {"_NL", "LBRACE", "RBRACE"}:
                start -= 1
            heads.append(tuple(tokens[start:n]))
    return tuple(reversed(heads))


def _opened(before: Sequence[Token]) -> tuple[int, ...]:
    found: list[int] = []
    for n, token in enumerate(before):
        if token.kind in {"LPAR", "LSQB"}:
            found.append(n)
        elif token.kind in _OPENERS and found:
            found.pop()
    return tuple(found)
