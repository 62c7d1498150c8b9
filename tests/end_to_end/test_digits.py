"""The main job on the data that ships with the project: build, verify, eval, run, bench, and what may go wrong."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from hawqlang.cli.app import make_app
from hawqlang.interpret import logits
from hawqlang.stages import bundle
from hawqlang.stages.bundle import read_manifest, read_reference

Hawqc = Callable[..., Any]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("HAWQ_CACHE")
    os.environ["HAWQ_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["HAWQ_CACHE"]
    else:
        os.environ["HAWQ_CACHE"] = before


@pytest.fixture(scope="module")
def hawqc(cache: Path) -> Hawqc:
    del cache

    def run(*arguments: object) -> Any:
        return CliRunner().invoke(make_app(), [str(a) for a in arguments])

    return run


@pytest.fixture(scope="module")
def spec(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with its files: builds keep a lock beside it."""
    folder = tmp_path_factory.mktemp("specs")
    examples = repository / "specs" / "examples"
    shutil.copytree(examples / "digits", folder / "digits")
    return Path(shutil.copy(examples / "digits.hawq", folder))


@pytest.fixture(scope="module")
def built(hawqc: Hawqc, spec: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The build's JSON; ``dir`` is the artifact."""
    out = tmp_path_factory.mktemp("build")
    result = hawqc("build", spec, "--out", out, "--format", "json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)["builds"][0]


@pytest.fixture
def artifact(built: dict[str, Any], tmp_path: Path) -> Path:
    """A copy of the artifact that a test may damage, beside the same data."""
    folder = Path(built["dir"])
    copy = folder.parent / f"{tmp_path.name}-{os.getpid()}"
    shutil.copytree(folder, copy)
    return copy


def test_the_front_of_the_spec_holds_what_was_built(
    hawqc: Hawqc, spec: Path, built: dict[str, Any]
) -> None:
    result = hawqc("pareto", spec, "--relax", "fits", "--points", 8, "--format", "json")
    assert result.exit_code == 0, result.stderr
    front = json.loads(result.stdout)

    (chosen,) = [point for point in front["points"] if point["chosen"]]
    layers = {layer["name"]: layer["precision"] for layer in built["plan"]["layers"]}
    assert chosen["layers"] == layers
    assert (front["status"], front["at_build"]) == ("optimal", ["good"])
    assert any(point["x"] > 51 * 1024 for point in front["points"])


def test_build_mixes_precisions_within_budget_and_proves_it(built: dict[str, Any]) -> None:
    plan = built["plan"]
    chosen = {layer["precision"] for layer in plan["layers"]}
    assert plan["status"] == "optimal"
    assert plan["gap"] == 0
    assert {"w4a4", "w8a8"} <= chosen
    assert plan["metrics"]["size_bytes"] <= 56 * 1024
    assert plan["layers"][0]["precision"] == plan["layers"][-1]["precision"] == "w8a8"
    assert built["evaluation"]["accuracy"] >= built["evaluation"]["fp32_accuracy"] - 0.01


def test_artifact_holds_what_the_manifest_lists(built: dict[str, Any]) -> None:
    folder = Path(built["dir"])
    manifest = read_manifest(folder)
    listed = {entry.path for entry in manifest.files}
    expected = {"card.md", "allocation.json", "program.txt", "runtime.py", "reference/program.json"}
    assert expected <= listed
    assert any(path.startswith("tvm/") and path.endswith(".so") for path in listed)
    assert manifest.intact()
    assert bundle.changed_files(folder) == ()


def test_manifest_names_no_absolute_path(built: dict[str, Any]) -> None:
    text = (Path(built["dir"]) / "manifest.json").read_text(encoding="utf-8")
    model = json.loads(text)["model"]
    assert not Path(model["source"]["path"]).is_absolute()


def test_verify_proves_every_instruction_set(built: dict[str, Any], hawqc: Hawqc) -> None:
    result = hawqc("verify", built["dir"], "--format", "json")
    assert result.exit_code == 0, result.stderr
    verdict = json.loads(result.stdout)
    for key in ("bit_exact", "integer_only", "overflow_free", "hashes"):
        assert verdict[key] is True
    assert verdict["first_difference"] is None
    assert "tvm:avx2" in verdict["backends"]
    assert all(b["inputs"] == 4 + 16 + 16 for b in verdict["backends"].values())


@pytest.mark.parametrize("name", ["card.md", "tvm/model.so", "reference/constants.npz"])
def test_verify_names_a_changed_file(artifact: Path, hawqc: Hawqc, name: str) -> None:
    with (artifact / name).open("ab") as file:
        file.write(b"\0")
    result = hawqc("verify", artifact, "--inputs", 0)
    assert result.exit_code == 1
    assert f"{name}: changed" in result.stdout


def test_verify_names_missing_and_added_files(artifact: Path, hawqc: Hawqc) -> None:
    (artifact / "card.md").unlink()
    (artifact / "extra.txt").write_text("x", encoding="utf-8")
    result = hawqc("verify", artifact, "--inputs", 0, "--format", "json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["changed_files"] == [
        "card.md: missing",
        "extra.txt: not in the manifest",
    ]


def test_verify_sees_a_changed_manifest(artifact: Path, hawqc: Hawqc) -> None:
    path = artifact / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["output"]["scale"] *= 2
    path.write_text(json.dumps(manifest), encoding="utf-8")
    result = hawqc("verify", artifact, "--inputs", 0)
    assert result.exit_code == 1
    assert "manifest.json: changed" in result.stdout


def test_verify_finds_the_first_difference_of_wrong_weights(artifact: Path, hawqc: Hawqc) -> None:
    """A reference program whose bias differs by one step from what the library was built from."""
    program, store = read_reference(artifact)
    conv = next(op for op in program.ops if op.op == "conv2d")
    changed = conv.replace(bias=store.put(store.get(conv.bias) + np.int32(1 << 12)))
    ops = tuple(changed if op is conv else op for op in program.ops)
    bundle.write_reference(program.replace(ops=ops), store, artifact)
    result = hawqc("verify", artifact, "--inputs", 0, "--format", "json")
    first = json.loads(result.stdout)["first_difference"]
    assert result.exit_code == 1
    assert first["op"] == conv.name
    assert first["expected"] != first["got"]


def test_verify_refuses_a_folder_that_is_no_artifact(tmp_path: Path, hawqc: Hawqc) -> None:
    result = hawqc("verify", tmp_path)
    assert result.exit_code == 1
    assert "HQ810" in result.stderr


def test_damaged_reference_is_a_diagnostic(artifact: Path, hawqc: Hawqc) -> None:
    (artifact / "reference" / "program.json").write_text("{", encoding="utf-8")
    result = hawqc("verify", artifact, "--inputs", 0)
    assert result.exit_code == 1
    assert "HQ811" in result.stderr


def test_eval_reports_both_networks(built: dict[str, Any], hawqc: Hawqc) -> None:
    result = hawqc("eval", built["dir"], "--format", "json")
    assert json.loads(result.stdout) == built["evaluation"]


def test_eval_takes_other_data_of_the_same_form(
    built: dict[str, Any], hawqc: Hawqc, repository: Path
) -> None:
    other = repository / "specs" / "examples" / "digits" / "digits_calib.npz"
    result = hawqc("eval", built["dir"], "--data", other, "--format", "json")
    assert json.loads(result.stdout)["n"] == len(np.load(other)["x"])


def test_eval_refuses_data_of_another_form(
    built: dict[str, Any], hawqc: Hawqc, tmp_path: Path
) -> None:
    result = hawqc("eval", built["dir"], "--data", tmp_path)
    assert result.exit_code == 1
    assert "HQ814" in result.stderr


def test_run_gives_the_interpreters_logits(
    built: dict[str, Any], hawqc: Hawqc, tmp_path: Path
) -> None:
    program, store = read_reference(Path(built["dir"]))
    pixels = np.random.default_rng(3).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    np.save(tmp_path / "in.npy", pixels)
    result = hawqc("run", built["dir"], tmp_path / "in.npy", "-o", tmp_path / "out.npy")
    assert result.exit_code == 0, result.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), logits(program, store, pixels))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((8, 8, 1), np.float32),
        np.zeros((1, 9, 8, 1), np.uint8),
        np.zeros((0, 8, 8, 1), np.uint8),
    ],
)
def test_run_refuses_other_inputs(
    built: dict[str, Any], hawqc: Hawqc, tmp_path: Path, array: np.ndarray[Any, Any]
) -> None:
    np.save(tmp_path / "in.npy", array)
    result = hawqc("run", built["dir"], tmp_path / "in.npy")
    assert result.exit_code == 1
    assert "HQ815" in result.stderr


