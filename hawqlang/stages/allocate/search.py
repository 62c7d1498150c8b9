"""The cheapest point of a problem, proven.

1. The LP relaxation gives multipliers; they make an exact cut, and that a lower bound.
2. A rounded point and the MIP solver under a node limit give an upper bound, checked exactly.
3. Choices whose reduced cost exceeds the gap go; what is left is small.
4. Z3 is asked for anything cheaper in what is left: "unsatisfiable" proves, a model improves.
5. Where that is too hard, branch and bound splits it: the LP proposes, every leaf is closed by an
   exact cut or by Z3. When the nodes run out, the best point is given with the bound proven so far.

All limits count work, never time: the same problem gives the same answer everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hawqlang.stages.allocate.branch import Branching, branch
from hawqlang.stages.allocate.cut import Cut, cut, refutation
from hawqlang.stages.allocate.highs import Relaxation
from hawqlang.stages.allocate.limits import Limits
from hawqlang.stages.allocate.problem import (
    Coefs,
    Domain,
    Point,
    Problem,
    Reduced,
    Row,
    everything,
    reduce,
)
from hawqlang.stages.allocate.pseudo_boolean import Judge
from hawqlang.stages.allocate.rounding import rounded


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known of the cheapest point."""

    status: Literal["optimal", "feasible", "infeasible", "unknown"]
    point: Point | None = None
    cost: int | None = None
    bound: int | None = None
    """No point is cheaper; equal to ``cost`` when optimal."""
    domain: Domain | None = None
    """Outside these choices every point costs more than ``cost``; ``None``: not known."""


def minimise(
    problem: Problem,
    cost: Coefs,
    limits: Limits,
    start: Point | None = None,
    domain: Domain | None = None,
) -> Outcome:
    """Return the cheapest point of a problem.

    Args:
        problem: variables and rows.
        cost: what each choice costs; variables left out cost nothing.
        limits: how much work may be done.
        start: a point known to meet the rows.
        domain: the choices to look among; ``None`` for all.
    """
    reduced = reduce(problem, everything(problem) if domain is None else domain)
    if reduced is None:
        return Outcome("infeasible")
    own, constant = reduced.fold(cost)
    begin = None if start is None else reduced.shrink(start)
    found = _Search(reduced.problem, own, limits).run(begin)
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
        domain,
    )


def price(cost: Coefs, point: Point) -> int:
    """Return the cost of a point."""
    return sum(values[point[v]] for v, values in cost.items())


class _Search:
    """One search: the best point so far, and the steps that improve it or prove it best."""

    def __init__(self, problem: Problem, cost: Coefs, limits: Limits) -> None:
        self.problem = problem
        self.cost = cost
        self.limits = limits
        self.best: Point | None = None
        self.root: Cut | None = None

    def run(self, start: Point | None) -> Outcome:
        self.offer(start)
        if not self.problem.sizes:
            return Outcome("optimal", (), 0, 0, ())
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
            self.offer(rounded(self.problem, self.cost, relaxation.choices(solved.x)))
        if self.best is None:
            self.offer(relaxation.best_integer(self.limits.mip_nodes))
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
        asked_mip = False
        while self.best is not None:
            upper = price(self.cost, self.best)
            domain = root.within(everything(self.problem), upper - 1)
            core = None if domain is None else reduce(self.problem, domain)
            if core is None:
                return self._optimal(root)
            own, constant = core.fold(self.cost)
            if not asked_mip:
                asked_mip = True
                point = Relaxation(core.problem, own).best_integer(self.limits.mip_nodes)
                self.offer(None if point is None else core.expand(point))
                if price(self.cost, self.best) < upper:
                    continue
            answer = self._ask(core, own, upper - 1 - constant)
            if answer == "unsat":
                return self._optimal(root)
            if answer == "unknown":
                return self._split(root, core, own, constant)
        return self._split_whole(root)

    def _ask(self, core: Reduced, own: Coefs, most: int) -> str:
        """Ask Z3 for a point of the core that costs at most ``most``; take it if there is one."""
        if not core.problem.sizes:
            self.offer(core.expand(()))
            return "sat" if most >= 0 else "unsat"
        judge = Judge(core.problem)
        judge.add(Row("", own, most))
        solved = Relaxation(core.problem, own).solve()
        if solved.status == "optimal":
            helper = cut(core.problem, own, solved.multipliers)
            pairs = enumerate(helper.reduced)
            judge.imply({v: values for v, values in pairs if any(values)}, helper.gap(most))
        answer = judge.check(self.limits.direct)
        if answer.point is not None:
            self.offer(core.expand(answer.point))
        return answer.status

    def _optimal(self, root: Cut) -> Outcome:
        best = self.best
        if best is None:
            return Outcome("infeasible")
        upper = price(self.cost, best)
        domain = root.within(everything(self.problem), upper)
        return Outcome("optimal", best, upper, upper, domain)

    def _split(self, root: Cut, core: Reduced, own: Coefs, constant: int) -> Outcome:
        best = self.best
        if best is None:
            return Outcome("unknown")
        upper = price(self.cost, best)
        found = branch(Branching(core.problem, own, self.limits), upper - constant)
        if found.point is not None:
            best = core.expand(found.point)
            upper = price(self.cost, best)
            self.offer(best)
        if found.closed:
            return self._optimal(root)
        bound = max(root.bound(), min(found.bound + constant, upper))
        return Outcome("feasible", best, upper, bound)

    def _split_whole(self, root: Cut) -> Outcome:
        """Search without any point at hand."""
        ceiling = sum(max(values) for values in self.cost.values()) + 1
        found = branch(Branching(self.problem, self.cost, self.limits), ceiling)
        self.offer(found.point)
        if found.closed:
            return self._optimal(root)
        if self.best is None:
            return Outcome("unknown")
        bound = max(root.bound(), found.bound)
        return Outcome("feasible", self.best, price(self.cost, self.best), bound)
