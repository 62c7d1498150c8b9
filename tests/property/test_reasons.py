"""Reasons, prices and the runner-up of a plan against trying every allocation."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from hawqlang.base import Precision
from hawqlang.ir.plan import BitPlan, LayerChoice
from hawqlang.ir.spec import Build
from hawqlang.stages.allocate.reasons import explained
from hawqlang.stages.allocate.solve import allocate
from hawqlang.stages.candidates import candidates
from hawqlang.stages.candidates.metrics import Facts, facts, value
from hawqlang.stages.candidates.predicates import at_build, holds
from tests.property.test_allocation import Problem, problems
from tests.support.allocation import best_by_trying, every_feasible

Allocation = tuple[Precision, ...]


def stepped(plan: BitPlan, choice: LayerChoice, to: Precision) -> Allocation:
    """Return the plan's allocation with a layer, and those tied to it, at another precision."""
    assert choice.why is not None
    group = {choice.name, *choice.why.tied}
    return tuple(to if one.name in group else one.precision for one in plan.layers)


def wider(one: Precision, other: Precision) -> bool:
    return one != other and one.wbits >= other.wbits and one.abits >= other.abits


def check_why(
    known: Facts, plan: BitPlan, choice: LayerChoice, feasible: Sequence[Allocation]
) -> None:
    why, spec = choice.why, known.build
    assert why is not None
    position = known.index[choice.name]
    match why.kind:
        case "only" | "required":
            assert {one[position] for one in feasible} == {choice.precision}
        case "free":
            offered = set(choice.candidates).intersection(
                *(own.candidates for own in plan.layers if own.name in why.tied)
            )
            assert not any(wider(p, choice.precision) for p in offered)
        case "bound" | "goal" | "open":
            step = why.step
            if step is not None:
                assert wider(step, choice.precision)
                there = stepped(plan, choice, step)
                now = [c for c in spec.constraints if not at_build(c.predicate)]
                broken = [c.name for c in now if not holds(known, c.predicate, there)]
                assert [one.constraint for one in why.breaks] == broken
                assert bool(broken) == (why.kind == "bound")
            assert why.kind != "open"  # a proven plan leaves nothing to gain


def check_price(
    known: Facts, choice: LayerChoice, feasible: Sequence[Allocation], optimum: float
) -> None:
    price, goal = choice.price, known.build.objective[0]
    assert choice.why is not None
    assert (price is not None) == (choice.why.kind in ("bound", "goal"))
    if price is None:
        return
    position = known.index[choice.name]
    values = [
        float(value(known, goal.metric, one))
        for one in feasible
        if one[position] == price.precision
    ]
    if not values:
        assert price.change is None
        assert price.changes == ()
        return
    best = min(values) if goal.sense == "minimize" else max(values)
    assert price.change == pytest.approx(best - optimum, abs=1e-6 * (1 + abs(optimum)))
    assert price.bound == price.change


def first_optimum(known: Facts, spec: Build, feasible: Sequence[Allocation]) -> float:
    goal = spec.objective[0]
    values = [float(value(known, goal.metric, one)) for one in feasible]
    return min(values) if goal.sense == "minimize" else max(values)


# An example is small as drawn, and solves dozens of problems: shrinking would take minutes.
@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(problems(4))
def test_reasons_prices_and_runner_up_are_what_trying_every_allocation_says(
    problem: Problem,
) -> None:
    spec, table = problem
    offered = candidates(spec, table, None)
    plan = explained(spec, table, offered, allocate(spec, table, offered))
    if not plan.layers:
        assert plan.runner_up is None
        return
    known = facts(spec, table, offered)
    feasible = list(every_feasible(spec, table, offered))
    optimum = first_optimum(known, spec, feasible)
    for choice in plan.layers:
        check_why(known, plan, choice, feasible)
        check_price(known, choice, feasible, optimum)

    here = tuple(plan.allocation().values())
    second = best_by_trying(spec, table, offered, forbidden=[here])
    if second is None:
        assert plan.runner_up is None
    else:
        assert plan.runner_up is not None
        assert plan.runner_up.status == "optimal"
        moved = {one.layer: one.after for one in plan.runner_up.changes}
        assert tuple(moved.get(one.name, one.precision) for one in plan.layers) == second
