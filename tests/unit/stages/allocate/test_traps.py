"""What solvers are known to get wrong, and this one may not."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from hawqlang.base import Precision
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.spec import Comparator, Metric, Or
from hawqlang.stages.allocate.problem import Problem, Row
from hawqlang.stages.allocate.pseudo_boolean import Judge, cover
from hawqlang.stages.allocate.solve import allocate
from hawqlang.stages.candidates import candidates
from tests.support.allocation import (
    SPAN,
    W4,
    W8,
    W48,
    build,
    compare,
    count_form,
    goal,
    layer,
    metric_form,
    named,
    prop,
    with_sensitivity,
    word,
)

EFFORT = 10_000_000


def random_problem(rng: np.random.Generator, bits: int) -> Problem:
    sizes = tuple(int(n) for n in rng.integers(2, 4, 4))
    rows: list[Row] = []
    for k in range(3):
        coefs = {
            v: tuple(int(rng.integers(0, 2**16)) << max(0, bits - 16) for _ in range(size))
            for v, size in enumerate(sizes)
        }
        coefs = {v: tuple(a + int(rng.integers(0, 7)) for a in one) for v, one in coefs.items()}
        middle = sum(sum(one) // len(one) for one in coefs.values())
        rows.append(Row(str(k), coefs, int(middle * rng.uniform(0.5, 1.1))))
    return Problem(sizes, tuple(rows))


@pytest.mark.parametrize("bits", [16, 28, 30, 31, 32, 33, 40, 64, 120])
def test_z3_is_right_about_numbers_of_any_size(bits: int) -> None:
    rng = np.random.default_rng(bits)
    for _ in range(15):
        problem = random_problem(rng, bits)
        points = itertools.product(*(range(size) for size in problem.sizes))
        exists = any(problem.satisfied(point) for point in points)

        answer = Judge(problem).check(EFFORT)

        assert answer.status == ("sat" if exists else "unsat")
        if answer.point is not None:
            assert problem.satisfied(answer.point)


def test_a_model_of_the_shifted_rows_counts_only_if_it_meets_the_exact_ones() -> None:
    huge = 2**80
    row = Row("fine", {0: (0, huge + 1), 1: (0, huge)}, 2 * huge)
    judge = Judge(Problem((2, 2), (row, Row("", {0: (1, 0), 1: (1, 0)}, 0))))

    assert judge.check(EFFORT).status == "unsat"


def test_a_cover_forbids_what_breaks_a_row_whatever_the_rest_is() -> None:
    row = Row("r", {0: (0, 5), 1: (0, 4), 2: (1, 2)}, 8)

    clause = cover(row, (1, 1, 0))

    assert clause == ((0, 1), (1, 1))


def test_a_strict_bound_excludes_its_own_value_and_nothing_else() -> None:
    layers = LayerTable(layers=(with_sensitivity(layer("a", 8), {W4: 1.0, W8: 0.0}),))
    cases: tuple[tuple[Comparator, Fraction, Precision], ...] = (
        ("<", Fraction(8), W4),
        ("<=", Fraction(8), W8),
        ("<", Fraction(801, 100), W8),
    )
    for op, bound, expected in cases:
        spec = build([named("fits", compare(metric_form("size"), op, bound))])
        plan = allocate(spec, layers, candidates(spec, layers, None))
        assert plan.precision("a") == expected


@pytest.mark.parametrize(
    ("op", "smallest", "largest"),
    [("<", 0, 1), ("<=", 0, 2), ("==", 2, 2), (">=", 2, 4), (">", 3, 4), ("!=", 0, 4)],
)
def test_a_comparison_admits_exactly_the_counts_it_says(
    op: Comparator, smallest: int, largest: int
) -> None:
    layers = LayerTable(layers=tuple(layer(f"l{i}") for i in range(4)))
    wide = prop("wbits", None, "==", 8)
    stated = [named("two", compare(count_form(word("all"), wide), op, 2))]
    for sense, expected in (("minimize", smallest), ("maximize", largest)):
        spec = build(stated, [goal("size", sense=sense)])
        plan = allocate(spec, layers, candidates(spec, layers, None))
        assert [one.precision for one in plan.layers].count(W8) == expected


def test_an_alternative_that_holds_asks_nothing_of_the_other() -> None:
    layers = LayerTable(layers=tuple(layer(f"l{i}") for i in range(3)))
    first = prop("wbits", word("first"), "==", 8)
    small = compare(metric_form("size"), "<=", Fraction(100))
    stated = [named("either", Or(items=(first, small), span=SPAN))]
    spec = build(stated, [goal("size", sense="maximize")])

    plan = allocate(spec, layers, candidates(spec, layers, None))

    assert [one.precision for one in plan.layers] == [W8, W8, W8]


def test_a_difference_below_the_usual_mip_gap_decides() -> None:
    close = [1.0, 1.0 - 1e-9, 1.0 + 1e-9]
    layers = LayerTable(
        layers=tuple(
            with_sensitivity(layer(f"l{i}"), {W4: 1000.0 + extra, W8: 1000.0})
            for i, extra in enumerate(close)
        )
    )
    spec = build([named("fits", compare(metric_form("size"), "<=", Fraction(2000)))])

    plan = allocate(spec, layers, candidates(spec, layers, None))

    assert [str(one.precision) for one in plan.layers] == ["w4a4", "w4a4", "w8a8"]


def test_a_bound_at_a_baseline_admits_that_baseline() -> None:
    rng = np.random.default_rng(0)
    layers = LayerTable(
        layers=tuple(
            with_sensitivity(
                layer(
                    f"l{i}",
                    int(rng.integers(1, 10**7)),
                    int(rng.integers(1, 10**9)),
                    input_elements=int(rng.integers(1, 10**6)),
                    output_elements=int(rng.integers(1, 10**6)),
                ),
                {W4: 1.0, W48: 0.5, W8: 0.1},
            )
            for i in range(30)
        )
    )
    metrics: tuple[Metric, ...] = ("latency", "size", "bops", "average_abits")
    for metric in metrics:
        limit = metric_form(metric, 1, at=W4)
        spec = build([named("least", compare(metric_form(metric), "<=", limit))])

        plan = allocate(spec, layers, candidates(spec, layers, None))

        assert plan.status == "optimal"
        assert {one.precision for one in plan.layers} == {W4}


def test_the_answer_does_not_depend_on_what_was_solved_before() -> None:
    layers = LayerTable(
        layers=tuple(
            with_sensitivity(layer(f"l{i}", 100 + i), {W4: 1.0 + i % 3, W8: 0.1}) for i in range(12)
        )
    )
    spec = build([named("fits", compare(metric_form("size"), "<=", Fraction(900)))])
    offered = candidates(spec, layers, None)

    plans = [allocate(spec, layers, offered) for _ in range(3)]

    assert plans[0] == plans[1] == plans[2]


def test_no_limit_is_a_clock(repository: Path) -> None:
    for file in sorted((repository / "hawqlang" / "stages" / "allocate").glob("*.py")):
        text = file.read_text(encoding="utf-8")
        assert "time_limit" not in text
        assert '"timeout"' not in text
        assert "import time" not in text
