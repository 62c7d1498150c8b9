"""The cheapest point of a problem, proven.

1. The LP relaxation gives multipliers; they make an exact cut, and that a lower bound.
2. A rounded point and the MIP solver under a node limit give an upper bound, checked exactly.
3. Nothing cheaper is left (``proof``), or a cheaper point is found, and again. When the limits are
   reached, the best point is given with the bound proven so far.

All limits count work, never time: the same problem gives the same answer everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from hawqlang.stages.allocate.cut import Cut, cut, refutation
from hawqlang.stages.allocate.dive import dive
from hawqlang.stages.allocate.highs import Relaxation
from hawqlang.stages.allocate.limits import Limits
from hawqlang.stages.allocate.problem import (
    Coefs,
    Domain,
    Point,
    Problem,
    Reduced,
    everything,
    reduce,
)
from hawqlang.stages.allocate.proof import Apart, Verdict, below
from hawqlang.stages.allocate.pseudo_boolean import Judge
from hawqlang.stages.allocate.rounding import Rounding

MIP_ROWS = 200
"""Rows of a core above which the MIP solver takes longer than what it finds is worth."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known of the cheapest point."""

    status: Literal["optimal", "feasible", "infeasible", "unknown"]
    point: Point | None = None
    cost: int | None = None
    bound: int | None = None
    """No point is cheaper; equal to ``cost`` when optimal."""
    unique: bool = False
    """No other choice of the variables asked about costs as little, or the slack more."""
    domain: Domain | None = None
    """Outside these choices every point costs more than ``cost`` and the slack; ``None``: not known."""


@dataclass(frozen=True, slots=True)
class Alike:
    """What counts as another point as cheap as the cheapest."""

    variables: frozenset[int] | None = None
    """It takes another choice of one of these; ``None``: not asked."""
    slack: int = 0
    """It may cost this much more."""


def minimise(
    problem: Problem,
    cost: Coefs,
    limits: Limits,
    start: Point | None = None,
    domain: Domain | None = None,
    alike: Alike = Alike(),
) -> Outcome:
    """Return the cheapest point of a problem.

    Args:
        problem: variables and rows.
        cost: what each choice costs; variables left out cost nothing.
        limits: how much work may be done.
        start: a point known to meet the rows.
        domain: the choices to look among; ``None`` for all.
        alike: what counts as another point as cheap, when asking whether the cheapest is unique.
    """
    reduced = reduce(problem, everything(problem) if domain is None else domain)
    if reduced is None:
        return Outcome("infeasible")
    own, constant = reduced.fold(cost)
    begin = None if start is None else reduced.shrink(start)
    asked = None
    if alike.variables is not None:
        asked = frozenset(v for v, old in enumerate(reduced.free) if old in alike.variables)
    found = _Search(reduced.problem, own, limits, Alike(asked, alike.slack)).run(begin)
    return _lifted(found, reduced, constant)


def _lifted(found: Outcome, frame: Reduced, constant: int) -> Outcome:
    if found.point is None or found.cost is None or found.bound is None:
        return found
    domain = found.domain
    if domain is not None:
        wide = list(frame.kept)
        for new, old in enumerate(frame.free):
            wide[old] = tuple(frame.kept[old][choice] for choice in domain[new])
        domain = tuple(wide)
    return Outcome(
        found.status,
        frame.expand(found.point),
        found.cost + constant,
        found.bound + constant,
        found.unique,
        domain,
    )


def price(cost: Coefs, point: Point) -> int:
    """Return the cost of a point."""
    return sum(values[point[v]] for v, values in cost.items())


