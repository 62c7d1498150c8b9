"""`hawqc pareto`: what it shows, what it keeps, what it refuses; on a table of layers."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from PIL import Image
from typer.testing import CliRunner

from hawqlang.cache import Cache
from hawqlang.cli.app import make_app
from hawqlang.ir.front import FrontPoint
from hawqlang.session import Session
from hawqlang.stages.allocate.limits import Limits
from hawqlang.stages.pareto import front as front_module
from hawqlang.stages.pareto.front import pareto
from hawqlang.stages.pareto.request import Request
from hawqlang.stages.resolve import resolve_file
from tests.support.allocation import compare, metric_form, named

SPEC = """hawq 1

model net {
  source = layers("layers.json")
}

target server {
  device {
    native    = [w4a4, w8a8]
    rates {
      w4a4 = 130 TMACs/s
      w8a8 = 65 TMACs/s
    }
    bandwidth = 320 GB/s
    launch    = 5 us
  }
}

quantize net on server {
  precision = [w2a8, w4a4, w8a8]
  subject to {
    fits: size <= 4 KB
    ends: precision(first) == w8a8
    SPARE
  }
}
"""
WIDTHS = {"w2a8": 40.0, "w4a4": 9.0, "w8a8": 1.0}
SVG = "{http://www.w3.org/2000/svg}"

REQUEST = Request("size", "perturbation")

Hawqc = Callable[..., Any]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a spec over a table of five layers, and gives its path."""

    def written(spare: str = "", sensitivity: Mapping[str, float] = WIDTHS) -> Path:
        layers = [
            {
                "name": f"block.{i}",
                "params": 1000 + 37 * i,
                "macs": 5000 * (i + 1),
                "sensitivity": {p: one * (1 + i / 3) for p, one in sensitivity.items()},
            }
            for i in range(5)
        ]
        table = {"format_version": 1, "layers": layers}
        (tmp_path / "layers.json").write_text(json.dumps(table), encoding="utf-8")
        path = tmp_path / "net.hawq"
        path.write_text(SPEC.replace("SPARE", spare), encoding="utf-8")
        return path

    return written


@pytest.fixture
def hawqc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hawqc:
    monkeypatch.setenv("HAWQ_CACHE", str(tmp_path / "cache"))

    def run(*arguments: object) -> Any:
        return CliRunner().invoke(make_app(["pareto", "show"]), [str(a) for a in arguments])

    return run


def ignore(point: FrontPoint, chosen: bool) -> None:
    """Take a point as it is found, and do nothing."""
    del point, chosen


