"""Formulas to integer rows: logic included, so that bounds and cuts see all of it.

A clause of memberships is ``Σ (choice outside the mask) ≤ literals - 1``. A linear atom under a
clause ``C`` becomes ``f ≤ M·Σ C`` with ``M = max f``: nothing is asked where a literal of ``C``
holds, and the atom itself where none does. What is nested deeper gets a flag that implies it.
Every row is implied by the formula, once the flags are set as ``Space.complete`` sets them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from hawqlang.base import Precision
from hawqlang.stages.allocate.formula import (
    Below,
    Every,
    Fixed,
    Form,
    Formula,
    Member,
    Some,
    Whole,
)
from hawqlang.stages.allocate.problem import Coefs, Point, Problem, Row
from hawqlang.stages.allocate.space import Space

Clause = Mapping[int, frozenset[int]]
"""A disjunction of memberships: per variable, the choices that make it true."""


@dataclass(slots=True)
class _Writer:
    """Collects the rows of formulas, and the sizes of the variables they speak of."""

    where: Space
    name: str
    rows: list[Row] = field(default_factory=list[Row])

    def write(self, clause: Clause, formula: Formula) -> None:
        """Add the rows of "``clause`` or ``formula``"."""
        match formula:
            case Fixed():
                if not formula.value:
                    self.rows.append(self._row(clause))
            case Member():
                self.rows.append(self._row(_with(clause, formula)))
            case Below():
                self.rows.append(self._bounded(clause, formula.form))
            case Every():
                for item in formula.items:
                    self.write(clause, item)
            case Some():
                self._any(clause, formula)
            case _:
                assert_never(formula)

    def _any(self, clause: Clause, formula: Some) -> None:
        deep: list[Formula] = []
        for item in formula.items:
            if isinstance(item, Member):
                clause = _with(clause, item)
            else:
                deep.append(item)
        for item in deep[:-1]:
            flag = self.where.truth(("deep", len(self.where.flags)), lambda i=item: i)
            clause = _with(clause, Member(flag, frozenset((1,)), 2))
        if deep:
            self.write(clause, deep[-1])
        else:
            self.rows.append(self._row(clause))

    def _row(self, clause: Clause) -> Row:
        """Return the row of a disjunction; of an empty one, a row that nothing satisfies."""
        coefs = {
            v: tuple(int(choice not in mask) for choice in range(self.where.size(v)))
            for v, mask in clause.items()
        }
        return Row(self.name, coefs, len(coefs) - 1)

    def _bounded(self, clause: Clause, form: Whole) -> Row:
        """Return ``form ≤ M·Σ clause`` as a row."""
        cap = -form.constant
        coefs = dict(form.parts)
        big = sum(max(values) for values in coefs.values()) - cap
        for v, mask in clause.items():
            values = coefs.get(v, (0,) * self.where.size(v))
            coefs[v] = tuple(one - big * (j in mask) for j, one in enumerate(values))
        return Row(self.name, coefs, cap)


def rows(where: Space, name: str, formula: Formula) -> tuple[Row, ...]:
    """Return rows that hold for exactly the points that satisfy ``formula``, flags set right."""
    writer = _Writer(where, name)
    writer.write({}, formula)
    return tuple(writer.rows)


def problem(where: Space, constraints: Iterable[Sequence[Row]], costs: Iterable[Form]) -> Problem:
    """Return the problem of some constraints, with the rows that give meaning to the flags used.

    A flag that neither they nor the costs use has one choice only.
    """
    used = [row for one in constraints for row in one]
    pending = {v for row in used for v in row.coefs} | {v for form in costs for v in form.parts}
    meant: list[Row] = []
    done: set[int] = set()
    while flags := sorted(v for v in pending - done if v >= len(where.choices)):
        for flag in flags:
            fresh = where.meanings.setdefault(flag, ()) or _meaning(where, flag)
            where.meanings[flag] = fresh
            meant += fresh
            pending |= {v for row in fresh for v in row.coefs}
        done.update(flags)
    layers = tuple(len(own) for own in where.choices)
    flags = tuple(len(means) if flag in done else 1 for flag, means in where.flags.items())
    return Problem((*layers, *flags), (*used, *meant))


def _meaning(where: Space, flag: int) -> tuple[Row, ...]:
    """Return the rows that let a flag take a choice only where its formula is true."""
    formulas = where.flags[flag]
    writer = _Writer(where, "")
    for choice, formula in enumerate(formulas):
        writer.write({flag: frozenset(range(len(formulas))) - {choice}}, formula)
    return tuple(writer.rows)


@dataclass(frozen=True, slots=True)
class Merged:
    """A problem whose tied layers are one variable."""

    problem: Problem
    groups: tuple[tuple[int, ...], ...]
    """Per variable, the variables of the original that it stands for."""
    picks: tuple[tuple[tuple[int, ...], ...], ...]
    """Per variable and choice, the choice of each member."""

    def expand(self, point: Sequence[int]) -> Point:
        """Return the original's point."""
        full = [0] * sum(len(group) for group in self.groups)
        for group, picks, choice in zip(self.groups, self.picks, point, strict=True):
            for member, pick in zip(group, picks[choice], strict=True):
                full[member] = pick
        return tuple(full)

    owner: tuple[tuple[int, int], ...]
    """Per variable of the original, the variable that stands for it and its place in the group."""

    def fold(self, coefs: Coefs) -> dict[int, tuple[int, ...]]:
        """Return coefficients of the original over the merged variables."""
        folded: dict[int, list[int]] = {}
        for v, values in coefs.items():
            new, k = self.owner[v]
            sums = folded.setdefault(new, [0] * len(self.picks[new]))
            for choice, pick in enumerate(self.picks[new]):
                sums[choice] += values[pick[k]]
        return {new: tuple(sums) for new, sums in folded.items()}

    def shrink(self, point: Sequence[int]) -> Point | None:
        """Return an original point as one of ``problem``; ``None`` where it breaks a tie."""
        small: list[int] = []
        for group, picks in zip(self.groups, self.picks, strict=True):
            pick = tuple(point[v] for v in group)
            if pick not in picks:
                return None
            small.append(picks.index(pick))
        return tuple(small)


