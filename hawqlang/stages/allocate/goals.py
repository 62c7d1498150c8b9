"""Several goals in order, then the rule for ties: one answer, whatever finds it.

Each goal is minimised in integers; then it becomes a row (``≤ optimum``, plus the slip allowed) and
the next one follows. Equal optima: smaller perturbation, then smaller size, then lexicographically
larger bits. Numbers that are no small integers are scaled over the choices that are left,

    c = round((Ω[v, j] - min_j Ω[v, j]) · 2^60 / Σ_v (max_j - min_j) Ω[v, j])

and whatever is best lies within ``N`` units, ``N`` the number of variables, of the integers' optimum.
Where only one allocation does, it is the exact optimum. Else the choices that no point so cheap can
take go, what is left is scaled anew, and in the end taken exactly: numbers that differ by many
orders of magnitude are told apart like any others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from hawqlang.stages.allocate.formula import Form
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
from hawqlang.stages.allocate.proof import hint
from hawqlang.stages.allocate.pseudo_boolean import Judge
from hawqlang.stages.allocate.rows import Merged
from hawqlang.stages.allocate.search import Alike, Outcome, minimise, price
from hawqlang.stages.allocate.space import Space

SCALE = 2**60
"""What the scaled costs span."""

EXACT = 2**64
"""Costs that span no more are not scaled."""

GAIN = 16
"""How much finer another scale has to be to be worth it; else the costs are taken exactly."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One thing to minimise: a form, or the largest of several (``peak_memory``)."""

    name: str
    forms: tuple[Form, ...]
    within: Fraction = Fraction(0)
    """Slip allowed for the sake of later goals, as a part of the optimum."""