def read(hawqc: Hawqc, *arguments: object) -> dict[str, Any]:
    result = hawqc("pareto", *arguments, "--format", "json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def dominates(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return a["x"] <= b["x"] and a["y"] <= b["y"] and (a["x"], a["y"]) != (b["x"], b["y"])


def test_json_has_the_keys_that_scripts_rely_on(hawqc: Hawqc, write: Write) -> None:
    found = read(hawqc, write(), "--x", "size", "--y", "perturbation")

    assert (found["x"], found["y"], found["status"]) == ("size", "perturbation", "optimal")
    assert found["unit"] == {"x": "B", "y": ""}
    for point in found["points"]:
        assert set(point) == {"x", "y", "layers", "status", "gap", "chosen"}
        assert list(point["layers"]) == [f"block.{i}" for i in range(5)]
        assert point["layers"]["block.0"] == "w8a8"
        assert point["x"] <= 4000
    xs = [point["x"] for point in found["points"]]
    assert xs == sorted(xs)
    assert not any(dominates(a, b) for a in found["points"] for b in found["points"])


def test_the_choice_of_the_spec_is_a_point_of_its_own_front(hawqc: Hawqc, write: Write) -> None:
    found = read(hawqc, write(), "--points", 1)

    (chosen,) = [point for point in found["points"] if point["chosen"]]
    assert chosen["layers"] == found["chosen"]["layers"]
    assert chosen["x"] == max(point["x"] for point in found["points"])


def test_relax_shows_what_lies_beyond_a_bound_and_still_marks_the_choice(
    hawqc: Hawqc, write: Write
) -> None:
    path = write()
    bound = read(hawqc, path)
    free = read(hawqc, path, "--relax", "fits")

    assert free["relaxed"] == ["fits"]
    assert free["chosen"] == bound["chosen"]
    assert max(point["x"] for point in free["points"]) > 4000
    assert sum(point["chosen"] for point in free["points"]) == 1


def test_a_choice_that_something_beats_is_marked_as_off_the_front(
    hawqc: Hawqc, write: Write
) -> None:
    path = write()
    found = read(hawqc, path, "--x", "size", "--y", "bops")

    assert found["chosen"]["layers"] == read(hawqc, path)["chosen"]["layers"]
    assert not any(point["chosen"] for point in found["points"])
    assert "which is not on this front" in hawqc("pareto", path, "--y", "bops").stdout


def test_more_of_a_metric_can_be_better(hawqc: Hawqc, write: Write) -> None:
    axes = ("--x", "average_wbits", "--y", "bops", "--maximize", "average_wbits")
    found = read(hawqc, write(), *axes, "--all")

    assert found["sense"] == {"x": "maximize", "y": "minimize"}
    bits, work = ([point[axis] for point in found["points"]] for axis in "xy")
    assert len(bits) > 3
    assert bits == sorted(bits, reverse=True)
    assert work == sorted(work, reverse=True)


@pytest.mark.parametrize("x", ["size", "bops", "latency", "switches", "average_wbits"])
def test_all_finds_no_fewer_points_than_any_resolution(x: str, hawqc: Hawqc, write: Write) -> None:
    path = write()
    every = read(hawqc, path, "--x", x, "--all")
    some = read(hawqc, path, "--x", x, "--points", 3)

    assert every["resolution"] == 0
    assert some["resolution"] > 0 or some["points"] == every["points"]
    values = [(point["x"], point["y"]) for point in every["points"]]
    assert [p for p in some["points"] if (p["x"], p["y"]) not in values] == []
    assert len(some["points"]) <= len(every["points"])


def test_a_stopped_run_continues_where_it_was(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, _ = resolve_file(write(), overrides={})
    assert spec is not None
    (build,) = spec.builds
    session = Session(Cache(None))
    solved: list[object] = []

    def counted(trade: Any, budget: Any) -> Any:
        solved.append(budget.most)
        return solve(trade, budget)

    solve = front_module.solve
    monkeypatch.setattr(front_module, "solve", counted)
    seen: list[FrontPoint] = []

    def stopping(point: FrontPoint, chosen: bool) -> None:
        del chosen
        seen.append(point)
        if len(seen) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pareto(build, REQUEST, session, print, stopping)
    before = len(solved)
    resumed = pareto(build, REQUEST, session, print, ignore)

    assert before == 5  # both ends, and three between
    assert len(solved) == len(set(solved)) > before
    assert set(seen) <= set(resumed.points)
    alone = pareto(build, REQUEST, Session(Cache(None)), print, ignore)
    assert resumed == alone


def test_moving_a_spec_about_solves_nothing_again(
    write: Write, hawqc: Hawqc, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write()
    before = read(hawqc, path)
    text = path.read_text(encoding="utf-8").replace("quantize", "\n# a word\nquantize")
    path.write_text(text.replace("ends:", "edge:"), encoding="utf-8")
    monkeypatch.setattr(front_module, "solve", None)

    assert read(hawqc, path) == before


def test_another_sensitivity_is_another_front(write: Write, hawqc: Hawqc) -> None:
    before = read(hawqc, write())
    after = read(hawqc, write(sensitivity={"w2a8": 4.0, "w4a4": 3.0, "w8a8": 1.0}))

    assert [p["y"] for p in before["points"]] != [p["y"] for p in after["points"]]


def test_a_point_that_the_limits_leave_open_says_how_far_it_may_be_off(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, _ = resolve_file(write("busy: bops <= 61% of bops(w8a8)"), overrides={})
    assert spec is not None
    tight = Limits(direct=1, leaf=1, mip_nodes=0, nodes=0)
    monkeypatch.setattr(front_module, "tradeoff", partial(front_module.tradeoff, limits=tight))

    request = Request("size", "perturbation", steps=None)
    front = pareto(spec.builds[0], request, Session(Cache(None)), print, ignore)

    assert front.status() == "feasible"
    assert any(not point.proven and point.gap > 0 for point in front.points)
    ys = [point.y for point in front.points]
    assert ys == sorted(set(ys), reverse=True)


def test_points_appear_in_the_table_as_they_are_found(hawqc: Hawqc, write: Write) -> None:
    lines = hawqc("pareto", write()).stdout.splitlines()

    assert lines[0].split() == ["size", "perturbation", "layers"]
    assert lines[1].endswith("<- the spec's choice")
    assert "resolution" in lines[-2]
    assert lines[-1].startswith("'fits' holds for every point (size <= 4 KB)")


def test_constraints_on_the_accuracy_wait_for_the_build(write: Write) -> None:
    spec, _ = resolve_file(write(), overrides={})
    assert spec is not None
    good = named("good", compare(metric_form("accuracy_drop"), "<=", Fraction(1, 100)))
    build = spec.builds[0].replace(constraints=(*spec.builds[0].constraints, good))
    front = pareto(build, REQUEST, Session(Cache(None)), print, ignore)

    assert front.at_build == ("good",)
    assert front.status() == "optimal"


def test_svg_holds_every_point_and_marks_the_choice(
    hawqc: Hawqc, write: Write, tmp_path: Path
) -> None:
    path, file = write(), tmp_path / "front.svg"
    found = read(hawqc, path, "--relax", "fits", "--plot", file)

    root = ET.fromstring(file.read_text(encoding="utf-8"))  # noqa: S314 - our own file
    dots = [one for one in root.iter(f"{SVG}circle") if one.get("class") == "point"]
    assert len(dots) == len(found["points"])
    across = [int(dot.get("cx", "0")) for dot in dots]
    assert across == sorted(across)
    (group,) = [one for one in root.iter(f"{SVG}g") if one.get("class") == "chosen"]
    (mark,) = group.iter(f"{SVG}circle")
    at = next(k for k, point in enumerate(found["points"]) if point["chosen"])
    assert (mark.get("cx"), mark.get("cy")) == (dots[at].get("cx"), dots[at].get("cy"))
    texts = [one.text for one in root.iter(f"{SVG}text")]
    assert {"fits: 3.91 KiB", "size (KiB)", "perturbation"} <= set(texts)
    (stairs,) = [one for one in root.iter(f"{SVG}path") if one.get("class") == "stairs"]
    assert stairs.get("d", "").count("L") == 2 * (len(dots) - 1)


def test_png_shows_the_same_picture(hawqc: Hawqc, write: Write, tmp_path: Path) -> None:
    file = tmp_path / "front.png"
    read(hawqc, write(), "-o", file)

    with Image.open(io.BytesIO(file.read_bytes())) as picture:
        assert picture.size == (1920, 1200)
        colors = {color for _, color in picture.convert("RGB").getcolors(2**24) or ()}
    assert {(9, 105, 218), (207, 34, 46)} <= colors  # points and the chosen one


def test_a_front_of_one_point_can_be_drawn(hawqc: Hawqc, write: Write, tmp_path: Path) -> None:
    file = tmp_path / "front.svg"
    found = read(hawqc, write(), "--x", "macs", "--y", "size", "-o", file)

    assert len(found["points"]) == 1
    assert file.read_bytes().count(b'class="point"') == 1


@pytest.mark.parametrize(
    ("options", "status", "code", "words"),
    [
        (("--x", "sise"), 2, "HQ512", "`size`"),
        (("--y", "accuracy"), 2, "HQ512", "perturbation"),
        (("--x", "perturbation"), 2, "HQ512", "twice"),
        (("--maximize", "bops"), 2, "HQ512", "neither axis"),
        (("--relax", "fit"), 2, "HQ513", "`fits`"),
        (("--plot", "front.pdf"), 2, "HQ834", "front.svg"),
        (("--y", "peak_memory", "--maximize", "peak_memory"), 1, "HQ508", "minimize"),
        (("--x", "peak_memory"), 1, "HQ507", "without shapes"),
    ],
)
def test_a_request_without_sense_is_refused(
    options: tuple[str, ...],
    status: int,
    code: str,
    words: str,
    hawqc: Hawqc,
    write: Write,
) -> None:
    result = hawqc("pareto", write(), *options)

    assert result.exit_code == status, result.stderr
    assert f"error[{code}]" in result.stderr
    assert words in result.stderr
    assert result.stdout == ""


def test_an_impossible_spec_is_explained_as_plan_explains_it(hawqc: Hawqc, write: Write) -> None:
    result = hawqc("pareto", write("wide: average_wbits >= 7"))

    assert result.exit_code == 1
    assert "error[HQ501]: no allocation satisfies 'fits' and 'wide' together" in result.stderr


def test_what_is_left_of_an_impossible_spec_is_explained_too(hawqc: Hawqc, write: Write) -> None:
    path = write("wide: average_wbits >= 7\n    thin: average_wbits <= 6")
    result = hawqc("pareto", path, "--relax", "fits")

    assert result.exit_code == 1
    assert "no allocation satisfies 'wide' and 'thin' together" in result.stderr


def test_relaxing_the_conflict_shows_a_front_without_a_choice(hawqc: Hawqc, write: Write) -> None:
    path = write("wide: average_wbits >= 7")

    found = read(hawqc, path, "--relax", "fits")
    assert found["chosen"] is None
    assert found["points"]
    text = hawqc("pareto", path, "--relax", "fits").stdout
    assert "the spec itself cannot be met" in text


def test_several_builds_need_a_name(hawqc: Hawqc, write: Write) -> None:
    path = write()
    text = path.read_text(encoding="utf-8")
    block = text[text.index("quantize") :]
    path.write_text(text + block.replace("on server", "on server as other"), encoding="utf-8")

    assert "HQ829" in hawqc("pareto", path).stderr
    assert read(hawqc, f"{path}:other")["quantize"] == "other"


def test_a_table_of_layers_needs_neither_torch_nor_tvm(write: Write, tmp_path: Path) -> None:
    code = (
        "import sys; from hawqlang.cli.app import run\n"
        "try: run(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'tvm', 'onnx'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, "pareto", str(write()), "-o", str(tmp_path / "a.png")]
    environment = {**os.environ, "HAWQ_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"
    assert (tmp_path / "a.png").is_file()
