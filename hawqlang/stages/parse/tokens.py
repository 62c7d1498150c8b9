"""Tokens, and the errors found on the way from text to tree."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import NamedTuple, TypedDict, Unpack

from hawqlang.base import Span
from hawqlang.diagnostics.model import Diagnostic, Fix, Label

MAX_ERRORS = 100
"""After so many errors in one file the rest is not looked for."""

MAX_QUOTED = 40
"""Characters of a token that a message quotes at most."""


class Token(NamedTuple):
    """A lexeme and where it stands. Virtual tokens, put in by error recovery, take no room."""

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

    @property
    def shown(self) -> str:
        """The text as a message shows it, cut where it is long."""
        return self.text if len(self.text) <= MAX_QUOTED else f"{self.text[: MAX_QUOTED - 1]}…"

    @property
    def quoted(self) -> str:
        """The text as a message quotes it."""
        return f"`{self.shown}`"

    def behind(self) -> Token:
        """Return an empty token behind this one."""
        return Token(self.kind, "", self.line, self.end_column, self.end, self.end)

    def virtual(self, kind: str, text: str = "") -> Token:
        """Return a token of another kind that takes no room where this one starts."""
        return Token(kind, text, self.line, self.column, self.start, self.start)


class Extra(TypedDict, total=False):
    """What an error may say beside its message."""

    label: str
    help_: str | None
    replacement: str | None
    """The text that, in the place of the token, mends it."""
    replaces: Span
    """What the text stands in the place of, where that is not the token."""
    guess: bool
    """Whether the mended text may not be what was meant."""
    labels: tuple[Label, ...]
    repaired: bool
    """Whether the tree has what was meant."""


@dataclass(slots=True)
class Findings:
    """The diagnostics of one file, and which statements cannot be trusted."""

    file: str
    diagnostics: list[Diagnostic] = field(default_factory=list[Diagnostic])
    cut: bool = False
    """Whether errors were left out because there were ``MAX_ERRORS`` already."""
    damaged: bool = False
    """Whether there was an error that no repair undid."""
    _reported: list[int] = field(default_factory=list[int])
    """Offsets of the errors in ``diagnostics``, sorted."""
    _warnings: int = 0
    _harmful: list[int] = field(default_factory=list[int])
    """Offsets of the errors that no repair undid and no statement has answered for, sorted."""

    def enough(self) -> bool:
        """Return whether there are ``MAX_ERRORS``; then another error is at hand, and left out."""
        self.cut = self.cut or len(self._reported) >= MAX_ERRORS
        return self.cut

    def span(self, token: Token) -> Span:
        """Return where a token stands."""
        return Span(
            file=self.file,
            line=token.line,
            column=token.column,
            end_line=token.line,
            end_column=token.end_column,
        )

    def error(self, code: str, message: str, at: Token, **extra: Unpack[Extra]) -> None:
        """Record an error at a token."""
        if not extra.get("repaired", False):
            insort(self._harmful, at.start)
            self.damaged = True
        if self.enough():
            return
        insort(self._reported, at.start)
        span, replacement = self.span(at), extra.get("replacement")
        fix = (
            None
            if replacement is None
            else Fix(
                span=extra.get("replaces", span),
                replacement=replacement,
                sure=not extra.get("guess", False),
            )
        )
        self.diagnostics.append(
            Diagnostic(
                code=code,
                severity="error",
                message=message,
                span=span,
                label=extra.get("label", ""),
                labels=extra.get("labels", ()),
                help=extra.get("help_"),
                fix=fix,
            )
        )

    def warning(self, code: str, message: str, at: Token, *, help_: str) -> None:
        """Record a warning at a token; of very many only the first."""
        self._warnings += 1
        if self._warnings <= MAX_ERRORS:
            span = self.span(at)
            self.diagnostics.append(
                Diagnostic(code=code, severity="warning", message=message, span=span, help=help_)
            )

    def reported_in(self, start: int, end: int) -> bool:
        """Return whether an error was reported from ``start`` up to, without, ``end``."""
        return bisect_left(self._reported, start) < bisect_left(self._reported, end)

    def harm(self, start: int) -> None:
        """Have the statement at an offset left out of the tree."""
        self.damaged = True
        insort(self._harmful, start)

    def take_harmful(self, start: int, end: int) -> bool:
        """Return whether unrepaired errors lie in a range; a statement now answers for them."""
        low, high = bisect_left(self._harmful, start), bisect_left(self._harmful, end)
        del self._harmful[low:high]
        return low < high

    def sorted(self) -> tuple[Diagnostic, ...]:
        """Return the diagnostics in the order of the text."""
        ordered = sorted(self.diagnostics, key=_position)
        if self.cut:
            note = f"after {MAX_ERRORS} errors the rest of the file was not looked at"
            ordered[-1] = ordered[-1].replace(notes=(*ordered[-1].notes, note))
        return tuple(ordered)


def _position(diagnostic: Diagnostic) -> tuple[int, int]:
    span = diagnostic.span
    return (0, 0) if span is None else (span.line, span.column)
