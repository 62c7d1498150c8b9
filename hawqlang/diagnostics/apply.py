"""Texts with the fixes of their diagnostics applied."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

from hawqlang.base import Span
from hawqlang.diagnostics.model import Fix


def apply_fixes(text: str, fixes: Iterable[Fix]) -> tuple[str, tuple[Fix, ...]]:
    """Return a text with fixes applied, and those that were: of overlapping ones only the first.

    Args:
        text: What the file holds, without a byte order mark.
        fixes: The edits, all of this file, in any order; the same one twice counts once.
            A fix of several places is applied everywhere, or nowhere.
    """
    lines = text.split("\n")
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    newline = "\r\n" if lines[0].endswith("\r") else "\n"
    taken: list[tuple[int, int, str]] = []
    applied: list[Fix] = []
    wanted = {fix: [_offsets(span, lines, starts) for span in fix.spans()] for fix in fixes}
    for fix, places in sorted(wanted.items(), key=lambda pair: min(pair[1])):
        if any(start < high and low < end for start, end in places for low, high, _ in taken):
            continue
        taken += [(start, end, fix.replacement.replace("\n", newline)) for start, end in places]
        applied.append(fix)
    made, at = "", 0
    for start, end, replacement in sorted(taken, key=lambda edit: edit[:2]):
        made += text[at:start] + replacement
        at = end
    return made + text[at:], tuple(applied)


def _offsets(span: Span, lines: list[str], starts: list[int]) -> tuple[int, int]:
    """Return where a span starts and ends, moved into the text where it reaches beyond a line."""
    start = _offset(span.line, span.column, lines, starts)
    return start, max(start, _offset(span.end_line, span.end_column, lines, starts))


def _offset(line: int, column: int, lines: list[str], starts: list[int]) -> int:
    if line > len(lines):
        return starts[-1] - 1
    return starts[line - 1] + min(column - 1, len(lines[line - 1].removesuffix("\r")))
