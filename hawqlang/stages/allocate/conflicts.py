"""Which constraints cannot be met together: minimal sets, each proven.

A set of named constraints is decided by LP, cuts, branch and bound and Z3 like any other problem.
The LP's refutation names a small set; each member is then left out in turn: if the rest is still
refuted it goes, if a point is found (checked exactly) it stays. A question that runs out of work
keeps the member and is told. What is left is proven once more by Z3 alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from hawqlang.ir.spec import Constraint
from hawqlang.stages.allocate.cut import refutation
from hawqlang.stages.allocate.encoding import Encoded
from hawqlang.stages.allocate.highs import Relaxation
from hawqlang.stages.allocate.limits import Limits
from hawqlang.stages.allocate.problem import Point, Problem, Row, everything
from hawqlang.stages.allocate.pseudo_boolean import Judge
from hawqlang.stages.allocate.rows import problem, rows
from hawqlang.stages.allocate.search import minimise
from hawqlang.stages.allocate.space import Space, all_equal


@dataclass(frozen=True, slots=True)
class Conflict:
    """Constraints that cannot be met together."""

    names: tuple[str, ...]
    """In the order written; the name "" stands for the allocations excluded."""
    minimal: bool
    """Whether every proper subset is proven to be satisfiable."""
    proven_by_z3: bool
    """Whether Z3 alone proved the set unsatisfiable once more."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether constraints can be met together."""

    status: Literal["sat", "unsat", "unknown"]
    point: Point | None = None
    names: tuple[str, ...] = ()
    """Of an "unsat": names that suffice for it."""


class Deciding:
    """Decides sets of named constraints; the points it finds are kept for later questions."""

    def __init__(self, where: Space, constraints: Iterable[Encoded], limits: Limits) -> None:
        self.where = where
        self.limits = limits
        self.rows = {one.name: _all_rows(where, one) for one in constraints}
        self.points: list[Point] = []

    def decide(self, names: Sequence[str]) -> Decision:
        """Return whether the constraints called ``names`` can be met together."""
        whole = self.problem(names)
        for point in self.points:
            if len(point) == len(whole.sizes) and whole.satisfied(point):
                return Decision("sat", point)
        solved = Relaxation(whole, {}).solve()
        if solved.status == "infeasible":
            ray = refutation(whole, solved.multipliers)
            if ray is not None and ray.within(everything(whole), 0) is None:
                used = {
                    row.name
                    for row, times in zip(whole.rows, ray.multipliers, strict=True)
                    if times
                }
                return Decision("unsat", None, tuple(name for name in names if name in used))
        found = minimise(whole, {}, self.limits)
        if found.point is not None:
            self.points.append(found.point)
            return Decision("sat", found.point)
        if found.status == "infeasible":
            return Decision("unsat", None, tuple(names))
        return Decision("unknown")

    def problem(self, names: Sequence[str]) -> Problem:
        """Return the problem of the constraints called ``names``."""
        return problem(self.where, [self.rows[name] for name in names], ())

    def conflicts(self) -> tuple[Conflict, ...]:
        """Return minimal sets that cannot be met, no two sharing a member; none where all can."""
        left = list(self.rows)
        found: list[Conflict] = []
        while (decision := self.decide(left)).status == "unsat":
            conflict = self._minimal(decision.names)
            found.append(conflict)
            if not conflict.names:
                break
            left = [name for name in left if name not in conflict.names]
        order = list(self.rows)
        return tuple(sorted(found, key=lambda one: [order.index(name) for name in one.names]))

    def _minimal(self, names: Sequence[str]) -> Conflict:
        core, minimal = list(names), True
        for name in reversed(names):
            if name not in core:
                continue
            decision = self.decide([other for other in core if other != name])
            if decision.status == "unsat":
                core = [other for other in core if other in decision.names]
            elif decision.status == "unknown":
                minimal = False
        order = list(self.rows)
        core.sort(key=order.index)
        return Conflict(tuple(core), minimal, self._proven_by_z3(core))

    def _proven_by_z3(self, names: Sequence[str]) -> bool:
        whole = self.problem(names)
        judge = Judge(whole)
        solved = Relaxation(whole, {}).solve()
        ray = refutation(whole, solved.multipliers) if solved.status == "infeasible" else None
        if ray is not None:
            judge.imply(ray.coefs(), ray.gap(0))
        return judge.check(self.limits.direct).status == "unsat"


def by_name(constraints: Iterable[Constraint]) -> dict[str, Constraint]:
    """Return constraints by their name."""
    return {one.name: one for one in constraints}


def _all_rows(where: Space, one: Encoded) -> tuple[Row, ...]:
    """Return every row of a constraint, those of its ties included."""
    tied = [
        row for tie in one.ties for row in rows(where, one.name, all_equal(where, "precision", tie))
    ]
    return (*one.rows, *tied)
