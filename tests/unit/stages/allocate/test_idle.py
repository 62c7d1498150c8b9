"""What a spec says without effect: warnings that need the layers, and never a wrong one."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import pytest

from hawqlang.ir.layers import LayerTable
from hawqlang.ir.spec import Comparator, Constraint, LayerRule
from hawqlang.stages.allocate.feasibility import feasible
from hawqlang.stages.allocate.idle import idle
from hawqlang.stages.candidates import candidates
from hawqlang.stages.candidates.metrics import facts
from hawqlang.stages.candidates.predicates import holds
from tests.support.allocation import (
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
    span,
    word,
)

TABLE = LayerTable(layers=(layer("a.x"), layer("a.y", params=500), layer("fc")))


def codes(spec: Any) -> list[str]:
    found = feasible(spec, TABLE, candidates(spec, TABLE, None))
    return [one.code for one in found.diagnostics]


def rule(selector: Any, line: int, **settings: Any) -> LayerRule:
    return LayerRule(selector=selector, span=span(line), **settings)


def test_a_layer_block_that_later_ones_override_has_no_effect() -> None:
    rules = (rule(glob("fc"), 5, precision=(W8,)), rule(word("all"), 6, precision=(W4, W8)))
    spec = build(precision=()).replace(layer_rules=rules)

    (found,) = feasible(spec, TABLE, candidates(spec, TABLE, None)).diagnostics

    assert (found.code, found.severity, found.span) == ("HQ514", "warning", span(5))
    assert [label.span for label in found.labels] == [span(6)]
    assert codes(spec.replace(layer_rules=rules[::-1])) == []


def test_a_layer_block_with_one_key_left_has_an_effect() -> None:
    first = rule(glob("fc"), 5, precision=(W8,), accumulator="int24")
    spec = build().replace(layer_rules=(first, rule(glob("fc"), 6, precision=(W8,))))

    assert codes(spec) == []


def test_a_precision_that_blocks_set_for_every_layer_is_used_by_none() -> None:
    rules = (rule(glob("a.*"), 5, precision=(W8,)), rule(glob("fc"), 6, precision=(W4, W8)))

    assert codes(build().replace(layer_rules=rules)) == ["HQ515"]
    assert codes(build().replace(layer_rules=rules[:1])) == []
    assert codes(build(precision=()).replace(layer_rules=rules)) == []


@pytest.mark.parametrize(
    ("metric", "op", "bound", "slack"),
    [
        ("size", "<=", 2500, True),  # all at 8 bits
        ("size", "<=", 2499, False),
        ("size", "<", 2500, False),
        ("size", ">=", 1250, True),
        ("switches", "<=", 2, True),
        ("switches", "<=", 1, False),
        ("average_wbits", ">", 3, True),
        ("average_wbits", ">=", 5, False),
        ("bops", "==", 0, False),
    ],
)
def test_a_bound_beyond_all_that_can_be_reached_excludes_nothing(
    metric: Any, op: Comparator, bound: int, slack: bool
) -> None:
    spec = build([named("c", compare(metric_form(metric), op, Fraction(bound)))])

    assert ("HQ516" in codes(spec)) == slack


def test_a_property_that_every_candidate_has_excludes_nothing() -> None:
    assert codes(build([named("c", prop("wbits", word("all"), ">=", 4))])) == ["HQ516"]
    assert codes(build([named("c", prop("wbits", word("all"), ">=", 5))])) == []


def test_a_count_that_cannot_be_missed_excludes_nothing() -> None:
    narrow = count_form(word("all"), prop("wbits", None, "==", 4))

    assert codes(build([named("c", compare(narrow, "<=", Fraction(3)))])) == ["HQ516"]
    assert codes(build([named("c", compare(narrow, "<=", Fraction(2)))])) == []


def constraints() -> list[Constraint]:
    metrics = [metric_form(m) for m in ("size", "bops", "macs", "switches", "average_wbits")]
    counts = [count_form(word("all"), prop("wbits", None, "==", 8))]
    ops: list[Comparator] = ["<=", ">=", "<", ">"]
    bounds = [Fraction(n) for n in (0, 1, 2, 3, 8, 1250, 2500, 30_000, 480_000, 1_920_000)]
    return [
        named("c", compare(left, op, bound))
        for left, op, bound in itertools.product([*metrics, *counts], ops, bounds)
    ]


def test_what_is_said_to_exclude_nothing_holds_for_every_allocation() -> None:
    said = 0
    for constraint in constraints():
        spec = build([constraint])
        table = candidates(spec, TABLE, None)
        known = facts(spec, TABLE, table)
        if idle(known):
            assert all(holds(known, constraint.predicate, one) for one in every_allocation(table))
            said += 1
    assert said > 20
