"""Why each layer has its precision: what the next wider one would break, what it would cost, and the second-best plan.

A step takes a layer, and those tied to it, to the next wider candidate while everything else stays. What it breaks is
told by the constraints themselves, in exact numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction

from hawqlang.base import Precision
from hawqlang.ir.candidates import CandidateTable
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.plan import BitPlan, Excess, LayerChoice, Price, Why
from hawqlang.ir.spec import Build, Comparator, Compare, Constraint, Same
from hawqlang.stages.allocate.encode import linear
from hawqlang.stages.allocate.encoding import assemble, goal_name
from hawqlang.stages.allocate.explain import listed
from hawqlang.stages.allocate.formula import Form
from hawqlang.stages.allocate.nearest import conjuncts
from hawqlang.stages.allocate.prices import Prices, runner_up
from hawqlang.stages.allocate.problem import Domain, everything, reduce
from hawqlang.stages.allocate.results import UNITS, Unit
from hawqlang.stages.allocate.rows import Merged
from hawqlang.stages.allocate.solve import DEFAULT, Question, question
from hawqlang.stages.candidates.metrics import Allocation, value
from hawqlang.stages.candidates.predicates import EXACT, at_build, holds, metrics_of

PRICED = 60
"""Layers that can step wider up to which every step is priced unasked."""


def explained(
    build: Build,
    table: LayerTable,
    candidates: CandidateTable,
    plan: BitPlan,
    *,
    priced: Collection[str] = (),
    exclude: Sequence[Mapping[str, Precision]] = (),
) -> BitPlan:
    """Return a plan with the reasons of every layer, prices, and the runner-up.

    Args:
        build: goals and constraints; with the next three, what the plan was made from.
        table: the layers.
        candidates: what each layer may take.
        plan: what ``allocate`` returned; one without an allocation comes back as it is.
        priced: layers whose next step is priced even where more than ``PRICED`` could take one; else all are.
        exclude: the allocations that were excluded.
    """
    if not plan.layers:
        return plan
    asked = question(build, table, candidates, exclude)
    allocation = tuple(choice.precision for choice in plan.layers)
    merged = assemble(asked.where, asked.constraints, asked.refused, asked.goals)
    if merged is None:
        return plan
    reasons = _Reasons(asked, allocation, merged, plan)
    found = {group: reasons.of(v) for v, group in enumerate(merged.groups) if reasons.is_layers(v)}
    prices = _prices(asked, allocation, found, priced)
    layers = {i: _choice(plan, i, group, found[group], prices) for group in found for i in group}
    return plan.replace(
        layers=tuple(layers[i] for i in range(len(plan.layers))),
        runner_up=runner_up(asked, allocation),
    )


Group = tuple[int, ...]
"""Layers that take their steps together."""


def _prices(
    asked: Question,
    allocation: Allocation,
    found: Mapping[Group, Why],
    priced: Collection[str],
) -> dict[Group, Price | None]:
    """Return the price of the next step of every group that can take one and is asked about."""
    layers = asked.known.table.layers
    steps = {group: why.step for group, why in found.items() if why.kind in ("bound", "goal")}
    if len(steps) > PRICED:
        steps = {g: to for g, to in steps.items() if any(layers[i].name in priced for i in g)}
    prices = Prices(asked, allocation) if steps else None
    return {
        group: prices.of(group, to)
        for group, to in steps.items()
        if prices is not None and to is not None
    }


def _choice(
    plan: BitPlan, i: int, group: Group, why: Why, prices: Mapping[Group, Price | None]
) -> LayerChoice:
    others = tuple(plan.layers[k].name for k in group if k != i)
    return plan.layers[i].replace(why=why.replace(tied=others), price=prices.get(group))


class _Reasons:
    """What stands in the way of every group's next step."""

    def __init__(
        self, asked: Question, allocation: Allocation, merged: Merged, plan: BitPlan
    ) -> None:
        self._asked = asked
        self._allocation = allocation
        self._merged = merged
        self._proven = plan.status == "optimal"
        reduced = reduce(merged.problem, everything(merged.problem))
        self._left: Domain = everything(merged.problem) if reduced is None else reduced.kept
        build = asked.known.build
        self._limits = [
            _Limit(asked, one, allocation)
            for one in build.constraints
            if not at_build(one.predicate)
        ]

    def is_layers(self, v: int) -> bool:
        """Return whether a variable stands for layers, not for a flag."""
        return self._merged.groups[v][0] < len(self._allocation)

    def of(self, v: int) -> Why:
        """Return why the layers of a variable have their precision."""
        group = self._merged.groups[v]
        offered = self._asked.where.choices[group[0]]
        choices = [offered[pick[0]] for pick in self._merged.picks[v]]
        here = self._allocation[group[0]]
        if len(choices) == 1:
            return Why(kind="only", text=self._only(group, here))
        step = _next(here, choices)
        if len(self._left[v]) == 1:
            return self._required(group, here, step or _nearest(here, choices))
        if step is None:
            return Why(kind="free", text=f"nothing wider than {here} is offered")
        breaks = self._broken(group, step)
        if breaks:
            return Why(
                kind="bound", text=f"{step} would break {_names(breaks)}", step=step, breaks=breaks
            )
        return self._by_goals(group, step)

    def _only(self, group: Group, here: Precision) -> str:
        own = self._asked.known.candidates.layers[group[0]]
        if len(own.candidates) > 1:
            return f"{here} is all that the tied layers have in common"
        rule = own.rule
        where = "" if rule is None else f" (`layer` block at line {rule.line})"
        return f"{here} is the only candidate{where}"

    def _required(self, group: Group, here: Precision, other: Precision) -> Why:
        breaks = self._broken(group, other)
        names = _names(breaks) if breaks else "the constraints together"
        verb = "leaves" if len(breaks) == 1 else "leave"
        text = f"{names} {verb} no other than {here}"
        return Why(kind="required", text=text, step=other, breaks=breaks)

    def _broken(self, group: Group, step: Precision) -> tuple[Excess, ...]:
        found = (limit.broken(group, step) for limit in self._limits)
        return tuple(one for one in found if one is not None)

    def _by_goals(self, group: Group, step: Precision) -> Why:
        """Return why a step that breaks nothing is not taken: the first goal that it worsens."""
        known = self._asked.known
        moved = _moved(self._allocation, group, step)
        stated = known.build.objective or (DEFAULT,)
        worse, better = list[str](), list[str]()
        for goal in stated:
            gain = value(known, goal.metric, moved) - value(known, goal.metric, self._allocation)
            change = gain if goal.sense == "minimize" else -gain
            if change > 0:
                worse.append(goal_name(goal.metric))
            elif change < 0 and (goal.within == 0 or goal is stated[-1]):
                better.append(goal_name(goal.metric))
        if worse:
            return Why(kind="goal", text=f"{step} would worsen {listed(worse)}", step=step)
        if better:
            reason = "an accuracy constraint excluded it" if self._proven else "not proven best"
            text = f"{step} would improve {listed(better)}: {reason}"
            return Why(kind="open", text=text, step=step)
        return Why(kind="goal", text=f"{step} would improve no goal that counts here", step=step)


