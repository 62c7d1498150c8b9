"""Allocation: what a plan says, ties between optima, goals in order, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from benchmarks.allocation_instances import instance
from hawqlang.base import Precision
from hawqlang.diagnostics import HawqError
from hawqlang.ir.layers import LayerTable, LiveTensor
from hawqlang.ir.plan import BitPlan
from hawqlang.ir.spec import Build, Constraint, Goal, LayerRule, Not, Union
from hawqlang.stages.allocate.feasibility import feasible
from hawqlang.stages.allocate.limits import Limits
from hawqlang.stages.allocate.report import plan_json
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
    glob,
    goal,
    implies,
    layer,
    metric_form,
    named,
    prop,
    same,
    span,
    w,
    with_sensitivity,
    word,
)


def table(*sensitivities: Mapping[Precision, float], params: Sequence[int] = ()) -> LayerTable:
    sizes = params or [1000] * len(sensitivities)
    return LayerTable(
        layers=tuple(
            with_sensitivity(layer(f"l{i}", sizes[i]), values)
            for i, values in enumerate(sensitivities)
        )
    )


def solve(spec: Build, layers: LayerTable, **more: Any) -> BitPlan:
    return allocate(spec, layers, candidates(spec, layers, None), **more)


def bits(plan: BitPlan) -> list[str]:
    return [str(choice.precision) for choice in plan.layers]


EQUAL = table({W4: 1.0, W8: 0.0}, {W4: 1.0, W8: 0.0}, {W4: 1.0, W8: 0.0})
FITS = named("fits", compare(metric_form("size"), "<=", Fraction(2000)), "size <= 2000 B")


def test_a_plan_says_how_it_stands_to_every_constraint() -> None:
    layers = table({W4: 3.0, W8: 1.0}, {W4: 5.0, W8: 0.5})
    spec = build(
        [
            named("fits", compare(metric_form("size"), "<=", Fraction(1600)), "size <= 1600 B"),
            named("ends", prop("wbits", word("last"), "==", 8)),
            named("good", compare(metric_form("accuracy_drop"), "<=", Fraction(1, 100))),
        ]
    )

    plan = solve(spec, layers)

    assert plan.status == "optimal"
    assert plan.gap == 0
    assert bits(plan) == ["w4a4", "w8a8"]
    assert dict(plan.objective) == {"perturbation": 3.5}
    assert dict(plan.metrics)["size_bytes"] == 1500
    fits, ends, good = plan.constraints
    assert (fits.value, fits.bound, fits.slack, fits.unit, fits.holds) == (
        1500,
        1600,
        100,
        "B",
        True,
    )
    assert (ends.value, ends.holds) == (None, True)
    assert (good.value, good.bound, good.holds, good.unit) == (None, 0.01, None, "%")


def test_the_json_of_a_plan_has_exactly_the_keys_scripts_rely_on() -> None:
    found = plan_json(solve(build([FITS]), EQUAL))

    assert set(found) == {
        "format_version", "quantize", "status", "gap", "objective", "metrics",
        "layers", "constraints", "conflict", "suggestions", "artifact_bytes", "runner_up",
        "excluded",
    }  # fmt: skip
    assert set(found["layers"][0]) == {
        "name", "kind", "precision", "params", "macs", "sensitivity", "latency_us",
        "share", "why", "price",
    }  # fmt: skip
    assert found["constraints"] == [
        {"name": "fits", "text": "size <= 2000 B", "value": 2000.0, "bound": 2000.0, "slack": 0.0}
    ]


def test_equal_optima_give_the_larger_bits_to_the_earlier_layers() -> None:
    assert bits(solve(build([FITS]), EQUAL)) == ["w8a8", "w4a4", "w4a4"]


def test_equal_optima_prefer_the_smaller_size_to_larger_bits() -> None:
    layers = table({W4: 1.0, W8: 0.0}, {W4: 1.0, W8: 0.0}, params=(1200, 1000))
    one_at_8 = compare(count_form(word("all"), prop("wbits", None, "==", 8)), "==", 1)

    assert bits(solve(build([named("one", one_at_8)]), layers)) == ["w4a4", "w8a8"]


def test_equal_optima_of_another_goal_prefer_the_smaller_perturbation() -> None:
    layers = table({W4: 1.0, W48: 3.0, W8: 9.0}, {W4: 2.0, W48: 1.0, W8: 9.0})
    spec = build(objective=[goal("size")], precision=(W8, W48, W4))

    assert bits(solve(spec, layers)) == ["w4a4", "w4a8"]


def test_a_slip_is_spent_on_the_next_goal_and_no_further() -> None:
    layers = table({W4: 10.4, W8: 10.0}, {W4: 90.0, W8: 90.0}, {W4: 50.0, W8: 1.0})
    goals = [goal("perturbation", within=Fraction(1, 100)), goal("size")]

    assert bits(solve(build(objective=goals), layers)) == ["w4a4", "w4a4", "w8a8"]
    tight = [goal("perturbation", within=Fraction(1, 1000)), goal("size")]
    assert bits(solve(build(objective=tight), layers)) == ["w8a8", "w4a4", "w8a8"]


def test_a_goal_may_be_to_maximize() -> None:
    goals: list[Goal] = [goal("average_wbits", sense="maximize")]
    spec = build([FITS], objective=goals)

    assert bits(solve(spec, EQUAL)) == ["w8a8", "w4a4", "w4a4"]


def test_peak_memory_is_minimised_over_every_step() -> None:
    layers = EQUAL.replace(
        live=tuple(
            (LiveTensor(tensor=f"t{i}", elements=n, reader=f"l{i}"),)
            for i, n in enumerate((100, 90, 40))
        )
    )
    plan = solve(build(objective=[goal("peak_memory")]), layers)

    assert dict(plan.metrics)["peak_memory_bytes"] == 50
    assert bits(plan) == ["w4a4", "w4a4", "w8a8"]


def test_ties_hold_where_candidates_differ_in_order_and_number() -> None:
    rules = (LayerRule(selector=glob("l1"), precision=(W8, W4, W48), span=span(3)),)
    layers = table({W4: 1.0, W8: 0.0}, {W4: 0.0, W8: 0.5, W48: 0.0})
    spec = build([named("tied", same(word("all")))], layer_rules=rules)

    assert bits(solve(spec, layers)) == ["w8a8", "w8a8"]


def test_an_excluded_allocation_and_all_below_it_do_not_come_back() -> None:
    layers = table({W4: 1.0, W8: 0.0}, {W4: 2.0, W8: 0.0})
    fits = named("fits", compare(metric_form("size"), "<=", Fraction(1500)))
    spec = build([fits])

    first = solve(spec, layers)
    second = solve(spec, layers, exclude=[first.allocation()])
    third = solve(spec, layers, exclude=[first.allocation(), second.allocation()])

    assert bits(first) == ["w4a4", "w8a8"]
    assert bits(second) == ["w8a8", "w4a4"]
    assert third.status == "infeasible"


def test_out_of_work_the_best_is_given_with_the_gap_proven() -> None:
    spec, layers = instance("mobilenetv2", 9, Fraction(7, 10), 0)
    starved = Limits(direct=1, leaf=1, mip_nodes=1, nodes=1)

    hungry = allocate(spec, layers, candidates(spec, layers, None), limits=starved)
    fed = allocate(spec, layers, candidates(spec, layers, None))

    assert fed.status == "optimal"
    best = dict(fed.objective)["perturbation"]
    if hungry.status == "feasible":
        reached = dict(hungry.objective)["perturbation"]
        assert hungry.gap is not None
        assert reached * (1 - hungry.gap) <= best <= reached
        assert [one.code for one in hungry.diagnostics] == ["HQ511"]
    else:
        assert dict(hungry.objective)["perturbation"] == best


def test_sixty_layers_with_three_candidates_are_proven() -> None:
    spec, layers = instance("synthetic60", 3, Fraction(1, 2), 0)

    plan = allocate(spec, layers, candidates(spec, layers, None))

    assert plan.status == "optimal"
    assert plan.gap == 0
    assert all(one.holds for one in plan.constraints)


def test_two_processes_with_different_hashing_give_the_same_plan(repository: Path) -> None:
    program = (
        "from fractions import Fraction\n"
        "from benchmarks.allocation_instances import instance\n"
        "from hawqlang.stages.allocate.solve import allocate\n"
        "from hawqlang.stages.candidates import candidates\n"
        "for network in ('resnet18', 'mobilenetv2'):\n"
        "    spec, layers = instance(network, 5, Fraction(3, 10), 0)\n"
        "    print(allocate(spec, layers, candidates(spec, layers, None)).model_dump_json())\n"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=repository,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ".", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    ]

    assert printed[0]
    assert printed[0] == printed[1]


def test_without_sensitivities_the_perturbation_cannot_be_minimised() -> None:
    layers = LayerTable(layers=(layer("a"), layer("b")))
    with pytest.raises(HawqError) as caught:
        solve(build(), layers)

    assert [one.code for one in caught.value.diagnostics] == ["HQ506"]


def test_another_goal_needs_no_sensitivities() -> None:
    layers = LayerTable(layers=(layer("a"), layer("b")))

    assert bits(solve(build(objective=[goal("size")]), layers)) == ["w4a4", "w4a4"]


def test_every_selector_that_matches_nothing_is_reported() -> None:
    stated = [
        named("one", prop("wbits", glob("conv9"), "==", 8)),
        named("two", same(Union(items=(glob("fc9"), word("first")), span=SPAN))),
    ]
    with pytest.raises(HawqError) as caught:
        solve(build(stated), EQUAL)

    assert [one.code for one in caught.value.diagnostics] == ["HQ502", "HQ502"]


def test_maximising_the_peak_memory_is_refused() -> None:
    layers = EQUAL.replace(live=((LiveTensor(tensor="t", elements=1, reader="l0"),),))
    with pytest.raises(HawqError) as caught:
        solve(build(objective=[goal("peak_memory", sense="maximize")]), layers)

    assert caught.value.diagnostics[0].code == "HQ508"


def test_feasibility_needs_no_sensitivities_and_says_what_it_left_out() -> None:
    layers = LayerTable(layers=(layer("a"), layer("b")))
    stated = [
        named("fits", compare(metric_form("size"), "<=", Fraction(1999))),
        named("calm", compare(metric_form("perturbation"), "<=", Fraction(1))),
        named("good", compare(metric_form("accuracy"), ">=", Fraction(7, 10))),
    ]
    spec = build(stated)

    found = feasible(spec, layers, candidates(spec, layers, None))

    assert found.diagnostics == ()
    assert found.skipped == (("calm", "needs sensitivities"), ("good", "at build"))


def test_feasibility_reports_a_conflict() -> None:
    layers = LayerTable(layers=(layer("a"), layer("b")))
    spec = build([named("fits", compare(metric_form("size"), "<=", Fraction(900)))])

    found = feasible(spec, layers, candidates(spec, layers, None))

    assert [one.code for one in found.diagnostics] == ["HQ501"]


@pytest.mark.parametrize("negated", [True, False])
def test_several_layers_compared_as_one_get_a_warning_that_offers_each(negated: bool) -> None:
    compared = prop("wbits", word("all"), "==", 4)
    single = prop("wbits", word("first"), "==", 4)
    stated: list[Constraint] = [
        named("a", Not(item=compared, span=SPAN) if negated else implies(compared, single)),
        named("b", implies(single, compared)),
    ]
    spec = build(stated)

    found = feasible(spec, EQUAL, candidates(spec, EQUAL, None))

    (warning,) = [one for one in found.diagnostics if one.code == "HQ510"]
    assert warning.severity == "warning"
    assert "'a'" in warning.message
    assert "`each all: …`" in (warning.help or "")


def test_a_lone_candidate_needs_no_solver() -> None:
    layers = LayerTable(layers=(layer("a"), layer("b")))
    spec = build(precision=(w("w8a8"),), objective=[goal("size")])

    assert bits(solve(spec, layers)) == ["w8a8", "w8a8"]
