"""Did you mean: the known words nearest to an unknown one."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], limit: int = 3) -> tuple[str, ...]:
    """Return up to ``limit`` known words that ``word`` may have been meant to be, nearest first.

    A third of the longer word may differ, at least one character; words that differ only in case,
    and words of which one begins with the other, are near. The distance is the optimal string
    alignment of Damerau and Levenshtein: insertions, deletions, substitutions, swapped neighbours.
    """
    ranked: list[tuple[int, str]] = []
    for candidate in dict.fromkeys(known):
        if candidate == word:
            continue
        bound = max(1, max(len(word), len(candidate)) // 3)
        distance = _rank(word, candidate, bound)
        if distance <= bound:
            ranked.append((distance, candidate))
    return tuple(candidate for _, candidate in sorted(ranked)[:limit])


def _rank(word: str, candidate: str, bound: int) -> int:
    low, other = word.casefold(), candidate.casefold()
    if low == other:
        return 0
    if len(low) >= 3 and (other.startswith(low) or low.startswith(other)) and len(other) >= 3:
        return 1
    return edit_distance(low, other, bound)


def edit_distance(a: str, b: str, bound: int) -> int:
    """Return the edit distance of two words, or ``bound + 1`` where it is larger than ``bound``."""
    if abs(len(a) - len(b)) > bound:
        return bound + 1
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, previous[j - 2] + 1)
            row.append(cost)
        if min(row) > bound and min(before) > bound:
            return bound + 1
    return min(row[-1], bound + 1)
