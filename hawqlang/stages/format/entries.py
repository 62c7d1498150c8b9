"""Tokens and comments → statements, blocks and the comments that belong to them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from hawqlang.stages.parse.tokens import Token

_FOR_HAWQ = re.compile(r"#[ \t]*hawq[ \t]*:", re.IGNORECASE)
_OPENERS = frozenset({"LPAR", "LSQB"})
_CLOSERS = frozenset({"RPAR", "RSQB"})


@dataclass(slots=True)
class Comment:
    """A comment on a line of its own, between statements."""

    token: Token
    spaced: bool
    """Whether an empty line stands before it."""


@dataclass(slots=True)
class Block:
    """What stands between braces."""

    entries: list[Entry] = field(default_factory=list["Entry"])
    opening: Token | None = None
    """The comment behind the ``{``."""
    one_line: bool = False
    """Whether it was written on one line."""


@dataclass(slots=True)
class Statement:
    """A statement, up to its block where it has one."""

    tokens: list[Token] = field(default_factory=list[Token])
    inner: list[Token] = field(default_factory=list[Token])
    """Comments inside its brackets."""
    block: Block | None = None
    trailing: Token | None = None
    """The comment behind it on its last line."""
    spaced: bool = False
    """Whether an empty line stands before it."""
    bound: bool = False
    """Whether a `# hawq:` comment speaks of its lines, which then keep what stands on them."""


Entry: TypeAlias = Statement | Comment


def entries(tokens: Sequence[Token], comments: Sequence[Token]) -> list[Entry]:
    """Return the entries of a file without syntax errors."""
    reader = _Reader()
    for token in sorted((*tokens, *comments), key=lambda one: one.start):
        reader.take(token)
    return reader.top


def _binds(comment: Token) -> bool:
    """Return whether a comment speaks to the compiler of a line."""
    return _FOR_HAWQ.match(comment.text) is not None


@dataclass(slots=True)
class _Reader:
    """Puts tokens and comments where they belong, one after the other."""

    top: list[Entry] = field(default_factory=list["Entry"])
    blocks: list[tuple[Block, Statement, Token]] = field(
        default_factory=list["tuple[Block, Statement, Token]"]
    )
    """The open blocks, each with its statement and its ``{``."""
    current: Statement | None = None
    """The statement being read; after its end, as long as its line goes on."""
    depth: int = 0
    line: int = 0
    """The line of the last token or comment."""

    def take(self, token: Token) -> None:
        """Take the next token or comment."""
        kind = token.kind
        if kind == "COMMENT":
            self._comment(token)
        elif kind == "_NL":
            if not self.depth:
                self.current = None
            return
        elif kind == "LBRACE":
            self._open(token)
        elif kind == "RBRACE":
            self._close(token)
        else:
            self._token(token)
        self.line = token.line

    def _entries(self) -> list[Entry]:
        return self.blocks[-1][0].entries if self.blocks else self.top

    def _spaced(self, token: Token) -> bool:
        return bool(self._entries()) and token.line > self.line + 1

    def _token(self, token: Token) -> None:
        if self.current is None:
            above = self._entries()[-1:]
            bound = any(isinstance(one, Comment) and _binds(one.token) for one in above)
            self.current = Statement(spaced=self._spaced(token), bound=bound)
            self._entries().append(self.current)
        self.current.tokens.append(token)
        self.depth += (token.kind in _OPENERS) - (token.kind in _CLOSERS)

    def _comment(self, token: Token) -> None:
        if self.current is not None:
            self.current.bound = self.current.bound or _binds(token)
            if self.depth:
                self.current.inner.append(token)
            else:
                self.current.trailing = token
        elif self.blocks and not self.blocks[-1][0].entries and self.line == token.line:
            block, statement, _ = self.blocks[-1]
            statement.bound = statement.bound or _binds(token)
            block.opening = token
        else:
            self._entries().append(Comment(token, self._spaced(token)))

    def _open(self, brace: Token) -> None:
        statement = self.current or Statement()
        statement.block = Block()
        self.blocks.append((statement.block, statement, brace))
        self.current = None

    def _close(self, brace: Token) -> None:
        block, statement, opened = self.blocks.pop()
        block.one_line = opened.line == brace.line
        self.current = statement
