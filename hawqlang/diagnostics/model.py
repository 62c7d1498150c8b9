"""The diagnostic value and the exception that carries it."""

from __future__ import annotations

from typing import Literal

from hawqlang.base import Frozen, Span

Severity = Literal["error", "warning", "note"]


class Label(Frozen):
    """A second place that belongs to a diagnostic, with its own message."""

    span: Span
    message: str


class Fix(Frozen):
    """A machine-applicable edit: put ``replacement`` where ``span`` is, and everywhere in ``also``."""

    span: Span
    replacement: str
    sure: bool = True
    """Whether it is what was meant, or changes no meaning; a guess is applied only on demand."""
    also: tuple[Span, ...] = ()

    def spans(self) -> tuple[Span, ...]:
        """Return every place that is changed."""
        return (self.span, *self.also)


class Diagnostic(Frozen):
    """One finding. ``code`` is permanent (``HQ501``) and has an entry in ``catalogue.py``."""

    code: str
    severity: Severity
    message: str
    """States the fact, in the reader's words, without a full stop."""
    span: Span | None = None
    label: str = ""
    """Short text that stands behind the carets."""
    labels: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    help: str | None = None
    """What to write instead."""
    fix: Fix | None = None


class HawqError(Exception):
    """One or more diagnostics of which at least one is an error; everything a user can cause ends here."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("; ".join(f"{d.code}: {d.message}" for d in diagnostics))
        self.diagnostics = diagnostics


class ToolError(HawqError):
    """The tool was misused or failed (exit status 2): unknown ``--set`` name, full disk, solver limit."""
