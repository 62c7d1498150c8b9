"""What the tree knows of a token and its spelling does not tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from hawqlang.base import Frozen, Span
from hawqlang.ir import syntax
from hawqlang.stages.parse.tokens import Token

Place: TypeAlias = tuple[int, int]
"""Line and column."""


@dataclass(frozen=True, slots=True)
class Roles:
    """Which names are called, and which minus signs have one operand."""

    calls: Mapping[Place, bool]
    """The places of called names, with whether a comma may follow their last argument."""
    signs: frozenset[Place]

    def is_call(self, name: Token) -> bool:
        """Return whether a token is the name of what is called."""
        return (name.line, name.column) in self.calls

    def takes_comma(self, name: Token) -> bool:
        """Return whether a comma may follow the last argument of a call."""
        return self.calls.get((name.line, name.column), False)

    def is_sign(self, token: Token) -> bool:
        """Return whether a token is a minus sign with one operand."""
        return token.kind == "SUB" and (token.line, token.column) in self.signs


def roles(tree: syntax.SyntaxTree) -> Roles:
    """Return the roles of a tree's tokens."""
    calls: dict[Place, bool] = {}
    signs: set[Place] = set()
    for node in nodes(tree.items):
        match node:
            case syntax.Call():
                open_ended = node.where is None and not node.excluded
                calls[_place(node.function.span)] = open_ended and bool(node.arguments)
            case syntax.Unary(op="-"):
                signs.add(_place(node.span))
            case _:
                pass
    return Roles(calls, frozenset(signs))


def nodes(items: tuple[Frozen, ...]) -> Iterator[Frozen]:
    """Yield every node below some, in no particular order."""
    waiting: list[object] = [*items]
    while waiting:
        value = waiting.pop()
        if isinstance(value, tuple):
            waiting.extend(value)  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(value, Frozen) and not isinstance(value, Span):
            yield value
            waiting.extend(vars(value).values())


def _place(span: Span) -> Place:
    return span.line, span.column
