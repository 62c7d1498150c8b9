"""The solver against trying every allocation, over small problems of every kind of constraint."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from hawqlang.base import Precision
from hawqlang.ir.layers import LayerTable, LiveTensor
from hawqlang.ir.spec import (
    And,
    Build,
    Channels,
    Comparator,
    Compare,
    Constraint,
    Difference,
    Each,
    Goal,
    Implies,
    Intersection,
    KernelSize,
    LayerRule,
    Linear,
    Metric,
    Not,
    Or,
    Predicate,
    Property,
    PropertyCompare,
    PropertyOf,
    Same,
    Selector,
    Truth,
    Union,
)
from hawqlang.stages.allocate.solve import allocate
from hawqlang.stages.candidates import candidates
from hawqlang.stages.candidates.predicates import metrics_of, parts
from tests.support.allocation import (
    SPAN,
    W4,
    W8,
    W48,
    best_by_trying,
    build,
    compare,
    count_form,
    each,
    glob,
    goal,
    implies,
    layer,
    metric_form,
    named,
    prop,
    same,
    w,
    with_sensitivity,
    word,
)

W2 = w("w2a8")
PRECISIONS = (W2, W4, W48, W8)
COMPARATORS: tuple[Comparator, ...] = ("==", "!=", "<", "<=", ">", ">=")
BITS: tuple[Property, ...] = ("wbits", "abits")
SUMS: tuple[Metric, ...] = ("size", "bops", "macs", "latency", "perturbation", "average_wbits")

Problem = tuple[Build, LayerTable]


def name_of(i: int) -> str:
    return f"g{i % 2}.l{i}"


def selectors(count: int) -> st.SearchStrategy[Selector]:
    words = ("first", "last", "all", "conv", "residual", "shared_input", "downsample")
    globs = ("g0.*", "{block}.*", *(f"*.l{i}" for i in range(count)))
    single: st.SearchStrategy[Selector] = st.sampled_from(
        [
            *map(word, words),
            *map(glob, globs),
            KernelSize(height=3, width=3, span=SPAN),
            Channels(op=">=", value=2, span=SPAN),
        ]
    )
    less = st.sampled_from([glob(f"*.l{i}") for i in range(count)]).map(
        lambda one: Difference(base=word("all"), minus=one, span=SPAN)
    )
    both = single.map(lambda one: Intersection(items=(word("all"), one), span=SPAN))
    several = st.lists(single, min_size=2, max_size=3).map(union)
    return st.one_of(single, several, less, both)


def union(items: Sequence[Selector]) -> Selector:
    return Union(items=tuple(items), span=SPAN)


@st.composite
def bare(draw: st.DrawFn) -> Predicate:
    """A predicate about one layer's own bits, as after ``each`` and ``where``."""

    def atom() -> Predicate:
        name = draw(st.sampled_from(BITS))
        return prop(
            name, None, draw(st.sampled_from(COMPARATORS)), draw(st.sampled_from([2, 4, 8]))
        )

    match draw(st.sampled_from(["atom", "implies", "or", "not"])):
        case "implies":
            return implies(atom(), atom())
        case "or":
            return Or(items=(atom(), atom()), span=SPAN)
        case "not":
            return Not(item=atom(), span=SPAN)
        case _:
            return atom()


@st.composite
def numeric(draw: st.DrawFn, count: int) -> Predicate:  # noqa: PLR0911 - one return a kind
    """A metric, or a count, against a part of a baseline or a number."""
    op = draw(st.sampled_from(COMPARATORS))
    chosen = draw(selectors(count))
    share = Fraction(draw(st.integers(20, 100)), 100)
    metric = draw(st.sampled_from(SUMS))
    kinds = ["sum", "part", "between", "float", "switches", "count", "peak", "mixed"]
    match draw(st.sampled_from(kinds)):
        case "switches":
            return compare(metric_form("switches"), op, draw(st.integers(0, count)))
        case "count":
            where = draw(st.one_of(st.none(), bare()))
            return compare(count_form(chosen, where), op, draw(st.integers(0, count)))
        case "peak":
            cap = metric_form("peak_memory", share, at=W8)
            return compare(metric_form("peak_memory"), op, cap)
        case "part":
            own = metric_form(metric, 1, selector=chosen)
            return compare(own, op, metric_form(metric, share, at=W8, selector=chosen))
        case "between":  # X + share of (Y - X)
            low, high = metric_form(metric, 1 - share, at=W4), metric_form(metric, share, at=W8)
            limit = low.replace(terms=(*low.terms, *high.terms))
            return compare(limit, op, metric_form(metric))
        case "float":
            cap = metric_form("size", share / 4, at="fp32", selector=chosen)
            return compare(metric_form("size", 1, selector=chosen), op, cap)
        case "mixed":
            terms = (*metric_form("size").terms, *metric_form("average_abits", -50).terms)
            left = Linear(dimension="number", terms=terms)
            return compare(left, op, draw(st.integers(-400, 2000)))
        case _:
            return compare(metric_form(metric), op, metric_form(metric, share, at=W8))