class _Limit:
    """One constraint, ready to be asked about steps."""

    def __init__(self, asked: Question, constraint: Constraint, allocation: Allocation) -> None:
        self._asked = asked
        self._constraint = constraint
        self._allocation = allocation
        self._sums: list[tuple[Comparator, Form, Fraction, Unit]] | None = []
        parts = list(conjuncts(constraint.predicate))
        point = tuple(own.index(p) for own, p in zip(asked.where.choices, allocation, strict=True))
        for part in parts:
            if isinstance(part, Same) and part.property == "precision":
                continue  # tied layers take their steps together
            form = _sum_over_layers(asked, part) if isinstance(part, Compare) else None
            if form is None or not isinstance(part, Compare):
                self._sums = None
                break
            unit = UNITS[part.left.dimension]
            self._sums.append((part.op, form, form.at(point), unit))

    def broken(self, group: Group, step: Precision) -> Excess | None:
        """Return by how much a step breaks the constraint, ``None`` where it does not."""
        name = self._constraint.name
        if self._sums is None:
            moved = _moved(self._allocation, group, step)
            if holds(self._asked.known, self._constraint.predicate, moved):
                return None
            return Excess(constraint=name, amount=None)
        for op, form, here, unit in self._sums:
            there = here + sum((self._change(form, i, step) for i in group), Fraction(0))
            if not EXACT[op](there, Fraction(0)):
                return Excess(constraint=name, amount=float(abs(there)), unit=unit)
        return None

    def _change(self, form: Form, layer: int, step: Precision) -> Fraction:
        own = self._asked.where.choices[layer]
        values = form.parts.get(layer)
        if values is None:
            return Fraction(0)
        return values[own.index(step)] - values[own.index(self._allocation[layer])]


def _sum_over_layers(asked: Question, compare: Compare) -> Form | None:
    """Return ``left - right`` as a sum over layers; ``None`` where it is none (switches, peak memory, counts)."""
    if "peak_memory" in metrics_of(compare):
        return None
    right = linear(asked.where, compare.right).scaled(Fraction(-1))
    form = linear(asked.where, compare.left) + right
    flags = any(v >= len(asked.where.choices) for v in form.parts)
    return None if flags else form


def _moved(allocation: Allocation, group: Group, step: Precision) -> Allocation:
    moved = list(allocation)
    for i in group:
        moved[i] = step
    return tuple(moved)


def _next(here: Precision, choices: Sequence[Precision]) -> Precision | None:
    """Return the next wider candidate: more bits somewhere, fewer nowhere."""
    wider = [p for p in choices if p != here and p.wbits >= here.wbits and p.abits >= here.abits]
    return min(wider, key=lambda p: (p.wbits + p.abits, p.wbits), default=None)


def _nearest(here: Precision, choices: Sequence[Precision]) -> Precision:
    """Return the candidate whose bits are nearest."""
    others = [p for p in choices if p != here]
    return min(others, key=lambda p: abs(p.wbits - here.wbits) + abs(p.abits - here.abits))


def _names(breaks: Sequence[Excess]) -> str:
    return listed([f"'{one.constraint}'" for one in breaks])
