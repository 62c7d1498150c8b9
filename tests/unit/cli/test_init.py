"""`hawqc init`: specs for one's own network, by options and by questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from typer.testing import CliRunner

from hawqlang.cli.app import make_app
from hawqlang.resources import data_dir
from hawqlang.stages.format import format_text
from hawqlang.stages.resolve import resolve_file

DIGITS = data_dir("specs") / "examples" / "digits"
MODEL, CALIBRATION, EVALUATION = (
    DIGITS / name for name in ("digits.onnx", "digits_calib.npz", "digits_eval.npz")
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HAWQ_CACHE", str(tmp_path / "cache"))
    return tmp_path


def hawqc(*arguments: object, answers: str | None = None) -> Any:
    return CliRunner().invoke(make_app(("init", "check")), [*map(str, arguments)], input=answers)


@pytest.mark.parametrize("device", ["cpu.x86_64", "nvidia.t4"])
@pytest.mark.parametrize("goal", ["size", "work", "speed", "accuracy"])
def test_a_spec_from_a_network_is_without_findings(goal: str, device: str) -> None:
    done = hawqc("init", "mine", "--from", MODEL, "--goal", goal, "--target", device)
    assert done.exit_code == 0, done.stderr

    checked = hawqc("check", "mine")

    assert checked.exit_code == 0, checked.stdout
    assert "warning" not in checked.stdout.replace("warning[HQ238]", "")
    text = Path("mine/mine.hawq").read_text(encoding="utf-8")
    assert format_text(text, "").text == text


def test_input_layers_and_data_come_from_the_files() -> None:
    hawqc("init", "mine", "--from", MODEL, "--data", CALIBRATION, "--eval", EVALUATION)

    text = Path("mine/mine.hawq").read_text(encoding="utf-8")
    spec, diagnostics = resolve_file(Path("mine/mine.hawq"))

    assert diagnostics == ()
    assert spec is not None
    entering = spec.models[0].input
    assert entering is not None
    assert entering.kind == "image"
    assert (entering.height, entering.width, entering.channels) == (8, 8, 1)
    assert "layer2.0.downsample.0" in text
    assert [c.name for c in spec.builds[0].constraints] == ["fits", "ends", "tied", "good"]


def test_a_network_with_an_open_size_needs_it(folder: Path) -> None:
    model = onnx.load(MODEL)
    for number in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[number].dim_param = "s"
    onnx.save(model, folder / "open.onnx")

    assert "HQ882" in hawqc("init", "mine", "--from", "open.onnx").stderr
    assert hawqc("init", "mine", "--from", "open.onnx", "--pixels", "8").exit_code == 0
    assert "image(8, 8," in Path("mine/mine.hawq").read_text()


def test_pictures_are_cut_to_the_size_of_the_input(folder: Path) -> None:
    (folder / "photos").mkdir()
    (folder / "labels.csv").touch()

    hawqc(
        "init",
        "m",
        "--from",
        MODEL,
        "--data",
        "photos",
        "--eval",
        "photos",
        "--labels",
        "labels.csv",
    )

    assert (
        'evaluation  = images("../photos", labels = "../labels.csv", resize = 10, crop = 8)'
        in Path("m/m.hawq").read_text()
    )


def test_questions_have_answers_by_default_and_give_the_same_spec() -> None:
    asked = hawqc("init", "mine", "--ask", answers=f"{MODEL}\n{CALIBRATION}\n\nnvidia.t4\nspeed\n")
    assert asked.exit_code == 0, asked.stderr
    by_questions = Path("mine/mine.hawq").read_text()
    options = ("--data", CALIBRATION, "--target", "nvidia.t4", "--goal", "speed")
    hawqc("init", "other", "--from", MODEL, *options)

    assert Path("other/other.hawq").read_text() == by_questions.replace("mine", "other")


def test_without_a_network_the_example_is_written() -> None:
    assert hawqc("init", "mine", "--ask", answers="\n").exit_code == 0
    assert Path("mine/model.onnx").is_file()


@pytest.mark.parametrize("name", ["size", "8bit", "w4a4", "my net", "machine", "é"])
def test_any_folder_gives_a_name_that_a_model_may_have(name: str) -> None:
    assert hawqc("init", name, "--from", MODEL).exit_code == 0
    assert hawqc("check", name).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "status"),
    [
        (["--from", "nothing.onnx"], "HQ884", 2),
        (["--from", MODEL, "--target", "cpu.x86_46"], "HQ884", 2),
        (["--from", MODEL, "--goal", "fame"], "HQ884", 2),
        (["--from", MODEL, "--pixels", "8 by 8"], "HQ884", 2),
        (["--from", MODEL, "--data", MODEL], "HQ883", 1),
        (["--from", CALIBRATION], "HQ302", 1),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    arguments: list[object], code: str, status: int
) -> None:
    done = hawqc("init", "mine", *arguments)

    assert done.exit_code == status
    assert code in done.stderr
    assert not Path("mine").exists()
