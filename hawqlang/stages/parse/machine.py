"""The LALR automaton: tokens in, values out, one reduction at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hawqlang.stages.parse.tables import END, Rule, Tables
from hawqlang.stages.parse.tokens import Token

MAX_DEPTH = 200
"""How deep values may nest, operators and brackets together; what walks a tree may recurse."""

Reduce = Callable[[str, list[Any], Token, Token], Any]
"""Rule name, children, first and last token → value."""


def is_terminal(symbol: str) -> bool:
    """Return whether a symbol of the grammar is a terminal: those are written in capitals."""
    return symbol == symbol.upper()


class TooDeepError(Exception):
    """A value nests deeper than ``MAX_DEPTH``."""


@dataclass(slots=True)
class Entry:
    """One element of the stack: the state it leads to, and what was read to get there."""

    state: int
    value: Any
    first: Token
    last: Token
    depth: int


Mark = list[Entry]
"""A copy of the stack, to come back to."""


@dataclass(slots=True)
class Machine:
    """The automaton in one state. A failed ``feed`` leaves it where the error was found; ``reset`` goes back."""

    tables: Tables
    reduce: Reduce
    stack: list[Entry] = field(default_factory=list[Entry])
    finished: bool = False
    """Whether the end of the input was accepted."""

    @property
    def state(self) -> int:
        """The automaton's state, which says what may follow."""
        return self.stack[-1].state if self.stack else self.tables.start

    def feed(self, kind: str, token: Token) -> bool:
        """Take one token as terminal ``kind``; return whether it may stand here."""
        moves = self.tables.moves
        while True:
            move = moves[self.state].get(kind)
            if move is None:
                return False
            if move >= 0:
                self.stack.append(Entry(move, token, token, token, 0))
                return True
            self._reduce(self.tables.rules[-1 - move])
            if kind == END and self.state == self.tables.end:
                self.finished = True
                return True

    def accepts(self, kind: str) -> bool:
        """Return whether a token may stand here, without taking it."""
        moves, rules = self.tables.moves, self.tables.rules
        states = [self.tables.start, *(entry.state for entry in self.stack)]
        while (move := moves[states[-1]].get(kind)) is not None and move < 0:
            rule = rules[-1 - move]
            del states[len(states) - rule.length :]
            states.append(moves[states[-1]][rule.origin])
            if kind == END and states[-1] == self.tables.end:
                return True
        return move is not None

    def expected(self) -> frozenset[str]:
        """Return every terminal that may stand here."""
        row = self.tables.moves[self.state]
        return frozenset(kind for kind in row if is_terminal(kind) and self.accepts(kind))

    def mark(self) -> Mark:
        """Return what ``reset`` needs to come back to this state."""
        return self.stack.copy()

    def reset(self, mark: Mark) -> None:
        """Go back to a marked state."""
        self.stack = mark.copy()

    def _reduce(self, rule: Rule) -> None:
        popped = self.stack[-rule.length :]
        del self.stack[-rule.length :]
        first, last = popped[0].first, popped[-1].last
        depth = max(entry.depth for entry in popped)
        children: list[Any] = []
        for n in rule.kept:
            value = popped[n].value
            if isinstance(value, list):
                if children:
                    children.extend(value)  # pyright: ignore[reportUnknownArgumentType]
                else:
                    children = value  # pyright: ignore[reportUnknownVariableType]
            else:
                children.append(value)
        if rule.inline:
            value = children
        elif rule.unit and len(children) == 1:
            value = children[0]
        else:
            value = self.reduce(rule.name, children, first, last)
            depth += 1
        if depth > MAX_DEPTH:
            raise TooDeepError
        state = self.tables.moves[self.state][rule.origin]
        self.stack.append(Entry(state, value, first, last, depth))
