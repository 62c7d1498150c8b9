"""`hawqc profile` and a spec that plans with what it wrote; libraries are stood in for by fixed times."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hawqlang.cli.app import make_app
from tests.support.stopwatch import Stopwatch


def hawqc(*arguments: object) -> Any:
    return CliRunner().invoke(make_app(), [str(a) for a in arguments])


@pytest.fixture
def spec(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HAWQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("hawqlang.stages.latency.BACKENDS", {"tvm": Stopwatch})
    examples = repository / "specs" / "examples"
    shutil.copytree(examples / "digits", tmp_path / "digits")
    return Path(shutil.copy(examples / "digits.hawq", tmp_path))


def with_target(spec: Path, setting: str) -> None:
    text = spec.read_text(encoding="utf-8")
    spec.write_text(text.replace("  device = cpu.x86_64", f"  {setting}\n  device = cpu.x86_64"))


def test_a_profile_times_every_layer_at_every_precision_and_decides_bounds(spec: Path) -> None:
    file = spec.parent / "profile.json"
    result = hawqc("profile", spec, "-o", file, "--format", "json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found == json.loads(file.read_text())
    assert (found["machine"], found["batch"], found["threads"]) == ("stopwatch", 1, 1)
    assert len(found["layers"]) == 12
    for layer in found["layers"]:
        assert layer["latency_us"] == {"w4a4": 3.0, "w4a8": 3.0, "w8a8": 7.0}

    with_target(spec, 'latency = profile("profile.json")')
    text = spec.read_text(encoding="utf-8")
    for bound, feasible in ((3 * 10 + 7 * 2, True), (3 * 10 + 7 * 2 - 1, False)):
        spec.write_text(text.replace("    fits:", f"    fast: latency <= {bound} us\n    fits:"))
        checked = hawqc("check", spec)
        assert checked.exit_code == (0 if feasible else 1), checked.stdout
        assert ("HQ501" in checked.stdout) is not feasible


def test_a_target_that_is_no_cpu_is_refused(spec: Path) -> None:
    text = spec.read_text(encoding="utf-8")
    spec.write_text(text.replace("cpu.x86_64", "nvidia.t4"))
    result = hawqc("profile", spec)
    assert result.exit_code == 1
    assert "HQ875" in result.stderr


def test_a_profile_that_is_not_there_is_a_warning_of_check_and_an_error_of_plan(spec: Path) -> None:
    with_target(spec, 'latency = profile("none.json")')
    checked = hawqc("check", spec)
    assert checked.exit_code == 0
    assert "HQ239" in checked.stdout
    planned = hawqc("plan", spec)
    assert planned.exit_code == 1
    assert "error[HQ239]" in planned.stderr
