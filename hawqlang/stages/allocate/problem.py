"""Problem: one choice per variable under integer rows. Everything here is exact.

A variable ``v`` takes one of ``sizes[v]`` choices. A row is ``Σ_v coefs[v][choice of v] ≤ cap``.
All of a spec comes to this form: sums, ties, switches and any logic (``rows``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Point = tuple[int, ...]
"""One choice per variable."""

Domain = tuple[tuple[int, ...], ...]
"""Per variable, the choices it may take."""

Coefs = Mapping[int, tuple[int, ...]]
"""Per variable one integer a choice; a variable left out weighs nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """``Σ coefs ≤ cap``, owed to the constraint called ``name``."""

    name: str
    coefs: Coefs
    cap: int
    implied: bool = False
    """Whether it follows from other rows (and from a bound of the cost): it only guides."""

    def left(self, point: Sequence[int]) -> int:
        """Return the left side at a point."""
        return sum(values[point[v]] for v, values in self.coefs.items())

    def smallest(self) -> int:
        """Return the smallest the left side can be."""
        return sum(min(values) for values in self.coefs.values())

    def largest(self) -> int:
        """Return the largest the left side can be."""
        return sum(max(values) for values in self.coefs.values())


@dataclass(frozen=True, slots=True)
class Problem:
    """Variables and rows."""

    sizes: tuple[int, ...]
    rows: tuple[Row, ...]

    def satisfied(self, point: Sequence[int]) -> bool:
        """Return whether a point meets every row."""
        return all(row.left(point) <= row.cap for row in self.rows)

    def adding(self, *rows: Row) -> Problem:
        """Return the problem with more rows."""
        return Problem(self.sizes, (*self.rows, *rows))


@dataclass(frozen=True, slots=True)
class Reduced:
    """A problem in which some choices are gone and decided variables are folded into the caps."""

    problem: Problem
    kept: Domain
    """Per variable of the original, the choices that are left."""
    free: tuple[int, ...]
    """Original variables that still have a choice, in order: the variables of ``problem``."""

    def expand(self, point: Sequence[int]) -> Point:
        """Return the original's point of a point of ``problem``."""
        full = [kept[0] for kept in self.kept]
        for new, old in enumerate(self.free):
            full[old] = self.kept[old][point[new]]
        return tuple(full)

    def shrink(self, point: Sequence[int]) -> Point | None:
        """Return an original point as one of ``problem``; ``None`` where its choices are gone."""
        if any(choice not in kept for choice, kept in zip(point, self.kept, strict=True)):
            return None
        return tuple(self.kept[old].index(point[old]) for old in self.free)

    def then(self, inner: Reduced) -> Reduced:
        """Return the reduction of this one's problem as a reduction of the original."""
        kept = list(self.kept)
        for new, old in enumerate(self.free):
            kept[old] = tuple(self.kept[old][choice] for choice in inner.kept[new])
        free = tuple(self.free[new] for new in inner.free)
        return Reduced(inner.problem, tuple(kept), free)

    def fold(self, coefs: Coefs) -> tuple[dict[int, tuple[int, ...]], int]:
        """Return the coefficients over ``problem``, each from 0 up, and the constant left."""
        position = {old: new for new, old in enumerate(self.free)}
        folded: dict[int, tuple[int, ...]] = {}
        constant = 0
        for old, values in coefs.items():
            kept = [values[choice] for choice in self.kept[old]]
            least = min(kept)
            constant += least
            if any(value != least for value in kept):
                folded[position[old]] = tuple(value - least for value in kept)
        return folded, constant


def reduce(problem: Problem, kept: Sequence[Sequence[int]]) -> Reduced | None:
    """Return the problem with only the choices ``kept``; ``None`` where no point is left.

    Choices that a single row rules out on their own are dropped too, until none is left to drop.
    """
    choices = tightened(problem, tuple(tuple(one) for one in kept))
    if choices is None:
        return None
    free = tuple(v for v, one in enumerate(choices) if len(one) > 1)
    frame = Reduced(Problem((), ()), choices, free)
    rows: dict[tuple[tuple[tuple[int, tuple[int, ...]], ...], int], Row] = {}
    for row in problem.rows:
        coefs, constant = frame.fold(row.coefs)
        cap = row.cap - constant
        if sum(max(values) for values in coefs.values()) > cap:
            same = (tuple(sorted(coefs.items())), cap)
            rows.setdefault(same, Row(row.name, coefs, cap, row.implied))
    sizes = tuple(len(choices[v]) for v in free)
    return Reduced(Problem(sizes, tuple(rows.values())), choices, free)


def differing(problem: Problem, variables: Iterable[int], point: Sequence[int]) -> Row:
    """Return the row "some of the variables takes another choice than at ``point``"."""
    coefs = {v: tuple(int(c == point[v]) for c in range(problem.sizes[v])) for v in variables}
    return Row("", coefs, len(coefs) - 1)


def everything(problem: Problem) -> Domain:
    """Return every choice of every variable."""
    return tuple(tuple(range(size)) for size in problem.sizes)


def tightened(problem: Problem, domain: Domain) -> Domain | None:
    """Return a domain without the choices that single rows rule out; ``None``: nothing is left."""
    alive = [list(choices) for choices in domain]
    if not all(alive) or not _tighten(problem, alive):
        return None
    return tuple(tuple(one) for one in alive)


def _tighten(problem: Problem, alive: list[list[int]]) -> bool:
    """Drop choices that no point can take because of one row; say whether any point may be left."""
    watching: dict[int, list[int]] = {}
    for index, row in enumerate(problem.rows):
        for v in row.coefs:
            watching.setdefault(v, []).append(index)
    queue = list(range(len(problem.rows)))
    queued = set(queue)
    while queue:
        index = queue.pop()
        queued.discard(index)
        changed = _drop(problem.rows[index], alive)
        if changed is None:
            return False
        for v in changed:
            fresh = [i for i in watching[v] if i not in queued]
            queue += fresh
            queued.update(fresh)
    return True


def _drop(row: Row, alive: list[list[int]]) -> list[int] | None:
    """Drop the choices that break ``row`` alone; return the variables hit, ``None``: all break."""
    least = {v: min(values[c] for c in alive[v]) for v, values in row.coefs.items()}
    slack = row.cap - sum(least.values())
    if slack < 0:
        return None
    changed: list[int] = []
    for v, values in row.coefs.items():
        left = [c for c in alive[v] if values[c] - least[v] <= slack]
        if len(left) < len(alive[v]):
            alive[v] = left
            changed.append(v)
    return changed
