"""Candidates: exact costs, legality, sensitivities, and what is refused."""

from __future__ import annotations

from fractions import Fraction

import pytest

from hawqlang.base import Precision
from hawqlang.diagnostics import HawqError
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.profile import Profile, ProfiledLayer
from hawqlang.ir.sensitivity import LayerSensitivity, SensitivityTable
from hawqlang.ir.spec import LayerRule
from hawqlang.stages.candidates import candidates
from hawqlang.stages.candidates.costs import effective_rate
from tests.support.allocation import DEVICE, W4, W8, W48, build, glob, layer, span, target, w

US = Fraction(1, 10**6)


def only(*layers: object, **more: object) -> LayerTable:
    return LayerTable.model_validate({"layers": layers, **more})


def test_costs_are_exact() -> None:
    table = only(layer("a", 3, 7))

    own = candidates(build(precision=(W48,)), table, None).layer("a").at(W48)

    assert (own.size_bits, own.bops, own.macs) == (12, 7 * 32, 7)


def test_latency_is_the_larger_of_compute_and_memory_plus_the_launch() -> None:
    busy = layer("busy", params=1, macs=10**12)
    heavy = layer("heavy", params=10**9, macs=1, input_elements=1000, output_elements=3000)
    spec = build(precision=(W8,), target=target(batch=8))

    table = candidates(spec, only(busy, heavy), None)

    assert table.layer("busy").at(W8).latency == Fraction(8 * 10**12, 65 * 10**12) + 5 * US
    bits = 10**9 * 8 + 8 * 4000 * 8
    assert table.layer("heavy").at(W8).latency == Fraction(bits, 8) / (320 * 10**9) + 5 * US


@pytest.mark.parametrize(
    ("precision", "rate"),
    [
        (w("w4a4"), Fraction(130 * 10**12)),
        (w("w2a4"), Fraction(130 * 10**12)),
        (w("w4a8"), Fraction(65 * 10**12)),
        (w("w8a8"), Fraction(65 * 10**12)),
        (w("w16a8"), Fraction(65 * 10**12, 2)),
        (w("w16a16"), Fraction(65 * 10**12, 4)),
    ],
)
def test_a_precision_runs_at_the_next_wider_native_rate(
    precision: Precision, rate: Fraction
) -> None:
    assert effective_rate(DEVICE, precision) == rate


def test_the_latency_of_a_table_comes_before_the_model_and_a_profile_before_both() -> None:
    table = only(layer("a", latency_us=((W4, 0.1), (W8, 2.5))))

    measuring = build(target=target().replace(latency="measured"))
    profile = Profile(
        device="", batch=1, threads=1, layers=(ProfiledLayer(name="a", latency_us={"w8a8": 3.0}),)
    )

    own = candidates(measuring, table, None, profile=profile).layer("a")

    assert own.at(W4).latency == Fraction(1, 10) * US
    assert own.at(W8).latency == 3 * US
    assert (own.at(W4).latency_source, own.at(W8).latency_source) == ("profile", "profile")
    assert candidates(build(), table, None).layer("a").at(W4).latency_source == "table"


def test_without_measurements_a_measured_latency_is_unknown_and_never_modelled() -> None:
    measuring = build(target=target().replace(latency="measured"))

    found = candidates(measuring, only(layer("a")), None)

    assert not found.timed
    assert found.layer("a").at(W8).latency is None
    assert found.layer("a").at(W8).latency_source == "unknown"
    given = only(layer("a", latency_us=((W4, 0.1), (W8, 2.5))))
    assert candidates(measuring, given, None).timed


def test_a_latency_is_modelled_where_the_table_is_silent() -> None:
    table = only(layer("a", 8, 65, latency_us=((W4, 1.0),)))

    found = candidates(build(), table, None)

    assert found.layer("a").at(W8).latency_source == "modelled"
    assert "weight bytes only" in found.notes[0]


def test_an_illegal_candidate_is_dropped_with_a_warning_that_says_why() -> None:
    table = only(layer("a"), layer("b"))
    rules = (LayerRule(selector=glob("a"), precision=(W8, W4), span=span(7)),)

    def legality(name: str, precision: Precision) -> str | None:
        return "a sum may reach 40000" if (name, precision) == ("a", W8) else None

    found = candidates(build(layer_rules=rules), table, None, legality=legality)

    assert found.layer("a").precisions() == (W4,)
    assert found.layer("a").dropped == ((W8, "a sum may reach 40000"),)
    (warning,) = found.warnings
    assert (warning.code, warning.severity) == ("HQ504", "warning")
    assert warning.message == "layer 'a' cannot take w8a8: a sum may reach 40000"
    assert warning.span is not None
    assert warning.span.line == 7


def test_a_layer_left_without_candidates_is_an_error_with_every_reason() -> None:
    table = only(layer("a"), layer("b"))
    with pytest.raises(HawqError) as caught:
        candidates(
            build(), table, None, legality=lambda name, p: f"no {p}" if name == "a" else None
        )

    first = caught.value.diagnostics[0]
    assert first.code == "HQ503"
    assert first.notes == ("w4a4: no w4a4", "w8a8: no w8a8")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e-9])
def test_a_sensitivity_that_is_no_number_of_at_least_0_names_its_layer(value: float) -> None:
    table = only(layer("good"), layer("bad"))
    sensitivities = SensitivityTable(
        method="file",
        layers=tuple(
            LayerSensitivity(layer=name, values=((W4, v), (W8, 0.0)))
            for name, v in (("good", 1.0), ("bad", value))
        ),
    )
    with pytest.raises(HawqError) as caught:
        candidates(build(), table, sensitivities)

    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "HQ505"
    assert "'bad' at w4a4" in diagnostic.message


def test_a_missing_sensitivity_is_an_error_but_not_of_a_layer_without_a_choice() -> None:
    table = only(layer("a"), layer("b"))
    rules = (LayerRule(selector=glob("b"), precision=(W8,), span=span(7)),)
    given = SensitivityTable(
        method="hessian", layers=(LayerSensitivity(layer="a", values=((W8, 0.25),)),)
    )
    with pytest.raises(HawqError) as caught:
        candidates(build(layer_rules=rules), table, given)

    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "HQ506"
    assert diagnostic.message == "layer 'a' has no sensitivity for w4a4"


def test_without_sensitivities_the_perturbation_is_unknown() -> None:
    found = candidates(build(), only(layer("a")), None)

    assert not found.measured
    assert found.layer("a").at(W4).perturbation is None


def test_sensitivities_are_taken_as_they_are_written() -> None:
    given = SensitivityTable(
        method="file", layers=(LayerSensitivity(layer="a", values=((W4, 0.1), (W8, 0.0))),)
    )

    found = candidates(build(), only(layer("a")), given)

    assert found.layer("a").at(W4).perturbation == Fraction(1, 10)


def test_a_candidate_table_survives_json() -> None:
    found = candidates(build(), only(layer("a", 3, 65)), None)

    assert type(found).model_validate_json(found.model_dump_json()) == found
