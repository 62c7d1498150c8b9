"""Problems as pseudo-Boolean constraints for Z3: the judge of what can and cannot be.

Z3 5.4.0 answers wrongly for coefficients from 2^31 on, so what it sees stays below: both sides of
``Σ a·x ≤ k`` lose the same low bits, rounded down. That is a relaxation (``⌊a/2^s⌋`` sums to at
most ``⌊k/2^s⌋`` wherever ``a`` sums to at most ``k``), so "unsatisfiable" proves; a model counts
only if it meets the exact rows, else a clause cuts it off and the search goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hawqlang.stages.allocate.library import z3
from hawqlang.stages.allocate.problem import Coefs, Point, Problem, Row

BITS = 30
"""Coefficients and bounds given to Z3 have at most this many bits."""

REPAIRS = 1000
"""How many models of the relaxation may be cut off in one question."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Three ways: a point that meets every exact row, a proof that there is none, or neither."""

    status: Literal["sat", "unsat", "unknown"]
    point: Point | None = None


class Judge:
    """A Z3 solver that holds a problem, without its implied rows.

    Each lives in its own context: its answers do not depend on what was solved before.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._rows = [row for row in problem.rows if not row.implied]
        self._context = z3().Context()
        self._solver = z3().Solver(ctx=self._context)
        self._choices = [self._variable(v, size) for v, size in enumerate(problem.sizes)]
        for row in self._rows:
            self._solver.add(self._at_most(row.coefs, row.cap))

    def add(self, row: Row) -> None:
        """Ask for one more row."""
        self._rows.append(row)
        self._solver.add(self._at_most(row.coefs, row.cap))

    def imply(self, coefs: Coefs, cap: int) -> None:
        """Tell a row that follows from the others: it helps the search, models need not meet it."""
        self._solver.add(self._at_most(coefs, cap))

    def forbid(self, clause: Sequence[tuple[int, int]]) -> None:
        """Ask that at least one variable does not take the choice paired with it."""
        self._solver.add(z3().Or([z3().Not(self._choices[v][c]) for v, c in clause]))

    def require_one(self, clause: Sequence[tuple[int, int]]) -> None:
        """Ask that at least one variable takes a choice paired with it."""
        self._solver.add(z3().Or([self._choices[v][c] for v, c in clause], self._context))

    def check(self, effort: int, assumed: Sequence[tuple[int, int]] = ()) -> Answer:
        """Return a point, a proof that there is none, or neither within ``effort``.

        Args:
            effort: limit of the solver's own work counter, which is the same on every machine.
            assumed: pairs of a variable and a choice that it takes, for this question only.
        """
        self._solver.set("rlimit", effort)
        literals = [self._choices[v][c] for v, c in assumed]
        for _ in range(REPAIRS):
            found = self._solver.check(*literals)
            if found == z3().unsat:
                return Answer("unsat")
            if found != z3().sat:
                return Answer("unknown")
            point = self._point(self._solver.model())
            broken = next((row for row in self._rows if row.left(point) > row.cap), None)
            if broken is None:
                return Answer("sat", point)
            self.forbid(cover(broken, point))
        return Answer("unknown")

    def _variable(self, v: int, size: int) -> list[Any]:
        library = z3()
        if size == 1:
            return [library.BoolVal(True, self._context)]
        if size == 2:
            one = library.Bool(f"x{v}", self._context)
            return [library.Not(one), one]
        literals = [library.Bool(f"x{v}_{choice}", self._context) for choice in range(size)]
        self._solver.add(library.PbEq([(literal, 1) for literal in literals], 1))
        return literals

    def _point(self, model: Any) -> Point:
        true = z3().is_true

        def taken(own: list[Any]) -> int:
            if len(own) <= 2:
                return int(len(own) == 2 and true(model.eval(own[1], True)))
            return next(c for c, one in enumerate(own) if true(model.eval(one, True)))

        return tuple(taken(own) for own in self._choices)

    def _at_most(self, coefs: Coefs, cap: int) -> Any:
        library = z3()
        terms: list[tuple[int, int, int]] = []
        slack, most = cap, 0
        for v, values in coefs.items():
            least = min(values)
            slack -= least
            most += max(values) - least
            terms += [(v, c, one - least) for c, one in enumerate(values) if one > least]
        if slack < 0:
            return library.BoolVal(False, self._context)
        if most <= slack:
            return library.BoolVal(True, self._context)
        variables = {v for v, _, _ in terms}
        if slack == len(variables) - 1 and all(one == 1 for _, _, one in terms):
            hit = {(v, c) for v, c, _ in terms}
            free = [(v, c) for v in sorted(variables) for c in range(self.problem.sizes[v])]
            return library.Or([self._choices[v][c] for v, c in free if (v, c) not in hit])
        shift = max(0, slack.bit_length() - BITS)
        bound = slack >> shift
        weighed = [
            (self._choices[v][c], (one >> shift) if one <= slack else bound + 1)
            for v, c, one in terms
        ]
        kept = [(literal, weight) for literal, weight in weighed if weight]
        return library.PbLe(kept, bound) if kept else library.BoolVal(True, self._context)


def cover(row: Row, point: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return choices of ``point`` that break ``row`` whatever the other variables take.

    They are the heaviest that suffice: forbidding them together follows from the row.
    """
    least = {v: min(values) for v, values in row.coefs.items()}
    slack = row.cap - sum(least.values())
    weight = {v: values[point[v]] - least[v] for v, values in row.coefs.items()}
    chosen: list[tuple[int, int]] = []
    for v in sorted(weight, key=lambda v: (-weight[v], v)):
        chosen.append((v, point[v]))
        slack -= weight[v]
        if slack < 0:
            break
    return tuple(chosen)
