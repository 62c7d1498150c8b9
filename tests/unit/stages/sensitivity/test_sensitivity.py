"""Sensitivity tables: what they hold, and what they refuse."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.layers import Layer, LayerTable
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.spec import HessianSensitivity
from hawqlang.stages.batches import stream_of
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.quantize import quantize_weight, stored_params
from hawqlang.stages.sensitivity import (
    read_sensitivities,
    sensitivities_of_table,
    sensitivity,
)
from hawqlang.stages.structure import Form
from tests.unit.stages.sensitivity.cases import (
    QUIET,
    W4A4,
    W4A8,
    W8A8,
    images,
    subject,
    values,
)

METHOD = HessianSensitivity()


def test_a_layer_with_one_candidate_costs_nothing_and_is_not_looked_at() -> None:
    studied = subject(b1_conv1=(W4A8, W8A8))
    found = sensitivity(studied, stream_of(images(4)), METHOD, 0, QUIET)
    assert [row.layer for row in found.layers] == list(studied.settings)
    for row in found.layers:
        if row.layer != "b1.conv1":
            assert (row.values, row.weight_trace) == (((W8A8, 0.0),), None)


def test_nothing_is_computed_where_no_layer_has_a_choice() -> None:
    found = sensitivity(subject(), stream_of(images(0)), METHOD, 0, QUIET)
    assert found.probes == 0
    assert all(value == 0 for row in found.layers for _, value in row.values)


def test_weights_alone_count_where_activations_have_no_choice() -> None:
    studied = subject(b1_conv1=(W4A8, W8A8))
    found = sensitivity(studied, stream_of(images(4)), METHOD, 0, QUIET)
    row = next(row for row in found.layers if row.layer == "b1.conv1")
    assert row.activation_trace is None
    weight = studied.model.parameters["b1.conv1.weight"].numpy()
    for precision, value in row.values:
        real = quantize_weight(weight, precision.wbits).real()
        assert row.weight_trace is not None
        expected = row.weight_trace * np.square(real - weight).sum()
        assert value == pytest.approx(expected)


def test_activations_count_where_candidates_read_different_widths() -> None:
    studied = subject(b1_conv1=(W4A4, W4A8, W8A8))
    x = images(6)
    found = sensitivity(studied, stream_of(x), METHOD, 0, QUIET)
    row = next(row for row in found.layers if row.layer == "b1.conv1")
    got = dict(row.values)
    assert got[W4A4] > got[W4A8] > got[W8A8] > 0
    read = studied.model.run(x, keep=("stem.relu",)).kept["stem.relu"].double().numpy()
    params = stored_params(studied.model.graph, studied.table)

    def error(bits: int) -> float:
        form = params[Form("stem.relu", bits)]
        return float(np.square(form.dequantize(form.quantize(read)) - read).sum() / len(read))

    assert row.activation_trace is not None
    expected = row.activation_trace * (error(4) - error(8))
    assert got[W4A4] - got[W4A8] == pytest.approx(expected, rel=1e-4)


def test_only_so_many_samples_are_used_as_the_method_says() -> None:
    studied = subject(b1_conv1=(W4A4, W8A8))
    method = HessianSensitivity(samples=3)
    few = sensitivity(studied, stream_of(images(3)), method, 0, QUIET)
    assert few == sensitivity(studied, stream_of(images(8)), method, 0, QUIET)
    assert few.method == "hessian(probes = 64, tolerance = 1%, samples = 3)"


def test_a_tolerance_that_is_not_met_is_a_warning_with_the_worst_layer() -> None:
    said: list[Diagnostic] = []
    studied = subject(b1_conv1=(W4A4, W8A8), b2_conv1=(W4A4, W8A8))
    method = HessianSensitivity(probes=4, tolerance=Fraction(1, 10**6))
    found = sensitivity(studied, stream_of(images(3)), method, 0, Feedback(report=said.append))
    assert found.converged is False
    assert [d.code for d in said] == ["HQ421"]
    assert "within 0.0001%" in said[0].message
    assert "'b1.conv1'" in said[0].message or "'b2.conv1'" in said[0].message


def test_no_samples_is_an_error_where_a_layer_has_a_choice() -> None:
    with pytest.raises(HawqError, match="HQ414"):
        sensitivity(subject(fc=(W4A8, W8A8)), stream_of(images(0)), METHOD, 0, QUIET)


def test_a_sensitivity_that_is_not_finite_names_the_layer() -> None:
    studied = subject(fc=(W4A8, W8A8))
    studied.model.parameters["fc.weight"][0, 0] = float("nan")
    with pytest.raises(HawqError, match=r"HQ420: the .* of 'fc'"):
        sensitivity(studied, stream_of(images(2)), METHOD, 0, QUIET)


# ---- given values --------------------------------------------------------------------------------

CHOICES = {"a": (W4A4, W8A8), "b": (W8A8,)}


def write(folder: Path, data: object) -> Path:
    path = folder / "s.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def refused(folder: Path, data: object) -> tuple[Diagnostic, ...]:
    with pytest.raises(HawqError) as error:
        read_sensitivities(write(folder, data), CHOICES, None)
    return error.value.diagnostics


def test_a_file_gives_the_values_it_holds(tmp_path: Path) -> None:
    path = write(tmp_path, {"a": {"w4a4": 2, "w8a8": 0.25, "w2a8": 9.0}, "b": {}})
    found = read_sensitivities(path, CHOICES, None)
    assert found.method == 'file("s.json")'
    assert values(found, "a") == {"w4a4": 2.0, "w8a8": 0.25}
    assert values(found, "b") == {"w8a8": 0.0}


def test_a_missing_candidate_is_named(tmp_path: Path) -> None:
    (said,) = refused(tmp_path, {"a": {"w8a8": 0.25}})
    assert said.code == "HQ424"
    assert said.message == "no sensitivity is given for 'a' at w4a4"


def test_values_below_zero_or_beyond_all_floats_are_refused(tmp_path: Path) -> None:
    for text in ('{"a": {"w4a4": -1, "w8a8": 0}}', '{"a": {"w4a4": 1e999, "w8a8": 0}}'):
        (said,) = refused(tmp_path, text)
        assert (said.code, "'a' at w4a4" in said.message) == ("HQ426", True)
    (said,) = refused(tmp_path, '{"a": {"w4a4": NaN, "w8a8": 1' + "0" * 400 + "}}")
    assert "'a' at w4a4, 'a' at w8a8" in said.message


def test_unknown_layers_are_counted_and_never_quoted(tmp_path: Path) -> None:
    (said,) = refused(tmp_path, {"secret": {"w4a4": 1}, "a": {"w4a4": 1, "w8a8": 1}})
    assert said.code == "HQ425"
    assert "1 of its 2 layers" in said.message
    assert "secret" not in str(said)


@pytest.mark.parametrize(
    "data", ["", "{", "[1]", "[" * 100000, {"a": 3}, {"a": {"w4a4": "x"}}, {"a": {"w4a4": True}}]
)
def test_files_of_another_form_are_refused(tmp_path: Path, data: object) -> None:
    (said,) = refused(tmp_path, data)
    assert said.code == "HQ423"


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HawqError, match="HQ423"):
        read_sensitivities(tmp_path / "none.json", CHOICES, None)
    (tmp_path / "b.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(HawqError, match="HQ423"):
        read_sensitivities(tmp_path / "b.json", CHOICES, None)


def test_a_layer_table_brings_its_own_values() -> None:
    rows = (
        Layer(name="a", kind="conv", params=1, macs=1, sensitivity=((W4A4, 1.5), (W8A8, 0.5))),
        Layer(name="b", kind="conv", params=1, macs=1),
    )
    found = sensitivities_of_table(LayerTable(layers=rows, from_file=True), CHOICES, None)
    assert values(found, "a") == {"w4a4": 1.5, "w8a8": 0.5}


def test_a_range_table_finds_its_rows() -> None:
    table: RangeTable = subject(b1_conv1=(W4A4, W8A8)).table
    assert table.find("stem.relu", 4).bits == 4
    with pytest.raises(KeyError):
        table.find("stem.relu", 5)
