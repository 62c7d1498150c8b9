"""Locks as text: what is written, and where an error is said to be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.lock import Lock, parse_precision
from hawqlang.stages.lock.text import parse, position, render
from tests.support.locks import entry

LOCK = Lock(builds=(("net", entry()),))


def refused(path: Path, text: str | bytes) -> Diagnostic:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(HawqError) as caught:
        parse(path, Lock, "lock")
    return caught.value.diagnostics[0]


def test_a_lock_reads_back_exactly(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    path.write_text(render(LOCK), "utf-8")
    assert parse(path, Lock, "lock") == LOCK


def test_a_changed_precision_is_one_changed_line() -> None:
    found = entry()
    layers = (found.layers[0], found.layers[1].replace(precision=parse_precision("w8a8")))
    other = Lock(builds=(("net", found.replace(layers=layers)),))
    before, after = render(LOCK).splitlines(), render(other).splitlines()
    pairs = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert [b.replace("w8a8", "w4a4", 1) == a for a, b in pairs] == [True]
    assert '"name": "fc"' in pairs[0][0]


@given(st.floats(min_value=0, allow_infinity=False, allow_nan=False))
def test_sensitivities_keep_every_bit(value: float) -> None:
    found = entry(sensitivity=value)
    again = type(found).model_validate_json(found.model_dump_json())
    assert again.layers[0].sensitivity[0][1] == value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON, st.data(), st.sampled_from([None, 1]))
def test_a_place_is_where_the_value_begins(
    value: Any, data: st.DataObject, indent: int | None
) -> None:
    path: list[int | str] = []
    here: Any = value
    while isinstance(here, dict | list) and here and data.draw(st.booleans()):
        container = cast("dict[str, Any] | list[Any]", here)
        keys: list[Any] = list(container if isinstance(container, dict) else range(len(container)))
        path.append(data.draw(st.sampled_from(keys)))
        here = cast("Any", container)[path[-1]]
    text = json.dumps(value, indent=indent)
    line, column = position(text, path)
    start = sum(len(one) + 1 for one in text.split("\n")[: line - 1]) + column - 1
    assert json.JSONDecoder().raw_decode(text, start)[0] == here


def test_a_value_of_the_wrong_kind_is_named_with_its_line(tmp_path: Path) -> None:
    text = render(LOCK).replace('"precision": "w4a4"', '"precision": "w4b4"')
    line = next(n for n, row in enumerate(text.splitlines(), 1) if "w4b4" in row)
    found = refused(tmp_path / "a.lock", text)
    assert found.code == "HQ860"
    assert "layers.precision" in found.message
    assert "w4b4" not in found.message
    assert found.span is not None
    assert found.span.line == line


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('{\n "format_version": 1,\n<<<<<<< HEAD\n', 3, "property name"),
        ('{"format_version": 1, "builds": {}, "builds": {}}', 0, "stands twice"),
        ("[" * 100_000, 0, "not JSON"),
        (b"\xff\xfe", 0, "not JSON"),
        ("[]", 1, ""),
        ('{"format_version": 0}', 1, "format_version"),
        ('{"format_version": 1, "more": 2}', 1, "more"),
    ],
)
def test_a_damaged_file_is_a_diagnostic(
    tmp_path: Path, text: str | bytes, line: int, said: str
) -> None:
    found = refused(tmp_path / "a.lock", text)
    assert found.code == "HQ860"
    assert said in found.message
    assert found.span is not None
    assert found.span.line == line


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1.0", "true", '"1"'])
def test_a_sensitivity_that_is_none_is_refused(tmp_path: Path, value: str) -> None:
    text = render(LOCK).replace('"w4a4": 0.5', f'"w4a4": {value}', 1)
    assert refused(tmp_path / "a.lock", text).code == "HQ860"


def test_a_newer_format_is_said_to_be_newer(tmp_path: Path) -> None:
    assert refused(tmp_path / "a.lock", '{"format_version": 2, "x": 1}').code == "HQ861"