@st.composite
def atoms(draw: st.DrawFn, count: int) -> Predicate:  # noqa: PLR0911 - one return a kind
    chosen, other = draw(selectors(count)), draw(selectors(count))
    op, name = draw(st.sampled_from(COMPARATORS)), draw(st.sampled_from(BITS))
    whole: Property = draw(st.sampled_from([*BITS, "precision"]))
    match draw(st.sampled_from(["number", "bits", "word", "pair", "same", "each", "like", "true"])):
        case "number":
            return draw(numeric(count))
        case "bits":
            return prop(name, chosen, op, draw(st.sampled_from([2, 4, 8])))
        case "word":
            return prop("precision", chosen, op, draw(st.sampled_from(PRECISIONS)))
        case "pair":
            return prop(whole, chosen, op, PropertyOf(property=whole, selector=other))
        case "same":
            return same(chosen, whole)
        case "each":
            return each(chosen, draw(bare()))
        case "like":
            return each(chosen, prop(name, None, op, PropertyOf(property=name, selector=other)))
        case _:
            return Truth(value=draw(st.booleans()), span=SPAN)


@st.composite
def predicates(draw: st.DrawFn, count: int, depth: int = 2) -> Predicate:
    inner = predicates(count, depth - 1) if depth else atoms(count)
    match draw(st.sampled_from(["atom", "and", "or", "implies", "not"])):
        case "and":
            return And(items=(draw(inner), draw(inner)), span=SPAN)
        case "or":
            return Or(items=(draw(inner), draw(inner)), span=SPAN)
        case "implies":
            return implies(draw(inner), draw(inner))
        case "not":
            return Not(item=draw(inner), span=SPAN)
        case _:
            return draw(atoms(count))


@st.composite
def goals(draw: st.DrawFn, count: int) -> Goal:
    metric: Metric = draw(st.sampled_from([*SUMS, "switches", "average_abits", "peak_memory"]))
    slip = draw(st.sampled_from([Fraction(0), Fraction(1, 50), Fraction(1, 4)]))
    sense = draw(st.sampled_from(["minimize", "maximize"]))
    part = {"selector": draw(selectors(count))} if metric in SUMS and draw(st.booleans()) else {}
    return goal(metric, sense="minimize" if metric == "peak_memory" else sense, within=slip, **part)


def _copies(draw: st.DrawFn, count: int) -> list[LiveTensor]:
    """One tensor that several layers, and perhaps an addition, read; perhaps an int32 partial sum."""
    elements = draw(st.integers(1, 99))
    stored_bits = draw(st.sampled_from((None, 32)))
    readers = draw(st.lists(st.integers(0, count - 1), max_size=3))
    copies = [
        LiveTensor(tensor="m", elements=elements, reader=name_of(i), stored_bits=stored_bits)
        for i in readers
    ]
    if draw(st.booleans()):
        fixed = LiveTensor(
            tensor="m", elements=elements, reader=None, bits=8, stored_bits=stored_bits
        )
        copies.append(fixed)
    return copies