class _Search:
    """One search: the best point so far, and the steps that improve it or prove it best."""

    def __init__(self, problem: Problem, cost: Coefs, limits: Limits, alike: Alike) -> None:
        self.problem = problem
        self.cost = cost
        self.limits = limits
        self.alike = alike
        self.best: Point | None = None
        self.improved = False
        self.root: Cut | None = None

    def run(self, start: Point | None) -> Outcome:
        self.offer(start)
        if not self.problem.sizes:
            return Outcome("optimal", (), 0, 0, unique=True, domain=())
        relaxation = Relaxation(self.problem, self.cost)
        solved = relaxation.solve()
        if solved.status == "infeasible":
            farkas = refutation(self.problem, solved.multipliers)
            if farkas is not None and farkas.within(everything(self.problem), 0) is None:
                return Outcome("infeasible")
        zeros = (0.0,) * len(self.problem.rows)
        duals = solved.multipliers if solved.status == "optimal" else zeros
        self.root = cut(self.problem, self.cost, duals)
        if solved.status == "optimal":
            self.offer(relaxation.choices(solved.x))
            self.offer(Rounding(self.problem, self.cost).near(relaxation.choices(solved.x)))
        if self.best is None:
            self.offer(dive(self.problem, self.cost))
        if self.best is None:
            self.offer(relaxation.best_integer(1))
            self.improved = True
        if self.best is None:
            answer = Judge(self.problem).check(self.limits.direct)
            if answer.status == "unsat":
                return Outcome("infeasible")
            self.offer(answer.point)
        return self._prove(self.root)

    def offer(self, point: Point | None) -> None:
        """Take a point as the best if it meets the rows and is cheaper."""
        if point is None or not self.problem.satisfied(point):
            return
        if self.best is None or price(self.cost, point) < price(self.cost, self.best):
            self.best = point

    def _prove(self, root: Cut) -> Outcome:
        """Improve the best point until nothing cheaper is left, or the limits are reached."""
        if self.best is None:
            ceiling = sum(max(values) for values in self.cost.values()) + 1
            return self._conclude(root, below(self.problem, self.cost, ceiling, self.limits))
        if not self.improved:
            self._improve(root)
        if self.alike.variables is not None:
            verdict = self._apart(self.alike.variables)
            if verdict.closed:
                return replace(self._conclude(root, verdict), unique=not verdict.tied)
        while True:
            upper = self._price()
            verdict = below(self.problem, self.cost, upper - 1, self.limits)
            self.offer(verdict.point)
            if verdict.closed or verdict.point is None:
                return self._conclude(root, verdict)

    def _apart(self, asked: frozenset[int]) -> Verdict:
        """Improve the best point until nothing else costs as little, as long as that is easy.

        One proof then shows both that nothing is cheaper and whether the best point is unique.
        """
        while True:
            upper, known = self._price(), Apart(self.best or (), asked, self.alike.slack)
            verdict = below(self.problem, self.cost, upper + self.alike.slack, self.limits, known)
            self.offer(verdict.point)
            if verdict.closed or self._price() == upper:
                return verdict

    def _improve(self, root: Cut) -> None:
        """Let the MIP solver look for a better point among the choices the cut leaves."""
        if not self.limits.mip_nodes:
            return
        domain = root.within(everything(self.problem), self._price() - 1)
        core = None if domain is None else reduce(self.problem, domain)
        if core is not None and core.problem.sizes and len(core.problem.rows) <= MIP_ROWS:
            own, _ = core.fold(self.cost)
            point = Relaxation(core.problem, own).best_integer(self.limits.mip_nodes)
            self.offer(None if point is None else core.expand(point))

    def _conclude(self, root: Cut, verdict: Verdict) -> Outcome:
        self.offer(verdict.point)
        best = self.best
        if best is None:
            return Outcome("infeasible" if verdict.closed else "unknown")
        upper = self._price()
        if not verdict.closed:
            bound = max(root.bound(), min(verdict.bound, upper))
            return Outcome("feasible", best, upper, bound)
        domain = root.within(everything(self.problem), upper + self.alike.slack)
        return Outcome("optimal", best, upper, upper, domain=domain)

    def _price(self) -> int:
        return price(self.cost, self.best or ())
