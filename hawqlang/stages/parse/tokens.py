"""Tokens, and the errors found on the way from text to tree."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import NamedTuple

from hawqlang.base import Span
from hawqlang.diagnostics.model import Diagnostic, Fix, Label

MAX_ERRORS = 100
"""After so many errors in one file the rest is not looked for."""


class Token(NamedTuple):
    """A lexeme and where it stands. Virtual tokens, put in by error recovery, have no text."""

    kind: str
    """The terminal of the grammar; ``NAME`` for every word."""
    text: str
    line: int
    column: int
    start: int
    """Offset in the text."""
    end: int
    """The offset behind it."""

    @property
    def end_column(self) -> int:
        """The column behind the token; no token spans lines."""
        return self.column + self.end - self.start

    def virtual(self, kind: str, text: str = "") -> Token:
        """Return a token of another kind in the place where this one starts."""
        return Token(kind, text, self.line, self.column, self.start, self.start)


@dataclass(slots=True)
class Findings:
    """The diagnostics of one file, and the offsets of errors whose statements cannot be trusted."""

    file: str
    diagnostics: list[Diagnostic] = field(default_factory=list[Diagnostic])
    reported: list[int] = field(default_factory=list[int])
    """Offsets of all errors, sorted: a statement that has one reports no second."""
    harmful: list[int] = field(default_factory=list[int])
    """Offsets of the errors that no repair undid, sorted: the innermost statement around each is left out."""

    cut: bool = False
    """Whether errors were left out because there were ``MAX_ERRORS`` already."""

    def span(self, first: Token, last: Token | None = None) -> Span:
        """Return the span from ``first`` to the end of ``last``."""
        last = first if last is None else last
        return Span(
            file=self.file,
            line=first.line,
            column=first.column,
            end_line=last.line,
            end_column=last.end_column,
        )

    def error(
        self,
        code: str,
        message: str,
        at: Token,
        *,
        label: str = "",
        help_: str | None = None,
        replacement: str | None = None,
        labels: tuple[Label, ...] = (),
        repaired: bool = False,
    ) -> None:
        """Record an error; ``replacement`` is the text that mends it, ``repaired`` says the tree has it already."""
        if self.full:
            self.cut = True
            return
        span = self.span(at)
        self.diagnostics.append(
            Diagnostic(
                code=code,
                severity="error",
                message=message,
                span=span,
                label=label,
                labels=labels,
                help=help_,
                fix=None if replacement is None else Fix(span=span, replacement=replacement),
            )
        )
        insort(self.reported, at.start)
        if not repaired:
            insort(self.harmful, at.start)

    def warning(self, code: str, message: str, at: Token, *, help_: str) -> None:
        """Record a warning."""
        if len(self.diagnostics) < MAX_ERRORS:
            self.diagnostics.append(
                Diagnostic(
                    code=code, severity="warning", message=message, span=self.span(at), help=help_
                )
            )

    def reported_in(self, start: int, end: int) -> bool:
        """Return whether an error was reported at an offset from ``start`` up to, without, ``end``."""
        return bisect_left(self.reported, start) < bisect_left(self.reported, end)

    def harm(self, start: int) -> None:
        """Leave the statement at an offset out of the tree."""
        insort(self.harmful, start)

    def take_harmful(self, start: int, end: int) -> bool:
        """Return whether unrepaired errors lie in the range, and forget them: their statement is now known."""
        low, high = bisect_left(self.harmful, start), bisect_left(self.harmful, end)
        del self.harmful[low:high]
        return low < high

    @property
    def full(self) -> bool:
        """Whether so many errors were found that looking on helps nobody."""
        return len(self.diagnostics) >= MAX_ERRORS

    def sorted(self) -> tuple[Diagnostic, ...]:
        """Return the diagnostics in the order of the text."""
        ordered = sorted(self.diagnostics, key=_position)
        if self.cut:
            last = ordered[-1]
            note = f"after {MAX_ERRORS} errors the rest of the file was not looked at"
            ordered[-1] = last.replace(notes=(*last.notes, note))
        return tuple(ordered)


def _position(diagnostic: Diagnostic) -> tuple[int, int]:
    span = diagnostic.span
    return (0, 0) if span is None else (span.line, span.column)
