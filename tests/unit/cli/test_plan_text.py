"""What `hawqc plan` prints for people, on a network of 52 layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hawqlang.cli import common
from hawqlang.cli.app import make_app
from hawqlang.cli.plan_text import asked_about
from hawqlang.diagnostics import ToolError

WIDTH = 100
PROBLEM = "resnet50.hawq:resnet50_size_low"


@pytest.fixture(scope="module")
def shown(repository: Path) -> dict[str, Any]:
    """The text and the JSON of one plan, as on a terminal of 100 columns."""
    spec = f"{repository / 'specs' / 'examples' / 'hawq_v3'}/{PROBLEM}"
    patch = pytest.MonkeyPatch()
    patch.setenv("COLUMNS", str(WIDTH))
    patch.setattr(common.stdout, "_made", None, raising=False)
    try:
        text = CliRunner().invoke(make_app(), ["plan", spec, "--why", "stage1.unit1.*"])
        found = CliRunner().invoke(make_app(), ["plan", spec, "--format", "json"])
    finally:
        patch.undo()
    assert (text.exit_code, found.exit_code) == (0, 0), text.stderr + found.stderr
    return {"lines": text.stdout.splitlines(), "plan": json.loads(found.stdout)}


def rows(shown: dict[str, Any]) -> dict[str, list[str]]:
    """Return the table's rows by layer."""
    names = {layer["name"] for layer in shown["plan"]["layers"]}
    split = [line.split() for line in shown["lines"]]
    return {words[0]: words[1:] for words in split if words and words[0] in names}


def test_each_layer_has_one_line_that_fits_the_terminal(shown: dict[str, Any]) -> None:
    assert len(rows(shown)) == 52
    start = next(i for i, line in enumerate(shown["lines"]) if line.startswith("layer "))
    table = shown["lines"][start : start + 53]
    assert max(len(line.rstrip()) for line in table) <= WIDTH
    header = " ".join(table[0].split())
    assert header == "layer bits size work time Ω w4a4 Ω w8a8 why next step"


def test_a_row_says_what_the_json_says(shown: dict[str, Any]) -> None:
    found = rows(shown)
    for layer in shown["plan"]["layers"]:
        words = found[layer["name"]]
        assert words[0] == layer["precision"]
        assert words[1] == f"{layer['share']['size']:.1%}"
        assert words[4:6] == [f"{value:.1e}" for value in layer["sensitivity"].values()]
        if layer["why"]["kind"] == "bound":
            assert words[6:8] == ["limit", "w8a8"]
            whole = shown["plan"]["objective"]["perturbation"]
            assert words[8] == f"{layer['price']['change'] / whole:+.2%}"
        else:
            assert words[6:] == ["free"]


def test_totals_bounds_and_the_runner_up_stand_below(shown: dict[str, Any]) -> None:
    text = "\n".join(shown["lines"])
    total = next(line for line in shown["lines"] if line.startswith("total: "))
    for word in ("size ", "BOPS", "MACs", "modelled", "perturbation ", "switches"):
        assert word in total
    assert "slack" in text
    runner_up = next(line for line in shown["lines"] if line.startswith("runner-up: "))
    first = shown["plan"]["runner_up"]["changes"][0]
    assert f"{first['layer']} {first['before']} → {first['after']}" in runner_up


def test_layers_asked_about_are_shown_at_length_and_no_others(shown: dict[str, Any]) -> None:
    heads = [line for line in shown["lines"] if " weights, " in line]
    names = [f"stage1.unit1.{name}" for name in ("conv1", "conv2", "conv3", "identity_conv")]
    assert [line.split(":")[0] for line in heads] == names
    at = shown["lines"].index(heads[0])
    assert shown["lines"][at + 1].strip().startswith(("w4a4: size 2.00 KiB", "* w4a4: size 2.00"))
    assert any(line.strip().startswith("takes ") for line in shown["lines"][at:])
    assert any("steps together with stage1.unit1.identity_conv" in x for x in shown["lines"][at:])


def test_no_layer_is_asked_about_unasked() -> None:
    assert asked_about(("a", "b"), ()) == ()
    assert asked_about(("a", "b"), ("all",)) == ("a", "b")
    assert asked_about(("a.x", "b.x", "a.y"), ("a.y", "a.*")) == ("a.x", "a.y")


def test_a_layer_that_does_not_exist_is_misuse() -> None:
    with pytest.raises(ToolError) as error:
        asked_about(("layer1.conv1", "layer2.conv1"), ("layer1.convl",))
    (found,) = error.value.diagnostics
    assert found.code == "HQ846"
    assert "layer1.conv1" in (found.help or "")
