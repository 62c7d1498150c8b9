"""What a plan says of each layer: why it is as it is, what one step more costs, and what the runner-up changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import pytest

from benchmarks.allocation_instances import hawq_v3, instance
from hawqlang.base import Precision
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.plan import BitPlan, LayerChoice, Why
from hawqlang.ir.spec import Build, LayerRule, PropertyOf
from hawqlang.stages.allocate import reasons
from hawqlang.stages.allocate.report import plan_json
from hawqlang.stages.allocate.solve import allocate
from hawqlang.stages.candidates import candidates
from tests.support.allocation import (
    W4,
    W8,
    W48,
    build,
    compare,
    glob,
    goal,
    layer,
    metric_form,
    named,
    prop,
    same,
    span,
    with_sensitivity,
    word,
)


def table(*sensitivities: Mapping[Precision, float], **more: Any) -> LayerTable:
    layers = (
        with_sensitivity(layer(f"l{i}", 1000), values) for i, values in enumerate(sensitivities)
    )
    return LayerTable(layers=tuple(layers), **more)


def explain(spec: Build, layers: LayerTable, **more: Any) -> BitPlan:
    offered = candidates(spec, layers, None)
    plan = allocate(spec, layers, offered, exclude=more.get("exclude", ()))
    return reasons.explained(spec, layers, offered, plan, **more)


def why(plan: BitPlan) -> list[Why]:
    return [choice.why for choice in plan.layers if choice.why is not None]


def kinds(plan: BitPlan) -> list[str]:
    return [one.kind for one in why(plan)]


def bits(plan: BitPlan) -> list[str]:
    return [str(choice.precision) for choice in plan.layers]


def size(limit: int) -> Any:
    return named("fits", compare(metric_form("size"), "<=", Fraction(limit)), f"size <= {limit} B")


THREE = table({W4: 9.0, W8: 0.0}, {W4: 5.0, W8: 0.0}, {W4: 1.0, W8: 0.0})


def test_a_layer_that_could_be_wider_is_held_by_the_bound_that_the_step_breaks() -> None:
    plan = explain(build([size(2100)]), THREE)

    assert bits(plan) == ["w8a8", "w4a4", "w4a4"]
    assert kinds(plan) == ["free", "bound", "bound"]
    held = why(plan)[1]
    assert (held.step, held.text) == (W8, "w8a8 would break 'fits'")
    assert [(one.constraint, one.amount, one.unit) for one in held.breaks] == [("fits", 400, "B")]


def test_every_bound_that_the_step_breaks_is_named() -> None:
    work = named(
        "work", compare(metric_form("bops"), "<=", metric_form("bops", Fraction(1, 2), at=W8))
    )
    plan = explain(build([size(2100), work]), THREE)

    broken = [[one.constraint for one in own.breaks] for own in why(plan)]
    assert broken == [[], ["fits", "work"], ["fits", "work"]]


def test_a_layer_whose_constraint_leaves_one_candidate_is_required_to_have_it() -> None:
    ends = named("ends", prop("precision", word("last"), "==", W4))
    plan = explain(build([ends]), THREE)

    assert kinds(plan) == ["free", "free", "required"]
    assert why(plan)[2].text == "'ends' leaves no other than w4a4"
    assert plan.layers[2].price is None


def test_a_layer_with_one_candidate_names_the_block_that_says_so() -> None:
    rule = LayerRule(selector=glob("l1"), precision=(W4,), span=span(7))
    plan = explain(build(layer_rules=(rule,)), THREE)

    assert kinds(plan) == ["free", "only", "free"]
    assert why(plan)[1].text == "w4a4 is the only candidate (`layer` block at line 7)"


def test_tied_layers_take_their_steps_together() -> None:
    layers = table(
        {W4: 9.0, W8: 0.0}, {W4: 5.0, W8: 0.0}, {W4: 1.0, W8: 0.0}, shared_input=(("l1", "l2"),)
    )
    tied = named("tied", same(word("shared_input")))
    plan = explain(build([tied, size(2600)]), layers)

    assert bits(plan) == ["w8a8", "w4a4", "w4a4"]
    assert [one.tied for one in why(plan)] == [(), ("l2",), ("l1",)]
    # 3000 B at 8 bits against 2600 B: the pair steps as one, and the tie is not what holds it.
    assert [(one.constraint, one.amount) for one in why(plan)[1].breaks] == [("fits", 400)]
    price = plan.layers[1].price
    assert price is not None
    assert price == plan.layers[2].price
    assert price.change == 3
    assert [one.layer for one in price.changes] == ["l0"]


def test_a_step_that_no_allocation_can_take_has_no_price() -> None:
    """At 8 bits l0 asks for l1 at 8 bits, and the two do not fit."""
    even = named(
        "even",
        prop("wbits", word("first"), "==", PropertyOf(property="wbits", selector=glob("l1"))),
    )
    plan = explain(build([even, size(2100)]), THREE)

    assert bits(plan) == ["w4a4", "w4a4", "w8a8"]
    assert [one.constraint for one in why(plan)[0].breaks] == ["even", "fits"]
    price = plan.layers[0].price
    assert price is not None
    assert (price.change, price.bound, price.changes) == (None, None, ())


def test_a_step_that_breaks_nothing_is_not_taken_for_a_goal() -> None:
    quiet = named("quiet", compare(metric_form("perturbation"), "<=", Fraction(6)))
    plan = explain(build([quiet], [goal("size")]), THREE)

    assert bits(plan) == ["w8a8", "w4a4", "w4a4"]
    assert [(one.kind, one.text) for one in why(plan)[1:]] == [
        ("goal", "w8a8 would worsen size")
    ] * 2


def test_a_step_that_an_earlier_goal_allows_to_slip_is_no_gain() -> None:
    layers = table({W4: 100.0, W8: 99.5}, {W4: 100.0, W8: 99.0})
    plan = explain(build(objective=[goal("perturbation", within="1/50"), goal("size")]), layers)

    assert bits(plan) == ["w4a4", "w4a4"]
    assert [one.text for one in why(plan)] == ["w8a8 would worsen size"] * 2


def test_switches_are_told_by_the_constraint_itself() -> None:
    calm = named("calm", compare(metric_form("switches"), "<=", Fraction(0)))
    plan = explain(build([calm, size(2900)]), THREE)

    assert bits(plan) == ["w4a4"] * 3
    assert [[one.constraint for one in own.breaks] for own in why(plan)] == [["calm"]] * 3
    assert why(plan)[0].breaks[0].amount is None


def test_the_price_of_a_step_is_the_best_plan_that_takes_it() -> None:
    plan = explain(build([size(2100)]), THREE)

    price = plan.layers[1].price
    assert price is not None
    # l1 at 8 bits leaves no room for l0: 9 + 1 instead of 5 + 1.
    assert (price.precision, price.goal, price.change, price.bound) == (W8, "perturbation", 4, 4)
    assert [(one.layer, one.before, one.after) for one in price.changes] == [("l0", W8, W4)]
    assert dict(price.metrics)["size_bytes"] == 0


def test_a_price_is_in_the_units_of_the_first_goal_whatever_its_sense() -> None:
    most = build([size(2100)], [goal("bops", sense="maximize"), goal("perturbation")])
    layers = LayerTable(
        layers=tuple(
            with_sensitivity(layer(f"l{i}", 1000, macs), {W4: 1.0, W8: 0.0})
            for i, macs in enumerate((100, 300, 200))
        )
    )
    plan = explain(most, layers)

    assert bits(plan) == ["w4a4", "w8a8", "w4a4"]
    price = plan.layers[0].price
    assert price is not None
    # 8 bits at l0 push l1 down: 100·64 + 500·16 against 300·64 + 300·16.
    assert price.change == 100 * 64 + 500 * 16 - (300 * 64 + 300 * 16)


def test_a_price_is_against_the_optimum_of_a_goal_that_may_slip() -> None:
    layers = table({W4: 2.0, W48: 1.5, W8: 0.0}, {W4: 100.0, W48: 100.0, W8: 100.0})
    spec = build(
        objective=[goal("perturbation", within="1/10"), goal("size")], precision=(W4, W48, W8)
    )
    plan = explain(spec, layers)

    assert dict(plan.objective)["perturbation"] == 101.5
    price = plan.layers[0].price
    assert price is not None
    assert (price.precision, price.change) == (W8, 0.0)


def test_the_runner_up_is_the_best_plan_but_one() -> None:
    plan = explain(build([size(2100)]), THREE)

    other = plan.runner_up
    assert other is not None
    assert (other.status, other.objective) == ("optimal", (("perturbation", 4.0),))
    assert {one.layer for one in other.changes} == {"l0", "l1"}


def test_an_equally_good_runner_up_changes_no_goal() -> None:
    equal = table({W4: 1.0, W8: 0.0}, {W4: 1.0, W8: 0.0})
    plan = explain(build([size(1600)]), equal)

    assert bits(plan) == ["w8a8", "w4a4"]
    assert plan.runner_up is not None
    assert plan.runner_up.objective == (("perturbation", 0.0),)


def test_the_only_allocation_has_no_runner_up() -> None:
    plan = explain(build(precision=[W8]), THREE)

    assert plan.runner_up is None
    assert kinds(plan) == ["only"] * 3


def test_the_runner_up_of_a_later_attempt_is_not_one_that_was_refused() -> None:
    spec = build([size(2100)])
    first = explain(spec, THREE)
    refused = [first.allocation()]
    second = explain(spec, THREE, exclude=refused)

    assert second.excluded == 1
    assert second.runner_up is not None
    moved = {one.layer: one.after for one in second.runner_up.changes}
    third = {**second.allocation(), **moved}
    assert third not in (first.allocation(), second.allocation())


def test_without_an_allocation_there_is_nothing_to_explain() -> None:
    plan = explain(build([size(1)]), THREE)

    assert plan.status == "infeasible"
    assert (plan.layers, plan.runner_up) == ((), None)


def test_a_share_is_of_what_the_plan_takes() -> None:
    plan = explain(build([size(2100)]), THREE)

    sizes = [dict(choice.share)["size"] for choice in plan.layers]
    assert sizes == [0.5, 0.25, 0.25]
    assert sum(dict(choice.share)["bops"] for choice in plan.layers) == pytest.approx(1)


def priced(layers: Sequence[LayerChoice]) -> list[str]:
    return [choice.name for choice in layers if choice.price is not None]


def test_of_very_many_steps_only_those_asked_about_are_priced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec, everything = build([size(2100)]), ["l1", "l2"]
    assert priced(explain(spec, THREE).layers) == everything
    monkeypatch.setattr(reasons, "PRICED", 1)
    assert priced(explain(spec, THREE).layers) == []
    assert priced(explain(spec, THREE, priced=("l2",)).layers) == ["l2"]


@pytest.mark.parametrize("name", ["resnet18 with three candidates", "resnet50, bops, medium"])
def test_prices_of_a_real_networks_layers_are_exact(name: str) -> None:
    published = {own: (spec, layers) for own, spec, layers in hawq_v3()}
    plan = explain(*published.get(name, instance("resnet18", 3, Fraction(1, 2), 0)))

    found = [choice.price for choice in plan.layers if choice.price is not None]
    assert len(found) > 5
    assert all(price.change == price.bound for price in found)
    assert all(price.change is None or price.change >= 0 for price in found)
    assert plan.runner_up is not None
    cheapest = min(price.change for price in found if price.change is not None)
    assert dict(plan.runner_up.objective)["perturbation"] <= cheapest


def test_the_json_says_what_the_plan_says() -> None:
    found = plan_json(explain(build([size(2100)]), THREE))

    assert found["layers"][1]["why"] == {
        "kind": "bound",
        "text": "w8a8 would break 'fits'",
        "step": "w8a8",
        "breaks": [{"constraint": "fits", "amount": 400.0, "unit": "B"}],
        "tied": [],
    }
    price = found["layers"][1]["price"]
    assert set(price) == {"precision", "goal", "change", "bound", "metrics", "changes"}
    assert price["changes"] == [{"layer": "l0", "before": "w8a8", "after": "w4a4"}]
    assert set(found["runner_up"]) == {"status", "objective", "metrics", "changes"}
    assert found["layers"][0]["price"] is None
    assert found["layers"][0]["share"]["size"] == 0.5
