"""Metrics and predicates over an allocation, by hand."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from hawqlang.base import Precision
from hawqlang.diagnostics import HawqError
from hawqlang.ir.layers import LayerTable, LiveTensor
from hawqlang.ir.spec import LayerRule, Metric, MetricTerm, Predicate, PropertyOf
from hawqlang.stages.candidates import candidates
from hawqlang.stages.candidates.metrics import Facts, facts, value
from hawqlang.stages.candidates.predicates import holds
from tests.support.allocation import (
    W4,
    W8,
    W48,
    build,
    compare,
    count_form,
    each,
    glob,
    implies,
    layer,
    metric_form,
    prop,
    same,
    span,
    with_sensitivity,
    word,
)

TABLE = LayerTable(
    layers=tuple(
        with_sensitivity(one, {W4: 2.0, W48: 1.5, W8: 0.5})
        for one in (
            layer("a", 100, 10, input_elements=30, output_elements=60),
            layer("b", 300, 20, input_elements=60, output_elements=10),
            layer("c", 600, 30, input_elements=10, output_elements=10),
        )
    ),
    live=(
        (LiveTensor(tensor="x", elements=30, reader="a"),),
        (
            LiveTensor(tensor="y", elements=60, reader="b"),
            LiveTensor(tensor="s", elements=7, reader=None, bits=16),
        ),
    ),
)


def known(**more: Any) -> Facts:
    spec = build(precision=(W4, W48, W8), **more)
    return facts(spec, TABLE, candidates(spec, TABLE, None))


ALLOCATION: tuple[Precision, ...] = (W8, W48, W4)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("size", Fraction(100 * 8 + 300 * 4 + 600 * 4, 8)),
        ("bops", Fraction(10 * 64 + 20 * 32 + 30 * 16)),
        ("macs", Fraction(60)),
        ("perturbation", Fraction(4)),
        ("switches", Fraction(2)),
        ("average_wbits", Fraction(100 * 8 + 900 * 4, 1000)),
        ("average_abits", Fraction(30 * 8 + 60 * 8 + 10 * 4, 100)),
        ("peak_memory", Fraction(60 * 8 + 7 * 16, 8)),
    ],
)
def test_a_metric_over_an_allocation(metric: Metric, expected: Fraction) -> None:
    assert value(known(), MetricTerm(metric=metric), ALLOCATION) == expected


@pytest.mark.parametrize(
    ("metric", "more", "expected"),
    [
        ("size", {"at": W8}, Fraction(1000)),
        ("size", {"at": "fp32"}, Fraction(4000)),
        ("size", {"at": Precision(wbits=1, abits=16)}, Fraction(125)),
        ("size", {"selector": glob("b")}, Fraction(150)),
        ("size", {"at": W8, "selector": glob("b")}, Fraction(300)),
        ("bops", {"at": "fp32"}, Fraction(60 * 1024)),
        ("perturbation", {"at": "fp32"}, Fraction(0)),
        ("perturbation", {"at": W4}, Fraction(6)),
        ("switches", {"at": W4}, Fraction(0)),
        ("average_wbits", {"at": "fp32"}, Fraction(32)),
        ("peak_memory", {"at": "fp32"}, Fraction(60 * 32 + 7 * 16, 8)),
        ("average_abits", {"selector": glob("c")}, Fraction(4)),
    ],
)
def test_a_baseline_or_a_part_of_a_metric(
    metric: Metric, more: dict[str, Any], expected: Fraction
) -> None:
    assert value(known(), MetricTerm(metric=metric, **more), ALLOCATION) == expected


def test_a_baseline_counts_layers_that_may_not_take_it() -> None:
    rules = (LayerRule(selector=word("first"), precision=(W4,), span=span(3)),)
    one = known(layer_rules=rules)

    eight = value(one, MetricTerm(metric="latency", at=W8), ALLOCATION)

    assert eight == value(known(), MetricTerm(metric="latency", at=W8), ALLOCATION)
    assert eight == value(known(), MetricTerm(metric="latency"), (W8, W8, W8))


def test_latency_at_fp32_is_unknown_and_says_so() -> None:
    with pytest.raises(HawqError) as caught:
        value(known(), MetricTerm(metric="latency", at="fp32"), ALLOCATION)

    assert caught.value.diagnostics[0].code == "HQ507"


def test_a_table_without_shapes_knows_neither_peak_memory_nor_average_abits() -> None:
    table = LayerTable(layers=(layer("a"),), from_file=True)
    spec = build()
    one = facts(spec, table, candidates(spec, table, None))
    for metric in ("peak_memory", "average_abits"):
        with pytest.raises(HawqError) as caught:
            value(one, MetricTerm(metric=metric), (W8,))
        assert caught.value.diagnostics[0].code == "HQ507"


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        (prop("wbits", word("all"), ">=", 4), True),
        (prop("wbits", word("all"), "==", 4), False),
        (prop("precision", glob("b"), "==", W48), True),
        (prop("precision", word("all"), ">=", W4), True),
        (prop("precision", glob("b"), "<", W8), True),
        (prop("abits", glob("a"), "==", PropertyOf(property="abits", selector=glob("b"))), True),
        (prop("wbits", glob("a"), "<", PropertyOf(property="wbits", selector=glob("b"))), False),
        (
            each(word("all"), implies(prop("wbits", None, "==", 8), prop("abits", None, "==", 8))),
            True,
        ),
        (
            each(
                word("all"), prop("wbits", None, "<=", PropertyOf(property="abits", selector=None))
            ),
            True,
        ),
        (same(glob("?")), False),
        (same(glob("{i}")), True),
        (same(glob("?"), "wbits"), False),
        (compare(count_form(word("all"), prop("wbits", None, "==", 4)), "==", 2), True),
        (compare(count_form(word("all"), None), "==", 3), True),
        (compare(metric_form("size"), "<", Fraction(550)), False),
        (compare(metric_form("size"), "<=", Fraction(550)), True),
    ],
)
def test_a_predicate_of_an_allocation(predicate: Predicate, expected: bool) -> None:
    assert holds(known(), predicate, ALLOCATION) is expected


def test_copies_of_a_tensor_at_one_width_count_once() -> None:
    read = tuple(LiveTensor(tensor="t", elements=10, reader=name) for name in ("a", "b", "c"))
    step = (*read, LiveTensor(tensor="t", elements=10, reader=None, bits=8))
    waiting = tuple(one.replace(tensor="p", stored_bits=32) for one in step)
    memory = MetricTerm(metric="peak_memory")
    spec = build(precision=(W4, W48, W8))

    def peak(live: tuple[LiveTensor, ...]) -> Fraction:
        table = TABLE.replace(live=(live,))
        return value(facts(spec, table, candidates(spec, table, None)), memory, ALLOCATION)

    assert peak(step) == Fraction(10 * (8 + 4), 8)
    assert peak(waiting) == Fraction(10 * (32 + 32), 8)
