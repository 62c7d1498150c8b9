"""The solver against trying every allocation, over small problems of every kind of constraint."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hawqlang.base import Precision
from hawqlang.ir.layers import LayerTable, LiveTensor
from hawqlang.ir.spec import (
    And,
    Build,
    Comparator,
    Constraint,
    Goal,
    Linear,
    Metric,
    Not,
    Or,
    Predicate,
    PropertyOf,
    Selector,
    Term,
    Truth,
    Union,
)
from hawqlang.stages.allocate import allocate
from hawqlang.stages.candidates import candidates
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
SUMS: tuple[Metric, ...] = ("size", "bops", "latency", "perturbation", "average_wbits")

Problem = tuple[Build, LayerTable]


def selectors(count: int) -> st.SearchStrategy[Selector]:
    names = [f"l{i}" for i in range(count)]
    single: st.SearchStrategy[Selector] = st.one_of(
        st.sampled_from([word("first"), word("last"), word("all")]),
        st.sampled_from([glob(name) for name in names]),
    )
    pair = st.lists(single, min_size=2, max_size=3).map(
        lambda items: Union(items=tuple(items), span=SPAN)
    )
    return st.one_of(single, pair)


def bare() -> st.SearchStrategy[Predicate]:
    """Predicates about one layer's own bits, as after ``each`` and ``where``."""
    atom: st.SearchStrategy[Predicate] = st.builds(
        lambda name, op, bits: prop(name, None, op, bits),
        st.sampled_from(["wbits", "abits"]),
        st.sampled_from(COMPARATORS),
        st.sampled_from([2, 4, 8]),
    )
    return st.one_of(
        atom,
        st.builds(implies, atom, atom),
        st.builds(lambda a, b: Or(items=(a, b), span=SPAN), atom, atom),
        st.builds(lambda a: Not(item=a, span=SPAN), atom),
    )


@st.composite
def numeric(draw: st.DrawFn, count: int) -> Predicate:
    """A metric, or a count, against a part of a baseline or a number."""
    op = draw(st.sampled_from(COMPARATORS))
    kind = draw(st.sampled_from(["sum", "part", "switches", "count", "peak", "mixed"]))
    chosen = draw(selectors(count))
    share = Fraction(draw(st.integers(20, 100)), 100)
    if kind == "switches":
        return compare(metric_form("switches"), op, draw(st.integers(0, count)))
    if kind == "count":
        where = draw(st.one_of(st.none(), bare()))
        return compare(count_form(chosen, where), op, draw(st.integers(0, count)))
    if kind == "peak":
        cap = metric_form("peak_memory", share, at=W8)
        return compare(metric_form("peak_memory"), draw(st.sampled_from(["<", "<="])), cap)
    metric = draw(st.sampled_from(SUMS))
    if kind == "part":
        own = metric_form(metric, 1, selector=chosen)
        return compare(own, op, metric_form(metric, share, at=W8, selector=chosen))
    if kind == "mixed":
        terms = (*metric_form("size").terms, *metric_form("average_abits", -50).terms)
        left = Linear(dimension="number", terms=terms)
        return compare(left, op, draw(st.integers(-400, 2000)))
    return compare(metric_form(metric), op, metric_form(metric, share, at=W8))


def atoms(count: int) -> st.SearchStrategy[Predicate]:
    chosen = selectors(count)
    bits = st.sampled_from([2, 4, 8])
    words = st.sampled_from(["wbits", "abits"])
    ops = st.sampled_from(COMPARATORS)
    make: Callable[..., Predicate] = prop
    return st.one_of(
        numeric(count),
        st.builds(make, words, chosen, ops, bits),
        st.builds(make, st.just("precision"), chosen, ops, st.sampled_from(PRECISIONS)),
        st.builds(
            lambda name, a, op, b: prop(name, a, op, PropertyOf(property=name, selector=b)),
            st.sampled_from(["wbits", "abits", "precision"]),
            chosen,
            ops,
            chosen,
        ),
        st.builds(same, chosen, st.sampled_from(["precision", "wbits", "abits"])),
        st.builds(each, chosen, bare()),
        st.builds(
            lambda s, name, op, other: each(
                s, prop(name, None, op, PropertyOf(property=name, selector=other))
            ),
            chosen,
            words,
            ops,
            chosen,
        ),
        st.sampled_from([Truth(value=True, span=SPAN)]),
    )


def predicates(count: int) -> st.SearchStrategy[Predicate]:
    return st.recursive(
        atoms(count),
        lambda inner: st.one_of(
            st.builds(lambda a, b: And(items=(a, b), span=SPAN), inner, inner),
            st.builds(lambda a, b: Or(items=(a, b), span=SPAN), inner, inner),
            st.builds(implies, inner, inner),
            st.builds(lambda a: Not(item=a, span=SPAN), inner),
        ),
        max_leaves=4,
    )


def goals() -> st.SearchStrategy[Goal]:
    sums: list[Metric] = [*SUMS, "switches", "average_abits"]
    slips = st.sampled_from([Fraction(0), Fraction(1, 50), Fraction(1, 4)])
    return st.one_of(
        st.builds(
            lambda m, sense, slip: goal(m, sense=sense, within=slip),
            st.sampled_from(sums),
            st.sampled_from(["minimize", "maximize"]),
            slips,
        ),
        st.builds(lambda slip: goal("peak_memory", within=slip), slips),
    )


def _allowed(predicate: Predicate) -> bool:
    """Peak memory takes upper bounds only: not under ``not`` or left of ``implies``."""
    return "peak_memory" not in repr(predicate) or predicate.kind == "compare"


@st.composite
def problems(draw: st.DrawFn, largest: int = 5) -> Problem:
    count = draw(st.integers(2, largest))
    values = st.one_of(st.integers(0, 5), st.integers(0, 10**6).map(lambda n: n / 7))
    layers = [
        with_sensitivity(
            layer(
                f"l{i}",
                draw(st.integers(1, 40)) * 8,
                draw(st.integers(1, 1000)),
                input_elements=draw(st.integers(1, 100)),
                output_elements=draw(st.integers(1, 100)),
            ),
            {p: float(draw(values)) for p in PRECISIONS},
        )
        for i in range(count)
    ]
    live = tuple(
        (
            LiveTensor(tensor=f"t{i}", elements=draw(st.integers(1, 99)), reader=f"l{i}"),
            LiveTensor(tensor="r", elements=draw(st.integers(0, 50)), reader=None, bits=8),
        )
        for i in range(count)
    )
    table = LayerTable(layers=tuple(layers), live=live)
    precision = draw(st.lists(st.sampled_from(PRECISIONS), min_size=1, max_size=3, unique=True))
    stated: list[Constraint] = [
        named(f"c{k}", predicate)
        for k, predicate in enumerate(
            draw(st.lists(predicates(count).filter(_allowed), max_size=3))
        )
    ]
    objective = draw(st.lists(goals(), min_size=1, max_size=3))
    return build(stated, objective, precision), table


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
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


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
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