def test_bench_prints_the_stable_keys(built: dict[str, Any], hawqc: Hawqc) -> None:
    result = hawqc("bench", built["dir"], "--seconds", 0.1, "--format", "json")
    found = json.loads(result.stdout)
    assert set(found["latency_ms"]) == {"median", "p10", "p90"}
    assert found["threads"] == found["batch"] == 1
    assert {"conv1", "fc"} <= {layer["name"] for layer in found["layers"]}
    assert "torch fp32" in found["baselines_ms"]


def test_artifact_runs_without_the_compiler(built: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "deployed"
    shutil.copytree(built["dir"], folder)
    program, store = read_reference(folder)
    pixels = np.random.default_rng(4).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    np.save(tmp_path / "in.npy", pixels)
    script = (
        "import sys, numpy\n"
        "from runtime import Model\n"
        "with Model('tvm') as model:\n"
        f"    numpy.save({str(tmp_path / 'out.npy')!r}, model.run(numpy.load({str(tmp_path / 'in.npy')!r})))\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}"
        " & {'torch', 'tvm', 'tvm_ffi', 'hawqlang', 'z3', 'pydantic'}))\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    found = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "[]"
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), logits(program, store, pixels))


def test_the_same_spec_gives_the_same_bytes(
    built: dict[str, Any], hawqc: Hawqc, spec: Path
) -> None:
    first = Path(built["dir"])
    again = first.parent / "again" / "digits"
    result = hawqc("build", spec, "--out", again.parent, "--no-cache")
    assert result.exit_code == 0, result.stderr
    ours = {e.path: e.sha256 for e in bundle.file_entries(first)}
    theirs = {e.path: e.sha256 for e in bundle.file_entries(again)}
    assert {path for path in ours if ours[path] != theirs.get(path)} == set()


