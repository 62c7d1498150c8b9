"""The parts of the solver against enumeration: what each claims holds for every point."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from hawqlang.stages.allocate.branch import Branching, branch
from hawqlang.stages.allocate.covers import Knapsack, cover, inequality, knapsack
from hawqlang.stages.allocate.cut import cut, refutation
from hawqlang.stages.allocate.dive import dive
from hawqlang.stages.allocate.goals import EXACT, integers
from hawqlang.stages.allocate.highs import Relaxation
from hawqlang.stages.allocate.limits import NORMAL
from hawqlang.stages.allocate.problem import (
    Point,
    Problem,
    Propagator,
    Row,
    differing,
    everything,
    reduce,
)
from hawqlang.stages.allocate.proof import Apart, below
from hawqlang.stages.allocate.search import Alike, minimise

Costs = dict[int, tuple[int, ...]]


@st.composite
def problems(draw: st.DrawFn, *, satisfiable: bool = False) -> tuple[Problem, Costs]:
    sizes = tuple(draw(st.lists(st.integers(2, 3), min_size=2, max_size=5)))
    numbers = st.one_of(st.integers(-3, 3), st.integers(-(10**12), 10**12))
    point = tuple(draw(st.integers(0, size - 1)) for size in sizes)
    rows: list[Row] = []
    for k in range(draw(st.integers(1, 4))):
        used = [v for v in range(len(sizes)) if draw(st.booleans())] or [0]
        coefs = {v: tuple(draw(numbers) for _ in range(sizes[v])) for v in used}
        row = Row(f"r{k}", coefs, 0)
        low, high = row.smallest(), row.largest()
        cap = low + (high - low) * draw(st.integers(0, 100)) // 100
        rows.append(Row(f"r{k}", coefs, max(cap, row.left(point)) if satisfiable else cap))
    prices = st.one_of(st.integers(0, 4), st.integers(0, 10**9))
    cost = {v: tuple(draw(prices) for _ in range(size)) for v, size in enumerate(sizes)}
    return Problem(sizes, tuple(rows)), cost


def points(problem: Problem) -> Iterator[Point]:
    every = itertools.product(*(range(size) for size in problem.sizes))
    return (point for point in every if problem.satisfied(point))


def price(cost: Costs, point: Point) -> int:
    return sum(values[point[v]] for v, values in cost.items())


@settings(max_examples=200, deadline=None)
@given(problems(), st.lists(st.floats(0, 1e6), min_size=4, max_size=4))
def test_a_cut_holds_for_every_point_whatever_the_multipliers(
    drawn: tuple[Problem, Costs], duals: list[float]
) -> None:
    problem, cost = drawn
    made = cut(problem, cost, duals[: len(problem.rows)])

    for point in points(problem):
        worth = price(cost, point)
        assert made.bound() <= worth
        allowed = made.within(everything(problem), worth)
        assert allowed is not None
        assert all(choice in own for choice, own in zip(point, allowed, strict=True))


@settings(max_examples=200, deadline=None)
@given(problems(), st.lists(st.floats(0, 1e6), min_size=4, max_size=4))
def test_a_refutation_never_refutes_what_has_a_point(
    drawn: tuple[Problem, Costs], ray: list[float]
) -> None:
    problem, _ = drawn
    made = refutation(problem, ray[: len(problem.rows)])

    if made is not None and made.within(everything(problem), 0) is None:
        assert not list(points(problem))


@settings(max_examples=200, deadline=None)
@given(problems(satisfiable=True))
def test_covers_of_an_lp_solution_hold_for_every_point(drawn: tuple[Problem, Costs]) -> None:
    whole = reduce(drawn[0], everything(drawn[0]))
    if whole is None or not whole.problem.sizes:
        return
    problem, cost = whole.problem, whole.fold(drawn[1])[0]
    relaxation = Relaxation(problem, cost)
    solved = relaxation.solve()
    assert solved.status == "optimal"
    x = relaxation.supports(solved.x)
    found = [one for row in problem.rows if (one := cover(knapsack(row), x)) is not None]

    assert all(row.left(point) <= row.cap for row in found for point in points(problem))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_cover_gives_an_inequality_of_its_row(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 5))
    weights = {
        v: (0, *sorted(data.draw(st.lists(st.integers(0, 20), min_size=1, max_size=2))))
        for v in range(count)
    }
    thresholds = {
        v: data.draw(st.sampled_from([a for a in own if a > 0]))
        for v, own in weights.items()
        if any(own) and data.draw(st.booleans())
    }
    total = sum(thresholds.values())
    if not thresholds:
        return
    cap = data.draw(st.integers(0, total - 1))
    row = Row("r", weights, cap)
    problem = Problem(tuple(len(own) for own in weights.values()), (row,))

    found = inequality(Knapsack("r", weights, cap), thresholds)

    assert all(found.left(point) <= found.cap for point in points(problem))


@settings(max_examples=200, deadline=None)
@given(problems())
def test_reducing_keeps_every_point_and_its_cost(drawn: tuple[Problem, Costs]) -> None:
    problem, cost = drawn
    small = reduce(problem, everything(problem))
    before = sorted(points(problem))

    if small is None:
        assert before == []
        return
    own, constant = small.fold(cost)
    after = {small.expand(point): price(own, point) + constant for point in points(small.problem)}
    assert sorted(after) == before
    assert all(worth == price(cost, point) for point, worth in after.items())
    assert all(small.expand(small.shrink(point) or ()) == point for point in before)


@settings(max_examples=150, deadline=None)
@given(problems())
def test_propagation_drops_no_choice_of_a_point(drawn: tuple[Problem, Costs]) -> None:
    problem, _ = drawn
    left = Propagator(problem).tightened(everything(problem), range(len(problem.sizes)))

    for point in points(problem):
        assert left is not None
        assert all(choice in own for choice, own in zip(point, left, strict=True))


@settings(max_examples=150, deadline=None)
@given(problems(satisfiable=True))
def test_what_a_dive_brings_up_is_a_point_or_refused(drawn: tuple[Problem, Costs]) -> None:
    problem, cost = drawn
    point = dive(problem, cost)

    if point is not None and problem.satisfied(point):
        assert point in set(points(problem))


@settings(max_examples=200, deadline=None)
@given(problems(), st.sampled_from([0, 0, 1, 3, 10**8]))
def test_minimise_finds_the_cheapest_point_and_whether_it_is_alone(
    drawn: tuple[Problem, Costs], slack: int
) -> None:
    problem, cost = drawn
    found = minimise(
        problem, cost, NORMAL, alike=Alike(frozenset(range(len(problem.sizes))), slack)
    )
    worth = sorted(price(cost, point) for point in points(problem))

    if not worth:
        assert found.status == "infeasible"
        return
    assert (found.status, found.cost, found.bound) == ("optimal", worth[0], worth[0])
    assert found.unique == (len(worth) == 1 or worth[1] > worth[0] + slack)
    assert found.domain is not None
    for point in points(problem):
        if price(cost, point) <= worth[0] + slack:
            assert all(c in own for c, own in zip(point, found.domain, strict=True))


@settings(max_examples=200, deadline=None)
@given(problems(satisfiable=True))
def test_branch_and_bound_alone_closes_a_problem(drawn: tuple[Problem, Costs]) -> None:
    problem, cost = drawn
    worth = sorted(price(cost, point) for point in points(problem))

    found = branch(Branching(problem, cost, NORMAL), worth[-1] + 1)

    assert found.closed
    assert found.point is not None
    assert price(cost, found.point) == worth[0]


@settings(max_examples=200, deadline=None)
@given(problems(satisfiable=True), st.data())
def test_branch_and_bound_tells_whether_another_point_costs_as_little(
    drawn: tuple[Problem, Costs], data: st.DataObject
) -> None:
    problem, cost = drawn
    known = data.draw(st.sampled_from(sorted(points(problem))))
    every = tuple(range(len(problem.sizes)))
    others = problem.adding(differing(problem, every, known))
    worth = sorted(price(cost, point) for point in points(problem))

    found = branch(Branching(others, cost, NORMAL, every), price(cost, known) + 1)

    assert found.closed
    best = known if found.point is None else found.point
    assert price(cost, best) == worth[0]
    assert found.tied == (len(worth) > 1 and worth[1] == worth[0])


@settings(max_examples=150, deadline=None)
@given(problems(satisfiable=True), st.data())
def test_one_question_about_a_known_point_agrees_with_enumeration(
    drawn: tuple[Problem, Costs], data: st.DataObject
) -> None:
    problem, cost = drawn
    known = data.draw(st.sampled_from(sorted(points(problem))))
    apart = Apart(known, frozenset(range(len(problem.sizes))))
    others = [price(cost, point) for point in points(problem) if point != known]
    as_cheap = [worth for worth in others if worth <= price(cost, known)]

    verdict = below(problem, cost, price(cost, known), NORMAL, apart)

    if not as_cheap:
        assert verdict.closed
        assert verdict.point is None
        assert not verdict.tied
    elif verdict.closed and verdict.point is not None:
        assert price(cost, verdict.point) == min(as_cheap)
    elif verdict.point is not None:
        assert price(cost, verdict.point) <= price(cost, known)
    else:
        assert verdict.tied


@given(
    st.lists(
        st.lists(st.integers(-(10**40), 10**40), min_size=2, max_size=3), min_size=2, max_size=4
    ),
    st.sampled_from([1, 10**9, 10**30]),
)
def test_the_best_point_lies_within_the_slack_of_the_scaled_costs(
    numbers: list[list[int]], factor: int
) -> None:
    exact = {v: tuple(one // factor for one in values) for v, values in enumerate(numbers)}
    domain = tuple(tuple(range(len(values))) for values in numbers)
    every = list(itertools.product(*domain))

    scaled = integers(exact, domain)

    best = min(every, key=lambda point: price(exact, point))
    least = min(price(dict(scaled.cost), point) for point in every)
    assert price(dict(scaled.cost), best) <= least + scaled.slack
    assert sum(max(own) for own in scaled.cost.values()) <= EXACT
    if scaled.slack == 0:
        assert all(
            price(exact, point) == price(dict(scaled.cost), point) + scaled.constant
            for point in every
        )
