"""The LALR automaton: tokens in, values out, one reduction at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from hawqlang.stages.parse.tables import END, Rule, Tables
from hawqlang.stages.parse.tokens import Token

MAX_DEPTH = 200
"""How deep values may nest, operators and brackets together; what walks a tree may recurse."""

_BODIES = frozenset({"body", "quantize_body", "constraints"})
"""What a block is made of: how deep blocks nest is bounded elsewhere, and not counted here."""

MAX_STACK = 4000
"""More than anything that nests no deeper than that leaves on the stack."""

Reduce = Callable[[str, list[Any], Token, Token], Any]
"""Rule name, children, first and last token → value."""


def is_terminal(symbol: str) -> bool:
    """Return whether a symbol of the grammar is a terminal: those are written in capitals."""
    return symbol == symbol.upper()


class TooDeepError(Exception):
    """A value nests deeper than ``MAX_DEPTH``."""


@dataclass(slots=True)
class _Entry:
    """What one element of the stack was read from, and what it became."""

    value: Any
    first: Token
    last: Token
    depth: int


@dataclass(slots=True)
class Machine:
    """The automaton in one state; a failed ``feed`` leaves it where the error was found."""

    tables: Tables
    reduce: Reduce
    finished: bool = False
    """Whether the end of the input was accepted."""
    _states: list[int] = field(default_factory=list[int])
    _stack: list[_Entry] = field(default_factory=list[_Entry])

    @property
    def state(self) -> int:
        """The automaton's state, which says what may follow."""
        return self._states[-1] if self._states else self.tables.start

    @property
    def value(self) -> Any:
        """The value of what was read last."""
        return self._stack[-1].value

    def feed(self, kind: str, token: Token) -> bool:
        """Take one token as terminal ``kind``; return whether it may stand here."""
        moves, rules = self.tables.moves, self.tables.rules
        while True:
            move = moves[self.state].get(kind)
            if move is None:
                return False
            if move >= 0:
                self._states.append(move)
                self._stack.append(_Entry(token, token, token, 0))
                if len(self._stack) > MAX_STACK:
                    raise TooDeepError
                return True
            self._reduce(rules[-1 - move])
            if kind == END and self.state == self.tables.end:
                self.finished = True
                return True

    def accepts(self, kind: str, mark: int | None = None) -> bool:
        """Return whether a token may stand here, or at ``mark``, without taking it."""
        moves, rules = self.tables.moves, self.tables.rules
        below, above = len(self._states) if mark is None else mark, list[int]()
        state = self._states[below - 1] if below else self.tables.start
        while (move := moves[state].get(kind)) is not None and move < 0:
            rule = rules[-1 - move]
            kept = max(0, len(above) - rule.length)
            below -= rule.length - (len(above) - kept)
            del above[kept:]
            under = above[-1] if above else self._states[below - 1] if below else self.tables.start
            state = moves[under][rule.origin]
            above.append(state)
            if kind == END and state == self.tables.end:
                return True
        return move is not None

    def expected(self) -> frozenset[str]:
        """Return every terminal that may stand here."""
        row = self.tables.moves[self.state]
        return frozenset(kind for kind in row if is_terminal(kind) and self.accepts(kind))

    def mark(self) -> int:
        """Return what ``reset`` needs to come back here, before what lies below was reduced."""
        return len(self._states)

    def reset(self, mark: int) -> None:
        """Forget everything that was taken since ``mark``."""
        del self._states[mark:]
        del self._stack[mark:]

    def _reduce(self, rule: Rule) -> None:
        length = rule.length
        if length > 1 or not rule.passes:
            popped = self._stack[-length:]
            del self._stack[-length:]
            self._stack.append(self._entry(rule, popped))
        del self._states[-length:]
        self._states.append(self.tables.moves[self.state][rule.origin])

    def _entry(self, rule: Rule, popped: list[_Entry]) -> _Entry:
        first, last = popped[0].first, popped[-1].last
        depth = max(entry.depth for entry in popped)
        children = _children(rule, popped)
        if rule.inline:
            return _Entry(children, first, last, depth)
        if rule.unit and len(children) == 1:
            return _Entry(children[0], first, last, depth)
        if depth == MAX_DEPTH:
            raise TooDeepError
        value = self.reduce(rule.name, children, first, last)
        return _Entry(value, first, last, 0 if rule.name in _BODIES else depth + 1)


def _children(rule: Rule, popped: list[_Entry]) -> list[Any]:
    """Return the children that carry meaning, those of inline rules in their place."""
    children: list[Any] = []
    for n in rule.kept:
        value = popped[n].value
        if not isinstance(value, list):
            children.append(value)
        elif children:
            children.extend(cast("list[Any]", value))
        else:
            children = cast("list[Any]", value)  # a list grows in place, in linear time
    return children
