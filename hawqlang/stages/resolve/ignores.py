"""``# hawq: ignore[HQ214]``: warnings the reader has silenced, and comments that silence nothing."""

from __future__ import annotations

from collections.abc import Iterable

from hawqlang.diagnostics import Diagnostic
from hawqlang.ir.syntax import IgnoreComment
from hawqlang.stages.resolve.existence import MISSING_FILE_CODES
from hawqlang.stages.resolve.report import warning

UNUSED = "HQ257"


def silence(
    diagnostics: Iterable[Diagnostic], ignores: tuple[IgnoreComment, ...]
) -> tuple[tuple[Diagnostic, ...], set[tuple[IgnoreComment, str]]]:
    """Return the diagnostics without the silenced warnings, and which comment and code silenced one."""
    kept: list[Diagnostic] = []
    used: set[tuple[IgnoreComment, str]] = set()
    for diagnostic in diagnostics:
        silencing = [comment for comment in ignores if _silences(comment, diagnostic)]
        if not silencing:
            kept.append(diagnostic)
        used.update((comment, diagnostic.code) for comment in silencing)
    return tuple(kept), used


def _silences(comment: IgnoreComment, diagnostic: Diagnostic) -> bool:
    return (
        diagnostic.severity == "warning"
        and diagnostic.span is not None
        and diagnostic.span.file == comment.span.file
        and diagnostic.span.line == comment.line
        and diagnostic.code in comment.codes
    )


def settled(code: str) -> bool:
    """Return whether every warning of a code is known once a spec is resolved."""
    return code[:3] in ("HQ1", "HQ2") and code not in MISSING_FILE_CODES


def split(
    ignores: tuple[IgnoreComment, ...],
) -> tuple[tuple[IgnoreComment, ...], tuple[IgnoreComment, ...]]:
    """Return the comments with the codes settled here, and with those left to later steps."""
    here: list[IgnoreComment] = []
    later: list[IgnoreComment] = []
    for comment in ignores:
        mine = tuple(code for code in comment.codes if settled(code))
        rest = tuple(code for code in comment.codes if not settled(code))
        if mine:
            here.append(comment.replace(codes=mine))
        if rest:
            later.append(comment.replace(codes=rest))
    return tuple(here), tuple(later)


def unused(
    ignores: tuple[IgnoreComment, ...], used: set[tuple[IgnoreComment, str]]
) -> tuple[Diagnostic, ...]:
    """Return a warning for every code of every comment that silenced nothing."""
    return tuple(
        warning(UNUSED, f"nothing on this line raises {code}", comment.span, help="leave it out")
        for comment in ignores
        for code in comment.codes
        if (comment, code) not in used
    )
