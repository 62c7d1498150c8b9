"""Applying ``# hawq: ignore[…]`` comments."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from hawqlang.base import Span
from hawqlang.diagnostics.model import Diagnostic, Fix


class Ignoring(Protocol):
    """A comment that silences some warnings on some lines of its file."""

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes it silences."""
        ...

    @property
    def line(self) -> int:
        """The first line it speaks of."""
        ...

    @property
    def last_line(self) -> int:
        """The last line it speaks of, if that is a later one."""
        ...

    @property
    def span(self) -> Span:
        """The comment itself."""
        ...


def apply_ignores(
    diagnostics: Iterable[Diagnostic],
    comments: Sequence[Ignoring],
    *,
    judge: Iterable[str] = "123456789",
) -> tuple[Diagnostic, ...]:
    """Return the diagnostics without the silenced warnings, and one for each unused comment.

    Args:
        diagnostics: What was found.
        comments: The comments of all files.
        judge: Groups of codes (``"1"`` is HQ1xx) whose checks ran. A code of another group may be
            needed by a check that was skipped, so it is not called unused.
    """
    used: set[tuple[int, str]] = set()
    kept: list[Diagnostic] = []
    for diagnostic in diagnostics:
        by = [n for n, comment in enumerate(comments) if _silences(comment, diagnostic)]
        used.update((n, diagnostic.code) for n in by)
        if not by:
            kept.append(diagnostic)
    groups = frozenset(judge)
    refused = {(d.code, d.span.file, d.span.line) for d in kept if d.span is not None}
    for n, comment in enumerate(comments):
        idle = [c for c in comment.codes if (n, c) not in used and c[2:3] in groups]
        if idle:
            kept.append(_unused(comment, idle, refused))
    return tuple(kept)


def _reaches(comment: Ignoring, line: int) -> bool:
    return comment.line <= line <= max(comment.line, comment.last_line)


def _silences(comment: Ignoring, diagnostic: Diagnostic) -> bool:
    span = diagnostic.span
    return (
        diagnostic.severity == "warning"
        and diagnostic.code in comment.codes
        and span is not None
        and span.file == comment.span.file
        and _reaches(comment, span.line)
    )


def _without(comment: Ignoring, idle: Collection[str]) -> str:
    """Return a comment without the codes that silence nothing."""
    left = ", ".join(code for code in comment.codes if code not in idle)
    return f"# hawq: ignore[{left}]" if left else ""


def _unused(comment: Ignoring, idle: list[str], refused: set[tuple[str, str, int]]) -> Diagnostic:
    errors = [
        code
        for code, file, line in sorted(refused)
        if code in idle and file == comment.span.file and _reaches(comment, line)
    ]
    codes = " and ".join(idle) if len(idle) < 3 else f"{', '.join(idle[:-1])} and {idle[-1]}"
    return Diagnostic(
        code="HQ191",
        severity="warning",
        message=f"nothing here is silenced by ignoring {codes}",
        span=comment.span,
        help="delete the comment" if len(idle) == len(comment.codes) else f"delete {codes}",
        fix=Fix(span=comment.span, replacement=_without(comment, idle)),
        notes=("errors cannot be ignored",) if errors else (),
    )