def test_infeasible_budget_names_the_lines_and_the_nearest_bound(hawqc: Hawqc, spec: Path) -> None:
    result = hawqc("check", spec, "--set", "budget=10KiB")
    assert result.exit_code == 1
    assert "HQ501" in result.stdout
    assert "'fits'" in result.stdout
    assert "feasible from" in result.stdout


def changed(spec: Path, folder: Path, old: str, new: str) -> Path:
    """A copy of the digits spec with one piece of text replaced, its files beside it."""
    text = spec.read_text(encoding="utf-8")
    assert old in text
    shutil.copytree(spec.parent / "digits", folder / "digits")
    copy = folder / "changed.hawq"
    copy.write_text(text.replace(old, new), encoding="utf-8")
    return copy


def test_a_setting_without_engine_stops_before_any_work(
    hawqc: Hawqc, spec: Path, tmp_path: Path
) -> None:
    file = changed(spec, tmp_path, "  minimize", "  emit onnx\n  minimize")
    checked = hawqc("check", file)
    result = hawqc("build", file, "--out", tmp_path / "out")
    assert checked.exit_code == 0
    assert "HQ830" in checked.stdout
    assert result.exit_code == 1
    assert "error[HQ830]" in result.stderr
    assert "import digits" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_missing_compiler_is_a_diagnostic_and_leaves_the_old_artifact(
    artifact: Path, hawqc: Hawqc, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = artifact.parent / "kept"
    place.mkdir()
    artifact.rename(place / "digits")
    before = (place / "digits" / "manifest.json").read_bytes()
    monkeypatch.setenv("CC", "no-such-compiler")
    result = hawqc("build", spec, "--out", place)
    assert result.exit_code != 0
    assert "HQ801" in result.stderr
    assert [path.name for path in place.iterdir()] == ["digits"]
    assert (place / "digits" / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x"), 2, "HQ821"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (RuntimeError("a defect"), 2, "HQ899"),
    ],
)
def test_a_build_that_dies_leaves_nothing_half_written(
    hawqc: Hawqc,
    spec: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    status: int,
    code: str,
) -> None:
    def fail(*_: object) -> None:
        raise error

    # Sources and weights are written by then; libraries are not.
    monkeypatch.setattr("hawqlang_codegen.tvm.build.compile_kernels", fail)
    result = hawqc("build", spec, "--out", tmp_path / "out")
    assert result.exit_code == status
    assert code in result.stderr
    assert "Traceback" not in result.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_init_builds_as_it_stands(
    hawqc: Hawqc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert hawqc("init", "mine").exit_code == 0
    assert hawqc("init", "mine").exit_code == 1
    result = hawqc("build", "mine/mine.hawq", "--format", "json")
    assert result.exit_code == 0, result.stderr
    assert Path(json.loads(result.stdout)["builds"][0]["dir"], "manifest.json").is_file()


def test_check_imports_neither_torch_nor_tvm_nor_a_solver_it_can_do_without(
    spec: Path, repository: Path
) -> None:
    script = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from hawqlang.cli.app import make_app\n"
        f"result = CliRunner().invoke(make_app(), ['check', {str(spec)!r}])\n"
        "print(result.exit_code, sorted({'torch', 'tvm', 'z3', 'highspy'} & set(sys.modules)))\n"
    )
    path = os.pathsep.join([str(repository), str(repository / "codegen")])
    found = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "0 []"


def test_plan_prints_the_stable_keys(hawqc: Hawqc, spec: Path, built: dict[str, Any]) -> None:
    result = hawqc("plan", spec, "--format", "json")
    plan = json.loads(result.stdout)
    assert set(plan) >= {
        "format_version",
        "quantize",
        "status",
        "gap",
        "objective",
        "metrics",
        "layers",
        "constraints",
        "conflict",
        "suggestions",
        "excluded",
        "artifact_bytes",
        "runner_up",
    }
    explained = {"why", "price"}
    ours = [{k: v for k, v in row.items() if k not in explained} for row in plan["layers"]]
    theirs = built["plan"]["layers"]
    assert ours == [{k: v for k, v in row.items() if k not in explained} for row in theirs]
    assert all(row["why"]["text"] for row in plan["layers"])


def test_plan_knows_the_bytes_of_the_weights_before_they_are_built(
    hawqc: Hawqc, spec: Path, built: dict[str, Any]
) -> None:
    plan = json.loads(hawqc("plan", spec, "--format", "json").stdout)
    assert plan["artifact_bytes"] == (Path(built["dir"]) / "tvm" / "weights.bin").stat().st_size
