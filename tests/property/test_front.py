"""The front against trying every allocation, in exact fractions, whatever the constraints say."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hawqlang.ir.candidates import CandidateTable
from hawqlang.ir.layers import LayerTable, LiveTensor
from hawqlang.ir.spec import Build, Goal, Metric
from hawqlang.stages.allocate.front import Tradeoff, solve, tradeoff, walk
from hawqlang.stages.candidates import candidates
from hawqlang.stages.candidates.metrics import facts, value
from tests.property.test_allocation import PRECISIONS, Problem, name_of, predicates, problems
from tests.support.allocation import (
    build,
    every_feasible,
    goal,
    layer,
    named,
    with_sensitivity,
)

METRICS: tuple[Metric, ...] = (
    "size", "bops", "macs", "latency", "perturbation",
    "switches", "average_wbits", "average_abits", "peak_memory",
)  # fmt: skip

Value = tuple[Fraction, Fraction]


@st.composite
def aims(draw: st.DrawFn) -> tuple[Goal, Goal]:
    x, y = draw(st.lists(st.sampled_from(METRICS), min_size=2, max_size=2, unique=True))

    def aim(metric: Metric) -> Goal:
        maximize = metric != "peak_memory" and draw(st.sampled_from([False, False, True]))
        return goal(metric, sense="maximize" if maximize else "minimize")

    return aim(x), aim(y)


@st.composite
def crowded(draw: st.DrawFn, largest: int = 5) -> Problem:
    """Small whole numbers and at most one constraint: many points, close together, many equal."""
    count = draw(st.integers(2, largest))
    layers = [
        with_sensitivity(
            layer(
                name_of(i),
                draw(st.integers(1, 5)),
                draw(st.integers(1, 5)),
                kernel=(3, 3) if i == 0 else None,
                channels=i + 1,
                input_elements=draw(st.integers(1, 3)),
            ),
            {
                p: float(draw(st.integers(0, 4)) + 9 * (8 - p.wbits) + 2 * (8 - p.abits))
                for p in PRECISIONS
            },
        )
        for i in range(count)
    ]
    live = ((LiveTensor(tensor="t", elements=8, reader=name_of(0)),),)
    ends = (name_of(0), name_of(count - 1))
    stated = [named("c", one) for one in draw(st.lists(predicates(count), max_size=1))]
    table = LayerTable(
        layers=tuple(layers), live=live, residual=(ends,), shared_input=(ends,), downsample=ends[1:]
    )
    return build(stated, (), PRECISIONS), table


def costs(
    spec: Build, table: LayerTable, offered: CandidateTable, both: tuple[Goal, Goal]
) -> set[Value]:
    """Both metrics, smaller being better, of everything that satisfies the constraints."""
    known = facts(spec, table, offered)
    found: set[Value] = set()
    for one in every_feasible(spec, table, offered):
        x, y = (
            value(known, aim.metric, one) * (1 if aim.sense == "minimize" else -1) for aim in both
        )
        found.add((x, y))
    return found


def front(values: Iterable[Value]) -> list[Value]:
    """Those that no other beats, the largest x first."""
    every = set(values)
    best = [(x, y) for x, y in every if not any(a <= x and b <= y for a, b in every - {(x, y)})]
    return sorted(best, reverse=True)


def walked(trade: Tradeoff, steps: int | None, also: Iterable[Fraction] = ()) -> list[Value]:
    found: list[Value] = []
    for corner in walk(trade, steps, tuple(also), lambda asked: solve(trade, asked)):
        assert corner.proven
        x, y = trade.values(corner.precisions)
        signs = [1 if aim.sense == "minimize" else -1 for aim in trade.aims]
        found.append((x * signs[0], y * signs[1]))
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(problems(6), crowded(4)), aims())
def test_all_points_are_exactly_the_allocations_that_no_other_beats(
    problem: Problem, both: tuple[Goal, Goal]
) -> None:
    spec, table = problem
    offered = candidates(spec, table, None)

    trade = tradeoff(spec, table, offered, both)

    found = [] if trade is None else walked(trade, None)
    assert found == front(costs(spec, table, offered, both))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(problems(5), crowded(4)), aims(), st.integers(1, 9))
def test_points_at_a_resolution_are_on_the_front_and_stand_for_everything_else(
    problem: Problem, both: tuple[Goal, Goal], steps: int
) -> None:
    spec, table = problem
    offered = candidates(spec, table, None)
    every = costs(spec, table, offered, both)
    whole = front(every)

    trade = tradeoff(spec, table, offered, both)
    found = [] if trade is None else walked(trade, steps)

    assert [point for point in found if point not in whole] == []
    assert found == sorted(set(found), reverse=True)
    assert bool(found) == bool(every)
    if whole:
        width = (whole[0][0] - whole[-1][0]) / steps
        for x, y in every:
            assert any(b <= y and a <= x + width for a, b in found)
        assert {whole[0], whole[-1]} <= set(found)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(problems(4), aims(), st.data())
def test_a_budget_of_ones_own_is_answered_beside_the_others(
    problem: Problem, both: tuple[Goal, Goal], data: st.DataObject
) -> None:
    spec, table = problem
    offered = candidates(spec, table, None)
    whole = front(costs(spec, table, offered, both))
    if not whole:
        return
    trade = tradeoff(spec, table, offered, both)
    assert trade is not None
    wanted = data.draw(st.sampled_from(whole))

    assert wanted in walked(trade, 1, [wanted[0]])
