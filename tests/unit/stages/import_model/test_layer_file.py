from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hawqlang.base import Precision
from hawqlang.diagnostics import HawqError
from hawqlang.stages.import_model.layer_table import read_layer_table
from tests.support.imports import SPAN, refusals

GOOD: dict[str, Any] = {
    "format_version": 1,
    "layers": [
        {
            "name": "conv1",
            "kind": "conv",
            "params": 432,
            "macs": 442368,
            "sensitivity": {"w4a4": 0.5, "w8a8": 0},
            "latency_us": {"w8a8": 12.5},
        },
        {"name": "fc", "params": 640, "macs": 640, "sensitivity": {"w4a8": 1e-3}},
    ],
    "ties": [["conv1", "fc"]],
}


def write(folder: Path, content: Any) -> Path:
    path = folder / "layers.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def changed(**changes: Any) -> dict[str, Any]:
    """The good table with its first layer changed; ``None`` removes a key."""
    layer = {**GOOD["layers"][0], **changes}
    kept = {k: v for k, v in layer.items() if v is not None}
    return {**GOOD, "layers": [kept, GOOD["layers"][1]]}


def faults(path: Path) -> list[str]:
    with pytest.raises(HawqError) as caught:
        read_layer_table(path, SPAN)
    assert all(d.span == SPAN for d in caught.value.diagnostics)
    return [line.replace(str(path), "FILE") for line in refusals(caught.value)]


def test_a_table_is_read_as_it_stands(tmp_path: Path) -> None:
    table = read_layer_table(write(tmp_path, GOOD))
    conv, fc = table.layers
    assert (conv.name, conv.kind, conv.params, conv.macs) == ("conv1", "conv", 432, 442368)
    assert conv.sensitivity == (
        (Precision(wbits=4, abits=4), 0.5),
        (Precision(wbits=8, abits=8), 0.0),
    )
    assert conv.latency_us == ((Precision(wbits=8, abits=8), 12.5),)
    assert (fc.kind, fc.latency_us) == ("other", ())
    assert fc.input_elements is None
    assert table.residual == table.shared_input == (("conv1", "fc"),)
    assert table.from_file
    assert table.live == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({**GOOD, "format_version": 2}, "format_version is not 1"),
        ({**GOOD, "format_version": True}, "format_version is not 1"),
        ({"format_version": 1}, "the file has no layers"),
        ({"layers": GOOD["layers"]}, "the file has no format_version"),
        ({**GOOD, "layers": [], "ties": []}, "layers is empty"),
        ({**GOOD, "layers": {}, "ties": []}, "layers is not a list"),
        ({**GOOD, "layers": [3, 4], "ties": []}, "layers[0] is not an object"),
        ([], "the file is not an object"),
        ({**GOOD, "extra": 1}, "the file has 1 unknown keys; it may have format_version, layers"),
        (changed(colour="red"), "layers[0] has 1 unknown keys"),
        (changed(name=None), "layers[0] has no name"),
        (changed(macs=None), "layers[0] has no macs"),
        (changed(sensitivity=None), "layers[0] has no sensitivity"),
        (changed(name=""), "layers[0].name is not a name"),
        (changed(name="a\nb"), "layers[0].name is not a name"),
        (changed(kind="conv3d"), "layers[0].kind is none of conv, depthwise, linear, other"),
        (changed(params=0), "layers[0].params is not a whole number above 0"),
        (changed(params=1.5), "layers[0].params is not a whole number above 0"),
        (changed(params=True), "layers[0].params is not a whole number above 0"),
        (changed(macs=-4), "layers[0].macs is not a whole number above 0"),
        (changed(macs=2**63), "layers[0].macs is not a whole number above 0"),
        (changed(sensitivity=[1]), "layers[0].sensitivity is not an object"),
        (changed(sensitivity={"w4": 1}), "layers[0].sensitivity has a key that is no precision"),
        (changed(sensitivity={"w17a4": 1}), "has a key that is no precision"),
        (changed(sensitivity={"w4a4": "x"}), "layers[0].sensitivity.w4a4 is not a number"),
        (changed(sensitivity={"w4a4": -1}), "layers[0].sensitivity.w4a4 is negative or not finite"),
        (changed(sensitivity={"w4a4": 10**400}), "w4a4 is negative or not finite"),
        (changed(latency_us={"w4a4": True}), "layers[0].latency_us.w4a4 is not a number"),
        ({**GOOD, "ties": [["conv1", "conv9"]]}, "ties[0] names something that is no layer"),
        ({**GOOD, "ties": [["fc", "fc"]]}, "ties[0] ties fewer than two layers"),
        ({**GOOD, "ties": [["fc"]]}, "ties[0] ties fewer than two layers"),
        ({**GOOD, "ties": "fc"}, "ties is not a list"),
    ],
)
def test_faults_say_where_in_the_file_they_are(tmp_path: Path, content: Any, message: str) -> None:
    found = faults(write(tmp_path, content))
    assert all(line.startswith("HQ331: layer table 'FILE': ") for line in found)
    assert any(message in line for line in found), found


def test_layers_of_one_name_are_named_by_position(tmp_path: Path) -> None:
    assert faults(write(tmp_path, changed(name="fc"))) == [
        "HQ331: layer table 'FILE': layers[0] and layers[1] have one name",
        "HQ331: layer table 'FILE': ties[0] names something that is no layer of the table",
    ]


def test_all_faults_are_reported_up_to_a_number(tmp_path: Path) -> None:
    layers: list[dict[str, Any]] = [
        {"name": f"l{i}", "params": 0, "macs": 1, "sensitivity": {}} for i in range(25)
    ]
    found = faults(write(tmp_path, {"format_version": 1, "layers": layers}))
    assert len(found) == 11
    assert found[-1] == "HQ331: layer table 'FILE': 15 more faults"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "# comment",
        '{"format_version": 1, "layers": [NaN]}',
        '{"format_version": 1, "format_version": 1, "layers": []}',
        "[" * 100_000,
        '{"a": ' + "9" * 5000 + "}",
    ],
)
def test_what_is_no_json_is_refused_without_quoting_it(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    assert faults(path) == ["HQ330: 'FILE' is not valid JSON"]


def test_files_that_cannot_be_tables(tmp_path: Path) -> None:
    assert faults(tmp_path / "absent.json") == ["HQ301: there is no layer table 'FILE'"]
    assert faults(tmp_path) == ["HQ330: 'FILE' is no layer table"]
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    assert faults(tmp_path / "bytes.json") == ["HQ330: 'FILE' is not valid JSON"]
    with (tmp_path / "huge.json").open("wb") as stream:
        stream.truncate(17 * 2**20)
    assert faults(tmp_path / "huge.json") == ["HQ330: 'FILE' is no layer table"]


def test_no_message_quotes_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, {"root": "secret-x", "layers": ["secret-y", {"secret-z": 1}]})
    assert not any("secret" in line for line in faults(path))
