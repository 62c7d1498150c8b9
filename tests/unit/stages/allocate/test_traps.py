"""What solvers are known to get wrong, and this one may not."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.allocation_instances import instance
from hawqlang.base import Precision
from hawqlang.diagnostics import HawqError
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.spec import Comparator, Metric, Or
from hawqlang.stages.allocate import highs, library, pseudo_boolean
from hawqlang.stages.allocate.limits import Limits
from hawqlang.stages.allocate.problem import Problem, Row
from hawqlang.stages.allocate.pseudo_boolean import Judge, cover
from hawqlang.stages.allocate.solve import allocate
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


class Recording:
    """A module whose pseudo-Boolean constraints are noted down."""

    def __init__(self, numbers: list[int]) -> None:
        self.numbers = numbers

    def __getattr__(self, name: str) -> Any:
        return getattr(library.z3(), name)

    def PbLe(self, terms: Sequence[tuple[Any, int]], most: int) -> Any:  # noqa: N802 - Z3's name
        self.numbers += [most, *(weight for _, weight in terms)]
        return library.z3().PbLe(terms, most)


HUGE = (1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62 + 1, 10**18 + 7, 2**70)


@pytest.mark.parametrize("rotated", range(4))
def test_z3_sees_no_number_from_two_to_the_31_on_and_the_answer_is_right(
    monkeypatch: pytest.MonkeyPatch, rotated: int
) -> None:
    numbers: list[int] = []
    recording = Recording(numbers)
    monkeypatch.setattr(pseudo_boolean, "z3", lambda: recording)
    sizes = (HUGE[rotated:] + HUGE[:rotated])[:6]
    layers = LayerTable(
        layers=tuple(
            with_sensitivity(
                layer(f"l{i}", size, size),
                {W4: 3e9 + 7 * i, W48: 1e9 + i % 2, W8: float(size % 1000)},
            )
            for i, size in enumerate(sizes)
        )
    )
    metrics: tuple[Metric, ...] = ("size", "bops")
    for share in (Fraction(6, 10), Fraction(7, 10), Fraction(85, 100)):
        stated = [
            named(one, compare(metric_form(one), "<=", metric_form(one, share, at=W8)))
            for one in metrics
        ]
        wide = prop("wbits", None, "==", 8)
        stated.append(named("some", compare(count_form(word("all"), wide), ">=", 2)))
        stated.append(named("not", compare(metric_form("size"), "!=", 2**61 + rotated)))
        spec = build(stated, precision=(W4, W48, W8))
        offered = candidates(spec, layers, None)

        plan = allocate(spec, layers, offered)

        assert (tuple(plan.allocation().values()) or None) == best_by_trying(spec, layers, offered)
    problem = Problem((2, 2), (Row("r", {0: (0, 2**32 - 1), 1: (0, 2**31)}, 2**32),))
    assert Judge(problem).check(EFFORT).status == "sat"
    assert numbers
    assert max(map(abs, numbers)) < 2**31


def test_the_mip_solver_is_asked_for_no_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: dict[str, Any] = {}
    start = highs.start

    def spied(model: Any) -> Any:
        solver = start(model)

        class Spy:
            def __getattr__(self, name: str) -> Any:
                return getattr(solver, name)

            def setOptionValue(self, name: str, value: Any) -> None:  # noqa: N802
                set_to[name] = value
                solver.setOptionValue(name, value)

        return Spy()

    monkeypatch.setattr(highs, "start", spied)
    row = Row("r", {v: (0, 3 + v) for v in range(5)}, 9)
    cost = {v: (10**6 + v, 0) for v in range(5)}

    highs.Relaxation(Problem((2,) * 5, (row,)), cost).best_integer(100)

    assert set_to["mip_rel_gap"] == 0.0
    assert set_to["mip_max_nodes"] == 100


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_seeds_of_the_solvers_change_nothing(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    spec, layers = instance("mobilenetv2", 9, Fraction(3, 10), 0)
    offered = candidates(spec, layers, None)
    usual = allocate(spec, layers, offered)
    start = highs.start

    def seeded(model: Any) -> Any:
        solver = start(model)
        solver.setOptionValue("random_seed", seed)
        return solver

    monkeypatch.setattr(highs, "start", seeded)
    z3 = library.z3()
    z3.set_param("smt.random_seed", seed)
    z3.set_param("sat.random_seed", seed)
    try:
        assert allocate(spec, layers, offered) == usual
    finally:
        z3.set_param("smt.random_seed", 0)
        z3.set_param("sat.random_seed", 0)


MAGNITUDES: tuple[tuple[float, ...], ...] = (
    (1e30, 1e-30, 1e-30, 1.0),
    (1e300, 5e-324, 1.0, 1e-300),
    (1e12, 1e12 + 1e-3, 1e-9, 2e-9),
    (1.0, 1.0 + 1e-15, 1.0 - 1e-15, 1.0),
    (0.0, 0.0, 0.0, 1e-30),
)


@pytest.mark.parametrize("values", MAGNITUDES)
@pytest.mark.parametrize("slip", [Fraction(0), Fraction(1, 50)])
def test_sensitivities_many_orders_apart_are_told_apart(
    values: tuple[float, ...], slip: Fraction
) -> None:
    layers = LayerTable(
        layers=tuple(
            with_sensitivity(layer(f"l{i}", 100 + i), {W4: one, W48: one / 3, W8: one / 7})
            for i, one in enumerate(values)
        )
    )
    for bound in (210, 260, 310, 360):
        fits = named("fits", compare(metric_form("size"), "<=", Fraction(bound)))
        aims = [goal("perturbation", within=slip), goal("size")]
        spec = build([fits], aims, (W4, W48, W8))
        offered = candidates(spec, layers, None)

        plan = allocate(spec, layers, offered)

        assert plan.gap == (0 if plan.status == "optimal" else None)
        assert (tuple(plan.allocation().values()) or None) == best_by_trying(spec, layers, offered)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1.7e308])
def test_a_sensitivity_that_cannot_be_added_up_is_refused_by_the_name_of_its_layer(
    value: float,
) -> None:
    layers = LayerTable(
        layers=tuple(
            with_sensitivity(layer(f"l{i}"), {W4: value if i == 1 else 1.0, W8: 0.0})
            for i in range(3)
        )
    )

    with pytest.raises(HawqError) as caught:
        candidates(build(), layers, None)

    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "HQ505"
    assert "'l1'" in diagnostic.message


def test_out_of_work_the_answer_is_the_same_every_time() -> None:
    spec, layers = instance("mobilenetv2", 9, Fraction(3, 10), 2)
    offered = candidates(spec, layers, None)
    little = Limits(direct=1, leaf=1, mip_nodes=1, nodes=3)

    plans = [allocate(spec, layers, offered, limits=little) for _ in range(3)]

    assert plans[0].status in {"feasible", "optimal"}
    assert plans[0] == plans[1] == plans[2]


def test_neither_soft_constraints_nor_z3s_own_optimiser_are_used(repository: Path) -> None:
    for file in sorted((repository / "hawqlang" / "stages" / "allocate").glob("*.py")):
        text = file.read_text(encoding="utf-8")
        assert "add_soft" not in text
        assert "Optimize(" not in text


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
