"""Problem: one choice per variable under integer rows. Everything here is exact.

A variable ``v`` takes one of ``sizes[v]`` choices. A row is ``Σ_v coefs[v][choice of v] ≤ cap``.
All of a spec comes to this form: sums, ties, switches and any logic (``rows``).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

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

    def is_clause(self) -> bool:
        """Return whether it says "not all of these": no more can be read off it than it says."""
        return self.cap == len(self.coefs) - 1 and all(
            set(values) <= {0, 1} for values in self.coefs.values()
        )

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

    def starts(self) -> NDArray[np.int64]:
        """Return the first column (choice of a variable) of each variable, and how many there are."""
        return np.concatenate(([0], np.cumsum(self.sizes, dtype=np.int64))).astype(np.int64)

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
    position: Mapping[int, int]
    """Of each of them, which variable of ``problem`` it is."""

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
        return _reduced(inner.problem, tuple(kept), free)

    def fold(self, coefs: Coefs) -> tuple[dict[int, tuple[int, ...]], int]:
        """Return the coefficients over ``problem``, each from 0 up, and the constant left."""
        position = self.position
        folded: dict[int, tuple[int, ...]] = {}
        constant = 0
        for old, values in coefs.items():
            kept = [values[choice] for choice in self.kept[old]]
            least = min(kept)
            constant += least
            if any(value != least for value in kept):
                folded[position[old]] = tuple(value - least for value in kept)
        return folded, constant


def reduce(problem: Problem, kept: Domain) -> Reduced | None:
    """Return the problem with only the choices ``kept``; ``None`` where no point is left.

    Choices that a single row rules out on their own are dropped too, until none is left to drop.
    """
    choices = Propagator(problem).tightened(kept, range(len(problem.sizes)))
    if choices is None:
        return None
    free = tuple(v for v, one in enumerate(choices) if len(one) > 1)
    frame = _reduced(Problem((), ()), choices, free)
    rows: dict[tuple[tuple[tuple[int, tuple[int, ...]], ...], int], Row] = {}
    for row in problem.rows:
        coefs, constant = frame.fold(row.coefs)
        cap = row.cap - constant
        if sum(max(values) for values in coefs.values()) > cap:
            same = (tuple(sorted(coefs.items())), cap)
            rows.setdefault(same, Row(row.name, coefs, cap, row.implied))
    sizes = tuple(len(choices[v]) for v in free)
    return _reduced(Problem(sizes, tuple(rows.values())), choices, free)


def _reduced(problem: Problem, kept: Domain, free: tuple[int, ...]) -> Reduced:
    return Reduced(problem, kept, free, {old: new for new, old in enumerate(free)})


def differing(problem: Problem, variables: Iterable[int], point: Sequence[int]) -> Row:
    """Return the row "some of the variables takes another choice than at ``point``"."""
    coefs = {v: tuple(int(c == point[v]) for c in range(problem.sizes[v])) for v in variables}
    return Row("", coefs, len(coefs) - 1)


def everything(problem: Problem) -> Domain:
    """Return every choice of every variable."""
    return tuple(tuple(range(size)) for size in problem.sizes)


def mask_of(starts: NDArray[np.int64], domain: Domain) -> NDArray[np.bool_]:
    """Return which columns a domain allows."""
    allowed = np.zeros(int(starts[-1]), dtype=np.bool_)
    pairs = zip(starts.tolist(), domain, strict=False)
    allowed[[start + choice for start, choices in pairs for choice in choices]] = True
    return allowed


def domain_of(starts: NDArray[np.int64], allowed: NDArray[np.bool_]) -> Domain:
    """Return the choices of each variable among the columns allowed."""
    flags, bounds = allowed.tolist(), starts.tolist()
    return tuple(
        tuple(column - start for column in range(start, end) if flags[column])
        for start, end in pairwise(bounds)
    )


class Propagator:
    """Drops choices that no point can take because of a single row."""

    def __init__(self, problem: Problem) -> None:
        self._rows = problem.rows
        self._watching: list[list[int]] = [[] for _ in problem.sizes]
        for index, row in enumerate(problem.rows):
            for v in row.coefs:
                self._watching[v].append(index)

    def tightened(self, domain: Domain, changed: Iterable[int]) -> Domain | None:
        """Return a domain without the choices that rows rule out; ``None``: nothing is left.

        Args:
            domain: the choices left.
            changed: variables that lost choices since the domain was tightened last.
        """
        alive = list(domain)
        if not all(alive):
            return None
        empty = [k for k, row in enumerate(self._rows) if not row.coefs and row.cap < 0]
        queued = {index for v in changed for index in self._watching[v]} | set(empty)
        # Short rows first: they cost little, and long ones then see all that they rule out.
        queue = [(len(self._rows[index].coefs), index) for index in queued]
        heapq.heapify(queue)
        while queue:
            _, index = heapq.heappop(queue)
            queued.discard(index)
            hit = _drop(self._rows[index], alive)
            if hit is None:
                return None
            for v in hit:
                for i in self._watching[v]:
                    if i not in queued:
                        heapq.heappush(queue, (len(self._rows[i].coefs), i))
                        queued.add(i)
        return tuple(alive)


def _drop(row: Row, alive: list[tuple[int, ...]]) -> list[int] | None:
    """Drop the choices that break ``row`` alone; return the variables hit, ``None``: all break."""
    least = {v: min([values[c] for c in alive[v]]) for v, values in row.coefs.items()}
    slack = row.cap - sum(least.values())
    if slack < 0:
        return None
    hit: list[int] = []
    for v, values in row.coefs.items():
        if len(alive[v]) > 1 and max(values) - least[v] > slack:
            left = tuple(c for c in alive[v] if values[c] - least[v] <= slack)
            if len(left) < len(alive[v]):
                alive[v] = left
                hit.append(v)
    return hit
