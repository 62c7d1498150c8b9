"""Files that hawqc must not trust, and places it must not write to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hawqlang.cache import write_atomic
from hawqlang.cli.app import make_app
from hawqlang.cli.common import stdout
from hawqlang.ir.lock import Lock
from hawqlang.stages.lock.text import render
from tests.support.locks import entry

EXAMPLES = Path(__file__).parents[3] / "specs" / "examples"


def _lock() -> Any:
    return json.loads(render(Lock(builds=(("digits", entry()),))))


@pytest.mark.parametrize("name", ["net.hawq", "net.hawq.lock", "plan", "net.layers.json"])
def test_a_plan_is_not_saved_over_anything_but_a_plan(tmp_path: Path, name: str) -> None:
    victim = tmp_path / name
    victim.write_text("precious", encoding="utf-8")
    spec = f"{EXAMPLES / 'hawq_v3' / 'resnet18.hawq'}:resnet18_size_low"
    result = CliRunner().invoke(make_app(), ["plan", spec, "-o", str(victim)])
    assert result.exit_code == 2
    assert "HQ872" in result.stderr
    assert victim.read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize("fault", ["twice", "params", "metric"])
def test_a_lock_with_impossible_values_is_damaged(tmp_path: Path, fault: str) -> None:
    lock = _lock()
    build = lock["builds"]["digits"]
    if fault == "twice":
        build["layers"].append(build["layers"][0])
    elif fault == "params":
        build["layers"][0]["params"] = 10**400
    else:
        build["metrics"]["size_bytes"] = 1e308
    path = tmp_path / "a.lock"
    path.write_text(json.dumps(lock), encoding="utf-8")
    result = CliRunner().invoke(make_app(), ["diff", str(path), str(path), "--format", "json"])
    assert result.exit_code == 1
    assert "HQ860" in result.stderr


def test_a_relative_change_too_large_for_a_number_is_left_out(tmp_path: Path) -> None:
    a, b = tmp_path / "a.lock", tmp_path / "b.lock"
    for path, value in ((a, 1e-320), (b, 1e300)):
        lock = _lock()
        lock["builds"]["digits"]["metrics"]["size_bytes"] = value
        path.write_text(json.dumps(lock), encoding="utf-8")
    result = CliRunner().invoke(make_app(), ["diff", str(a), str(b), "--format", "json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["metrics"]["digits"]["size_bytes"]["percent"] is None


def test_writing_onto_a_folder_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        write_atomic(tmp_path, b"")
    assert caught.value.filename == str(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_has_gone_is_left_to_the_command() -> None:
    with pytest.raises(BrokenPipeError):
        stdout.on_broken_pipe()
