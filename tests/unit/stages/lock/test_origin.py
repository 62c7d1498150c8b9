"""What a build is made from: every file, by content, relative to the spec."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from hawqlang.ir.lock import Origin
from hawqlang.stages.lock.origin import origin
from hawqlang.stages.resolve import resolve_file

SPEC = """hawq 1
import "lib/target.hawq"

param budget: size = 1 MiB
param place: string = "data"

model net {
  source = onnx("net.onnx")
  input  = image(8, 8)
}

dataset photos {
  calibration = images("calib", labels = "labels.csv")
  evaluation  = images("eval")
}

quantize net on box with photos {
  precision = [w4a4, w8a8]
  subject to {
    fits: size <= budget
  }
}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    (home / "lib").mkdir(parents=True)
    (home / ".git").mkdir()
    (home / "net.hawq").write_text(SPEC, "utf-8")
    (home / "lib" / "target.hawq").write_text(
        "hawq 1\ntarget box {\n  device = cpu.x86_64\n}\n", "utf-8"
    )
    values = numpy_helper.from_array(np.ones(2, np.float32), "w")
    graph = helper.make_graph([], "g", [], [], [values])
    onnx.save_model(
        helper.make_model(graph),
        home / "net.onnx",
        save_as_external_data=True,
        location="net.bin",
        size_threshold=0,
    )
    for name in ("calib", "eval"):
        (home / name).mkdir()
        Image.new("RGB", (8, 8)).save(home / name / "a.png")
    (home / "labels.csv").write_text("file,label\na.png,3\n", "utf-8")
    return home


def made_from(folder: Path, **settings: str) -> Origin:
    spec, found = resolve_file(folder / "net.hawq", overrides=settings)
    assert spec is not None, found
    return origin(spec, spec.builds[0])


def test_every_file_is_an_input_under_its_path_from_the_spec(folder: Path) -> None:
    found = dict(made_from(folder).inputs)
    assert list(found) == [
        "calibration calib",
        "evaluation eval",
        "model net.onnx",
        "spec lib/target.hawq",
        "spec net.hawq",
        "weights net.bin",
    ]
    content = (folder / "net.bin").read_bytes()
    assert found["weights net.bin"] == hashlib.sha256(content).hexdigest()
    assert str(folder) not in json.dumps(made_from(folder).model_dump(mode="json"))


def test_it_does_not_hang_on_where_the_project_lies_or_where_one_stands(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = made_from(folder)
    elsewhere = tmp_path / "elsewhere" / "deep"
    elsewhere.parent.mkdir()
    folder.rename(elsewhere)
    assert made_from(elsewhere) == before
    monkeypatch.chdir(elsewhere)
    assert made_from(Path()) == before
    monkeypatch.chdir(elsewhere / "lib")
    assert made_from(Path("..")) == before


@pytest.mark.parametrize(
    ("name", "changed", "measured"),
    [
        ("net.bin", "weights net.bin", True),
        ("labels.csv", "calibration calib", True),
        ("calib/a.png", "calibration calib", True),
        ("eval/a.png", "evaluation eval", False),
        ("lib/target.hawq", "spec lib/target.hawq", False),
    ],
)
def test_a_changed_file_changes_its_digest_and_what_is_measured_on_it(
    folder: Path, name: str, changed: str, measured: bool
) -> None:
    before = made_from(folder)
    path = folder / name
    if path.suffix == ".png":
        Image.new("RGB", (8, 8), "red").save(path)
    elif path.suffix == ".csv":
        path.write_text("file,label\na.png,4\n", "utf-8")
    else:
        path.write_bytes(path.read_bytes() + b"\n")
    after = made_from(folder)
    differing = {k for k, v in after.inputs if dict(before.inputs)[k] != v}
    assert differing == {changed}
    assert (after.measured_from != before.measured_from) is measured


def test_a_comment_moves_the_text_and_not_what_it_says(folder: Path) -> None:
    before = made_from(folder)
    path = folder / "net.hawq"
    path.write_text(SPEC.replace("model net", "# a comment\n\nmodel net"), "utf-8")
    after = made_from(folder)
    assert dict(after.inputs)["spec net.hawq"] != dict(before.inputs)["spec net.hawq"]
    assert after.resolved == before.resolved
    assert after.measured_from == before.measured_from


def test_settings_are_normalised_and_move_no_measurement(folder: Path) -> None:
    before = made_from(folder)
    after = made_from(folder, budget="1024KiB")
    assert after.settings == (("budget", "1 MiB"),)
    assert after.resolved == before.resolved
    smaller = made_from(folder, budget="1KiB")
    assert smaller.resolved != before.resolved
    assert smaller.measured_from == before.measured_from


def test_a_path_given_as_setting_is_recorded_from_the_spec(folder: Path) -> None:
    given = os.path.join(folder.parent, "data")  # noqa: PTH118 - what a user types
    assert made_from(folder, place=given).settings == (("place", "../data"),)


def test_a_file_that_is_not_there_is_left_out(folder: Path) -> None:
    (folder / "net.onnx").unlink()
    assert "model net.onnx" not in dict(made_from(folder).inputs)


def test_the_evaluation_set_is_read_only_when_asked_for(folder: Path) -> None:
    spec, _ = resolve_file(folder / "net.hawq")
    assert spec is not None
    whole = origin(spec, spec.builds[0])
    found = origin(spec, spec.builds[0], evaluation=False)
    assert set(dict(whole.inputs)) - set(dict(found.inputs)) == {"evaluation eval"}
    assert found.measured_from == whole.measured_from
