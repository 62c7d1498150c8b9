"""What another allocation would cost: one layer forced wider, or the plan itself forbidden. Both are solved again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from hawqlang.base import Precision
from hawqlang.ir.plan import Change, Price, RunnerUp
from hawqlang.ir.spec import Goal as SpecGoal
from hawqlang.stages.allocate.encoding import assemble, goal_name
from hawqlang.stages.allocate.goals import optimise
from hawqlang.stages.allocate.limits import NORMAL, Limits
from hawqlang.stages.allocate.problem import Point, Row
from hawqlang.stages.allocate.results import metrics
from hawqlang.stages.allocate.solve import DEFAULT, Question
from hawqlang.stages.candidates.metrics import Allocation, value

MANY_QUESTIONS = Limits(direct=1_000, leaf=1_000, mip_nodes=0, nodes=300)
"""For many small questions near a known optimum: what finds good points costs more than it saves, and so does asking
Z3 about a whole core for long."""


class Prices:
    """Prices of single steps; what they share is solved once."""

    def __init__(self, asked: Question, allocation: Allocation) -> None:
        self._asked = asked
        self._allocation = allocation
        self._merged = assemble(asked.where, asked.constraints, asked.refused, asked.goals[:1])
        self._best = self._optimum()

    def _optimum(self) -> Allocation:
        """Return an allocation that is best by the first goal alone, which the plan may let slip."""
        goals = self._asked.goals
        if self._merged is None or goals[0].within == 0:
            return self._allocation
        found = optimise(self._asked.where, self._merged, goals[:1], MANY_QUESTIONS)
        return self._allocation if found.point is None else self._at(found.point)

    def of(self, group: Iterable[int], to: Precision) -> Price | None:
        """Return the price of a group of tied layers at another precision; ``None``: nothing was found in time."""
        asked, merged = self._asked, self._merged
        if merged is None:
            return None
        moved = tuple(group)
        v, _ = merged.owner[moved[0]]
        own = asked.where.choices[merged.groups[v][0]]
        other = tuple(int(own[pick[0]] != to) for pick in merged.picks[v])
        forced = replace(merged, problem=merged.problem.adding(Row("", {v: other}, 0)))
        found = optimise(asked.where, forced, asked.goals[:1], MANY_QUESTIONS)
        goal = _goals(asked)[0]
        if found.status == "infeasible":
            return Price(precision=to, goal=goal_name(goal.metric), change=None, bound=None)
        if found.point is None:
            return None
        best = self._at(found.point)
        before = value(asked.known, goal.metric, self._best)
        change = value(asked.known, goal.metric, best) - before
        first = found.reached[0]
        bound = (first.bound if goal.sense == "minimize" else -first.bound) - before
        names = {asked.known.table.layers[i].name for i in moved}
        everything = _changes(asked, self._allocation, best)
        return Price(
            precision=to,
            goal=goal_name(goal.metric),
            change=float(change),
            bound=float(change if first.proven else bound),
            metrics=_difference(asked, self._allocation, best),
            changes=tuple(one for one in everything if one.layer not in names),
        )

    def _at(self, point: Point) -> Allocation:
        return self._asked.where.allocation(point)


def runner_up(asked: Question, allocation: Allocation) -> RunnerUp | None:
    """Return the best allocation but one; ``None`` where there is none, or none was found in time."""
    where = asked.where
    taken = [own.index(p) for own, p in zip(where.choices, allocation, strict=True)]
    coefs = {
        i: tuple(int(choice == taken[i]) for choice in range(len(own)))
        for i, own in enumerate(where.choices)
    }
    found = asked.answer(NORMAL, Row("", coefs, len(coefs) - 1))
    if found.point is None:
        return None
    other = where.allocation(found.point)
    status: Literal["optimal", "feasible"] = "optimal" if found.status == "optimal" else "feasible"
    return RunnerUp(
        status=status,
        objective=tuple(
            (
                goal_name(goal.metric),
                float(
                    value(asked.known, goal.metric, other)
                    - value(asked.known, goal.metric, allocation)
                ),
            )
            for goal in _goals(asked)
        ),
        metrics=_difference(asked, allocation, other),
        changes=_changes(asked, allocation, other),
    )


def _goals(asked: Question) -> tuple[SpecGoal, ...]:
    return asked.known.build.objective or (DEFAULT,)


def _changes(asked: Question, before: Allocation, after: Allocation) -> tuple[Change, ...]:
    layers = asked.known.table.layers
    return tuple(
        Change(layer=layer.name, before=old, after=new)
        for layer, old, new in zip(layers, before, after, strict=True)
        if old != new
    )


def _difference(
    asked: Question, before: Allocation, after: Allocation
) -> tuple[tuple[str, float], ...]:
    """Return the change of every metric of a plan."""
    old = dict(metrics(asked.known, before))
    return tuple((key, new - old[key]) for key, new in metrics(asked.known, after))
