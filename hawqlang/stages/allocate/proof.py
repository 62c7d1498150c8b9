"""Whether a problem has a point of cost at most U: found, or proven not to be there.

1. Cuts and covers, exact integers all, shrink the problem: choices whose reduced cost exceeds the
   gap go, rows that every such point satisfies are added, until nothing more is gained.
2. Z3 is asked about what is left: "unsatisfiable" proves, a model is a point.
3. Where that is too hard, branch and bound splits it: the LP proposes, every leaf is closed by an
   exact cut or by Z3.
"""

from __future__ import annotations

from dataclasses import dataclass

from hawqlang.stages.allocate.branch import Branching, branch
from hawqlang.stages.allocate.covers import cover, knapsack
from hawqlang.stages.allocate.cut import cut, refutation
from hawqlang.stages.allocate.highs import Relaxation
from hawqlang.stages.allocate.limits import Limits
from hawqlang.stages.allocate.problem import (
    Coefs,
    Point,
    Problem,
    Reduced,
    Row,
    differing,
    everything,
    reduce,
)
from hawqlang.stages.allocate.pseudo_boolean import Judge

ROUNDS = 40
"""How often covers are looked for at most."""

GAIN = 0.02
"""Part of the gap that a round has to close to count as progress."""

PATIENCE = 3
"""Rounds without progress after which the search for covers ends."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of the points of cost at most U."""

    point: Point | None
    """One of them, the cheapest where ``closed``."""
    closed: bool
    """None is cheaper than ``point``; there is none at all where it is ``None``."""
    bound: int
    """No point is cheaper than this."""
    tied: bool = False
    """Another point may cost as little; only told where uniqueness is asked for."""


@dataclass(frozen=True, slots=True)
class Apart:
    """A known point, to look for others that cost as little."""

    point: Point
    variables: frozenset[int]
    """Those that tell points apart."""
    slack: int = 0
    """By how much another may cost more and still counts as cheap."""


def below(
    problem: Problem, cost: Coefs, most: int, limits: Limits, apart: Apart | None = None
) -> Verdict:
    """Return a point of cost at most ``most``, or the proof that there is none.

    Args:
        problem: variables and rows.
        cost: what each choice costs.
        most: ``U``; the cost of the point of ``apart`` and its slack, where that is given.
        limits: the work allowed.
        apart: a point to leave out; one question then tells whether anything is cheaper and
            whether anything else costs as little.
    """
    if apart is not None:
        problem = problem.adding(differing(problem, sorted(apart.variables), apart.point))
    whole = reduce(problem, everything(problem))
    core = None if whole is None else _shrunk(whole, cost, most)
    if core is None:
        return Verdict(None, closed=True, bound=most + 1)
    own, constant = core.fold(cost)
    if not core.problem.sizes:
        return _only(core.expand(()), constant, most, apart)
    answer = _ask(core.problem, own, most - constant, limits)
    if answer == "unsat":
        return Verdict(None, closed=True, bound=most + 1)
    if isinstance(answer, tuple):
        return Verdict(core.expand(answer), closed=False, bound=constant)
    asked, slack = None, 0
    if apart is not None:
        asked = tuple(new for new, old in enumerate(core.free) if old in apart.variables)
        slack = apart.slack
    found = branch(Branching(core.problem, own, limits, asked, slack), most - constant + 1)
    point = None if found.point is None else core.expand(found.point)
    return Verdict(point, found.closed, found.bound + constant, found.tied)


def _only(point: Point, cost: int, most: int, apart: Apart | None) -> Verdict:
    """Return the verdict where one point is left, beside the one known."""
    if apart is None:
        return Verdict(point, closed=True, bound=cost)
    known = most - apart.slack
    better = point if cost < known else None
    tied = cost >= known or cost + apart.slack >= known
    return Verdict(better, closed=True, bound=min(cost, known), tied=tied)


def hint(judge: Judge, cost: Coefs, most: int) -> None:
    """Tell Z3 the cut that follows from its rows and from "the cost is at most ``most``".

    Without it Z3 has to find out how the rows trade against the cost; with it, most choices fall.
    """
    solved = Relaxation(judge.problem, cost).solve()
    if solved.status == "optimal":
        helper = cut(judge.problem, cost, solved.multipliers)
        judge.imply(helper.coefs(), helper.gap(most))


def _ask(problem: Problem, cost: Coefs, most: int, limits: Limits) -> Point | str:
    judge = Judge(problem)
    judge.add(Row("", cost, most))
    hint(judge, cost, most)
    answer = judge.check(limits.direct)
    return answer.status if answer.point is None else answer.point


def _shrunk(frame: Reduced, cost: Coefs, most: int) -> Reduced | None:
    """Return the problem without choices that points of cost at most ``most`` cannot take.

    It has more rows, which all such points satisfy; ``None``: there is no such point.
    """
    gap, stalled = None, 0
    for _ in range(ROUNDS):
        own, constant = frame.fold(cost)
        if not frame.problem.sizes:
            return frame if constant <= most else None
        step = _round(frame.problem, own, most - constant)
        if step.inner is None:
            return frame if step.stuck else None
        smaller = step.inner.problem.sizes != frame.problem.sizes
        gained = gap is None or step.gap < gap * (1 - GAIN)
        stalled = 0 if smaller or gained else stalled + 1
        if stalled >= PATIENCE or not (smaller or step.fresh):
            return frame
        gap = step.gap
        frame = frame.then(step.inner)
    return frame


@dataclass(frozen=True, slots=True)
class _Step:
    """One round of cuts and covers."""

    inner: Reduced | None
    """What is left of the problem; ``None``: nothing, or nothing new where ``stuck``."""
    stuck: bool
    fresh: int = 0
    """Covers found."""
    gap: int = 0
    """From the LP's bound to the cost asked for."""


def _round(problem: Problem, cost: Coefs, most: int) -> _Step:
    relaxation = Relaxation(problem, cost)
    solved = relaxation.solve()
    whole = everything(problem)
    if solved.status != "optimal":
        ray = refutation(problem, solved.multipliers)
        return _Step(None, stuck=ray is None or ray.within(whole, 0) is not None)
    made = cut(problem, cost, solved.multipliers)
    left = made.within(whole, most)
    if left is None:
        return _Step(None, stuck=False)
    sources = [row for row in problem.rows if not (row.implied or row.is_clause())]
    sources.append(Row("", cost, most))
    sources.append(Row("", made.coefs(), made.gap(most)))
    x = relaxation.supports(solved.x)
    fresh = [one for row in sources if (one := cover(knapsack(row), x)) is not None]
    pairs = zip(problem.rows, made.multipliers, strict=True)
    active = [row for row, times in pairs if times or not row.implied]
    inner = reduce(Problem(problem.sizes, (*active, *fresh)), left)
    return _Step(inner, stuck=False, fresh=len(fresh), gap=most + 1 - made.bound())
