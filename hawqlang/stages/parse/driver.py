"""Runs the automaton over the tokens of a file; after an error it goes on behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hawqlang.diagnostics.model import Label
from hawqlang.diagnostics.suggest import nearest
from hawqlang.stages.parse.braces import STATEMENT_WORDS, starts_statement
from hawqlang.stages.parse.build import Builder
from hawqlang.stages.parse.machine import Machine, TooDeepError
from hawqlang.stages.parse.tables import END, Tables
from hawqlang.stages.parse.tokens import Findings, Token

_HEADS = {
    "model": ("NAME",),
    "dataset": ("NAME",),
    "target": ("NAME",),
    "quantize": ("NAME", "ON", "NAME"),
    "subject": ("TO",),
    "layer": ("NAME",),
    "emit": ("NAME",),
}
"""What stands between a first word and its ``{``, to enter a block whose head is wrong."""

_PLACES = {
    **dict.fromkeys(
        ("model", "dataset", "target", "quantize", "import", "param"), "at the top of a file"
    ),
    **dict.fromkeys(("minimize", "maximize", "subject", "layer", "emit"), "in a `quantize` block"),
    "hawq": "in the first line",
}
"""Where each statement may stand."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A token that may not stand where it does."""

    key: tuple[int, frozenset[str], str]
    """The parser's state, the terminals that may stand here, and the one that does."""
    token: Token
    previous: Token
    first: Token
    """The first token of its statement."""


class Driver:
    """Parses one list of tokens; ``run`` returns what the ``start`` rule became."""

    def __init__(
        self,
        tables: Tables,
        builder: Builder,
        findings: Findings,
        explain: Callable[[Trouble], None],
    ) -> None:
        self.findings = findings
        self.explain = explain
        self.machine = Machine(tables, builder.reduce)
        self.keywords = {
            t.pattern: t.name for t in tables.terminals if t.literal and t.pattern.isidentifier()
        }
        self.tokens: list[Token] = []
        self._begun = 0
        """Index of the first token of the current statement."""
        self._mark = 0
        """The state before it."""
        self._head = 1, 0
        """A stretch of tokens up to the end of a head, found last; at first an empty one."""
        self._fresh = False
        """Whether the next token starts a statement though no newline stands before it."""
        self._mended: set[int] = set()
        """Starts of the statements whose first word was replaced."""
        self._stuck = -1
        """Where recovery last went on; failing there again, it skips the token."""

    def run(self, tokens: list[Token]) -> Any:
        """Return the value of a file, ``None`` if there is none; the last token is ``END``."""
        self.tokens = tokens.copy()
        at = 0
        while at < len(self.tokens):
            if at == 0 or self._fresh or self.tokens[at - 1].kind in {"_NL", "LBRACE"}:
                self._begun, self._mark, self._fresh = at, self.machine.mark(), False
            at = at + 1 if self._feed(at) else self._recover(at)
        return self.machine.value if self.machine.finished else None

    def terminal(self, at: int) -> str:
        """Return the terminal of a token: a word is a keyword where one can stand, else a name."""
        token = self.tokens[at]
        if token.kind != "NAME":
            return token.kind
        keyword = self.keywords.get(token.text)
        return keyword if keyword is not None and self.machine.accepts(keyword) else "NAME"

    def _feed(self, at: int) -> bool:
        token, terminal = self.tokens[at], self.terminal(at)
        behind_number = at > self._begun and self.tokens[at - 1].kind == "NUMBER"
        if behind_number and terminal == "NAME" and not self._unit(at):
            return False
        try:
            return self.machine.feed(terminal, token)
        except TooDeepError:
            self.findings.error(
                "HQ108",
                "this expression is nested too deeply",
                self.tokens[at - 1],
                help_="split it into several constraints",
            )
            return False

    def _unit(self, at: int) -> bool:
        """Return whether a name behind a number is its unit and not the start of what follows."""
        follower = self.tokens[at + 1].kind
        starts = follower in {"EQUAL", "COLON"} and follower == self.tokens[self._begun + 1].kind
        return self.tokens[at - 1].line == self.tokens[at].line and not (
            starts and not self.machine.accepts(follower)
        )

    # ---- recovery --------------------------------------------------------------------------------

    def _recover(self, at: int) -> int:
        """Report the token at index ``at``, put the machine right, return where to go on."""
        begun, token = self._begun, self.tokens[at]
        first = self.tokens[begun]
        quiet = self.findings.enough() or self._reported(first, at)
        if at > begun and self.machine.accepts("_NL") and starts_statement(self.tokens, at):
            self._separate(token, quiet=quiet)
            return at
        if not quiet and self._mend(at):
            return begun
        if not quiet:
            self._report(at)
        end = self._end(at)
        self.findings.take_harmful(first.start, self.tokens[end].start)
        if begun == 0 or self.tokens[at - 1].kind == "RBRACE":
            return self._past(self._skip(end), at)  # what stands before the error is whole
        self.machine.reset(self._mark)
        if self.tokens[end].kind == "LBRACE" and self._enter(first, self.tokens[end]):
            return end + 1
        end = self._skip(end)
        while token.kind == "_NL" and self._goes_on(end, first):
            end = self._skip(end + 1)
        return end + 1 if self.tokens[end].kind == "_NL" else self._past(end, at)

    def _goes_on(self, at: int, first: Token) -> bool:
        """Return whether the line behind a newline looks like the rest of a statement."""
        after = self.tokens[at + 1] if self.tokens[at].kind == "_NL" else None
        return (
            after is not None
            and after.kind not in {"RBRACE", END}
            and after.column > first.column
            and not starts_statement(self.tokens, at + 1)
        )

    def _past(self, to: int, at: int) -> int:
        """Return ``to``, or the token behind it where going on there has failed before."""
        stuck, self._stuck = to == at == self._stuck, to
        return to + 1 if stuck else to

    def _reported(self, first: Token, at: int) -> bool:
        return self.findings.reported_in(first.start, self.tokens[self._end(at)].start)

    def _end(self, at: int) -> int:
        """Return the index of what ends the head of the statement around ``at``."""
        start, end = self._head
        if not start <= at <= end:
            end = at
            while self.tokens[end].kind not in {"_NL", "LBRACE", "RBRACE", END}:
                end += 1
            self._head = at, end
        return end

    def _skip(self, at: int) -> int:
        """Return the index of the end of the statement, skipping whole blocks."""
        depth = 0
        while True:
            kind = self.tokens[at].kind
            if kind == END or (depth == 0 and kind in {"_NL", "RBRACE"}):
                return at
            depth += (kind == "LBRACE") - (kind == "RBRACE")
            at += 1

    def _separate(self, token: Token, *, quiet: bool) -> None:
        """End the statement before ``token``, which starts another."""
        if not quiet:
            self.findings.error(
                "HQ124",
                "a line holds one statement",
                token,
                label="starts another",
                help_=f"put {token.quoted} on a line of its own",
                replacement="\n",
                replaces=self.findings.span(token.virtual("")),
                repaired=True,
            )
        self.findings.damaged = True  # what stands before it may lack its end
        self.machine.feed("_NL", token.virtual("_NL"))
        self._fresh = True

    def _words(self) -> list[str]:
        """Return the words that can start a statement where the current one does."""
        return [
            word
            for word in sorted(STATEMENT_WORDS)
            if self.machine.accepts(self.keywords[word], self._mark)
        ]

    def _mend(self, at: int) -> bool:
        """Replace a misspelled first word and go back to it; return whether it was one."""
        begun = self._begun
        first = self.tokens[begun]
        if first.kind != "NAME" or at > begun + 1 or first.start in self._mended:
            return False
        words = self._words()
        meant = () if first.text in words else nearest(first.text, words, 1)
        if not meant:
            return False
        self.findings.error(
            "HQ130",
            f"{first.quoted} starts no statement",
            first,
            help_=f"did you mean `{meant[0]}`?",
            replacement=meant[0],
            guess=True,
            repaired=True,
        )
        self._mended.add(first.start)
        self.tokens[begun] = first._replace(text=meant[0])
        self.machine.reset(self._mark)
        return True

    def _report(self, at: int) -> None:
        begun = self._begun
        first = self.tokens[begun]
        place = _PLACES.get(first.text) if first.kind == "NAME" and at <= begun + 1 else None
        if place is not None and first.text not in self._words():
            self.findings.error(
                "HQ131", f"`{first.text}` may not stand here", first, help_=f"it stands {place}"
            )
            return
        token, previous = self.tokens[at], self.tokens[at - 1]
        unclosed = self._unclosed(at)
        if unclosed is not None:
            self.findings.error(
                "HQ120",
                f"this `{unclosed.text}` is never closed",
                unclosed,
                labels=(Label(span=self.findings.span(token), message="starts another statement"),),
            )
            return
        terminal = "_NL" if token.kind == END else self.terminal(at)  # a last line needs no newline
        key = (self.machine.state, self.machine.expected(), terminal)
        self.explain(Trouble(key, token, previous, first))

    def _unclosed(self, at: int) -> Token | None:
        """Return the bracket still open where a line looks like the next statement."""
        token, start = self.tokens[at], self._begun
        while start and self.tokens[start - 1].line == self.tokens[start].line:
            start -= 1
        lines_up = (
            token.line > self.tokens[at - 1].line and token.column <= self.tokens[start].column
        )
        if not lines_up or not starts_statement(self.tokens, at):
            return None
        opened: list[Token] = []
        for earlier in self.tokens[self._begun : at]:
            if earlier.kind in {"LPAR", "LSQB"}:
                opened.append(earlier)
            elif earlier.kind in {"RPAR", "RSQB"} and opened:
                opened.pop()
        return opened[-1] if opened else None

    def _enter(self, first: Token, brace: Token) -> bool:
        """Enter the block that ``brace`` opens, under a head that stands in for the wrong one."""
        mark = self.machine.mark()
        for word, kinds in (
            (first.text, _HEADS.get(first.text, ())),
            ("_", ()),
            ("quantize", _HEADS["quantize"]),
        ):
            keyword = self.keywords.get(word, "NAME")
            head = [(kind, brace.virtual(kind, "_")) for kind in kinds]
            fed = [(keyword, first._replace(text=word)), *head, ("LBRACE", brace)]
            if all(self.machine.feed(kind, token) for kind, token in fed):
                self.findings.harm(first.start)
                return True
            self.machine.reset(mark)
        return False