@dataclass(frozen=True, slots=True)
class Integers:
    """Costs over some choices, each variable's from 0 up, in small integers."""

    cost: Coefs
    unit: Fraction
    """What one unit of ``cost`` stands for, in units of the exact costs."""
    constant: int
    """What was taken off, in units of the exact costs."""
    slack: int
    """0 where ``cost`` is exact; else the best point costs at most this much more than the least."""


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a goal was brought, in units of its form."""

    name: str
    value: Fraction
    bound: Fraction
    """Proven: no allocation does better (the slip of earlier goals taken into account)."""
    proven: bool
    error: Fraction
    """How much less another allocation might reach all the same."""


@dataclass(frozen=True, slots=True)
class Optimum:
    """The answer to a list of goals."""

    status: Literal["optimal", "feasible", "infeasible", "unknown"]
    point: Point | None = None
    reached: tuple[Reached, ...] = ()
    unique: bool = False
    """Whether the rule for ties was carried through."""


def integers(exact: Coefs, domain: Domain, *, scaled: bool = True) -> Integers:
    """Return costs as integers from 0 up, scaled where they are large, unless not ``scaled``.

    Args:
        exact: what each choice costs, in integers of any size.
        domain: the choices to look at; what the others cost is left open.
        scaled: whether to scale at all.
    """
    least = {v: min(values[c] for c in domain[v]) for v, values in exact.items()}
    spans = (max(values[c] for c in domain[v]) - least[v] for v, values in exact.items())
    span, constant = sum(spans), sum(least.values())
    if span <= EXACT or not scaled:
        cost = {v: tuple(one - least[v] for one in values) for v, values in exact.items()}
        return Integers(cost, Fraction(1), constant, 0)
    cost = {
        v: tuple((2 * SCALE * (one - least[v]) + span) // (2 * span) for one in values)
        for v, values in exact.items()
    }
    return Integers(cost, Fraction(span, SCALE), constant, len(cost))


def within(merged: Merged, goal: Goal, cap: Fraction) -> list[Row]:
    """Return the rows of "every form of the goal is at most ``cap``"."""
    rows: list[Row] = []
    for form in goal.forms:
        whole = Form(form.constant - cap, form.parts).integral()
        rows.append(Row(goal.name, merged.fold(whole.parts), -whole.constant))
    return rows


def optimise(
    where: Space,
    merged: Merged,
    goals: Sequence[Goal],
    limits: Limits,
    ties: Sequence[Goal] | None = None,
    start: Point | None = None,
) -> Optimum:
    """Return the best point of a problem under goals in order of priority.

    Args:
        where: the choices; its flags only follow the layers.
        merged: the problem; points are those of its original.
        goals: what to minimise.
        limits: the work allowed to each minimisation.
        ties: what decides between equal optima, before larger bits do; ``None``: any will do.
        start: a point known to meet every row, of the original problem.
    """
    state = _State(where, merged, limits)
    state.point = None if start is None else merged.shrink(start)
    for goal in goals:
        if not state.reach(goal, tell_apart=ties is not None and goal is goals[-1]):
            return Optimum(state.failure)
    if state.point is None:
        return Optimum("unknown")
    proven = all(one.proven for one in state.reached)
    unique = proven and ties is not None and _settled(state, ties)
    status = "optimal" if proven else "feasible"
    return Optimum(status, merged.expand(state.point), tuple(state.reached), unique)


def _settled(state: _State, ties: Sequence[Goal]) -> bool:
    """Carry the rule for ties through; say whether it led to one answer."""
    for tie in ties:
        if state.alone:
            return True
        before = len(state.reached)
        if not state.reach(tie, tell_apart=True) or not state.reached[-1].proven:
            return False
        del state.reached[before:]
    return state.alone or state.largest_bits()


@dataclass(frozen=True, slots=True)
class _Least:
    """The cheapest point of exact costs."""

    point: Point | None
    failure: Literal["infeasible", "unknown"] = "unknown"
    proven: bool = False
    """None is cheaper, to within what lies between ``bound`` and its cost."""
    bound: Fraction = Fraction(0)
    unique: bool = False
    domain: Domain | None = None


def _refined(
    exact: Coefs,
    domain: Domain,
    solve: Callable[[Integers, Point | None, Domain], Outcome],
    start: Point | None,
) -> _Least:
    """Return the cheapest point: at a scale that fits the choices left, then at a finer one.

    Args:
        exact: costs, integers of any size.
        domain: the choices to look among.
        solve: returns the cheapest point of small integers.
        start: a point that is known.
    """
    best = _Least(start)
    costs = integers(exact, domain)
    while True:
        found = solve(costs, best.point, domain)
        if found.point is None or found.bound is None:
            return _Least(None, "infeasible" if found.status == "infeasible" else "unknown")
        bound = (found.bound - costs.slack) * costs.unit + costs.constant
        if found.status != "optimal":
            if best.proven and best.point is not None:  # at a coarser scale
                point = min(best.point, found.point, key=lambda one: price(exact, one))
                return replace(best, point=point)
            return _Least(found.point, bound=bound)
        if found.unique or costs.slack == 0:
            worth = Fraction(price(exact, found.point))
            return _Least(found.point, "unknown", True, worth, found.unique, found.domain)
        best = _Least(found.point, "unknown", True, bound, False, found.domain)
        domain = found.domain or domain
        finer = integers(exact, domain)
        if finer.unit * GAIN > costs.unit:
            finer = integers(exact, domain, scaled=False)
        costs = finer


class _State:
    """The problem with the goals reached so far as rows, and the point that reaches them."""

    def __init__(self, where: Space, merged: Merged, limits: Limits) -> None:
        self.where = where
        self.merged = merged
        self.limits = limits
        self.problem: Problem = merged.problem
        self.domain = everything(merged.problem)
        self.point: Point | None = None
        self.reached: list[Reached] = []
        self.last: Row | None = None
        self.alone = False
        self.failure: Literal["infeasible", "unknown"] = "unknown"

    def reach(self, goal: Goal, *, tell_apart: bool) -> bool:
        """Minimise a goal and hold it from now on; false where no point is found."""
        if len(goal.forms) == 1:
            return self._reach_form(goal, goal.forms[0], tell_apart=tell_apart)
        return self._reach_largest(goal)

    def _judge(self, reduced: Reduced) -> Judge:
        """Return Z3 with the problem and with what follows from the last goal."""
        judge = Judge(reduced.problem)
        if self.last is not None:
            own, constant = reduced.fold(self.last.coefs)
            hint(judge, own, self.last.cap - constant)
        return judge

    def largest_bits(self) -> bool:
        """Move to the point of lexicographically largest bits; say whether that is proven."""
        point = self.point
        reduced = reduce(self.problem, self.domain)
        small = None if reduced is None or point is None else reduced.shrink(point)
        if reduced is None or small is None:
            return False
        judge = self._judge(reduced)
        fixed: list[tuple[int, int]] = []
        proven = True
        for v, old in enumerate(reduced.free):
            if not self._is_layer(old):
                continue
            for choice in self._wider(old, reduced.kept[old], small[v]):
                answer = judge.check(self.limits.leaf, [*fixed, (v, choice)])
                if answer.point is not None:
                    small = answer.point
                    break
                proven = proven and answer.status == "unsat"
            fixed.append((v, small[v]))
        self.point = reduced.expand(small)
        return proven

    def _wider(self, v: int, kept: Sequence[int], choice: int) -> list[int]:
        """Return the positions in ``kept`` of more bits than the one at ``choice``, most first."""
        bits = [self._bits(v, one) for one in kept]
        better = [k for k, own in enumerate(bits) if own > bits[choice]]
        return sorted(better, key=lambda k: bits[k], reverse=True)

    def _bits(self, v: int, choice: int) -> tuple[int, int]:
        layer, pick = self.merged.groups[v][0], self.merged.picks[v][choice][0]
        precision = self.where.choices[layer][pick]
        return precision.wbits, precision.abits

    def _is_layer(self, v: int) -> bool:
        return self.merged.groups[v][0] < len(self.where.choices)

    def _reach_form(self, goal: Goal, form: Form, *, tell_apart: bool) -> bool:
        whole, per = form.integral(), form.denominator()
        exact = self.merged.fold(whole.parts)
        layers = frozenset(v for v in range(len(self.problem.sizes)) if self._is_layer(v))
        asked = layers if tell_apart else None
        found = _refined(
            exact,
            self.domain,
            lambda cost, point, domain: minimise(
                self.problem,
                cost.cost,
                self.limits,
                point,
                domain,
                Alike(asked, cost.slack),
            ),
            self.point,
        )
        self.alone = found.unique
        if found.point is None:
            self.failure = found.failure
            return False
        self.point = found.point
        reached = price(exact, found.point) + whole.constant
        cap = reached + int(goal.within * abs(reached))
        self.last = Row(goal.name, exact, cap - whole.constant)
        self.problem = self.problem.adding(self.last)
        if found.domain is not None and cap == reached:
            self.domain = found.domain
        bound = min(found.bound + whole.constant, Fraction(reached))
        value = Fraction(reached, per)
        self.reached.append(
            Reached(
                goal.name,
                value,
                value if found.proven else bound / per,
                found.proven,
                value - bound / per if found.proven else Fraction(0),
            )
        )
        return True

    def _reach_largest(self, goal: Goal) -> bool:
        """Minimise the largest of several forms: halve the span in which the optimum lies."""
        unit = Fraction(1, math.lcm(*(form.denominator() for form in goal.forms)))
        low = max((form.lowest() for form in goal.forms), default=Fraction(0))
        proven = True
        if not self._point_within(goal, None):
            return False
        high = self._largest(goal)
        while high > low and proven:
            middle = low + (high - low) // (2 * unit) * unit
            if self._point_within(goal, middle):
                high = self._largest(goal)
            elif self.failure == "infeasible":
                low = middle + unit
            else:
                proven = False
        cap = high + goal.within * high
        self.problem = self.problem.adding(*within(self.merged, goal, cap))
        self.reached.append(Reached(goal.name, high, low, proven, Fraction(0)))
        return True

    def _largest(self, goal: Goal) -> Fraction:
        point = self.merged.expand(self.point or ())
        return max((form.at(point) for form in goal.forms), default=Fraction(0))

    def _point_within(self, goal: Goal, cap: Fraction | None) -> bool:
        """Look for a point whose forms are at most ``cap``, and move to it."""
        if cap is None and self.point is not None:
            return True
        rows = [] if cap is None else within(self.merged, goal, cap)
        found = minimise(self.problem.adding(*rows), {}, self.limits, None, self.domain)
        if found.point is None:
            self.failure = "infeasible" if found.status == "infeasible" else "unknown"
            return False
        self.point = found.point
        return True
