"""Conflicts: minimal, proven, and told in the reader's words."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.allocation_instances import conflict
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.plan import BitPlan
from hawqlang.ir.spec import (
    And,
    Comparator,
    Compare,
    Constraint,
    Dimension,
    Linear,
    Metric,
    Predicate,
    Truth,
    Union,
)
from hawqlang.stages.allocate.conflicts import Deciding
from hawqlang.stages.allocate.encoding import encode_all
from hawqlang.stages.allocate.limits import NORMAL
from hawqlang.stages.allocate.quantities import UNITS, admitting, feasible_bound, written
from hawqlang.stages.allocate.solve import allocate
from hawqlang.stages.allocate.space import space
from hawqlang.stages.candidates import candidates
from hawqlang.stages.candidates.metrics import facts
from hawqlang.stages.candidates.predicates import holds
from tests.support.allocation import (
    SPAN,
    W4,
    W8,
    build,
    compare,
    count_form,
    every_allocation,
    glob,
    layer,
    metric_form,
    named,
    prop,
    same,
    with_sensitivity,
    word,
)

TABLE = LayerTable(
    layers=tuple(
        with_sensitivity(layer(f"l{i}", 2**17 * (i + 1), 10**6), {W4: 1.0, W8: 0.1})
        for i in range(6)
    )
)
ENDS = prop("precision", Union(items=(word("first"), word("last")), span=SPAN), "==", W8)
MIB = 2**20


def plan_of(*constraints: Constraint) -> BitPlan:
    spec = build(constraints)
    return allocate(spec, TABLE, candidates(spec, TABLE, None))


def satisfiable(constraints: Sequence[Constraint]) -> bool:
    spec = build(constraints)
    offered = candidates(spec, TABLE, None)
    known = facts(spec, TABLE, offered)
    return any(
        all(holds(known, one.predicate, allocation) for one in constraints)
        for allocation in every_allocation(offered)
    )


def test_the_diagnostic_has_the_shape_of_the_language_reference() -> None:
    fits = named(
        "fits",
        compare(metric_form("size"), "<=", Fraction(14, 10) * MIB),
        "size <= budget",
        line=43,
    )
    plan = plan_of(fits, named("ends", ENDS, "precision(first, last) == w8a8", line=45))

    assert plan.status == "infeasible"
    (diagnostic,) = plan.diagnostics
    assert diagnostic.code == "HQ501"
    assert diagnostic.message == "no allocation satisfies 'fits' and 'ends' together"
    assert diagnostic.span is not None
    assert diagnostic.span.line == 43
    assert diagnostic.label == "allows 1.40 MiB; together with 'ends' at least 1.75 MiB is needed"
    (label,) = diagnostic.labels
    assert label.span.line == 45
    assert label.message == "adds 0.44 MiB to the smallest, 1.31 MiB"
    assert diagnostic.help == "feasible from `param budget: size = 1.75 MiB`"
    assert [one.name for one in plan.conflict] == ["fits", "ends"]
    (suggestion,) = plan.suggestions
    assert (suggestion.text, suggestion.value) == ("size <= 1.75 MiB", 1.75 * MIB)


def test_a_constraint_that_nothing_can_meet_stands_alone() -> None:
    plan = plan_of(
        named("fits", compare(metric_form("size"), "<=", Fraction(100)), "size <= 100 B"),
        named("ends", ENDS),
    )

    (diagnostic,) = plan.diagnostics
    assert diagnostic.message == "no allocation satisfies 'fits'"
    assert diagnostic.labels == ()


def test_disjoint_conflicts_are_all_reported_and_mended_one_by_one() -> None:
    most = compare(count_form(word("all"), prop("wbits", None, "==", 4)), ">=", 7)
    plan = plan_of(
        named("many", most, "count(all where wbits == 4) >= 7"),
        named(
            "fits", compare(metric_form("size"), "<=", Fraction(14, 10) * MIB), "size <= 1.4 MiB"
        ),
        named("ends", ENDS),
    )

    assert [one.message for one in plan.diagnostics] == [
        "no allocation satisfies 'many'",
        "no allocation satisfies 'fits' and 'ends' together",
    ]
    assert [one.text for one in plan.suggestions] == [
        "count(all where wbits == 4) >= 6",
        "size <= 1.75 MiB",
    ]


def test_a_share_of_a_baseline_is_suggested_as_a_share() -> None:
    half = metric_form("size", Fraction(2, 5), at=W8)
    plan = plan_of(
        named("fits", compare(metric_form("size"), "<=", half), "size <= 40% of size(w8a8)")
    )

    assert [one.text for one in plan.suggestions] == ["size <= 50% of size(w8a8)"]


def test_bits_are_suggested_where_the_bound_is_on_bits() -> None:
    plan = plan_of(
        named(
            "fits", compare(metric_form("size"), "<=", Fraction(14, 10) * MIB), "size <= 1.4 MiB"
        ),
        named("wide", prop("wbits", word("all"), ">=", 8), "wbits(all) >= 8"),
    )

    assert [one.text for one in plan.suggestions] == ["size <= 2.63 MiB", "wbits(all) >= 4"]


def test_both_ends_of_a_chain_are_bounds() -> None:
    size = metric_form("size")
    chain = And(
        items=(compare(size, ">=", Fraction(3 * MIB)), compare(size, "<=", Fraction(4 * MIB))),
        span=SPAN,
    )
    plan = plan_of(named("band", chain, "3 MiB <= size <= 4 MiB"))

    assert [one.text for one in plan.suggestions] == ["size >= 2.62 MiB"]


def test_ties_take_part_in_a_conflict() -> None:
    plan = plan_of(
        named("tied", same(word("all"))),
        named("one", prop("wbits", glob("l0"), "==", 4)),
        named("two", prop("wbits", glob("l1"), "==", 8)),
        named("idle", prop("wbits", glob("l2"), ">=", 4)),
    )

    assert [one.name for one in plan.conflict] == ["tied", "one", "two"]


def test_excluded_allocations_are_put_down_to_the_accuracy_that_refused_them() -> None:
    good = named("good", compare(metric_form("accuracy_drop"), "<=", Fraction(1, 100)))
    fits = named(
        "fits", compare(metric_form("size"), "<=", Fraction(15, 10) * MIB), "size <= 1.5 MiB"
    )
    spec = build([good, fits])
    offered = candidates(spec, TABLE, None)
    tried = [{one.name: W8 for one in TABLE.layers}]

    plan = allocate(spec, TABLE, offered, exclude=tried)

    assert plan.status == "infeasible"
    assert [one.name for one in plan.conflict] == ["good"]
    assert plan.diagnostics[0].label == "refused every allocation that was left"


@st.composite
def constraint_sets(draw: st.DrawFn, least: int = 2) -> list[Constraint]:
    def one() -> Predicate:
        kind = draw(st.sampled_from(["size", "bits", "tie", "count", "average"]))
        name = draw(st.sampled_from([f"l{i}" for i in range(6)]))
        if kind == "bits":
            return prop("wbits", glob(name), "==", draw(st.sampled_from([4, 8])))
        if kind == "tie":
            other = draw(st.sampled_from([f"l{i}" for i in range(6)]))
            return same(Union(items=(glob(name), glob(other)), span=SPAN))
        if kind == "count":
            wide = count_form(word("all"), prop("wbits", None, "==", 8))
            return compare(wide, draw(st.sampled_from(["<=", ">="])), draw(st.integers(0, 6)))
        metric: Metric = "size" if kind == "size" else "average_wbits"
        share = metric_form(metric, Fraction(draw(st.integers(45, 105)), 100), at=W8)
        return compare(metric_form(metric), draw(st.sampled_from(["<=", ">="])), share)

    count = draw(st.integers(least, 7))
    return [named(f"c{k}", one(), f"c{k}") for k in range(count)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(constraint_sets())
def test_a_conflict_cannot_be_met_and_without_any_member_it_can(stated: list[Constraint]) -> None:
    plan = plan_of(*stated)

    assert (plan.status == "infeasible") == (not satisfiable(stated))
    by_name = {one.name: one for one in stated}
    seen: set[str] = set()
    for diagnostic in plan.diagnostics:
        core = [name for name in by_name if f"'{name}'" in diagnostic.message]
        assert not seen & set(core)
        seen |= set(core)
        assert not satisfiable([by_name[name] for name in core])
        for rest in itertools.combinations(core, len(core) - 1):
            assert satisfiable([by_name[name] for name in rest])
    assert satisfiable([one for one in stated if one.name not in seen])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(constraint_sets(), st.integers(30, 49))
def test_a_suggested_bound_makes_the_spec_feasible(stated: list[Constraint], percent: int) -> None:
    size = metric_form("size")
    limit = Fraction(percent, 100) * 21 * 2**17
    rest = [*stated] if satisfiable(stated) else []
    fits = named("fits", compare(size, "<=", limit), f"size <= {float(limit)} B")

    plan = plan_of(fits, *rest)

    assert plan.status == "infeasible"
    suggestion = next(one for one in plan.suggestions if one.constraint == "fits")
    mended = named("fits", compare(size, "<=", Fraction(suggestion.value)))
    assert satisfiable([mended, *rest])


UNIT = re.compile(r"(<=|>=) ([\d.]+)( \* | B| KiB| MiB|$)")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(constraint_sets(least=4))
def test_a_suggestion_mends_the_spec_and_one_unit_tighter_does_not(
    stated: list[Constraint],
) -> None:
    plan = plan_of(*stated)
    conflicts = [
        {one.name for one in stated if f"'{one.name}'" in diagnostic.message}
        for diagnostic in plan.diagnostics
    ]

    for suggestion in plan.suggestions:
        old = next(one for one in stated if one.name == suggestion.constraint)
        found = UNIT.search(suggestion.text)
        if not isinstance(old.predicate, Compare) or found is None:
            continue
        own = next(names for names in conflicts if old.name in names)
        elsewhere = set[str]().union(*conflicts) - own
        rest = [one for one in stated if one is not old and one.name not in elsewhere]
        number, unit = Fraction(found[2]), found[3]
        step = Fraction(1, 10 ** len(found[2].partition(".")[2]))
        tighter = number - step if old.predicate.op == "<=" else number + step

        assert satisfiable([bounded(old, number, unit), *rest])
        assert not satisfiable([bounded(old, tighter, unit), *rest])


def bounded(old: Constraint, number: Fraction, unit: str) -> Constraint:
    """Return a constraint with another bound, a number or a share of what it was a share of."""
    predicate = old.predicate
    assert isinstance(predicate, Compare)
    if unit == " * ":
        (term,) = predicate.right.terms
        right = predicate.right.replace(terms=(term.replace(coefficient=number),))
    else:
        factor = UNITS[predicate.left.dimension][unit.strip()]
        right = Linear(dimension=predicate.left.dimension, constant=number * factor)
    return old.replace(predicate=predicate.replace(right=right))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(constraint_sets(least=4))
def test_every_conflict_is_proven_by_z3_once_more_and_minimal(stated: list[Constraint]) -> None:
    spec = build(stated)
    where = space(facts(spec, TABLE, candidates(spec, TABLE, None)))

    for found in Deciding(where, encode_all(where), NORMAL).conflicts():
        assert found.minimal
        assert found.proven_by_z3


def test_three_conflicts_that_share_nothing_are_reported_each_at_its_lines() -> None:
    eight, four = ([prop("wbits", glob(f"l{i}"), "==", bits) for i in range(6)] for bits in (8, 4))
    size = metric_form("size", 1, selector=glob("l5"))
    plan = plan_of(
        named("a", eight[0], line=11),
        named("idle", eight[2], line=12),
        named("b", same(Union(items=(glob("l3"), glob("l4")), span=SPAN)), line=13),
        named("c", eight[3], line=14),
        named("d", four[0], line=15),
        named("e", compare(size, "<=", Fraction(6 * 2**16)), "size(l5) <= 384 KiB", line=16),
        named("f", four[4], line=17),
        named("g", eight[5], line=18),
    )

    told = [
        {one.span.line if one.span else 0, *(label.span.line for label in one.labels)}
        for one in plan.diagnostics
    ]
    assert told == [{11, 15}, {13, 14, 17}, {16, 18}]
    assert all(one.code == "HQ501" for one in plan.diagnostics)
    assert [one.name for one in plan.conflict] == ["a", "d", "b", "c", "f", "e", "g"]


@pytest.mark.parametrize("count", [50, 140])
def test_a_large_conflict_is_minimal_and_proven_by_z3(count: int) -> None:
    spec, layers = conflict(count, 0)
    where = space(facts(spec, layers, candidates(spec, layers, None)))
    deciding = Deciding(where, encode_all(where), NORMAL)

    (found,) = deciding.conflicts()

    assert found.minimal
    assert found.proven_by_z3
    for name in found.names:
        left = deciding.decide([other for other in found.names if other != name])
        assert left.status == "sat"
        assert left.point is not None
        allocation = where.allocation(left.point)
        kept = (one for one in spec.constraints if one.name in found.names and one.name != name)
        assert all(holds(where.known, one.predicate, allocation) for one in kept)


def test_a_hundred_named_constraints_are_narrowed_down() -> None:
    layers = LayerTable(
        layers=tuple(
            with_sensitivity(layer(f"l{i}", 1000 + i), {W4: 1.0, W8: 0.1}) for i in range(100)
        )
    )
    stated = [named(f"wide{i}", prop("wbits", glob(f"l{i}"), ">=", 4)) for i in range(95)]
    stated.insert(40, named("eight", prop("wbits", glob("l7"), "==", 8)))
    stated.append(named("fits", compare(metric_form("size"), "<=", metric_form("size", at=W4))))
    spec = build(stated)

    plan = allocate(spec, layers, candidates(spec, layers, None))

    assert [one.name for one in plan.conflict] == ["eight", "fits"]


@pytest.mark.parametrize(
    ("value", "dimension", "op", "like", "expected"),
    [
        (Fraction(58, 10) * MIB + 1, "size", "<=", "5.7 MiB", "5.81 MiB"),
        (Fraction(58, 10) * MIB, "size", "<", "5.7 MiB", "5.81 MiB"),
        (Fraction(58, 10) * MIB, "size", ">=", "6 MiB", "5.80 MiB"),
        (Fraction(58, 10) * MIB, "size", ">", "6 MiB", "5.79 MiB"),
        (Fraction(1500), "size", "<=", "1 KB", "1.50 KB"),
        (Fraction(12345, 10**7), "time", "<=", "1 ms", "1.24 ms"),
        (Fraction(12345, 10**7), "time", "<=", "", "1.24 ms"),
        (Fraction(3), "number", "<=", "2", "3"),
        (Fraction(123456789), "bops", "<=", "0.1 GBOPS", "0.124 GBOPS"),
        (Fraction(7, 3), "number", ">=", "3", "2.33"),
    ],
)
def test_a_bound_is_rounded_to_the_feasible_side_in_the_unit_written(
    value: Fraction, dimension: Dimension, op: Comparator, like: str, expected: str
) -> None:
    assert feasible_bound(value, dimension, op, like).text == expected


@settings(max_examples=200)
@given(
    st.fractions(min_value=0, max_value=10**12, max_denominator=10**9),
    st.sampled_from(["<", "<=", ">", ">="]),
)
def test_a_rounded_bound_admits_the_value(value: Fraction, op: Comparator) -> None:
    bound = Fraction(admitting(value, op))
    truth = {"<": value < bound, "<=": value <= bound, ">": value > bound, ">=": value >= bound}
    assert truth[op]


def test_a_quantity_without_a_unit_of_its_own_gets_a_readable_one() -> None:
    assert written(Fraction(3 * 2**19), "size") == "1.50 MiB"
    assert written(Fraction(1, 10**5), "time") == "10 us"


def test_a_false_constraint_is_its_own_conflict() -> None:
    plan = plan_of(named("never", Truth(value=False, span=SPAN), "false"))

    assert [one.name for one in plan.conflict] == ["never"]