@st.composite
def problems(draw: st.DrawFn, largest: int = 6) -> Problem:
    count = draw(st.integers(2, largest))
    values = st.one_of(st.integers(0, 5), st.integers(0, 10**6).map(lambda n: n / 7))
    layers = [
        with_sensitivity(
            layer(
                name_of(i),
                draw(st.integers(0, 40)) * 8,
                draw(st.integers(0, 1000)),
                kernel=(3, 3) if i == 0 else None,
                channels=i + 1,
                input_elements=draw(st.integers(1, 100)),
                output_elements=draw(st.integers(1, 100)),
            ),
            {p: float(draw(values)) for p in PRECISIONS},
        )
        for i in range(count)
    ]
    live = tuple(
        (
            LiveTensor(tensor=f"t{i}", elements=draw(st.integers(1, 99)), reader=name_of(i)),
            LiveTensor(tensor="r", elements=draw(st.integers(0, 50)), reader=None, bits=8),
            *_copies(draw, count),
        )
        for i in range(count)
    )
    pairs = st.lists(st.integers(0, count - 1), min_size=2, max_size=3, unique=True).map(
        lambda group: tuple(name_of(i) for i in group)
    )
    table = LayerTable(
        layers=tuple(layers),
        live=live,
        residual=tuple(draw(st.lists(pairs, min_size=1, max_size=2))),
        shared_input=(draw(pairs),),
        downsample=(name_of(count - 1),),
    )
    offers = st.lists(
        st.sampled_from(PRECISIONS), min_size=1, max_size=3 if count < 6 else 2, unique=True
    ).map(tuple)
    rules = st.builds(LayerRule, selector=selectors(count), precision=offers, span=st.just(SPAN))
    stated: list[Constraint] = [
        named(f"c{k}", predicate)
        for k, predicate in enumerate(draw(st.lists(predicates(count), max_size=3)))
    ]
    objective = draw(st.lists(goals(count), min_size=1, max_size=3))
    if draw(st.booleans()):  # decided by running the program, so not here
        stated.append(named("good", compare(metric_form("accuracy"), ">=", Fraction(7, 10))))
    blocks = tuple(draw(st.lists(rules, max_size=2)))
    return build(stated, objective, draw(offers), layer_rules=blocks), table


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(problems())
def test_allocate_finds_what_trying_every_allocation_finds(problem: Problem) -> None:
    spec, table = problem
    offered = candidates(spec, table, None)

    plan = allocate(spec, table, offered)

    best = best_by_trying(spec, table, offered)
    if best is None:
        assert plan.status == "infeasible"
    else:
        assert plan.status == "optimal"
        assert tuple(plan.allocation().values()) == best
        assert plan.gap == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(problems(5), st.randoms(use_true_random=False))
def test_the_order_in_which_constraints_and_candidates_are_written_changes_nothing(
    problem: Problem, rng: random.Random
) -> None:
    spec, table = problem
    stated, offered = list(spec.constraints), list(spec.precision)
    rng.shuffle(stated)
    rng.shuffle(offered)
    other = spec.replace(constraints=tuple(stated), precision=tuple(offered))

    plans = [allocate(one, table, candidates(one, table, None)) for one in (spec, other)]

    assert plans[0].status == plans[1].status
    assert plans[0].allocation() == plans[1].allocation()
    assert plans[0].objective == plans[1].objective


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(problems(4), st.integers(1, 3))
def test_an_excluded_allocation_takes_everything_below_it_along(
    problem: Problem, rounds: int
) -> None:
    spec, table = problem
    offered = candidates(spec, table, None)
    tried: list[dict[str, Precision]] = []
    for _ in range(rounds):
        plan = allocate(spec, table, offered, exclude=tried)
        best = best_by_trying(spec, table, offered, tried)
        assert (tuple(plan.allocation().values()) or None) == best
        if best is None:
            return
        tried.append(plan.allocation())


KINDS = (Truth, Not, And, Or, Implies, Each, Same, PropertyCompare, Compare)
ONCE = settings(phases=[Phase.generate], max_examples=2000, deadline=None)


@pytest.mark.parametrize("kind", KINDS)
def test_the_problems_tried_hold_every_kind_of_predicate(kind: type[Predicate]) -> None:
    assert find(
        predicates(3, 1),
        lambda one: any(isinstance(part, kind) for part in within(one)),
        settings=ONCE,
    )


@pytest.mark.parametrize("metric", [*SUMS, "switches", "peak_memory", "average_abits"])
def test_the_problems_tried_bound_every_metric(metric: Metric) -> None:
    assert find(numeric(3), lambda one: metric in metrics_of(one), settings=ONCE)


def within(predicate: Predicate) -> Iterator[Predicate]:
    """Yield a predicate and all that it is made of."""
    yield predicate
    for part in parts(predicate):
        yield from within(part)
