"""`latency = measured`: layers are timed while a spec is analysed; libraries are stood in for by fixed times."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hawqlang.cache import Cache
from hawqlang.cli.app import make_app
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.profile import Profile
from hawqlang.ir.spec import Build
from hawqlang.session import Session
from hawqlang.stages.analyse import examine
from hawqlang.stages.latency import measured_latencies
from hawqlang.stages.resolve import resolve_file
from tests.support.stopwatch import Stopwatch

FAST = 3 * 10 + 7 * 2
"""Microseconds with ten of twelve layers at 4 bits; the first and the last are held at 8."""
LIBRARIES = 2
"""Of three precisions: the stopwatch's kernels do not depend on the bits of activations."""


def hawqc(*arguments: object) -> Any:
    return CliRunner().invoke(make_app(), [str(a) for a in arguments])


@pytest.fixture(autouse=True)
def stopwatch(monkeypatch: pytest.MonkeyPatch) -> type[Stopwatch]:
    class Own(Stopwatch):
        built = 0

    monkeypatch.setattr("hawqlang.stages.latency.BACKENDS", {"tvm": Own})
    return Own


@pytest.fixture
def spec(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HAWQ_CACHE", str(tmp_path / "cache"))
    examples = repository / "specs" / "examples"
    shutil.copytree(examples / "digits", tmp_path / "digits")
    path = Path(shutil.copy(examples / "digits.hawq", tmp_path))
    text = path.read_text(encoding="utf-8")
    text = text.replace("  device = cpu", "  latency = measured\n  device = cpu")
    path.write_text(bounded(text, FAST), encoding="utf-8")
    return path


def bounded(text: str, microseconds: int) -> str:
    return text.replace("    fits:", f"    fast: latency <= {microseconds} us\n    fits:")


def rebound(spec: Path, microseconds: int) -> None:
    text = spec.read_text(encoding="utf-8")
    spec.write_text(text.replace(f"<= {FAST} us", f"<= {microseconds} us"), encoding="utf-8")


def planned(spec: Path) -> dict[str, Any]:
    result = hawqc("plan", spec, "--format", "json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def the_build(spec: Path) -> Build:
    found, _ = resolve_file(spec, overrides={})
    assert found is not None
    return found.builds[0]


def measured(
    spec: Path, recorded: Profile | None = None, *, cache: Cache | None = None
) -> tuple[Profile, list[Diagnostic]]:
    session, warnings = Session(cache or Cache(None)), list[Diagnostic]()
    build = the_build(spec)
    known = examine(build, session, warnings.append)
    return measured_latencies(build, known, session, warnings.append, recorded), warnings


def test_measured_latencies_decide_a_bound_and_are_measured_once(
    spec: Path, stopwatch: type[Stopwatch]
) -> None:
    assert planned(spec)["metrics"]["latency_us"] == FAST
    assert stopwatch.built == LIBRARIES
    assert planned(spec)["metrics"]["latency_us"] == FAST
    rebound(spec, FAST - 1)
    refused = hawqc("plan", spec)
    assert refused.exit_code == 1
    assert "HQ501" in refused.stderr + refused.stdout
    assert stopwatch.built == LIBRARIES


def test_check_waits_for_measurements_and_uses_those_that_are_cached(spec: Path) -> None:
    before = hawqc("check", spec)
    assert before.exit_code == 0
    assert "fast (needs measured latencies)" in before.stdout
    planned(spec)
    after = hawqc("check", spec)
    assert after.exit_code == 0
    assert "needs measured latencies" not in after.stdout
    rebound(spec, FAST - 1)
    refused = hawqc("check", spec)
    assert refused.exit_code == 1
    assert "HQ501" in refused.stdout


def test_a_saved_plan_records_what_was_measured_and_on_what(spec: Path) -> None:
    file = spec.parent / "plan.json"
    assert hawqc("plan", spec, "-o", file).exit_code == 0
    entry = json.loads(file.read_text(encoding="utf-8"))["builds"]["digits"]
    assert entry["timed"]["cpu"] == "a laptop"
    assert entry["timed"]["machine"] == "stopwatch"
    for layer in entry["layers"]:
        assert layer["latency_us"] == {"w4a4": 3.0, "w4a8": 3.0, "w8a8": 7.0}


def test_layers_of_equal_kernels_have_one_time_in_every_network(
    spec: Path, stopwatch: type[Stopwatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(None)
    first, _ = measured(spec, cache=cache)
    assert stopwatch.built == LIBRARIES
    text = spec.read_text(encoding="utf-8")
    spec.write_text(text.replace("range = mse", "range = minmax"))
    monkeypatch.setattr(stopwatch, "drift", 1.01)
    second, _ = measured(spec, cache=cache)
    assert stopwatch.built == LIBRARIES
    assert second == first


def test_another_machine_measures_for_itself(spec: Path, stopwatch: type[Stopwatch]) -> None:
    cache = Cache(None)
    measured(spec, cache=cache)
    stopwatch.cpu = "a server"
    found, _ = measured(spec, cache=cache)
    assert stopwatch.built == 2 * LIBRARIES
    assert found.cpu == "a server"


def test_recorded_latencies_are_used_and_another_machine_is_told(
    spec: Path, stopwatch: type[Stopwatch]
) -> None:
    recorded, _ = measured(spec)
    stopwatch.built = 0
    again, quiet = measured(spec, recorded)
    stopwatch.cpu = "a server"
    there, warnings = measured(spec, recorded)
    assert again == there == recorded
    assert quiet == []
    assert [(one.code, one.severity) for one in warnings] == [("HQ876", "warning")]
    assert "a laptop" in warnings[0].message
    assert stopwatch.built == 0


def test_recorded_latencies_that_lack_a_candidate_are_measured_again(
    spec: Path, stopwatch: type[Stopwatch]
) -> None:
    recorded, _ = measured(spec)
    stopwatch.built = 0
    found, _ = measured(spec, recorded.replace(layers=recorded.layers[1:]))
    assert found == recorded
    assert stopwatch.built == LIBRARIES


def test_times_that_do_not_settle_are_refused(spec: Path, stopwatch: type[Stopwatch]) -> None:
    stopwatch.drift = 1.01
    with pytest.raises(HawqError) as caught:
        measured(spec)
    (found,) = caught.value.diagnostics
    assert found.code == "HQ877"


def test_a_device_that_is_no_cpu_is_refused_by_check_and_plan(spec: Path) -> None:
    text = spec.read_text(encoding="utf-8")
    spec.write_text(text.replace("cpu.x86_64", "nvidia.t4"), encoding="utf-8")
    for command in ("check", "plan"):
        result = hawqc(command, spec)
        assert result.exit_code == 1
        assert "HQ875" in result.stdout + result.stderr