def merged(where: Space, original: Problem, ties: Iterable[Sequence[int]]) -> Merged | None:
    """Return the problem with tied layers as one variable; ``None``: a tie has no choice left."""
    groups = _groups(len(original.sizes), ties)
    picks = tuple(_picks(where, original, group) for group in groups)
    if not all(picks):
        return None
    places = {m: (new, k) for new, group in enumerate(groups) for k, m in enumerate(group)}
    owner = tuple(places[v] for v in range(len(places)))
    frame = Merged(original, groups, picks, owner)
    folded = tuple(Row(row.name, frame.fold(row.coefs), row.cap) for row in original.rows)
    return Merged(Problem(tuple(len(pick) for pick in picks), folded), groups, picks, owner)


def _groups(count: int, ties: Iterable[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    parent = list(range(count))

    def root(v: int) -> int:
        while parent[v] != v:
            parent[v] = parent[parent[v]]
            v = parent[v]
        return v

    for tie in ties:
        for other in tie[1:]:
            low, high = sorted((root(tie[0]), root(other)))
            parent[high] = low
    members: dict[int, list[int]] = {}
    for v in range(len(parent)):
        members.setdefault(root(v), []).append(v)
    return tuple(tuple(group) for group in members.values())


def _picks(where: Space, original: Problem, group: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    if len(group) == 1:
        return tuple((choice,) for choice in range(original.sizes[group[0]]))
    offered: list[tuple[Precision, ...]] = [where.choices[v] for v in group]
    common = [p for p in offered[0] if all(p in other for other in offered[1:])]
    return tuple(tuple(own.index(p) for own in offered) for p in common)


def _with(clause: Clause, literal: Member) -> dict[int, frozenset[int]]:
    return {**clause, literal.v: clause.get(literal.v, frozenset[int]()) | literal.mask}
