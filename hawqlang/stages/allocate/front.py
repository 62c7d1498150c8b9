"""The front of two metrics, each point proven.

A budget ``x ≤ c`` becomes a row; the lexicographic optimum of ``(y, x)`` under it is a point that
no allocation beats, because whatever is at least as good in both lies within the budget too:

    p(c) = lexmin { (y(a), x(a)) : a meets the constraints, x(a) ≤ c }

Budgets are taken from the largest down. The next one is the largest below ``x(p)``: for all in
between ``p`` is the answer as well. With budgets a step ``δ`` apart, every allocation ``a`` has a
point with ``y(p) ≤ y(a)`` and ``x(p) < x(a) + δ``; with the next value that ``x`` can have as the
next budget, every non-dominated value is found. Metrics to maximise enter with a minus. Both
optima are exact (``goals``), however close two allocations are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from hawqlang import __version__
from hawqlang.cache import digest
from hawqlang.ir.candidates import CandidateTable
from hawqlang.ir.front import Corner
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.spec import Build
from hawqlang.ir.spec import Goal as SpecGoal
from hawqlang.stages.allocate.encoding import assemble
from hawqlang.stages.allocate.goals import Goal, Optimum, optimise, within
from hawqlang.stages.allocate.limits import NORMAL, Limits
from hawqlang.stages.allocate.rows import Merged
from hawqlang.stages.allocate.solve import judge, question, relative_gap, tie_breakers
from hawqlang.stages.allocate.space import Space
from hawqlang.stages.candidates.metrics import Allocation, Facts, value


@dataclass(frozen=True, slots=True)
class Tradeoff:
    """A build's problem with the two metrics as goals, smaller being better in both."""

    where: Space
    merged: Merged
    x: Goal
    y: Goal
    rest: tuple[Goal, ...]
    """What decides between allocations equal in both."""
    aims: tuple[SpecGoal, SpecGoal]
    """Both metrics as the reader names them."""
    limits: Limits

    @property
    def known(self) -> Facts:
        """What metrics are read against."""
        return self.where.known

    def values(self, allocation: Allocation) -> tuple[Fraction, Fraction]:
        """Return both metrics of an allocation in their own units."""
        x, y = (value(self.known, aim.metric, allocation) for aim in self.aims)
        return x, y

    def cost(self, allocation: Allocation) -> Fraction:
        """Return the first metric, with a minus where it is to be maximised."""
        x, _ = self.values(allocation)
        return -x if self.aims[0].sense == "maximize" else x

    def unit(self) -> Fraction:
        """Return a number of which every difference of the first metric is a multiple."""
        return Fraction(1, math.lcm(*(form.denominator() for form in self.x.forms)))

    def key(self) -> str:
        """Return what the answers depend on: the numbers of the problem, and no place in a text."""
        whole, merged = self.merged.problem, self.merged
        rows = tuple((row.coefs, row.cap) for row in whole.rows)
        layers = (self.where.choices, whole.sizes, merged.groups, merged.picks)
        goals = (self.x, self.y, *self.rest)
        return digest("front", __version__, layers, rows, goals, self.limits)


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget to look within, and where to begin."""

    most: Fraction | None
    """Of ``Tradeoff.cost``; ``None``: no budget, and the first metric counts first."""
    start: Allocation | None = None
    """An allocation within the budget; the search may begin there."""


Answer = Callable[[Budget], Corner]
"""What finds the best allocation within a budget, or remembers it."""


def tradeoff(
    build: Build,
    table: LayerTable,
    candidates: CandidateTable,
    aims: tuple[SpecGoal, SpecGoal],
    limits: Limits = NORMAL,
) -> Tradeoff | None:
    """Return the problem of a build's front; ``None`` where a tie cannot hold.

    Args:
        build: the constraints that every point has to meet.
        table: the layers.
        candidates: what each layer may take.
        aims: the metrics x and y, and which way each is better.
        limits: the work allowed to one minimisation.

    Raises:
        HawqError: a selector matches nothing, or a metric is not known for these layers.
    """
    asked = question(build.replace(objective=aims), table, candidates)
    where, (x, y) = asked.where, asked.goals
    rest = tie_breakers(where, (x, y))
    merged = assemble(where, asked.constraints, (), [x, y, *rest])
    return None if merged is None else Tradeoff(where, merged, x, y, tuple(rest), aims, limits)


def solve(trade: Tradeoff, budget: Budget) -> Corner:
    """Return the best allocation within a budget.

    Without a budget that is the one of smallest x, and of smallest y among those.
    """
    merged, first, second = trade.merged, trade.x, trade.y
    if budget.most is not None:
        rows = within(merged, first, budget.most)
        merged = replace(merged, problem=merged.problem.adding(*rows))
        first, second = second, first
    found = _lexicographic(trade, merged, (first, second), budget.start)
    if found.point is None:
        return Corner(precisions=(), proven=found.status == "infeasible", gap=0.0)
    allocation = trade.where.allocation(found.point)
    judge(trade.known, allocation)
    proven = found.status == "optimal"
    return Corner(
        precisions=allocation, proven=proven, gap=0.0 if proven else relative_gap(found.reached)
    )


def walk(
    trade: Tradeoff, steps: int | None, also: Sequence[Fraction], answer: Answer
) -> Iterator[Corner]:
    """Yield the points of the front, the largest x first.

    Args:
        trade: the problem.
        steps: how many budgets between the smallest x and the largest; ``None`` for all.
        also: further budgets.
        answer: what solves, or remembers.
    """
    left = answer(Budget(None))
    if not left.precisions:
        return
    lowest = trade.cost(left.precisions)
    point = answer(Budget(_highest(trade), left.precisions))
    yield point
    last = trade.cost(point.precisions)
    unit, step = trade.unit(), resolution(lowest, last, steps)
    while last > lowest:
        budget = _next_budget(last, unit, step, lowest)
        budget = max((budget, *(one for one in also if one < last)))
        point = left if budget <= lowest else answer(Budget(budget, left.precisions))
        yield point
        last = trade.cost(point.precisions)


def resolution(lowest: Fraction, highest: Fraction, steps: int | None) -> Fraction:
    """Return how far apart budgets are; 0 where all values count."""
    return Fraction(0) if steps is None else (highest - lowest) / steps


def _next_budget(last: Fraction, unit: Fraction, step: Fraction, lowest: Fraction) -> Fraction:
    """Return the largest budget below ``last``, as a value that x can have."""
    if step == 0:
        return last - unit
    budget = lowest + (math.ceil((last - lowest) / step) - 1) * step
    return lowest + math.floor((budget - lowest) / unit) * unit


def _highest(trade: Tradeoff) -> Fraction:
    """Return a budget that no allocation exceeds."""
    return max(
        form.constant + sum(max(values) for values in form.parts.values()) for form in trade.x.forms
    )


def _lexicographic(
    trade: Tradeoff, merged: Merged, goals: tuple[Goal, Goal], start: Allocation | None
) -> Optimum:
    """Return the best point in the first goal, then the second, then by the rule for ties.

    Most optima are the only one, and the proof of the first goal shows it: that the second goal
    comes as the first of the ties spares it a search of its own.
    """
    first, second = goals
    where, begin = trade.where, None if start is None else _point(trade.where, start)
    found = optimise(where, merged, [first], trade.limits, [second, *trade.rest], begin)
    if found.status != "optimal" or found.unique:
        return found
    return optimise(where, merged, [first, second], trade.limits, start=found.point)


def _point(where: Space, allocation: Allocation) -> tuple[int, ...]:
    pairs = zip(where.choices, allocation, strict=True)
    return where.complete([own.index(precision) for own, precision in pairs])
