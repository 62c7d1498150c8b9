"""What a reader may have meant: the known words nearest to a wrong one."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], limit: int = 3) -> tuple[str, ...]:
    """Return up to ``limit`` known words, nearest first, then by name.

    A word is near within a third of its length in edits.
    """
    allowed = max(1, len(word) // 3)
    ranked = sorted((distance(word.casefold(), other.casefold()), other) for other in set(known))
    return tuple(other for edits, other in ranked[:limit] if edits <= allowed)


def distance(left: str, right: str) -> int:
    """Return the edits between two words: insertions, deletions, substitutions."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        previous, row = row, [i]
        for j, b in enumerate(right, start=1):
            row.append(min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (a != b)))
    return row[-1]
